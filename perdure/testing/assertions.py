"""What a lifecycle test asserts: each says in its error what is otherwise, and where."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Hashable
from typing import Any, Final

import msgspec

from ..actors.system.post import PostOffice
from ..actors.system.runtime import Runtime
from ..actors.talk.reference import AgentRef
from ..persistence.errors import ConfigurationError
from ..persistence.state.log import Log
from ..persistence.state.map import Map
from ..persistence.state.state import State
from ..persistence.state.tracker import StateTracker
from ..persistence.upkeep.states import CopyReader, StateCopy, States
from ..system import AgentSystem
from .faults.outside import MadeCall, Outside

_ABSENT: Final = object()
_TOLD: Final = 5
_LARGEST: Final = 2**62


def stored_state(agent: AgentRef[Any]) -> dict[str, Any]:
    """Return an agent's state as it is durable at this moment, by field, as JSON has the values.

    A ``Log`` is a list, a ``Map`` a dictionary; what was never set has its default. Nothing is
    waited for.
    """
    runtime = runtime_of(agent)
    stored = runtime.store.load(agent.kind, agent.key)
    copy = StateCopy(0) if stored is None else States(runtime.store, stored).at(stored.head.version)
    tracker = StateTracker(
        runtime.catalogue.of_kind(agent.kind).layout, 0, copy.fields, copy.whole_shape(),
        CopyReader(copy), owner=(agent.kind, agent.key), largest=_LARGEST, watch=None,
    )  # fmt: skip
    return _plain(tracker.state)


def live_state(agent: AgentRef[Any]) -> dict[str, Any] | None:
    """Return an agent's state as it is in memory, in the same form; None while it is in none."""
    cell = runtime_of(agent).cells.get((agent.kind, agent.key))
    if cell is None or cell.activation is None:
        return None
    return _plain(cell.activation.agent.state)


def assert_durable(agent: AgentRef[Any], **fields: object) -> None:
    """Have fields of an agent's state stored with these values at this moment, or AssertionError.

    Nothing is waited for: what is only in memory, or on its way to the store, is not durable. An
    agent of which nothing is stored has the defaults of its class.
    """
    found = stored_state(agent)
    for name, value in fields.items():
        if name not in found:
            message = f"the state of {agent} has no field {name!r}; it has {', '.join(found)}"
            raise ConfigurationError(message)
        wanted = _value(value)
        live = (live_state(agent) or {}).get(name, _ABSENT)
        memory = f"; in memory it is {live!r}" if live not in (_ABSENT, found[name]) else ""
        told = f"{agent}: {name} is stored as {found[name]!r}, not {wanted!r}{memory}"
        assert found[name] == wanted, told


def assert_restores(agent: AgentRef[Any]) -> None:
    """Have the agent come back from the store as it is in memory now, or AssertionError.

    Compares ``self.state`` with what a new activation would read. They differ where a turn is not
    saved (an outage, a SNAPSHOT agent, a VOLATILE one), or where something outside of turns has
    changed the state. Nothing is waited for.
    """
    live, stored = live_state(agent), stored_state(agent)
    assert live is not None, f"{agent} is not in memory: ask it something before"
    told = difference(stored, live, "in the store", "in memory")
    assert live == stored, f"{agent} would not come back as it is:\n{told}"


def assert_exactly_once(
    outside: Outside, *, by: Callable[[MadeCall], Hashable] | None = None
) -> None:
    """Have nothing been done twice outside, and something at all, or AssertionError.

    Twice by one turn, in all its attempts; ``by`` gives what else tells one deed from another, such
    as the order that is paid for. Calls that failed before they had an effect do not count.
    """
    assert outside.calls, f"{outside.name} was never called"
    assert outside.effects(), f"{outside.name} was called, and each call failed"
    twice = outside.twice(by)
    told = "; ".join(f"{count} times for {each}" for each, count in list(twice.items())[:_TOLD])
    assert not twice, f"{outside.name} was done {told}"


def assert_no_dead_letters(system: AgentSystem) -> None:
    """Have no message been given up, or AssertionError with the reason of each."""
    letters = system.dead_letters.list()
    told = "; ".join(
        f"{each.kind}/{each.key}.{each.name or 'on_receive'} ({each.reason})"
        for each in list(letters)[:_TOLD]
    )
    assert not letters, f"messages were given up: {told}"


def runtime_of(agent: AgentRef[Any]) -> Runtime:
    """Return what runs an agent."""
    post = agent._post  # noqa: SLF001 - of the house
    assert isinstance(post, PostOffice)
    home = post._home  # noqa: SLF001 - same
    assert isinstance(home, Runtime)
    return home


def difference(before: object, after: object, name: str, other: str) -> str:
    """Return what differs between two values, line by line, for people."""
    lines = difflib.unified_diff(
        pretty(before).splitlines(), pretty(after).splitlines(), name, other, lineterm="", n=1
    )
    return "\n".join(line for line in lines if not line.startswith("@@"))


def pretty(value: object) -> str:
    """Return a value as indented JSON, in the order of its names: the same for equal values."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=repr)


def _plain(state: State) -> dict[str, Any]:
    return {name: _value(getattr(state, name)) for name in state.__struct_fields__}


def _value(value: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Log):
        return [_value(each) for each in value]
    if isinstance(value, Map):
        return {str(key): _value(each) for key, each in value.items()}
    return msgspec.to_builtins(value, str_keys=True, enc_hook=repr)
