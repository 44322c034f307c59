"""All modules that a system may use are imported before a run: none is made in the middle."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Final

_ROOT: Final = __name__.partition(".")[0]
_FLOORS: Final = ("persistence", "hooks", "lifecycle", "shared", "actors", "replay", "rehearsal")
_OPTIONAL: Final = ImportError
"""What an extra brings is used by those alone who have it."""


@functools.cache
def import_all() -> None:
    """Import them: the locks of a module that a run makes would be that run's, for ever."""
    for floor in _FLOORS:
        package = importlib.import_module(f"{_ROOT}.{floor}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                importlib.import_module(module.name)
            except _OPTIONAL:
                continue
