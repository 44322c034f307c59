"""What people name ``MODULE:NAME``: agent classes, and what to do with them."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from ...persistence.errors import ConfigurationError
from .agent import Agent

Main: TypeAlias = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Program:
    """Agent classes, and a function to call with the system once it is open."""

    name: str
    agents: list[type[Agent[Any]]]
    main: Main | None = None


def load_program(target: str, folder: Path | None = None) -> Program:
    """Import the program ``MODULE:NAME``, also from ``folder`` if one is given.

    NAME is an Agent subclass, a list or tuple of them, or a function that takes the system; then
    the module's ``agents`` lists the classes. ConfigurationError says what is wrong.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        message = f"{target!r} does not name a program; write MODULE:NAME, as in desk:Desk"
        raise ConfigurationError(message)
    module = _import(module_name, folder)
    try:
        found = getattr(module, name)
    except AttributeError:
        message = f"module {module_name!r} has no {name!r}; check the name after the colon"
        raise ConfigurationError(message) from None
    if isinstance(found, type) and issubclass(found, Agent):
        return Program(target, [found])
    if isinstance(found, list | tuple):
        return Program(target, _classes(found, target))
    if callable(found) and not isinstance(found, type):
        agents = getattr(module, "agents", None)
        if not isinstance(agents, list | tuple):
            message = (
                f"{target} is a function, so module {module_name!r} must list the agent classes:"
                " agents = [...]"
            )
            raise ConfigurationError(message)
        return Program(target, _classes(agents, f"{module_name}:agents"), found)
    message = f"{target} is {type(found).__name__}, not an Agent subclass, a list or a function"
    raise ConfigurationError(message)


def load_agents(target: str) -> list[type[Agent[Any]]]:
    """Return the Agent classes of a program, or all that stand in a module, which is imported.

    From the folder of this process, too. ConfigurationError says what is wrong.
    """
    if ":" in target:
        return load_program(target, Path.cwd()).agents
    module = _import(target, Path.cwd())
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Agent) and value is not Agent
    ]
    if not found:
        message = f"module {target!r} holds no Agent class; name one that does, or MODULE:NAME"
        raise ConfigurationError(message)
    return list(dict.fromkeys(found))


def load_types(target: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return what a program's module says in SCHEMAS of shared values, in METADATA of artifacts.

    ConfigurationError if that is no dictionary.
    """
    name = target.partition(":")[0]
    module = _import(name, Path.cwd())
    found = [getattr(module, word, {}) for word in ("SCHEMAS", "METADATA")]
    for word, given in zip(("SCHEMAS", "METADATA"), found, strict=True):
        if not isinstance(given, Mapping):
            message = (
                f"{name}.{word} is {type(given).__name__}; write a dictionary of types by pattern"
            )
            raise ConfigurationError(message)
    return found[0], found[1]


def _import(name: str, folder: Path | None) -> ModuleType:
    if folder is not None:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        # The frame where it happened, for a person who writes the module right now.
        frames = traceback.extract_tb(error.__traceback__)
        where = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
        place = f" ({where[-1].filename}, line {where[-1].lineno})" if where else ""
        message = f"module {name!r} cannot be imported: {type(error).__name__}: {error}{place}"
        raise ConfigurationError(message) from error


def _classes(found: Iterable[object], where: str) -> list[type[Agent[Any]]]:
    classes: list[type[Agent[Any]]] = []
    for item in found:
        if not isinstance(item, type) or not issubclass(item, Agent):
            message = f"{where} holds {item!r}, which is not an Agent subclass"
            raise ConfigurationError(message)
        classes.append(item)
    if not classes:
        message = f"{where} is empty; name at least one Agent subclass"
        raise ConfigurationError(message)
    return classes
