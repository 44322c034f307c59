"""Options as people give them: a wrong one is refused by name, with the right form."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

from .errors import ConfigurationError

LONGEST: Final = threading.TIMEOUT_MAX
"""Seconds that a wait may take: no thread of this machine can wait longer."""
MOST: Final = sys.float_info.max
"""The largest number that is one."""
_SHOWN: Final = 80
"""Characters shown of a wrong value."""


def by_keyword(owner: str) -> Callable[[str, str], str]:
    """Return how an option is written that is given in a call: ``Breaker(failures=5)``."""
    return lambda name, value: f"{owner}({name}={value})"


def by_class(owner: str) -> Callable[[str, str], str]:
    """Return how an option is written that is set in a class: ``Desk.mailbox_limit = 5``."""
    return lambda name, value: f"{owner}.{name} = {value}"


class Options:
    """Look at the options of one record or class, and refuse the first that makes no sense.

    ``none`` says what None means, where it may be given. True and False are no numbers here.
    """

    def __init__(self, owner: object, written: Callable[[str, str], str] | None = None) -> None:
        """Look at the attributes of ``owner``; ``written`` says how people write them."""
        self._owner = owner
        self._written = written or by_keyword(type(owner).__name__)

    def whole(self, name: str, *, least: int, none: str = "") -> None:
        """Refuse what is no whole number, or below ``least``."""
        value = self._value(name)
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not fits and not (value is None and none):
            raise self.wrong(name, f"a whole number, {least} or more" + _or_none(none))

    def seconds(self, name: str, *, zero: bool = False, none: str = "") -> None:
        """Refuse what no clock can wait for; ``zero`` says that not waiting makes sense."""
        least = "0 or more" if zero else "above 0"
        self.number(name, f"seconds, {least}" + _or_none(none), zero=zero, most=LONGEST, none=none)

    def number(
        self, name: str, form: str, *, zero: bool = False, most: float = MOST, none: str = ""
    ) -> None:
        """Refuse what is no number from 0, or above 0, up to ``most``."""
        value = self._value(name)
        if value is None and none:
            return
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(name, form)
        # Written so that NaN, which compares false with everything, is refused as well.
        if not (0 < value <= most or (zero and value == 0)):
            raise self.wrong(name, form)

    def flag(self, name: str) -> None:
        """Refuse what is neither True nor False."""
        if not isinstance(self._value(name), bool):
            raise self.wrong(name, "True or False")

    def among(self, name: str, *choices: str) -> None:
        """Refuse what is none of these texts."""
        value = self._value(name)
        if not isinstance(value, str) or value not in choices:
            *others, last = (f'"{choice}"' for choice in choices)
            raise self.wrong(name, f"{', '.join(others)} or {last}")

    def kind(self, name: str, kind: type, example: str, *, none: str = "") -> None:
        """Refuse what is no ``kind``; ``example`` shows how to give one."""
        value = self._value(name)
        if not isinstance(value, kind) and not (value is None and none):
            article = "an" if kind.__name__[0] in "AEIOU" else "a"
            form = f"{article} {kind.__name__}, as in {self._written(name, example)}"
            raise self.wrong(name, form + _or_none(none))

    def methods(self, name: str, names: tuple[str, ...], form: str) -> None:
        """Refuse what lacks one of these methods; ``form`` says what to give."""
        value = self._value(name)
        if isinstance(value, type) or not all(callable(getattr(value, n, None)) for n in names):
            raise self.wrong(name, form)

    def wrong(self, name: str, form: str) -> ConfigurationError:
        """Return the error for an option that should have been given as ``form``."""
        shown = _shown(self._value(name))
        return ConfigurationError(f"{self._written(name, shown)} makes no sense; give {form}")

    def _value(self, name: str) -> object:
        value: object = getattr(self._owner, name)
        return value


def _or_none(none: str) -> str:
    return f", or None for {none}" if none else ""


def _shown(value: object) -> str:
    try:
        text = value.__name__ if isinstance(value, type) else repr(value)
    except Exception:  # noqa: BLE001 - it is anybody's
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
