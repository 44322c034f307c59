"""What packs and unpacks bytes, loaded by whoever does it first: an opening takes none of it."""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType


@functools.cache
def zstd() -> ModuleType:
    """Return the module of zstandard: Python's own, or the same for those before 3.14."""
    later = sys.version_info >= (3, 14)
    return importlib.import_module("compression.zstd" if later else "backports.zstd")
