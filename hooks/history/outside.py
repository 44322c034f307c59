"""What a call outside of a turn gave or raised: as it is recorded, and made again."""

from __future__ import annotations

import sys
import typing
from typing import Any, Final

import msgspec

from ...persistence.codec.exact import DIFFERENT, likeness
from ...persistence.errors import told
from .record import as_json

UNAWAITED: Final = "it was not waited for"
"""The error of an ask, or an awaited call, that had not ended when the turn did or it was left."""


class OutsideCall(msgspec.Struct, frozen=True, array_like=True):
    """A call of something outside of the turn, and what came of it."""

    name: str
    result: str
    """JSON."""
    error: str
    """Empty if there was none, else the class and the text of what was raised."""
    cause: str = ""
    """The class of that as ``module:name``."""
    args: str = "[]"
    """What it was made with: JSON."""
    awaited: bool = False
    """It was awaited."""
    nth: int = 0
    """Which call of that name it was, from 1, as they began; attempts of one call share it."""
    attributes: str = "{}"
    """What the error that was raised has besides, as far as JSON gives it back."""


class RecordedError(Exception):
    """Stand for an error that a recorded call has raised, of a class that is not at hand."""


def result_of(call: OutsideCall, declared: object = Any) -> object:
    """Return what a recorded call gave, or raise what it raised."""
    if call.error:
        raise error_of(call)
    return _decoded(call.result, declared)


def _decoded(text: str, declared: Any) -> object:  # noqa: ANN401 - a type
    if declared is not Any:
        try:
            return msgspec.json.decode(text, type=declared)
        except (msgspec.MsgspecError, TypeError):
            pass  # what it gave was not what it declares
    return msgspec.json.decode(text)


def is_same(text: str, result: object, declared: object = Any) -> bool:
    """Tell whether JSON gives back what a call gave, of the same classes."""
    try:
        return likeness(result, _decoded(text, declared)) is not DIFFERENT
    except Exception:  # noqa: BLE001 - anybody's __eq__
        return False


def cause_of(error: BaseException) -> str:
    """Return the class of an error as ``module:name``."""
    return f"{type(error).__module__}:{type(error).__qualname__}"


def raised(name: str, error: BaseException, *, awaited: bool = False, nth: int = 0) -> OutsideCall:
    """Return a call that raised, with what it takes to raise the same again."""
    args, attributes = as_json(error.args), attributes_of(error)
    return OutsideCall(name, "", told(error), cause_of(error), args, awaited, nth, attributes)


def attributes_of(error: BaseException) -> str:
    """Return what an error has besides its arguments, as far as JSON gives it back."""
    texts = {name: as_json(value) for name, value in vars(error).items()}
    kept = {name: text for name, text in texts.items() if is_same(text, vars(error)[name])}
    return as_json({name: msgspec.Raw(text.encode()) for name, text in kept.items()})


def is_raised_again(call: OutsideCall, error: BaseException) -> bool:
    """Tell whether a recorded call raises the same again."""
    again = error_of(call)
    return (
        type(again) is type(error)
        and told(again) == call.error
        and is_same(call.args, [*error.args])
        and vars(again).keys() == vars(error).keys()
    )


def error_of(call: OutsideCall) -> Exception:
    """Return the error a call has raised, of the same class where that is loaded."""
    module, _, name = call.cause.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    args = msgspec.json.decode(call.args)
    if not (isinstance(found, type) and issubclass(found, Exception) and isinstance(args, list)):
        return RecordedError(call.error)
    try:
        error = found.__new__(found, *args)
    except TypeError:
        return RecordedError(call.error)
    error.args = tuple(args)
    vars(error).update(msgspec.json.decode(call.attributes))
    return error


def returned(method: object) -> object:
    """Return what a method declares to return; Any if nothing."""
    try:
        return typing.get_type_hints(method).get("return", Any)
    except Exception:  # noqa: BLE001 - annotations may name what is not there
        return Any
