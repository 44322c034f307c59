"""Permissions of artifacts are those of their scope; refusals tell nothing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Scope, State
from perdure.persistence.errors import Denied, UnknownArtifact
from perdure.persistence.names.scope import Principal
from perdure.shared.artifacts.records import Artifact
from perdure.shared.ledger.guard import Right
from tests.artifacts.looks import W, named

MIRA = Principal.user("mira")


class Strict(Agent[State]):
    """Tries what it may not."""

    def save(self, name: str) -> int:
        return self.system.artifacts.save(name, b"strict", scope=W).version

    def read(self, name: str) -> bytes:
        return self.system.artifacts.read(self.system.artifacts.get(name, scope=W))

    def listed(self) -> list[str]:
        return [artifact.name for artifact in self.system.artifacts.list()]

    def stream(self, name: str) -> int:
        with self.system.artifacts.create(name) as sink:
            sink.write(b"own")
        return sink.artifact.version


def opened(path: Path) -> AgentSystem:
    """Open a system with the strict agent."""
    return AgentSystem.open(path / "a.db", agents=[Strict])


def test_each_operation_needs_its_right(tmp_path: Path) -> None:
    """Without the right nothing is done, with it exactly that is."""
    with opened(tmp_path) as system:
        artifacts, mira = system.artifacts, system.artifacts.acting_as(MIRA)
        first = artifacts.save("out/a", b"1", scope=W, tags=["t"])
        attempts: dict[Right, list[Callable[[], object]]] = {
            Right.READ: [
                lambda: mira.get("out/a", scope=W), lambda: mira.read(first),
                lambda: mira.sources(first), lambda: mira.results(first),
                lambda: mira.tags(first), lambda: mira.uses(first),
            ],
            Right.LIST: [lambda: mira.list(scope=W), lambda: mira.usage(W)],
            Right.WRITE: [
                lambda: mira.save("out/b", b"2", scope=W), lambda: mira.create("out/b", scope=W),
                lambda: mira.tag(first, "x"), lambda: mira.untag(first, "t"),
                lambda: mira.link(first),
            ],
            Right.DELETE: [lambda: mira.delete(first)],
        }  # fmt: skip
        for right, calls in attempts.items():
            for call in calls:
                with pytest.raises(Denied, match="user:mira may not"):
                    call()
            grant = system.access.grant(MIRA, W, right, keys="out/*")
            for call in calls:
                call()
            system.access.revoke(grant)
        with pytest.raises(Denied):
            mira.get("out/b", scope=W)


def test_what_is_there_and_what_is_not_are_refused_alike(tmp_path: Path) -> None:
    """A refusal is the same whether the artifact exists or not."""
    with opened(tmp_path) as system:
        system.artifacts.save("there", b"1", scope=W)
        strict = system.agent(Strict, "s").proxy()
        texts = set()
        for name in ("there", "gone"):
            with pytest.raises(Denied) as refused:
                strict.read(name).get()
            texts.add(str(refused.value))
        assert len(texts) == 1


def test_lists_show_only_what_may_be_listed(tmp_path: Path) -> None:
    """Finding by anything, and lineage, leave out what the caller may not list."""
    with opened(tmp_path) as system:
        hidden = system.artifacts.save("hidden", b"secret", scope=W, tags=["t"])
        open_ = system.artifacts.save("open", b"2", scope=Scope.user("mira"), sources=[hidden])
        mira = system.artifacts.acting_as(MIRA)
        assert named(mira.list()) == [("open", 1)]
        assert mira.list(tag="t") == []
        assert mira.list(content=hidden.content) == []
        assert mira.sources(open_) == []
        assert system.artifacts.sources(open_) == [hidden]
        assert system.agent(Strict, "s").proxy().listed().get() == []


def test_a_usage_counts_only_what_may_be_listed(tmp_path: Path) -> None:
    """Number and bytes are those of the names that a grant lists, not of the whole scope."""
    with opened(tmp_path) as system:
        system.artifacts.save("out/1", b"1" * 10, scope=W)
        system.artifacts.save("board/secret", b"2" * 4321, scope=W)
        mira = system.artifacts.acting_as(MIRA)
        system.access.grant(MIRA, W, Right.LIST, keys="out/*")
        assert mira.usage(W) == (1, 10)
        assert mira.count(scope=W) == 1
        system.access.grant(MIRA, W, Right.LIST)
        assert mira.usage(W) == system.artifacts.usage(W) == (2, 4331)
        assert mira.count(scope=W) == mira.count() == system.artifacts.count() == 2
        with pytest.raises(Denied):
            mira.count(scope=Scope.GLOBAL)


def test_a_handle_made_up_opens_nothing(tmp_path: Path) -> None:
    """An artifact object with another's number under one's own scope is refused as unknown."""
    with opened(tmp_path) as system:
        hidden = system.artifacts.save("hidden", b"secret", scope=W)
        mira = system.artifacts.acting_as(MIRA)
        made_up: Artifact = dataclasses.replace(hidden, scope=Scope.user("mira"))
        for use in (
            mira.open, mira.read, mira.delete, mira.tags, mira.sources, mira.results, mira.uses,
            mira.link,
        ):  # fmt: skip
            with pytest.raises(UnknownArtifact):
                use(made_up)


def test_sources_need_the_right_to_read(tmp_path: Path) -> None:
    """Nobody links to what they may not read."""
    with opened(tmp_path) as system:
        hidden = system.artifacts.save("hidden", b"secret", scope=W)
        mira = system.artifacts.acting_as(MIRA)
        own = Scope.user("mira")
        with pytest.raises(Denied):
            mira.save("mine", b"", scope=own, sources=[hidden])
        mine = mira.save("mine", b"", scope=own)
        with pytest.raises(Denied):
            mira.link(mine, hidden)
        assert named(system.artifacts.list()) == [("hidden", 1), ("mine", 1)]


def test_an_agent_has_its_own_scope(tmp_path: Path) -> None:
    """A strict agent saves in its own scope, and nowhere else without a grant."""
    with opened(tmp_path) as system:
        strict = system.agent(Strict, "s").proxy()
        assert strict.stream("a").get() == 1
        with pytest.raises(Denied, match="agent:Strict/s may not write workflow:w"):
            strict.save("a").get()
        system.access.grant(Principal.agent("Strict", "s"), W, Right.WRITE)
        assert strict.save("a").get() == 1


def test_a_revocation_during_an_upload_counts(tmp_path: Path) -> None:
    """Who loses the right while bytes flow in makes nothing of them."""
    with opened(tmp_path) as system:
        grant = system.access.grant(MIRA, W, Right.WRITE)
        mira = system.artifacts.acting_as(MIRA)
        sink = mira.create("a", scope=W)
        sink.__enter__().write(b"1")
        system.access.revoke(grant)
        with pytest.raises(Denied):
            sink.__exit__(None, None, None)
        assert system.artifacts.list() == []


def test_the_audit_tells_who_used_what(tmp_path: Path) -> None:
    """What crosses the border between owners stands in the audit, allowed or refused."""
    with opened(tmp_path) as system:
        mira = system.artifacts.acting_as(MIRA)
        with pytest.raises(Denied):
            mira.save("a", b"1", scope=W)
        system.access.grant(MIRA, W, Right.WRITE)
        mira.save("a", b"1", scope=W)
        told = [
            (entry.operation, entry.key, entry.outcome)
            for entry in system.audit.list(who=MIRA)
            if entry.scope == W
        ]
        assert told == [("write", "a", "refused"), ("write", "a", "allowed")]
        assert system.audit.verify().intact


def test_a_search_of_all_scopes_stands_in_the_audit(tmp_path: Path) -> None:
    """Each scope of which something is shown is listed, with the right and the row for that."""
    with opened(tmp_path) as system:
        for scope in (W, Scope.workflow("hidden")):
            system.artifacts.save("a", b"1", scope=scope)
        me = Principal.agent("Strict", "1")
        system.access.grant(me, W, Right.LIST, uses=1)
        agent = system.agent(Strict, "1")
        agent.call(Strict.stream, "own").get()
        assert agent.call(Strict.listed).get() == ["a", "own"]
        (seen,) = system.audit.list(who=me)
        assert (seen.scope, seen.operation, seen.outcome) == (W, "list", "allowed")
        assert agent.call(Strict.listed).get() == ["own"]  # its one use is over
