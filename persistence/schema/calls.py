"""Messages and timers' arguments that wait, brought to the methods of today.

A call is stored as its method takes it: arguments by position, others by name. A migration sees
them all by the names of their parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from ..errors import ConfigurationError, MigrationFailed
from ..secrets.tokens import PREFIX
from .migration import Migration, steps_of_call
from .schema import FIRST, Schema
from .transforms import Data
from .types import CALL, TypeNode, by_position, rest_of

ON_RECEIVE: Final = "on_receive"
"""The method whose messages are stored under no name, as they are."""
_NO_PARAMETERS: Final = TypeNode(CALL)
_raw: Final = msgspec.json.Decoder(tuple[list[object], dict[str, object]]).decode
_ways: Final = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode


class StoredCall(NamedTuple):
    """A message or the arguments of a timer, as they are stored."""

    name: str
    """The method, or "" for ``on_receive``."""
    body: str


def ways_of(body: str) -> tuple[int, frozenset[str]]:
    """Return how many values a call gives by position, and the names of the others."""
    args, kwargs = _ways(body)
    return len(args), frozenset(kwargs)


class CallMigration:
    """The way of one kind's calls from one schema of messages to another."""

    def __init__(self, owner: type, old: Schema | None, new: Schema) -> None:
        """Of an agent class; ``old`` is None for what was stored before there were schemas."""
        self._owner = owner
        self._old = old
        self._new = new

    def run(self, call: StoredCall, who: str) -> tuple[StoredCall, tuple[str, ...]]:
        """Return a call as the methods of the new schema take it, and the steps that were taken.

        MigrationFailed names the agent, the method, the argument and the reason.
        """
        method = call.name or ON_RECEIVE
        source = FIRST if self._old is None else self._old.version
        try:
            steps = steps_of_call(self._owner, method, source, self._new.version)
        except ConfigurationError as error:
            raise MigrationFailed(who, method, str(error), "") from error
        if not steps:
            return call, ()
        if PREFIX in call.body:
            reason = "it holds a sealed secret, which is bound to its place: send it again"
            raise MigrationFailed(who, method, reason, str(steps[0]))
        data = self._named(method, call)
        for step in steps:
            data = _taken(step, data, who)
        return self._stored(steps[-1].becomes, data), tuple(map(str, steps))

    def _named(self, method: str, call: StoredCall) -> Data:
        """Return arguments by the names of their parameters; more of them under ``*name``."""
        taken = _type_of(self._old, method) or _type_of(self._new, method) or _NO_PARAMETERS
        names = [each.name for each in by_position(taken)]
        if not call.name:
            return {(names or ["message"])[0]: msgspec.json.decode(call.body)}
        args, kwargs = _raw(call.body)
        data: Data = dict(zip(names, args, strict=False))
        if more := args[len(names) :]:
            rest = rest_of(taken)
            data["*" if rest is None else rest.name] = more
        return {**data, **kwargs}

    def _stored(self, method: str, data: Mapping[str, Any]) -> StoredCall:
        left, taken = dict(data), _type_of(self._new, method) or _NO_PARAMETERS
        if method == ON_RECEIVE and len(left) == 1:
            return StoredCall("", _text(next(iter(left.values()))))
        args: list[object] = []
        for each in by_position(taken):
            if each.name not in left:
                break
            args.append(left.pop(each.name))
        else:
            rest = rest_of(taken)
            args += left.pop(rest.name, []) if rest else []
        return StoredCall(method, _text((args, left)))


def _type_of(schema: Schema | None, method: str) -> TypeNode | None:
    member = None if schema is None else schema.member(method)
    return None if member is None else member.type


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _taken(step: Migration, data: Data, who: str) -> Data:
    try:
        made = step.up(data)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise MigrationFailed(who, step.method, reason, str(step)) from error
    outcome: object = data if made is None else made
    if not isinstance(outcome, dict):
        reason = f"it gave {type(outcome).__name__}; change the dictionary or return another"
        raise MigrationFailed(who, step.method, reason, str(step))
    return outcome
