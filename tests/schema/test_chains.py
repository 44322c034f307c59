"""Migrations as algebra: there and back is where it began; at once is one by one."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import AgentSystem, Log, Map, MemoryStore, Transform, migration, transforms
from perdure.persistence.schema.evolution import Evolution
from perdure.persistence.schema.migration import chain
from perdure.persistence.schema.registry import Registry
from tests.schema.classes import desk, state

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
WORD = st.text("abc", max_size=3)
RECORD = st.fixed_dictionaries({"street": WORD, "city": WORD, "zip": st.integers(0, 9)})
VALUES = st.fixed_dictionaries(
    {
        "open": st.integers(-9, 9),
        "name": st.tuples(WORD, WORD).map(" ".join),
        "home": RECORD,
        "lines": st.lists(RECORD, max_size=3),
        "seats": st.dictionaries(WORD, RECORD, max_size=3),
        "note": TEXT,
    }
)
INSIDE = st.sampled_from(
    [
        transforms.rename("zip", "code"),
        transforms.convert("street", lambda text: [text], lambda parts: parts[0]),
        transforms.nest(("street", "city"), "place"),
        transforms.add("country", "NL"),
    ]
)
STEP = st.one_of(
    st.just(transforms.rename("open", "count")),
    st.just(transforms.convert("open", str, int)),
    st.just(transforms.add("more", {"a": [1]})),
    st.just(transforms.split("name", ("first", "last"), lambda n: n.split(" "), "{} {}".format)),
    st.just(transforms.merge(("open", "note"), "both", lambda *v: list(v), lambda both: both)),
    st.just(transforms.nest(("open", "note"), "inner")),
    st.just(transforms.flatten("home", ("street", "city", "zip"))),
    st.builds(transforms.within, st.just("home"), INSIDE),
    st.builds(transforms.each, st.sampled_from(["lines", "seats"]), INSIDE),
)


def run(change: Any, data: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - a step's
    """Return what a step makes of a copy of values."""
    copied = copy.deepcopy(data)
    made = change(copied)
    return copied if made is None else made


@given(values=VALUES, step=STEP)
def test_each_step_has_a_way_back(values: dict[str, Any], step: Transform) -> None:
    """There and back are the values of before."""
    assert run(step.down, run(step.up, values)) == values


@given(values=VALUES, steps=st.lists(st.tuples(st.integers(0, 5), INSIDE), max_size=4))
def test_composed_steps_go_back_in_turn(
    values: dict[str, Any], steps: list[tuple[int, Transform]]
) -> None:
    """Of several steps the last one goes back first."""
    whole = transforms.compose(*(transforms.each("lines", step) for _, step in steps[:1]),
                               transforms.rename("open", "count"),
                               transforms.convert("count", str, int))  # fmt: skip
    assert run(whole.down, run(whole.up, values)) == values


@given(values=VALUES, step=STEP)
def test_a_step_touches_what_it_says(values: dict[str, Any], step: Transform) -> None:
    """Whatever else there is stays as it is."""
    after = run(step.up, values)
    for name in values.keys() - step.touches:
        assert after[name] == values[name]


FIELDS: list[dict[str, tuple[Any, Any]]] = [
    {"n": (int, 0), "names": (list[str], []), "seats": (Map[str, int], Map.field())},
    {"count": (int, 0), "names": (list[str], []), "seats": (Map[str, int], Map.field())},
    {"count": (str, "0"), "names": (Log[str], Log.field()), "seats": (Map[str, int], Map.field())},
    {"count": (str, "0"), "names": (Log[str], Log.field()), "seats": (dict[str, int], {})},
    {"all": (dict[str, Any], {}), "names": (list[str], [])},
]
VERSIONS = [f"{n}.0.0" for n in range(1, 6)]


def newest(upto: int = 4) -> Any:  # noqa: ANN401 - a class made here
    """Return the class of a version, with the migrations of all before it."""
    made = state(FIELDS[upto], VERSIONS[upto])
    steps = [
        (transforms.rename("n", "count"),),
        (transforms.convert("count", str, int), same("names")),
        (same("seats"),),
        (transforms.nest(("count", "seats"), "all"), same("names")),
    ]
    for at in range(upto):
        migration(made, VERSIONS[at], VERSIONS[at + 1], *steps[at])
    return desk(made)


def same(name: str) -> Transform:
    """Return a step that leaves a value as it is, and only has it stored otherwise."""
    return transforms.convert(name, lambda value: value, lambda value: value)


def content(store: MemoryStore, agent_class: Any) -> dict[str, Any]:  # noqa: ANN401 - same
    """Return what all agents hold."""
    with AgentSystem.open(store, agents=[agent_class]) as system:
        return {
            row.key: system.agent(agent_class, row.key).call(agent_class.read).get()
            for row in system.agents.each()
        }


def filled(people: dict[str, tuple[int, list[str]]]) -> MemoryStore:
    """Return a store with agents of the first version."""
    store, first = MemoryStore(), desk(state(FIELDS[0], VERSIONS[0]))
    with AgentSystem.open(store, agents=[first]) as system:
        for key, (n, names) in people.items():
            values = {"n": n, "names": names, "seats": dict.fromkeys(names, n)}
            system.agent(first, key).call(first.put, values).get()
    return store


PEOPLE = st.dictionaries(
    st.text("xyz", min_size=1, max_size=2),
    st.tuples(st.integers(1, 3), st.lists(WORD, max_size=3)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=20)
@given(people=PEOPLE)
def test_at_once_is_as_one_by_one(people: dict[str, tuple[int, list[str]]]) -> None:
    """Over five versions: all migrated together hold what each holds that was woken up."""
    lazy, eager = filled(people), filled(people)
    last = newest()
    with AgentSystem.open(eager, agents=[last]) as system:
        assert system.migrate().complete
    expected = {
        key: {"all": {"count": str(n), "seats": dict.fromkeys(names, n)}, "names": names}
        for key, (n, names) in people.items()
    }
    assert content(eager, last) == content(lazy, last) == expected


@settings(max_examples=20)
@given(people=PEOPLE, goal=st.integers(0, 3))
def test_there_and_back_is_the_identity(
    people: dict[str, tuple[int, list[str]]], goal: int
) -> None:
    """From the fifth version back to any: its class reads what it would have read before."""
    store, last = filled(people), newest()
    before = [content(store, newest(upto)) for upto in range(goal + 1)][-1]
    with AgentSystem.open(store, agents=[last]) as system:
        assert system.migrate().complete
    with AgentSystem.open(store, agents=[]) as system:
        runtime = system._runtime
        there = Evolution(runtime.evolution.registry, _classes(last))
        assert runtime.migrations.run(there, version=VERSIONS[goal]).complete
    assert content(store, newest(goal)) == before


def _classes(agent_class: Any) -> Any:  # noqa: ANN401 - same
    from perdure.actors.agent.blueprint import Catalogue  # noqa: PLC0415

    return Catalogue([agent_class], largest=2**20).stored()


@pytest.mark.parametrize(
    ("source", "target", "taken"),
    [
        ("1.0.0", "3.0.0", ["1.2.0", "2.0.0", "3.0.0"]),
        ("1.1.0", "2.1.0", ["1.2.0", "2.0.0"]),
        ("2.4.0", "3.5.0", None),
        ("3.0.0", "3.0.0", []),
        ("1.0.0", "1.9.0", ["1.2.0"]),
        ("4.0.0", "3.0.0", None),
        ("3.0.0", "1.2.0", ["2.0.0", "1.2.0"]),
    ],
)
def test_which_steps_lead_on(source: str, target: str, taken: list[str] | None) -> None:
    """Each from an equal or later version of the same major one, up to the target; or back."""
    made = state({"n": (int, 0)}, "3.5.0")
    for begin, end in (("1.1.0", "1.2.0"), ("1.2.0", "2.0.0"), ("2.0.0", "3.0.0")):
        migration(made, begin, end, transforms.add("n", 0))
    steps = chain(made, source, target)
    assert (None if steps is None else [step.target for step in steps]) == taken


def test_the_registry_gives_a_schema_one_number() -> None:
    """However often its class comes, and in whatever order."""
    store = filled({"x": (1, [])})
    registry = Registry.only_read(store)
    (known,) = registry.of("Desk")
    assert registry.enter("Desk", known.schema) == known.number == 1
    assert registry.enter("Other", known.schema) == 2
