"""What a hook was told, as it is kept, and read back for a later run."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...persistence.errors import told
from ..points import Point
from .outside import OutsideCall, RecordedError, attributes_of, cause_of, error_of
from .record import as_json, form_of


class _Error(msgspec.Struct, frozen=True):
    """An error in what a hook was told."""

    told: str
    cause: str
    """Its class, as ``module:name``."""
    args: msgspec.Raw
    attributes: msgspec.Raw


def input_of(details: object) -> str:
    """Return what a hook is told as JSON, with what it takes to make its errors again."""
    return as_json(details, _encode)


def details_in(point: Point[Any], text: str) -> Any:  # noqa: ANN401 - the point's
    """Return what a hook was told; ValueError for what JSON could not keep of that point."""
    try:
        return msgspec.json.decode(text, type=point.details, dec_hook=_made)
    except (TypeError, NotImplementedError) as error:
        raise ValueError(str(error)) from error


def _kept(value: object) -> Any:  # noqa: ANN401 - what msgspec is to encode instead
    if not isinstance(value, BaseException):
        return form_of(value)
    parts = as_json(value.args), attributes_of(value)
    return _Error(told(value), cause_of(value), *(msgspec.Raw(part.encode()) for part in parts))


_encode: Final = msgspec.json.Encoder(enc_hook=_kept).encode


def _made(kind: type, value: Any) -> object:  # noqa: ANN401 - JSON
    if kind is object:
        return value
    if kind is not BaseException:
        message = f"a {kind.__name__} is not kept with what a hook was told"
        raise NotImplementedError(message)
    if not isinstance(value, dict):  # of an earlier release
        return RecordedError(str(value))
    args, attributes = (as_json(value.get(name, {})) for name in ("args", "attributes"))
    return error_of(OutsideCall("", "", value["told"], value["cause"], args, attributes=attributes))
