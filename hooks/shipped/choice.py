"""What the shipped hooks have in common: at what work, and for whom something is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...persistence.options import Options
from ..details import Details
from ..points import MESSAGES, MODELS, TOOLS

Counted = str | Callable[[Details], str]
"""Whose work is counted together: "all", "kind", "agent", or what a function returns."""

WORK: Final = {"messages": MESSAGES, "tools": TOOLS, "models": MODELS}
"""At what a hook may stand: messages to agents, calls of tools, calls of models."""
_WAYS: Final = ("all", "kind", "agent")


def check_names(options: Options, value: object, name: str = "on") -> None:
    """Refuse what is neither a name nor a tuple of names."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple) or not all(isinstance(each, str) for each in names):
        raise options.wrong(name, 'the name of a method, or several, as in ("open", "close")')


def check_work(options: Options, value: object) -> None:
    """Refuse what is none of the kinds of work."""
    if value not in WORK:
        raise options.wrong("at", '"messages", "tools" or "models"')


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
