"""A script, and what came of running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, cast

from ..persistence.errors import ConfigurationError
from .language import Language

LARGEST_SOURCE: Final = 1 << 20
"""Characters of a script's text."""


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a script, in one language."""

    language: Language
    source: str
    name: str = "script"
    """How errors and the audit name it."""

    def __post_init__(self) -> None:
        """Refuse what no engine can take."""
        object.__setattr__(self, "language", Language.named(self.language))
        source, name = cast("tuple[object, object]", (self.source, self.name))  # anybody's
        if not isinstance(source, str) or len(source) > LARGEST_SOURCE:
            problem = f"a script is text, of {LARGEST_SOURCE:,} characters at most"
            raise ConfigurationError(problem)
        if self.source.startswith("\x1b") or "\0" in self.source:
            raise ConfigurationError(f"{self.name!r:.80} is compiled; give the script's text")
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 100:  # noqa: PLR2004
            message = f"the name {name!r:.40} of a script: give up to 100 printable characters"
            raise ConfigurationError(message)
        try:
            self.source.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(f"{self.name!r:.80} is no UTF-8 text") from None

    @classmethod
    def read(cls, file: str | Path, language: Language | None = None) -> Self:
        """Read a script from a file; its suffix says the language if ``language`` does not."""
        path = Path(file)
        chosen = Language.of_file(path) if language is None else Language.named(language)
        try:
            source = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            message = f"{path} is no UTF-8 text; scripts are given as their text, never compiled"
            raise ConfigurationError(message) from None
        return cls(chosen, source, path.name)


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """What came of a script that ran to its end; what it wrote is durable, or part of the turn."""

    value: object
    """What the script returned; in Python its last expression."""
    log: Sequence[str]
    """What it logged and printed, line by line."""
    calls: int
    """Calls of the host."""
    seconds: float
    """How long it ran, by the clock."""
    dump: bytes | None = None
    """Of a script that rests at ``suspend(value)``: what it was. Nobody but who can sign what is
    stored may change it."""
