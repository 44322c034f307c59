"""Secrets in plain fields and messages: warned of, refused, or replaced before they are stored."""

from __future__ import annotations

import json
import logging
import string
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from ..errors import SecretFound
from ..options import Options
from .masking import masked
from .names import is_secret, least_length
from .rules import DEFAULT_RULES, Rule
from .secret import MASK

logger = logging.getLogger("perdure.secrets")

Policy = Literal["warn", "refuse", "redact"]

SHORTEST: Final = 16
"""Characters of JSON below which nothing is looked for."""
MOST_TOLD: Final = 10_000
"""Places remembered as told of; shared keys may be any number."""
NAMED: Final = "the name of its place"
"""The rule of texts that stand under a name like ``password``."""
_NAMES: Final = ("passw", "pwd", "passphrase", "secret", "key", "token", "credential", "bearer")
_RUN: Final = b"a" * 16
_TOKEN_CHARACTERS: Final = (string.ascii_letters + string.digits + "_-").encode()
_RUNS: Final = bytes(ord("a") if byte in _TOKEN_CHARACTERS else ord(" ") for byte in range(256))
"""Makes token characters alike: two passes in C find a run of them, faster than an expression."""
_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Detector:
    """Say what is done about values that look like secrets and are not declared ``Secret``.

    ``warn`` logs it once for each place and rule; ``refuse`` undoes the turn (SecretFound);
    ``redact`` stores ``***`` instead. ``names`` looks at the names of fields, parameters and keys
    as well; in ``allow`` stand places to leave alone, as warnings name them (``Box.note``).
    """

    policy: Policy = "warn"
    rules: tuple[Rule, ...] = DEFAULT_RULES
    names: bool = True
    allow: frozenset[str] = frozenset()
    _needles: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        options = Options(self)
        options.among("policy", *get_args(Policy))
        options.kind("rules", tuple, "DEFAULT_RULES")
        options.flag("names")
        options.kind("allow", AbstractSet, 'frozenset({"Box.note"})')
        needles = {needle: None for rule in self.rules for needle in rule.needles}
        object.__setattr__(self, "_needles", tuple(needles))

    def find(self, text: str, name: str = "") -> list[str]:
        """Return the names of the rules that JSON ``text`` of a field ``name`` breaks."""
        if len(text) < SHORTEST and not name:
            return []
        text = masked(text)
        found = self._broken(text)
        if self.names and next(_named(text, name), None) is not None:
            found.append(NAMED)
        return list(dict.fromkeys(found))

    def _broken(self, text: str) -> list[str]:
        # Of most texts nothing is found in this one loop, without a call.
        for needle in self._needles:
            if needle in text:
                break
        else:
            return []
        return [
            rule.name
            for rule in self.rules
            if any(needle in text for needle in rule.needles) and rule.pattern.search(text)
        ]

    def redacted(self, text: str, name: str = "") -> str:
        """Return JSON ``text`` with ``***`` in the place of each secret."""
        if (
            self.names
            and (name or _may_be_named(text))
            and next(_named(text, name), None) is not None
        ):
            text = _compact(_without(json.loads(text), least_length(name)))
        for rule in self.rules:
            if any(needle in text for needle in rule.needles):
                text = rule.pattern.sub(MASK, text)
        return text


DEFAULT_DETECTOR: Final = Detector()
"""What a system is opened with unless it is told otherwise."""


class SecretWatch:
    """Apply a detector to what one system stores. Thread-safe.

    Most texts have nothing of a secret in them, so a single pass decides whether to look closely.
    """

    def __init__(self, detector: Detector, tell: Callable[[str, str], None] | None = None) -> None:
        """Look with ``detector``."""
        self.detector: Final = detector
        self.tell = tell
        """Called as ``tell(place, rule)`` once for each of them, whatever the policy."""
        self._told: set[tuple[str, str]] = set()
        self.redacts: Final = detector.policy == "redact"

    def examine(self, text: str, place: str, name: str = "") -> str:
        """Return what to store for JSON ``text``; SecretFound if that is refused.

        ``name`` is the name of its field or parameter; ``place`` is how a warning names it.
        """
        if not name and (len(text) < SHORTEST or not self.worth_a_look(text)):
            return text
        found = self.found(text, place, name)
        if found and self.detector.policy == "refuse":
            raise SecretFound(place, found[0])
        return self.detector.redacted(text, name) if found and self.redacts else text

    def found(self, text: str, place: str, name: str = "") -> list[str]:
        """Return the rules that JSON ``text`` breaks where it may not, and tell of them."""
        found = self.detector.find(text, name)
        if not found or place in self.detector.allow:
            return []
        for rule in found:
            self._say(place, rule)
        return found

    def worth_a_look(self, text: str) -> bool:
        """Tell whether anything can be found in a text, JSON or not."""
        # Each shape of a secret has a run of token characters, or is a part of an address.
        # (find() takes a shorter way through bytes than `in`.)
        if len(text) >= len(_RUN) and text.encode().translate(_RUNS).find(_RUN) >= 0:
            return True
        if ":" not in text:
            return False
        if "://" in text:
            return True
        return self.detector.names and _may_be_named(text)

    def _say(self, place: str, rule: str) -> None:
        if (place, rule) in self._told:
            return
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told.add((place, rule))
        if self.detector.policy == "warn":
            logger.warning(
                "%s looks like a secret (%s) and is stored as it is; declare it Secret[...]",
                place, rule,
            )  # fmt: skip
        if self.tell is not None:
            self.tell(place, rule)


def sensitive(name: str) -> str:
    """Return ``name`` if secrets stand under it, else nothing."""
    return name if least_length(name) else ""


def _may_be_named(text: str) -> bool:
    """Tell whether JSON may have a name under which secrets stand."""
    if '":' not in text:
        return False
    lower = text.lower()
    for word in _NAMES:  # noqa: SIM110 - on the path of what is recorded, and any() takes twice as long
        if word in lower:
            return True
    return False


def _named(text: str, name: str) -> Iterator[str]:
    """Yield the texts in JSON that stand under the name of a secret."""
    if not name and not _may_be_named(text):
        return
    yield from _secrets(json.loads(text), least_length(name))


def _secrets(value: object, least: int) -> Iterator[str]:
    if isinstance(value, str):
        if least and is_secret(value, least):
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, least)
    elif isinstance(value, dict):
        for key, item in value.items():
            # Below the name of a secret every text counts, whatever its own name is.
            yield from _secrets(item, least_length(key) or least)


def _without(value: object, least: int) -> object:
    if isinstance(value, str):
        return MASK if least and is_secret(value, least) else value
    if isinstance(value, list):
        return [_without(item, least) for item in value]
    if isinstance(value, dict):
        return {key: _without(item, least_length(key) or least) for key, item in value.items()}
    return value
