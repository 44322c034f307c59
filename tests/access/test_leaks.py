"""Whoever is refused learns nothing: not by texts, lists, counts, store calls, signals, history."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from perdure import AgentSystem, Principal, Right, Scope
from perdure.persistence.errors import Denied
from perdure.shared.access.boundaries import AnyBoundary
from tests.access.agents import ANNA, Desk, W, call, opened
from tests.kit.signals import Told
from tests.kit.stores import CountingStore


class Hides:
    """A boundary that leaves all to the grants but what is hidden."""

    def allows(self, who: Principal, right: Right, scope: Scope, key: str | None) -> bool | None:
        """Refuse the hidden keys of shared scopes."""
        return False if key is not None and key.startswith("hidden/") else None


HIDES = Hides()

REFUSED = (
    ("read",), ("write", 1), ("remove",), ("exists",), ("increment",),
)  # fmt: skip


def test_a_refusal_is_the_same_whether_the_key_is_there_or_not() -> None:
    """Equal types, texts, signals and calls to the store, for present, missing, expired keys."""
    store = CountingStore()
    with opened(store) as system:
        call(system, "anna", "work")
        system.state.set(W, "there", "secret-value")
        system.state.delete(W, "there2")
        for method, *args in REFUSED:
            told: list[tuple[object, ...]] = []
            for key in ("there", "gone"):
                store.asked.clear()
                with Told() as heard, pytest.raises(Denied) as raised:
                    call(system, "anna", method, "workflow:w", key, *args)
                text = str(raised.value)
                assert "secret-value" not in text
                assert key not in text
                told.append((type(raised.value), text, tuple(store.asked), tuple(heard.names())))
            assert told[0] == told[1]
            assert told[0][2] == ()  # nothing was looked up at all


def test_the_same_holds_outside_for_a_named_principal() -> None:
    """The handle of a user is refused before anything is looked up."""
    store = CountingStore()
    with opened(store) as system:
        system.state.set(W, "there", 1)
        handle = system.state.acting_as(Principal.user("mira"))
        told = []
        for key in ("there", "gone"):
            for refused in (
                lambda k=key: handle.get(W, k),
                lambda k=key: handle.exists(W, k),
                lambda k=key: handle.set(W, k, 2),
                lambda k=key: handle.delete(W, k),
                lambda k=key: handle.compare_and_set(W, k, 1, 2),
                lambda k=key: handle.copy(W, k, Scope.user("mira")),
                lambda k=key: handle.move(W, k, Scope.user("mira")),
            ):
                store.asked.clear()
                with pytest.raises(Denied) as raised:
                    refused()  # type: ignore[no-untyped-call]
                told.append((str(raised.value), tuple(store.asked)))
        assert told[: len(told) // 2] == told[len(told) // 2 :]
        for listing in (lambda: handle.list(W), lambda: handle.count(W)):
            with pytest.raises(Denied):
                listing()


def test_a_list_shows_only_what_may_be_known() -> None:
    """Keys outside of the granted pattern are neither listed nor counted, page by page."""
    with opened() as system:
        system.state.set_many(W, {f"{p}{n}": n for p in ("hidden", "shown", "z") for n in range(5)})
        system.access.grant(ANNA, W, Right.LIST, keys="shown*")
        assert call(system, "anna", "keys", "workflow:w") == [f"shown{n}" for n in range(5)]
        assert call(system, "anna", "keys", "workflow:w", "hidden") == []
        assert call(system, "anna", "count", "workflow:w") == 5


class Closed(Desk):
    """One whom its own boundary keeps from some keys, whatever it is granted."""

    boundary: ClassVar[AnyBoundary] = HIDES

    def found(self, scope: str) -> list[str]:
        """Return the names of the artifacts of a scope, of all scopes without one."""
        where = Scope.parse(scope) if scope else None
        return [artifact.name for artifact in self.system.artifacts.list(scope=where)]

    def usage(self, scope: str) -> tuple[int, int]:
        """Return how many artifacts there are, and their bytes."""
        return self.system.artifacts.usage(Scope.parse(scope))


def test_what_a_boundary_hides_is_in_no_list() -> None:
    """What a boundary of one's own refuses is neither listed nor counted where a grant lists."""
    with AgentSystem.open("memory://", agents=[Closed]) as system:
        system.state.set_many(W, {"open": 1, "hidden/merger": 1})
        system.artifacts.save("open", b"123", scope=W)
        system.artifacts.save("hidden/plan", b"12345", scope=W)
        closed = Principal.agent("Closed", "c")
        system.access.grant(closed, W, Right.READ | Right.LIST)
        agent = system.agent(Closed, "c")
        with pytest.raises(Denied):
            agent.call(Closed.read, "workflow:w", "hidden/merger").get()
        assert agent.call(Closed.keys, "workflow:w").get() == ["open"]
        assert agent.call(Closed.keys, "workflow:w", "hidden/").get() == []
        assert agent.call(Closed.count, "workflow:w").get() == 1
        for scope in ("workflow:w", ""):
            assert agent.call(Closed.found, scope).get() == ["open"]
        assert agent.call(Closed.usage, "workflow:w").get() == (1, 3)
        assert not system.access.check(closed, Right.LIST, W, "hidden/plan").allowed
        assert system.access.check(closed, Right.LIST, W, "open").allowed


@pytest.mark.parametrize(
    "what",
    ["audit", "verify", "head", "trim", "journal", "others", "isolated", "check", "owner"],
)  # fmt: skip
def test_history_and_policy_are_closed_to_handlers(what: str) -> None:
    """A handler sees its own journal; that of others, the audit and the policy it does not."""
    with opened() as system:
        call(system, "bert", "work")
        with pytest.raises(Denied):
            call(system, "anna", "look_at", what)
        assert call(system, "anna", "look_at", "own") == 0


def test_an_unknown_grant_and_one_of_others_look_the_same() -> None:
    """Revoking by guessed numbers tells nothing about which there are."""
    with opened() as system:
        grant = system.access.grant(ANNA, W, Right.READ)
        handle = system.access.acting_as(Principal.user("mira"))
        texts = []
        for number in (grant.number, grant.number + 1):
            with pytest.raises(LookupError) as raised:
                handle.revoke(number)
            texts.append(str(raised.value).replace(str(number), "N"))
        assert texts[0] == texts[1]
        tried = [e.operation for e in system.audit.list(outcome="refused")]
        assert tried == [f"revoke grant {n}" for n in (grant.number, grant.number + 1)]


def test_values_never_stand_in_the_audit(tmp_path: Path) -> None:
    """It has keys and operations; what was written is nowhere in it."""
    with opened(tmp_path / "a.db") as system:
        system.access.grant(ANNA, W, Right.ALL)
        call(system, "anna", "write", "workflow:w", "k", "canary-in-the-coal-mine")
        system.flush()
        assert all("canary" not in repr(entry) for entry in system.audit.list())
