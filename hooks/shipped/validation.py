"""Refuse messages and changes of state that do not fit: by their types, by their size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...persistence.options import Options
from ..details import MessageDetails, StateDetails
from ..history.record import as_json
from ..hook import Declared, HookOptions
from ..points import MESSAGE_BEFORE, STATE_BEFORE
from ..results import Cancel
from ..sets import HookHost


@dataclass(frozen=True, slots=True)
class Validation:
    """Cancel what does not fit.

    Args:
        arguments: types of arguments, by method and by name, in the order of the parameters:
            ``{"assign": {"ticket": Annotated[str, msgspec.Meta(max_length=20)], "owner": str}}``.
            An argument that is not named here may be anything.
        fields: types that changed fields of the state must fit.
        largest: characters that the arguments of a message may have as JSON; None: no limit.
        name: of these hooks.
    """

    arguments: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict)
    largest: int | None = None
    name: str = "validation"

    def __post_init__(self) -> None:
        """Refuse options that make no sense, and a validation that looks at nothing."""
        options = Options(self)
        options.kind("arguments", Mapping, '{"assign": {"ticket": str}}')
        options.kind("fields", Mapping, '{"open": int}')
        options.whole("largest", least=1, none="no limit")
        if not (self.arguments or self.fields or self.largest is not None):
            raise options.wrong("arguments", "arguments=, fields= or largest=")

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return a hook for messages and one for changes, where there is something to look at."""
        if self.arguments or self.largest is not None:
            yield Declared(MESSAGE_BEFORE, self._message, HookOptions(priority=10), self.name)
        if self.fields:
            name = f"{self.name}.state"
            yield Declared(STATE_BEFORE, self._change, HookOptions(priority=900), name)

    def _message(self, details: MessageDetails) -> Cancel | None:
        for name, kind in self.arguments.get(details.name, {}).items():
            given = self._given(details, name)
            if given and (wrong := _misfit(given[0], kind)):
                return Cancel(f"argument {name} of {details.name}: {wrong}")
        if self.largest is not None:
            size = len(as_json((details.args, details.kwargs)))
            if size > self.largest:
                message = f"{details.name} has arguments of {size:,} characters"
                return Cancel(f"{message}, and may have {self.largest:,}")
        return None

    def _given(self, details: MessageDetails, name: str) -> tuple[object, ...]:
        if name in details.kwargs:
            return (details.kwargs[name],)
        place = list(self.arguments[details.name]).index(name)
        return details.args[place : place + 1]

    def _change(self, details: StateDetails) -> Cancel | None:
        for name, value in details.new.items():
            if name in self.fields and (wrong := _misfit(value, self.fields[name])):
                return Cancel(f"state.{name}: {wrong}")
        return None


def _misfit(value: object, kind: Any) -> str:  # noqa: ANN401 - a type, in whatever form
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""
