"""The languages of scripts, and where the engine of each is installed."""

from __future__ import annotations

import enum
import functools
import importlib.util
import shutil
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from ..persistence.errors import ConfigurationError

EXTRA: Final = "scripts"


class Language(enum.StrEnum):
    """A language of scripts."""

    LUA = "lua"
    """Lua 5.4."""
    JAVASCRIPT = "javascript"
    """ECMAScript of today, without modules."""
    PYTHON = "python"
    """The part of Python that Monty knows: no generators, no classes of the library."""

    @property
    def spelling(self) -> str:
        """The language's own spelling."""
        return _ENGINES[self].title

    @classmethod
    def named(cls, name: str) -> Language:
        """Return the language of a name; ConfigurationError if it is none."""
        if name not in list(cls):
            known = ", ".join(cls)
            raise ConfigurationError(f"{name!r:.40} is no language of scripts; these are: {known}")
        return cls(name)

    @classmethod
    def of_file(cls, file: str | Path) -> Language:
        """Return the language of a file, by its suffix; ConfigurationError for another."""
        suffix = Path(file).suffix
        for language, engine in _ENGINES.items():
            if suffix == engine.suffix:
                return language
        known = ", ".join(engine.suffix for engine in _ENGINES.values())
        message = f"{Path(file).name!r:.80} is no script by its name; scripts end in {known}"
        raise ConfigurationError(message)

    def folders(self) -> list[str]:
        """Return the folders that the engine is imported from; ConfigurationError without it.

        Nothing of it is imported here.
        """
        return _folders(self)

    def program(self) -> str:
        """Return the path of the engine's program; "" if it has none."""
        return _program() if self is Language.PYTHON else ""


class _Engine(NamedTuple):
    title: str
    suffix: str
    distribution: str
    modules: tuple[str, ...]


_ENGINES: Final = {
    Language.LUA: _Engine("Lua", ".lua", "lupa", ("lupa",)),
    # Another distribution installs a module of the same name; its engine is old.
    Language.JAVASCRIPT: _Engine("JavaScript", ".js", "quickjs-ng", ("_quickjs",)),
    Language.PYTHON: _Engine(
        "Python", ".py", "pydantic-monty", ("pydantic_monty", "typing_extensions")
    ),
}


@functools.cache
def _folders(language: Language) -> list[str]:
    engine, found = _ENGINES[language], []
    for module in engine.modules:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None or not _installed(engine.distribution):
            message = (
                f'{engine.title} scripts need {engine.distribution}: pip install "perdure[{EXTRA}]"'
            )
            raise ConfigurationError(message)
        place = Path(spec.origin).parent
        found.append(str(place.parent if spec.submodule_search_locations else place))
    return list(dict.fromkeys(found))


@functools.cache
def _program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "monty"
    found = str(beside) if beside.is_file() else shutil.which("monty")
    if found is None:
        message = f'Python scripts need the program monty: pip install "perdure[{EXTRA}]"'
        raise ConfigurationError(message)
    return str(Path(found).resolve())


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
