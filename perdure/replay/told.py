"""What a hook was told when it ran, made again from what the history keeps."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from pykka.messages import ProxyCall

from ..actors.agent.agent import state_class_of
from ..actors.agent.blueprint import Catalogue
from ..actors.talk.messages import ON_RECEIVE
from ..hooks.details import MessageDetails, OutcomeDetails, StateDetails
from ..hooks.history.input import details_in
from ..hooks.history.outside import returned
from ..hooks.history.record import HookRecord, as_json
from ..hooks.points import Point
from ..persistence.errors import ConfigurationError, PerdureError, ReplayFailed
from ..persistence.secrets.secret import MASK
from .paths import parsed, with_value


class Told(NamedTuple):
    """What a hook is told again."""

    details: Any
    exact: bool
    """Whether it is what it was, as far as is known."""


def told_again(
    record: HookRecord, point: Point[Any], changes: Mapping[str, object], catalogue: Catalogue
) -> Told:
    """Return what a hook was told, with other values by path; of the types that classes declare.

    ReplayFailed where the history does not keep it, ConfigurationError for a path to nowhere.
    """
    facts = msgspec.json.decode(record.context)
    for text, new in changes.items():
        facts = _changed(facts, text, new, record)
    try:
        details = details_in(point, msgspec.json.encode(facts).decode())
        return Told(_typed(details, catalogue), MASK not in record.context)
    except (ValueError, TypeError, AttributeError, PerdureError) as error:
        secret = f"; secrets are kept as {MASK}" if MASK in record.context else ""
        message = (
            f"{record.id} cannot run again: what {record.hook} was told at {point} cannot be made"
            f" of what is kept of it: {error}{secret}"
        )
        raise ReplayFailed(message) from error


def _changed(facts: Any, text: str, new: object, record: HookRecord) -> object:  # noqa: ANN401
    path = parsed(text)
    if not isinstance(facts, dict) or path[0] not in facts:
        known = ", ".join(facts) if isinstance(facts, dict) else "nothing with a name"
        message = f"what {record.hook} was told has no {path[0]!r}; it has {known}"
        raise ConfigurationError(message)
    return with_value(facts, path, new, text)


def _typed(details: Any, catalogue: Catalogue) -> Any:  # noqa: ANN401
    """Return details with values as the agent's class declares them, where it does."""
    if isinstance(details, MessageDetails):
        return _typed_message(details, catalogue)
    if isinstance(details, StateDetails):
        hints = typing.get_type_hints(state_class_of(catalogue.of_kind(details.kind).agent_class))
        old, new = (
            {name: msgspec.convert(value, hints.get(name, Any)) for name, value in values.items()}
            for values in (details.old, details.new)
        )
        return msgspec.structs.replace(details, old=old, new=new)
    return details


def _typed_message(details: MessageDetails, catalogue: Catalogue) -> MessageDetails:
    blueprint = catalogue.of_kind(details.kind)
    if details.name == "on_receive":
        message: Any = blueprint.calls.decode(ON_RECEIVE, as_json(details.args[0]), details.key)
        made = msgspec.structs.replace(details, args=(message,))
    else:
        body = as_json((details.args, details.kwargs))
        message = blueprint.calls.decode(details.name, body, details.key)
        assert isinstance(message, ProxyCall)
        made = msgspec.structs.replace(details, args=message.args, kwargs=message.kwargs)
    if isinstance(made, OutcomeDetails):
        declared: Any = returned(getattr(blueprint.agent_class, details.name, None))
        try:
            result = msgspec.convert(made.result, declared)
        except (msgspec.ValidationError, TypeError):
            return made  # what it gave was not what it declares
        return msgspec.structs.replace(made, result=result)
    return made
