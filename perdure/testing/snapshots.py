"""Snapshots: what an agent's state and journal are, held to what they were, in a test or a file."""

from __future__ import annotations

import difflib
import inspect
import textwrap
from pathlib import Path
from typing import Any, Final

from ..actors.talk.reference import AgentRef
from .assertions import stored_state

_AGAIN: Final = "run pytest with --golden-update to write it"


def snapshot(agent: AgentRef[Any], *, journal: bool = True) -> str:
    """Return an agent's durable state, and what its commits changed, as lines for people.

    Without times, ids and sequences: two runs that do the same give the same.
    """
    lines = [f"{agent}"]
    for name, value in stored_state(agent).items():
        lines += _lines(name, value)
    if journal:
        lines.append("journal")
        lines += [
            f"  {entry.version} {entry.name} {entry.delta}" for entry in agent.history(limit=1000)
        ]
    return "\n".join(lines) + "\n"


def assert_snapshot(agent: AgentRef[Any], inline: str, *, journal: bool = True) -> None:
    """Have an agent's snapshot be the text that stands in the test, or AssertionError with a diff.

    The text is taken without its indentation, and without empty lines around it.
    """
    wanted = inspect.cleandoc(inline).strip() + "\n"
    found = snapshot(agent, journal=journal)
    assert found == wanted, _told(agent, wanted, found, "the text in the test has to be changed")


class Snapshots:
    """Snapshots in the files of a folder, one for each name."""

    def __init__(self, folder: Path, *, update: bool = False) -> None:
        """Compare with the files of ``folder``; with ``update`` write them."""
        self._folder, self._update = folder, update

    def check(self, agent: AgentRef[Any], name: str, *, journal: bool = True) -> None:
        """Have an agent's snapshot be the one in ``NAME.txt``, or AssertionError with a diff."""
        path, found = self._folder / f"{name}.txt", snapshot(agent, journal=journal)
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found, encoding="utf-8")
        assert path.exists(), f"there is no {path}: {_AGAIN}"
        wanted = path.read_text(encoding="utf-8")
        assert found == wanted, _told(agent, wanted, found, f"if it is right: {_AGAIN} anew")


def _lines(name: str, value: object) -> list[str]:
    if isinstance(value, list) and value:
        return [f"  {name}", *(f"    - {each!r}" for each in value)]
    if isinstance(value, dict) and value:
        return [f"  {name}", *(f"    {key}: {each!r}" for key, each in sorted(value.items()))]
    return [f"  {name} = {value!r}"]


def _told(agent: AgentRef[Any], wanted: str, found: str, way: str) -> str:
    lines = difflib.ndiff(wanted.splitlines(), found.splitlines())
    shown = "\n".join(line for line in lines if not line.startswith("?"))
    return f"the snapshot of {agent} is another; {way}\n{textwrap.indent(shown, '  ')}"
