"""An agent that thinks as it stands in a store, read without its class: its runs and steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from ..persistence.errors import UnknownRun
from ..persistence.store.store import StoreReader
from .records import MODEL, TOOL, Run, RunStep, Tally

_CALLS: Final = (f"{MODEL}/", f"{TOOL}/")


class StoredThinker:
    """What a store has of an agent that thinks."""

    def __init__(self, reader: StoreReader, kind: str, key: str) -> None:
        """Read from a store; of an agent that is not there nothing is found."""
        stored = reader.load(kind, key)
        self._name = f"{kind}/{key}"
        self._reader = reader
        self._agent = -1 if stored is None else stored.head.agent
        self._length = 0 if stored is None else stored.log_lengths.get("transcript", 0)

    def run(self, run: str) -> Run:
        """Return a run; UnknownRun if there is none of that name."""
        text = self._reader.map_entry(self._agent, "runs", run)
        if text is None:
            raise UnknownRun(f"{self._name} has no run {run!r}, or keeps it no more")
        return msgspec.json.decode(text, type=Run)

    def runs(self) -> list[Run]:
        """Return all that are kept, the oldest first."""
        texts = self._reader.map_texts(self._agent, "runs")
        found = [msgspec.json.decode(text, type=Run) for _, text in texts]
        return sorted(found, key=lambda run: run.first)

    def steps(self, start: int = 0) -> Iterator[tuple[int, RunStep]]:
        """Iterate over the transcript from a place in it on: places and steps."""
        texts = self._reader.log_texts(self._agent, "transcript", self._length, start)
        for place, text in enumerate(texts, start):
            yield place, msgspec.json.decode(text, type=RunStep)


def stored_tallies(reader: StoreReader, agent: int) -> dict[str, Tally]:
    """Return what the calls of an agent came to, by "model" or "tool", a slash and the name.

    Nothing of an agent that does not think, whatever its map of that name holds.
    """
    texts = {str(name): text for name, text in reader.map_texts(agent, "tallies")}
    if not all(name.startswith(_CALLS) for name in texts):
        return {}
    try:
        return {name: msgspec.json.decode(text, type=Tally) for name, text in texts.items()}
    except msgspec.ValidationError:
        return {}
