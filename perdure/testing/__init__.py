"""Test tools for those who build on perdure: states of old versions, migrations, golden files.

Names are imported when they are first used: pytest loads the plugin beside this in every run.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .golden import Golden
    from .migrations import assert_migrates, assert_round_trip
    from .schemas import stored_schemas
    from .strategies import states

__all__ = ["Golden", "assert_migrates", "assert_round_trip", "states", "stored_schemas"]

_HOMES: Final = {
    "Golden": ".golden",
    "assert_migrates": ".migrations",
    "assert_round_trip": ".migrations",
    "states": ".strategies",
    "stored_schemas": ".schemas",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
