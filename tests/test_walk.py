"""A scoped write takes a short way through the library: `python -m benchmarks.walk` shows it."""

from benchmarks.walk import Count, count, floor, trace, walks

# Change a bound downwards when the way gets shorter.
BOUNDS = {
    "set outside": Count(calls=125, files=37, floors=25, rooms=45),
    "set in a turn": Count(calls=199, files=57, floors=34, rooms=78),
    "a turn that shares nothing": Count(calls=118, files=35, floors=17, rooms=40),
}


def test_the_way_of_a_scoped_write_does_not_grow() -> None:
    """Calls, files and changes of floor and room of one write stay within their bounds."""
    found = {name: count(calls) for name, calls in walks(rounds=161).items()}
    assert found.keys() == BOUNDS.keys()
    for name, bound in BOUNDS.items():
        sums = found[name]
        grown = [
            f"{name}: {getattr(sums, what)} {what}, {most} are allowed"
            for what, most in (
                ("calls", bound.calls), ("files", bound.files),
                ("floors", bound.floors), ("rooms", bound.rooms),
            )
            if getattr(sums, what) > most
        ]  # fmt: skip
        assert grown == []


def test_a_walk_is_seen_from_its_first_call_to_the_store() -> None:
    """The walk of a set outside begins at the call and leads down into the store's file."""
    calls = walks(rounds=1)["set outside"]
    assert [call.function for call in calls if call.depth == 0] == [
        "AgentSystem.state",
        "ScopedState.set",
    ]
    assert "SqliteStore.commit" in {call.function for call in calls}
    assert {floor(call.file) for call in calls} >= {"shared", "lifecycle", "persistence"}
    assert len([line for line in trace(calls) if not line.startswith("  on ")]) == len(calls)
