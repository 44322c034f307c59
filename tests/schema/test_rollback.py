"""A release before, or after, the one that sent what waits: it takes all of it, or is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, MemoryStore, State, VirtualClock, errors, open_reader
from tests.cli.commands import records
from tests.kit.deadline import DEADLINE
from tests.schema.test_calls import SECOND, Desk, fill, waiting

Method = Callable[..., None]


class Notes(State):
    """What an agent was told, by the names of the parameters."""

    took: list[dict[str, Any]] = []  # noqa: RUF012 - msgspec copies it


class Line(msgspec.Struct):
    """A record among the arguments."""

    price: int


class LongLine(msgspec.Struct):
    """Has one member more."""

    price: int
    gift: bool = False


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever there is
    """Return a value as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(value))


class Base(Agent[Notes]):
    """Notes what it took."""

    def read(self) -> list[dict[str, Any]]:
        """Return what it was told."""
        return self.state.took

    def _took(self, given: dict[str, Any]) -> None:
        self.state.took.append(plain({k: v for k, v in given.items() if k != "self"}))


def one(self: Base, a: int, b: str = "x") -> None:
    """Take two."""
    self._took(locals())


def more(self: Base, a: int, b: str = "x", c: float = 0.0) -> None:
    """Take a third one, at the end."""
    self._took(locals())


def before(self: Base, c: float = 0.0, a: int = 0, b: str = "x") -> None:
    """Take a third one, where another has stood."""
    self._took(locals())


def turned(self: Base, b: str, a: int) -> None:
    """Take them in another order."""
    self._took(locals())


def fewer(self: Base, a: int) -> None:
    """Take one."""
    self._took(locals())


def rest(self: Base, a: int, *args: object) -> None:
    """Take any number by position."""
    self._took(locals())


def named(self: Base, a: int, **kwargs: object) -> None:
    """Take any number by name."""
    self._took(locals())


def anything(self: Base, a: int, *args: object, **kwargs: object) -> None:
    """Take any number in any way."""
    self._took(locals())


def wider(self: Base, a: float, b: str | None = None) -> None:
    """Take wider types."""
    self._took(locals())


def short(self: Base, a: Line) -> None:
    """Take a record."""
    self._took(locals())


def long(self: Base, a: LongLine) -> None:
    """Take a record with a member more."""
    self._took(locals())


def free(self: Base, a: int = 0, b: str = "x") -> None:
    """Take two, or one of them, or none."""
    self._took(locals())


def moved(self: Base, b: str = "x", a: int = 0) -> None:
    """Take the same in other places."""
    self._took(locals())


def keyword(self: Base, a: int, *, b: str = "x") -> None:
    """Take one of them by name only."""
    self._took(locals())


def keywords(self: Base, *, b: str = "x", a: int = 0) -> None:
    """Take both by name only."""
    self._took(locals())


def placed(self: Base, a: int, b: str = "x", /) -> None:
    """Take both by position only."""
    self._took(locals())


def behind(self: Base, a: int, *args: object, b: str = "x") -> None:
    """Take one by name behind any number by position."""
    self._took(locals())


def catching(self: Base, a: int, /, **kwargs: object) -> None:
    """Take one by position only, and any number by name: also by the name of that one."""
    self._took(locals())


METHODS = (
    one, more, before, turned, fewer, rest, named, anything, wider, short, long, free, moved,
    keyword, keywords, placed, behind, catching,
)  # fmt: skip
VALUES = {"a": 7, "b": "word", "c": 0.5}


def release(method: Method, version: str = "1.0.0") -> Any:  # noqa: ANN401 - made here
    """Return a release whose method ``note`` is one of those."""
    return type("Desk", (Base,), {"messages_version": version, "note": method})


def calls(method: Method) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return ways to call a method: by position, by name, and without what has a default."""
    if method in {short, long}:
        line: Any = Line(5) if method is short else LongLine(5, gift=True)
        return [((line,), {}), ((), {"a": line})]
    signature = inspect.signature(method)
    names = [name for name in signature.parameters if name in VALUES]
    given = {name: VALUES[name] for name in names}
    needed = {"a": 7, "b": "word"} if method is turned else {"a": 7}
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (tuple(given.values()), {}), ((), given), ((), needed),
    ]  # fmt: skip
    if names[:1] == ["a"]:
        found += [((7,), {"b": "word"}), ((7,), {})]
    if method in {rest, anything, behind}:
        found.append(((7, "more"), {}))
    if method is catching or method in {named, anything}:
        found.append(((7,), {"b": "more"}))
    if method is catching:
        found.append(((7,), {"a": "more"}))
    return [call for call in found if takes(signature, *call)]


def takes(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether a method can be called so."""
    try:
        signature.bind(None, *args, **kwargs)
    except TypeError:
        return False
    return True


def kept(
    method: Method, args: tuple[Any, ...], kwargs: dict[str, Any], took: dict[str, Any]
) -> bool:
    """Tell whether all that was given to one method is in what another has taken, in its place."""
    given = plain(inspect.signature(method).bind(None, *args, **kwargs).arguments)
    del given["self"]
    positional, by_name = given.pop("args", []), given.pop("kwargs", {})
    there = {**took, **took.get("kwargs", {})}
    some = [*took.values(), *took.get("args", ())]
    return all(each in some for each in positional) and all(
        holds(there[name], value) if name in there else value in some
        for name, value in {**given, **by_name}.items()
    )


def holds(took: Any, given: Any) -> bool:  # noqa: ANN401 - whatever there is
    """Tell whether a value is that which was given: a record may have more members."""
    if isinstance(given, dict):
        return isinstance(took, dict) and given.items() <= took.items()
    return bool(took == given)


@settings(max_examples=120)
@given(old=st.sampled_from(METHODS), new=st.sampled_from(METHODS), data=st.data())
def test_all_is_taken_or_the_class_is_refused(
    old: Method, new: Method, data: st.DataObject
) -> None:
    """Whichever methods two releases have: nothing that was given is lost, or nothing changes."""
    args, kwargs = data.draw(st.sampled_from(calls(old)))
    store = MemoryStore()
    sender, taker = release(old), release(new)
    with AgentSystem.open(store, agents=[sender]) as system:
        desk = system.agent(sender, "d")
        desk.pause()
        desk.cast(sender.note, *args, **kwargs)
    try:
        took = handled(store, taker)
    except errors.IncompatibleSchema:
        took = handled(store, sender)  # the release of before goes on
    assert kept(old, args, kwargs, took)


GOES_ON = [
    (one, one), (one, more), (one, wider), (one, anything), (short, long), (fewer, rest),
    (keyword, one), (placed, one), (keywords, free), (keywords, moved), (keyword, behind),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), GOES_ON)
def test_a_compatible_release_is_not_refused(old: Method, new: Method) -> None:
    """What waits is handled by it, in whichever way it was sent."""
    for args, kwargs in calls(old):
        store, sender = MemoryStore(), release(old)
        with AgentSystem.open(store, agents=[sender]) as system:
            system.agent(sender, "d").pause()
            system.agent(sender, "d").cast(sender.note, *args, **kwargs)
        assert kept(old, args, kwargs, handled(store, release(new)))


def handled(store: MemoryStore, agent_class: Any) -> dict[str, Any]:  # noqa: ANN401 - same
    """Have what waits handled, and return what was taken."""
    with AgentSystem.open(store, agents=[agent_class]) as system:
        system.agent(agent_class, "d").resume()
        assert system.idle(DEADLINE)
        assert not system.dead_letters.list()
        (took,) = system.agent(agent_class, "d").call(Base.read).get()
    return dict(took)


def ahead(self: Base, a: int, n: int = 0, *args: object) -> None:
    """Take a number where the first of any number has stood."""
    self._took(locals())


def test_what_is_new_before_any_number_by_position_is_refused() -> None:
    """It would be given the first of those that were sent."""
    store, sender = MemoryStore(), release(rest)
    with AgentSystem.open(store, agents=[sender]) as system:
        system.agent(sender, "d").pause()
        system.agent(sender, "d").cast(sender.note, 7, "more")
    with pytest.raises(errors.IncompatibleSchema, match=r"note: order \(n: another place"):
        AgentSystem.open(store, agents=[release(ahead)])
    assert handled(store, sender) == {"a": 7, "args": ["more"]}


def test_a_rollback_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    """Mail and timers of the newer release are named with each difference; it reads on."""
    store, clock = tmp_path / "s.db", VirtualClock()
    fill(store, clock)
    second, code = SECOND[0], ("--code", f"{__name__}:OLDER", "--store", store)
    records("migrate", "--code", "tests.schema.test_calls:SECOND", "--store", store)
    before, journal = waiting(store), entries(store)
    with pytest.raises(errors.IncompatibleSchema) as refused:
        AgentSystem.open(store, agents=[Desk], clock=clock)
    (told,) = refused.value.problems
    assert told == (
        "Desk, messages 2.0.0, 4 messages and timers wait: messages_version: version (2.0.0 became"
        " 1.0.0: an earlier major version takes none): needs a migration"
    )
    assert (waiting(store), entries(store)) == (before, journal)
    (found,) = records("rehearse", *code, code=1)
    assert (found["counts"]["messages failed"], found["counts"]["timers failed"]) == (2, 2)
    with AgentSystem.open(store, agents=[second], clock=clock) as system:
        assert system.agent(second, "d").describe().status == "paused"


def entries(store: Path) -> list[tuple[int, str]]:
    """Return the journal: the place and the name of each commit."""
    with closing(open_reader(store)) as reader:
        return [(each.sequence, each.name) for each in reader.journal()]


class Once(Agent[Notes]):
    """Sets one timer."""

    kind = "Desk"

    def assign(self, name: str, count: int) -> None:
        """Take a name and a count."""

    def later(self) -> None:
        """Have a name taken in a minute."""
        self.after(60, self.assign, "a", 2, name="t")


class Fewer(Agent[Notes]):
    """A release whose method has no ``count``."""

    kind = "Desk"

    def assign(self, name: str) -> None:
        """Take a name."""


def test_only_what_waits_hinders() -> None:
    """A parameter that is gone is refused while a timer waits with it, and no longer."""
    store, clock = MemoryStore(), VirtualClock()
    with AgentSystem.open(store, agents=[Once], clock=clock) as system:
        system.agent(Once, "d").call(Once.later).get()
        system.agent(Once, "d").call(Once.assign, "spoken", 1).get()
    told = r"Desk, messages 1\.0\.0, 1 message or timer waits: assign\(count\): removed"
    with pytest.raises(errors.IncompatibleSchema, match=told):
        AgentSystem.open(store, agents=[Fewer], clock=clock)
    with AgentSystem.open(store, agents=[Once], clock=clock) as system:
        clock.advance(61)
        assert system.idle(DEADLINE)
    with AgentSystem.open(store, agents=[Fewer], clock=clock):
        pass


def test_a_later_major_version_lets_go_of_what_it_does_not_take() -> None:
    """It says that the methods were changed on purpose: what they do not take is a dead letter."""
    store = MemoryStore()
    sender, taker = release(one), release(fewer, "2.0.0")
    with AgentSystem.open(store, agents=[sender]) as system:
        desk = system.agent(sender, "d")
        desk.pause()
        desk.cast(sender.note, 1, b="two")
    with AgentSystem.open(store, agents=[taker]) as system:
        system.agent(taker, "d").resume()
        assert system.idle(DEADLINE)
        (dead,) = system.dead_letters.list()
    assert dead.body == '[[1],{"b":"two"}]'


OLDER = [Desk]
