"""How many keys a scope has: as many as are listed, at every moment and for every caller."""

from __future__ import annotations

import itertools
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Boundary, Principal, Right, Scope, State, VirtualClock
from perdure.persistence.names.keys import apart, end_of, matches
from perdure.persistence.store.store import Store
from perdure.url import open_store

W = Scope.workflow("w")
OTHER = Scope.workflow("w2")


class Counter(Agent[State]):
    """Counts in turns."""

    boundary = Boundary.SHARED

    def count(self) -> int:
        """Count what is there."""
        return self.scopes.count(W)

    def work(self, steps: list[tuple[str, str]]) -> list[tuple[int, int]]:
        """Take steps, and after each tell how many keys are counted and listed."""
        seen = []
        for what, key in steps:
            if what == "set":
                self.scopes.set(W, key, 1)
            elif what == "elsewhere":
                self.scopes.set(OTHER, key, 1)
            else:
                self.scopes.delete(W, key)
            seen.append((self.scopes.count(W), len(self.scopes.list(W))))
        return seen


STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "elsewhere"]), st.sampled_from("abcdef")),
    max_size=12,
)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), STEPS), max_size=5), st.sampled_from("abcdef"))
def test_as_many_are_counted_as_listed(
    rounds: list[tuple[bool, list[tuple[str, str]]]], brief: str
) -> None:
    """In turns, in transactions and outside, whatever was set, deleted or has expired."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Counter], clock=clock) as system:
        system.state.set(W, brief, 1, ttl=0.5)
        for turn, steps in rounds:
            if turn:
                seen = system.agent(Counter, "1").call(Counter.work, steps).get()
                assert all(counted == listed for counted, listed in seen)
            assert system.state.count(W) == len(system.state.list(W))
            clock.advance(0.2)
        clock.advance(1)
        assert system.state.count(W) == len(system.state.list(W))


@pytest.mark.parametrize("url", ["memory://", "file"])
def test_a_count_is_exact_while_keys_move(url: str, tmp_path: Path) -> None:
    """Each commit deletes one key and sets another: no caller ever counts more or fewer."""
    store = open_store(tmp_path / "a.db" if url == "file" else url, sync="process")
    over = threading.Event()
    with AgentSystem.open(store, agents=[Counter]) as system:
        with system.state.transaction() as state:
            for number in range(50):
                state.set(W, f"k{number}", 1)

        def move() -> None:
            for number in itertools.count(50):
                if over.is_set():
                    return
                with system.state.transaction() as state:
                    state.delete(W, f"k{number - 50}")
                    state.set(W, f"k{number}", 1)

        mover = threading.Thread(target=move)
        mover.start()
        try:
            agent = system.agent(Counter, "1")
            found = {agent.call(Counter.count).get() for _ in range(150)}
            found |= {system.state.count(W) for _ in range(150)}
        finally:
            over.set()
            mover.join()
        assert found == {50}
    store.close()


def test_the_store_counts_where_all_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is read for that; who may list some keys only gets the number of those."""
    store: Store = open_store("memory://", sync="process")
    with AgentSystem.open(store, agents=[]) as system:
        for key in ("a1", "a2", "b"):
            system.state.set(W, key, 1)
        mira = Principal.user("mira")
        system.access.grant(mira, W, Right.LIST, keys="a*")
        assert system.state.acting_as(mira).count(W) == 2
        assert system.state.count(W, prefix="b") == 1
        monkeypatch.setattr("perdure.shared.scopes.rows.keyed", None)
        assert system.state.count(W) == 3


NAMES = st.text("ab\U0010ffff\ud7ff\ue000", max_size=3)


@given(NAMES.filter(bool), NAMES)
def test_the_end_of_a_prefix_is_just_behind_it(prefix: str, text: str) -> None:
    """What begins with a prefix lies between it and its end, and nothing else does."""
    end = end_of(prefix)
    within = prefix <= text and (end is None or text < end)
    assert text.startswith(prefix) == within


@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=6), NAMES, st.lists(NAMES, max_size=8))
def test_patterns_apart_cover_each_key_once(
    made: list[tuple[str, bool]], prefix: str, keys: list[str]
) -> None:
    """What any of the patterns covers and begins with the prefix, one of those apart covers."""
    patterns = [text + ("*" if star else "") for text, star in made]
    found = apart(patterns, prefix)
    for key in keys:
        covered = key.startswith(prefix) and any(matches(each, key) for each in patterns)
        assert sum(matches(each, key) for each in found) == covered


PARTS = st.sampled_from(["a", "a/1", "a/2", "ab", "b/1", "c", "a/\U0010ffff"])
PATTERNS = st.sampled_from(["a*", "a/*", "a/1", "b*", "c", "x", "a"])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(PARTS, max_size=6, unique=True),
    st.lists(PATTERNS, min_size=1, max_size=3),
    st.sampled_from(["", "a", "a/", "a/1", "z"]),
    st.sampled_from(["memory", "file"]),
)
def test_those_with_a_prefix_and_a_grant_are_counted_as_listed(
    keys: list[str], patterns: list[str], prefix: str, where: str
) -> None:
    """A count is the length of the list, for whatever prefix and grants; inside of turns too."""
    mira = Principal.user("mira")
    with (
        tempfile.TemporaryDirectory() as folder,
        AgentSystem.open(
            f"{folder}/x.db" if where == "file" else "memory://", agents=[Counter]
        ) as system,
    ):
        system.state.set_many(W, dict.fromkeys(keys, 1))
        for pattern in patterns:
            system.access.grant(mira, W, Right.LIST, keys=pattern)
        hers = system.state.acting_as(mira)
        for state in (hers, system.state):
            assert state.count(W, prefix=prefix) == len(state.list(W, prefix=prefix))
        with system.state.transaction() as state:
            state.set(W, "a/3", 1)
            if keys:
                state.delete(W, keys[0])
            assert state.count(W, prefix=prefix) == len(state.list(W, prefix=prefix))
