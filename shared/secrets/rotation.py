"""Sealing stored secrets again with the current key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from ...lifecycle.clock import SystemClock
from ...persistence.errors import CorruptState, KeyMissing
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import PROGRESS
from ...persistence.records.tables import Change
from ...persistence.records.texts import Replacement
from ...persistence.secrets.sealer import Sealer
from ...persistence.secrets.tokens import PREFIX, TOKEN, key_of
from ...persistence.store.store import StoreReader

SLICE: Final = 200
"""Texts written in one commit."""
HEAVY: Final = 4_000_000
"""Characters after which a commit is full before that."""
MOST_PASSES: Final = 10
"""Passes over the store; each finds what was written with an old key during the one before."""
REMEMBERED: Final = 50_000
"""Tokens whose new form is remembered: a state and its journal entries stay equal."""
PLACE: Final = ("rotation",)
"""Where the store notes that a rotation has begun and not ended."""
NAME: Final = "(rotation)"
"""What the journal calls the commits of a rotation."""

Write = Callable[[Commit], None]
"""Make a commit durable and return; raise what went wrong."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a rotation stands, or how it ended."""

    key_id: str
    """The key that secrets are sealed with now."""
    texts: int
    """Texts sealed again so far; one may hold several secrets."""
    passes: int
    done: bool
    """Whether it went through; otherwise it goes on, or ``error`` says why not."""
    error: str = ""


class Rotator:
    """Go over a store again and again until no secret of another key is met that could be opened.

    Only texts that hold such a secret are written, each only if it is still what was read. So it
    may end anywhere and begin again from the start: what was done is met as done.
    """

    def __init__(
        self,
        store: StoreReader,
        sealer: Sealer,
        write: Write,
        now: Callable[[], float] = SystemClock.now,
    ) -> None:
        """Read ``store``; write by ``write``, at the time that ``now`` tells."""
        self._store = store
        self._sealer = sealer
        self._write = write
        self._now = now
        self._known: dict[str, str] = {}
        self.texts = 0
        self.passes = 0
        sealer.refresh()
        self.key_id = sealer.current()

    def run(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Rotate; False if ``stopped()`` or passes ran out before a pass had nothing to do."""
        self._note(begun=True)
        while self.passes < MOST_PASSES:
            before = self.texts
            if not self._pass(stopped):
                return False
            self.passes += 1
            if self.texts == before:
                self._note(begun=False)
                return True
        return False

    def _pass(self, stopped: Callable[[], bool]) -> bool:
        waiting: list[Replacement] = []
        weight = 0
        for stored in self._store.texts(PREFIX):
            if stopped():
                return False
            text = TOKEN.sub(lambda found: self._resealed(found[0]), stored.text)
            if text != stored.text:
                waiting.append(Replacement(*stored, text))
                weight += len(text)
            if len(waiting) == SLICE or weight > HEAVY:
                self._replace(waiting)
                waiting, weight = [], 0
        self._replace(waiting)
        return True

    def _replace(self, replacements: list[Replacement]) -> None:
        if replacements:
            commit = Commit(time=self._now(), name=NAME)
            commit.with_effects().replaced = replacements
            self._write(commit)
            self.texts += len(replacements)

    def _resealed(self, token: str) -> str:
        if key_of(token) == self.key_id:
            return token
        known = self._known.get(token)
        if known is None:
            try:
                known = self._sealer.seal(partial(self._sealer.open, token, "a secret"), "a secret")
            except (KeyMissing, CorruptState):
                return token  # it stays as it is, and is counted by remaining()
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[token] = known
        return known

    def _note(self, *, begun: bool) -> None:
        """Keep in the store whether there is anything to go on with."""
        commit = Commit(time=self._now(), name=NAME)
        row = (*PLACE, f'{{"key":"{self.key_id}"}}', 0) if begun else None
        commit.with_effects().rows = [Change(PROGRESS, PLACE, row)]
        self._write(commit)


def unfinished(store: StoreReader) -> bool:
    """Tell whether a rotation has begun in this store and not ended."""
    return store.row(PROGRESS, PLACE) is not None


def remaining(store: StoreReader) -> dict[str, int]:
    """Return how many sealed secrets the store holds, by the id of their key; reads every value."""
    return dict(sorted(Counter(map(key_of, sealed(store))).items()))


def sealed(store: StoreReader) -> Iterator[str]:
    """Iterate over the tokens of all secrets in the store; reads every value."""
    for stored in store.texts(PREFIX):
        for found in TOKEN.finditer(stored.text):
            yield found[0]
