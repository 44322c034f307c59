"""What the shipped hooks have in common: at which methods, and for whom something is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...persistence.options import Options
from ..details import Details

Counted = str | Callable[[Details], str]
"""Whose work is counted together: "all", "kind", "agent", or what a function returns."""

_WAYS: Final = ("all", "kind", "agent")


def check_names(options: Options, value: object, name: str = "on") -> None:
    """Refuse what is neither a name nor a tuple of names."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple) or not all(isinstance(each, str) for each in names):
        raise options.wrong(name, 'the name of a method, or several, as in ("open", "close")')


def check_counted(options: Options, value: object, name: str = "per") -> None:
    """Refuse what says of nobody whose work is counted together."""
    if not callable(value) and value not in _WAYS:
        raise options.wrong(name, '"all", "kind", "agent", or a function of the details')


def counted_as(per: Counted, details: Details) -> str:
    """Return under which name a piece of work is counted."""
    if callable(per):
        return str(per(details))
    if per == "agent":
        return f"{details.kind}/{details.key}"
    return details.kind if per == "kind" else "all"
