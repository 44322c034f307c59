"""The formats in which a timeline is written for other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ...persistence.errors import ConfigurationError
from .exports import as_chrome, as_json, as_mermaid
from .picture import as_html
from .tree import Tree

FORMATS: Final[Mapping[str, Callable[[Tree], str]]] = {
    "json": as_json,
    "mermaid": as_mermaid,
    "chrome": as_chrome,
    "html": as_html,
}


def written(tree: Tree, form: str) -> str:
    """Return a tree in a format; ConfigurationError for one that is not known."""
    if form not in FORMATS:
        raise ConfigurationError(f"format {form!r} is unknown; use {', '.join(FORMATS)}")
    return FORMATS[form](tree)
