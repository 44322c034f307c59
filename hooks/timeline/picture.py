"""A timeline as one HTML page: no server, no network, nothing but this file."""

from __future__ import annotations

from functools import cache
from importlib import resources

from .exports import as_json
from .tree import Tree


def as_html(tree: Tree) -> str:
    """Return a page that draws the events in a lane for each agent, with an arrow for each cause.

    It filters them, and opens each with what it changed.
    """
    # In a script nothing ends but by "</": with that escaped, what stands in the events is data.
    data = as_json(tree).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    before, _, behind = _page().partition("/*events*/null")
    return before + data.replace("\u2029", "\\u2029") + behind


@cache
def _page() -> str:
    return resources.files(__package__ or "").joinpath("picture.html").read_text(encoding="utf-8")
