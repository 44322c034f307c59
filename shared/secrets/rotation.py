"""Sealing stored secrets again with the current key, and signing pickled objects again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ...lifecycle.clock import SystemClock
from ...persistence.errors import CorruptState, KeyMissing, SignatureInvalid
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import PROGRESS
from ...persistence.records.tables import Change
from ...persistence.records.texts import Replacement, StoredText
from ...persistence.secrets import signer as signatures
from ...persistence.secrets.moving import replaced
from ...persistence.secrets.place import Place
from ...persistence.secrets.sealer import Sealer
from ...persistence.secrets.signer import SIGNED, Signer, key_of_signed
from ...persistence.secrets.tokens import PREFIX, TOKEN, is_bound, key_of
from ...persistence.store.store import StoreReader
from .places import Places

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
    """The key that secrets are sealed with now; empty in a system without keys for secrets."""
    texts: int
    """Texts sealed or signed again so far; one may hold several secrets."""
    passes: int
    done: bool
    """Whether it went through; otherwise it goes on, or ``error`` says why not."""
    error: str = ""
    signing_key_id: str = ""
    """The key that pickled objects are signed with now; empty without keys for them."""


class Rotator:
    """Go over a store again and again until nothing of another key is met that could be opened.

    Secrets that earlier releases have sealed for no place are bound to the one where they stand.
    Only texts that hold something to renew are written, each only if it is still what was read. So
    it may end anywhere and begin again from the start: what was done is met as done.
    """

    def __init__(
        self,
        store: StoreReader,
        sealer: Sealer | None,
        signer: Signer | None,
        write: Write,
        now: Callable[[], float] = SystemClock.now,
    ) -> None:
        """Read ``store``; write by ``write``, at the time that ``now`` tells.

        Without a sealer secrets stay as they are, without a signer pickled objects.
        """
        self._store = store
        self._sealer = sealer
        self._signer = signer
        self._write = write
        self._now = now
        self._places = Places(store)
        self._known: dict[tuple[str, Place], str] = {}
        self.texts = 0
        self.passes = 0
        for each in (sealer, signer):
            if each is not None:
                each.refresh()
        self.key_id = "" if sealer is None else sealer.current()
        self.signing_key_id = "" if signer is None else signer.current()

    def standing(self, *, done: bool, error: str = "") -> Rotation:
        """Return how it stands."""
        return Rotation(self.key_id, self.texts, self.passes, done, error, self.signing_key_id)

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
        return all((
            self._sealer is None or self._go_over(PREFIX, self._resealed, stopped),
            self._signer is None or self._go_over(signatures.PREFIX, self._resigned, stopped),
        ))  # fmt: skip

    def _go_over(
        self, containing: str, renewed: Callable[[StoredText], str], stopped: Callable[[], bool]
    ) -> bool:
        waiting: list[Replacement] = []
        weight = 0
        for stored in self._store.texts(containing):
            if stopped():
                return False
            text = renewed(stored)
            if text != stored.text:
                place = (stored.table, stored.key, stored.column)
                waiting.append(Replacement(*place, stored.text, text))
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

    def _resealed(self, stored: StoredText) -> str:
        assert self._sealer is not None, "or nothing is sealed again"
        tokens = [found[0] for found in TOKEN.finditer(stored.text)]
        if all(map(self._sealer.is_latest, tokens)):
            return stored.text
        places: list[Place] = [()] * len(tokens)
        if not all(map(is_bound, tokens)):
            places = self._places.of(stored)
        return replaced(stored.text, list(map(self._sealed, tokens, places)))

    def _sealed(self, token: str, place: Place) -> str:
        sealer = self._sealer
        assert sealer is not None, "or nothing is sealed again"
        if sealer.is_latest(token):
            return token
        return self._renewed(token, place, lambda: sealer.again(token, "a secret", place))

    def _resigned(self, stored: StoredText) -> str:
        signer = self._signer
        assert signer is not None, "or nothing is signed again"

        def signed(text: str) -> str:
            if signer.is_latest(text):
                return text
            return self._renewed(text, (), lambda: signer.again(text, "a pickled object"))

        return SIGNED.sub(lambda found: signed(found[0]), stored.text)

    def _renewed(self, old: str, place: Place, renew: Callable[[], str]) -> str:
        """Return the new form, the same wherever the old one is met that is bound to a place."""
        known = self._known.get((old, place))
        if known is None:
            try:
                known = renew()
            except (KeyMissing, CorruptState, SignatureInvalid):
                return old  # it stays as it is, and is counted by remaining()
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[old, place] = known
        return known

    def _note(self, *, begun: bool) -> None:
        """Keep in the store whether there is anything to go on with."""
        commit = Commit(time=self._now(), name=NAME)
        row = (*PLACE, f'{{"key":"{self.key_id or self.signing_key_id}"}}', 0) if begun else None
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


def signed(store: StoreReader) -> dict[str, int]:
    """Return how many signed objects the store holds, by the id of their key; reads every value."""
    found = Counter(
        key_of_signed(each[0])
        for stored in store.texts(signatures.PREFIX)
        for each in SIGNED.finditer(stored.text)
    )
    return dict(sorted(found.items()))
