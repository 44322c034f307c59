"""Artifacts in turns: they come to be with the turn, or not at all."""

import threading
from pathlib import Path

import pytest

from perdure import Agent, Limits, MemoryStore, Scope, State
from perdure.persistence.errors import QuotaExceeded, StateError, UnknownArtifact
from perdure.shared.access.boundaries import Boundary
from perdure.shared.artifacts.records import ArtifactLimits
from perdure.system import AgentSystem
from tests.artifacts.agents import Maker, opened
from tests.artifacts.looks import counts, dangling, named, orphans, stores
from tests.kit.deadline import DEADLINE


def test_a_turn_makes_artifacts_and_sees_them(tmp_path: Path) -> None:
    """In its turn an artifact can be read, found and named; after it, everybody can."""
    for store in stores(tmp_path):
        with opened(store) as system:
            maker = system.agent(Maker, "m").proxy()
            assert maker.make("a", "1").get() == ("agent:Maker/m", 1)
            assert maker.make("a", "2").get() == ("agent:Maker/m", 2)
            own = Scope.agent("Maker", "m")
            found = system.artifacts.list(agent=("Maker", "m"))
            assert named(found) == [("a", 1), ("a", 2)]
            assert {artifact.scope for artifact in found} == {own}
            assert system.artifacts.read(system.artifacts.get("a", scope=own)) == b"2"


def test_an_artifact_knows_its_turn(tmp_path: Path) -> None:
    """The sequence of an artifact is that of the commit which made it, in the journal."""
    for store in stores(tmp_path):
        with opened(store) as system:
            system.artifacts.save("before", b"0")
            system.agent(Maker, "m").proxy().make("a", "1").get()
            (made,) = system.artifacts.list(agent=("Maker", "m"))
            (entry,) = system.journal.list("Maker", "m", limit=1)
            assert (made.sequence, entry.name) == (entry.sequence, "make")
            assert made.correlation == entry.correlation


def test_a_turn_that_raises_leaves_nothing(tmp_path: Path) -> None:
    """A handler that raises has made no artifact, and the sweep takes its bytes."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        maker = system.agent(Maker, "m").proxy()
        with pytest.raises(ValueError, match="after all"):
            maker.make_and_raise("a", "1").get()
        assert system.artifacts.list() == []
        assert system.artifacts.usage(Scope.agent("Maker", "m")) == (0, 0)
        system.artifacts.sweep()
        assert set(counts(path).values()) == {0}
        assert maker.make("a", "1").get() == ("agent:Maker/m", 1)
    assert dangling(path) == orphans(path) == []


def test_a_turn_that_raises_has_deleted_nothing(tmp_path: Path) -> None:
    """A deletion is part of its turn: undone with it, and seen in it."""
    for store in stores(tmp_path):
        with opened(store) as system:
            maker = system.agent(Maker, "m").proxy()
            maker.make("a", "1").get()
            maker.make("b", "2").get()
            with pytest.raises(UnknownArtifact):
                maker.drop("c").get()
            assert maker.drop("a").get() == ["b"]
            assert named(system.artifacts.list()) == [("b", 1)]


def test_changes_name_what_they_came_from(tmp_path: Path) -> None:
    """Each turn's commit leads to the artifacts it came from, and each of them to the commit."""
    for store in stores(tmp_path):
        with opened(store) as system:
            first = system.artifacts.save("first", b"1")
            maker = system.agent(Maker, "m").proxy()
            maker.make("a", "1", 1).get()
            maker.make("b", "2", 1).get()
            entries = [e for e in system.journal.list("Maker", "m") if e.name == "make"]
            assert system.artifacts.uses(first) == [entry.sequence for entry in entries]
            for entry, name in zip(entries, "ab", strict=True):
                assert named(system.artifacts.used_in(entry.sequence)) == [("first", 1), (name, 1)]
        with opened(store) as system:
            assert len(system.artifacts.uses(first)) == 2
            with pytest.raises(StateError, match="belongs into a turn"):
                system.artifacts.came_from(first)


def test_an_async_handler_makes_artifacts() -> None:
    """A coroutine handler may save as any other."""
    with opened(MemoryStore()) as system:
        assert system.agent(Maker, "m").proxy().make_later("a", "1").get() == 1


def test_versions_told_to_turns_are_what_becomes_of_them(tmp_path: Path) -> None:
    """Agents and outsiders who save one name at once get each version once, without a gap."""
    scope = Scope.workflow("w")
    told: list[int] = []

    class Racer(Agent[State]):
        boundary = Boundary.SHARED

        def race(self) -> int:
            return self.system.artifacts.save("n", b"x", scope=scope).version

    with AgentSystem.open(tmp_path / "a.db", agents=[Racer]) as system:
        futures = [system.agent(Racer, str(n)).proxy().race() for n in range(8)]

        def outside() -> None:
            told.extend(system.artifacts.save("n", b"y", scope=scope).version for _ in range(8))

        threads = [threading.Thread(target=outside) for _ in range(3)]
        for thread in threads:
            thread.start()
        told += [future.get() for future in futures]
        for thread in threads:
            thread.join(DEADLINE)
        assert sorted(told) == list(range(1, 33))


def test_a_transaction_outside_is_one_commit(tmp_path: Path) -> None:
    """Artifacts and keys of a transaction come to be together, or not at all."""
    for store in stores(tmp_path):
        with opened(store) as system:
            with pytest.raises(ZeroDivisionError):
                _change(system, fail=True)
            assert system.artifacts.list() == []
            _change(system, fail=False)
            (artifact,) = system.artifacts.list()
            entry = system.state.entry(Scope.GLOBAL, "newest", int)
            assert entry is not None
            assert (entry.value, entry.sequence) == (artifact.number, artifact.sequence)


def _change(system: AgentSystem, *, fail: bool) -> None:
    with system.state.transaction():
        artifact = system.artifacts.save("a", b"1")
        system.state.set(Scope.GLOBAL, "newest", artifact.number)
        assert system.artifacts.read(artifact) == b"1"
        if fail:
            raise ZeroDivisionError


def test_a_quota_refuses_in_the_turn() -> None:
    """A handler gets QuotaExceeded where it saves, and may go on without."""

    class Careful(Agent[State]):
        def save_both(self) -> int:
            self.system.artifacts.save("a", b"123")
            try:
                self.system.artifacts.save("b", b"45")
            except QuotaExceeded:
                return len(self.system.artifacts.list(scope=self.scopes.own))
            return -1

    limits = ArtifactLimits(scope=4)
    with AgentSystem.open(
        MemoryStore(), agents=[Careful], limits=Limits(artifacts=limits)
    ) as system:
        assert system.agent(Careful, "c").proxy().save_both().get() == 1
        assert named(system.artifacts.list()) == [("a", 1)]
