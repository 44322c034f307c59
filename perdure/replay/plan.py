"""How a turn is replayed: of which message and state, under which code, compared by what rules."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from ..actors.agent.agent import Agent, state_class_of
from ..actors.system.runtime import Runtime
from ..persistence.codec.codec import codec_of
from ..persistence.errors import ConfigurationError
from ..persistence.state.log import Log
from ..persistence.state.map import Map
from ..persistence.upkeep.states import StateCopy
from .comparison import ReplayRules
from .outcome import Mode
from .paths import parsed, with_value
from .turn import RecordedTurn

PATIENCE: Final = 60.0
"""Seconds a replayed turn may take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay is to be like."""

    mode: Mode
    agents: Sequence[type[Agent[Any]]]
    rules: ReplayRules
    message: Mapping[str, object] = field(default_factory=dict)
    """Other values by path: ``amount``, ``flight.origin``, from the names of parameters on."""
    state: Mapping[str, object] = field(default_factory=dict)
    """Other values by path: ``total``, ``owners.mira``, from the names of fields on."""
    outside: bool = False
    """Whether calls are made outside that the recording does not have."""
    handle: Callable[[Any, object], object] | None = None
    """Gives a message to an agent instead of perdure, as a debugger does."""
    patience: float | None = PATIENCE
    prepare: Callable[[Runtime], None] | None = None
    """Called with what a turn runs in, before it does."""

    def class_of(self, turn: RecordedTurn) -> type[Agent[Any]]:
        """Return the class under which a turn runs; ConfigurationError if there is none."""
        for agent_class in self.agents:
            if agent_class.kind == turn.kind:
                return agent_class
        kinds = ", ".join(sorted(each.kind for each in self.agents))
        raise ConfigurationError(f"no class of kind {turn.kind!r} is here for {turn}, only {kinds}")

    def changed_message(self, turn: RecordedTurn) -> RecordedTurn:
        """Return a turn of the message as it is to be."""
        if not self.message:
            return turn
        recording = turn.recording
        body = msgspec.json.decode(recording.body)
        handler = getattr(self.class_of(turn), recording.name or "on_receive")
        names = list(inspect.signature(handler).parameters)[1:]
        for text, new in self.message.items():
            path = parsed(text)
            if path[0] not in names:
                takes = ", ".join(names) or "nothing"
                raise ConfigurationError(f"{turn} takes no {path[0]!r}; it takes {takes}")
            if not recording.name:
                body = with_value(body, path[1:], new, text)
            elif path[0] in body[1] or names.index(str(path[0])) >= len(body[0]):
                body = [body[0], with_value(body[1], path, new, text)]
            else:
                place = (names.index(str(path[0])), *path[1:])
                body = [with_value(body[0], place, new, text), body[1]]
        changed = msgspec.structs.replace(recording, body=_text(body))
        return replace(turn, recording=changed)

    def changed_state(self, turn: RecordedTurn, state: StateCopy) -> StateCopy:
        """Return the state before a turn as it is to be."""
        if not self.state:
            return state
        state_class = state_class_of(self.class_of(turn))
        fields, hints = state_class.__struct_fields__, typing.get_type_hints(state_class)
        for text, new in self.state.items():
            path = parsed(text)
            if path[0] not in fields:
                known = ", ".join(fields)
                raise ConfigurationError(f"{turn.kind} has no state.{path[0]}; it has {known}")
            declared = typing.get_origin(hints[str(path[0])])
            if declared is Log:
                state.logs.setdefault(str(path[0]), [])
            elif declared is Map:
                state.maps.setdefault(str(path[0]), {})
            _change(state, str(path[0]), path[1:], new, text)
        return state


def _change(
    state: StateCopy, name: str, rest: tuple[str | int, ...], new: object, text: str
) -> None:
    if name in state.logs:
        items = [msgspec.json.decode(each) for each in state.logs[name]]
        changed: Any = with_value(items, rest, new, text)
        state.logs[name] = [_text(each) for each in changed]
    elif name in state.maps:
        keys = {str(key): key for key in state.maps[name]}
        entries = {str(key): msgspec.json.decode(each) for key, each in state.maps[name].items()}
        changed = with_value(entries, rest, new, text)
        state.maps[name] = {keys.get(key, key): _text(each) for key, each in changed.items()}
    else:
        before = msgspec.json.decode(state.fields.get(name, "null"))
        state.fields[name] = _text(with_value(before, rest, new, text))
    state.version = state.version or 1


def _text(value: object) -> str:
    return codec_of(object).encode(value, "value")
