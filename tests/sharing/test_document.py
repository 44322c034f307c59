"""A document: what several propose is merged, and a conflict is a value."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Map, Principal, State, VirtualClock
from perdure.actors.patterns.document import Conflicted, Document, Merged, Version, merge
from perdure.actors.patterns.quota import Quota
from perdure.persistence.errors import ConfigurationError, Denied, QuotaExceeded, StateError
from tests.kit.deadline import DEADLINE

Plan = dict[str, Any]


class Memory(State):
    """What was read, and what became of proposals."""

    base: Version[dict[str, int]] | None = None
    accepted: Map[str, int] = Map.field()
    changes: int = 0


class Writer(Agent[Memory]):
    def document(self) -> Document[dict[str, int]]:
        return self.system.sharing.document("plan", dict[str, int], initial={})

    def read(self) -> dict[str, int]:
        self.state.base = self.document().read()
        return self.state.base.value

    def set_one(self, key: str, value: int) -> bool:
        base = self.state.base or self.document().read()
        mine = {**base.value, key: value}
        outcome = self.document().propose(base, mine)
        if isinstance(outcome, Merged):
            self.state.accepted[key] = value
        return isinstance(outcome, Merged)

    def set_and_fail(self, key: str) -> None:
        self.set_one(key, 1)
        raise LookupError("no")

    def count(self) -> bool:
        base = self.document().read()
        mine = {**base.value, "n": base.value.get("n", 0) + 1}
        return isinstance(self.document().propose(base, mine), Merged)

    def watch(self) -> None:
        self.document().watch(Writer.changed)

    def changed(self) -> None:
        self.state.changes += 1

    def changes(self) -> int:
        return self.state.changes

    def accepted(self) -> dict[str, int]:
        return dict(self.state.accepted)


class AsyncWriter(Agent[Memory]):
    async def count(self) -> bool:
        document = self.system.sharing.document("plan", dict[str, int], initial={})
        base = document.read()
        await asyncio.sleep(0)
        mine = {**base.value, "n": base.value.get("n", 0) + 1}
        return isinstance(document.propose(base, mine), Merged)


def opened(clock: VirtualClock | None = None) -> AgentSystem:
    """Open a system of writers."""
    return AgentSystem.open("memory://", agents=[Writer, AsyncWriter], clock=clock)


def test_changes_of_different_keys_are_merged() -> None:
    """Two who started from the same version both get their way where they do not meet."""
    with opened() as system:
        a, b = (system.agent(Writer, key).proxy() for key in "ab")
        assert a.read().get() == b.read().get() == {}
        assert a.set_one("a", 1).get()
        assert b.set_one("b", 2).get()
        assert b.read().get() == {"a": 1, "b": 2}


def test_changes_of_the_same_key_are_a_conflict() -> None:
    """The second of two who change one key gets both sides as a value, and can go on from it."""
    with opened() as system:
        document = system.sharing.document("plan", dict[str, int], initial={"x": 0, "y": 0})
        base = document.read()
        assert isinstance(document.propose(base, {"x": 1, "y": 0}), Merged)
        outcome = document.propose(base, {"x": 2, "y": 5})
        assert isinstance(outcome, Conflicted)
        assert outcome.theirs.value == {"x": 1, "y": 0}
        assert outcome.paths == ("x",)
        assert document.read().value == {"x": 1, "y": 0}
        again = document.propose(outcome.theirs, {"x": 2, "y": 5})
        assert isinstance(again, Merged)
        assert again.value == {"x": 2, "y": 5}
        assert again.version.number == 2


def test_a_version_keeps_what_was_read() -> None:
    """Changing the value one has read, in place, is a change like any other."""
    with opened() as system:
        document = system.sharing.document("plan", dict[str, int], initial={})
        base = document.read()
        base.value["a"] = 1
        assert isinstance(document.propose(base, base.value), Merged)
        assert document.read().value == {"a": 1}


def test_a_turn_that_fails_has_changed_nothing() -> None:
    """What a failed turn has proposed is not there."""
    with opened() as system:
        writer = system.agent(Writer, "a").proxy()
        with pytest.raises(LookupError):
            writer.set_and_fail("x").get()
        assert writer.read().get() == {}


def test_every_accepted_change_is_in_the_end() -> None:
    """Of many who propose at once from old versions, all that was accepted is there in the end."""
    with opened() as system:
        writers = [system.agent(Writer, str(n)) for n in range(8)]
        for writer in writers:
            writer.call(Writer.read).get()
        futures = [
            writer.call(Writer.set_one, f"{n % 5}/{i % 4}", 100 * n + i)
            for i in range(10)
            for n, writer in enumerate(writers)
        ]
        outcomes = [future.get(timeout=DEADLINE) for future in futures]
        assert True in outcomes
        assert False in outcomes
        final = system.sharing.document("plan", dict[str, int], initial={}).read().value
        accepted = [writer.call(Writer.accepted).get() for writer in writers]
        for key, value in final.items():
            assert value in [own.get(key) for own in accepted]
        assert {key for own in accepted for key in own} == final.keys()


def test_fresh_counts_are_exact() -> None:
    """Who reads and proposes in one turn never conflicts: an overtaken turn begins again."""
    with opened() as system:
        futures = [system.agent(Writer, str(n % 6)).call(Writer.count) for n in range(30)]
        futures += [
            system.agent(AsyncWriter, str(n % 3)).call(AsyncWriter.count) for n in range(12)
        ]
        assert all(future.get(timeout=DEADLINE) for future in futures)
        assert system.sharing.document("plan", dict[str, int], initial={}).read().value == {"n": 42}


def test_those_who_watch_are_told() -> None:
    """Watchers are woken by each accepted change but their own."""
    with opened() as system:
        a, b = (system.agent(Writer, key).proxy() for key in "ab")
        a.watch().get()
        b.set_one("x", 1).get()
        a.set_one("y", 1).get()
        assert system.idle(DEADLINE)
        assert a.changes().get() == 1


def test_parts_are_played_by_those_named() -> None:
    """Readers read, writers that are readers write, and the owner does both.

    A proposal's outcome shows the document, so writing without reading is refused.
    """
    with opened() as system:
        r, w = Principal.user("r"), Principal.user("w")
        document = system.sharing.document("plan", dict[str, int], initial={}, readers=r, writers=w)
        base = document.read()
        reader, writer = (
            system.sharing.acting_as(who).document("plan", dict[str, int], initial={})
            for who in (r, w)
        )
        assert reader.read() == base
        with pytest.raises(Denied, match="user:w may not read document 'plan'"):
            writer.read()
        with pytest.raises(Denied, match="user:r may not change document 'plan'"):
            reader.propose(base, {"a": 1})
        with pytest.raises(Denied, match="user:w may not read document 'plan'"):
            writer.propose(base, {"a": 1})
        system.sharing.document("both", dict[str, int], initial={}, readers=[r, w], writers=w)
        wide = system.sharing.acting_as(w).document("both", dict[str, int], initial={})
        assert isinstance(wide.propose(wide.read(), {"a": 1}), Merged)


def test_a_part_of_nobody_is_not_everybodys() -> None:
    """An empty list of readers is nobody but the owner, and text names no reader at all."""
    with opened() as system:
        system.sharing.document("plan", dict[str, int], initial={}, readers=[])
        mira = system.sharing.acting_as(Principal.user("mira"))
        with pytest.raises(Denied, match="may not read document 'plan'"):
            mira.document("plan", dict[str, int], initial={}).read()
        with pytest.raises(ConfigurationError, match="who plays 'writers' must be a Principal"):
            system.sharing.document("other", int, initial=0, writers="")  # type: ignore[arg-type]


def test_it_is_held_to_its_quota_and_time() -> None:
    """A value above the bytes is refused; one nobody changed for the time to live is forgotten."""
    clock = VirtualClock()
    with opened(clock) as system:
        quota = Quota(bytes=20, ttl=60)
        document = system.sharing.document("plan", dict[str, int], initial={}, quota=quota)
        base = document.read()
        with pytest.raises(QuotaExceeded, match="20 bytes; make it smaller"):
            document.propose(base, {"a" * 20: 1})
        assert isinstance(document.propose(base, {"a": 1}), Merged)
        clock.advance(61)
        assert document.read().value == {}


class Point(msgspec.Struct, forbid_unknown_fields=True):
    """A record whose fields may not be equal together."""

    x: int = 0
    y: int = 0

    def __post_init__(self) -> None:
        if self.x and self.x == self.y:
            raise ValueError("x and y are the same")


def test_records_are_merged_by_field() -> None:
    """Fields of records merge as keys do; what is wrong together is a conflict of the whole."""
    with opened() as system:
        document = system.sharing.document("point", Point, initial=Point())
        base = document.read()
        assert isinstance(document.propose(base, Point(x=1)), Merged)
        merged = document.propose(base, Point(y=2))
        assert isinstance(merged, Merged)
        assert merged.value == Point(1, 2)
        base = document.read()
        document.propose(base, Point(3, 2))
        outcome = document.propose(base, Point(1, 3))
        assert isinstance(outcome, Conflicted)
        assert outcome.paths == ("",)
        with pytest.raises(StateError):
            document.propose(document.read(), "text")  # type: ignore[arg-type]


values = st.recursive(
    st.integers(-2, 2) | st.booleans() | st.sampled_from(["", "a"]) | st.none(),
    lambda inside: st.dictionaries(st.sampled_from("abc"), inside, max_size=3),
    max_leaves=6,
)


@given(base=values, mine=values, theirs=values)
def test_merging_takes_no_sides(base: object, mine: object, theirs: object) -> None:
    """Both sides in either order give the same; who changed nothing gets the other's change."""

    def text(value: object) -> str:
        return json.dumps(value, sort_keys=True)

    merged, conflicts = merge(base, mine, theirs)
    other, also = merge(base, theirs, mine)
    assert sorted(conflicts) == sorted(also)
    if not conflicts:
        assert text(merged) == text(other)
    assert text(merge(base, base, theirs)[0]) == text(theirs)
    assert text(merge(base, mine, base)[0]) == text(mine)
    assert text(merge(base, mine, mine)[0]) == text(mine)
