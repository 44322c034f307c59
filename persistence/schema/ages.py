"""Rows that are written again and stay as they are: by which schemas they were written.

A shared value and the metadata of an artifact name no schema: the number of their row's commit says
it. Where that moves, the schemas of before are entered again for those commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

import msgspec

from ..records.shared_tables import SCHEMAS
from ..records.tables import Change
from ..store.store import StoreReader
from .registry import Registered, registered
from .schema import Family

_PLACED: Final[frozenset[Family]] = frozenset({"values", "metadata"})

Age: TypeAlias = Mapping[tuple[Family, str], Registered]
"""The schema that each pattern was written by."""


class Ages:
    """Know what rows of a store were written by, and enter that again in the store, or another."""

    def __init__(self, here: StoreReader, then: StoreReader | None = None) -> None:
        """Read both: rows of ``then`` are written into ``here``."""
        known, was = [*registered(here)], [*registered(then or here)]
        self._was = [each for each in was if each.schema.family in _PLACED]
        self._newest = _by_pattern(each for each in known if each.schema.family in _PLACED)
        self._now = dict(self._newest)
        self._number = max((each.number for each in [*known, *was]), default=0)

    def of(self, sequence: int) -> Age:
        """Return what a commit has written by."""
        return _by_pattern(each for each in self._was if each.schema.since <= sequence)

    def entered(self, age: Age, sequence: int) -> list[Change]:
        """Return the rows by which a commit, and those behind it, write by other schemas."""
        changes = []
        for place, each in age.items():
            now = self._now.get(place)
            if now is None or now.fingerprint != each.fingerprint:
                self._number += 1
                schema = msgspec.structs.replace(each.schema, since=sequence)
                self._now[place] = made = replace(each, number=self._number, schema=schema)
                changes.append(Change(SCHEMAS, (made.number,), made.row()))
        return changes

    def ended(self, sequence: int) -> list[Change]:
        """Return the rows by which a commit, and those behind it, write by the newest again."""
        return self.entered(self._newest, sequence)


def _by_pattern(schemas: Iterable[Registered]) -> Age:
    return {(each.schema.family, each.kind): each for each in schemas}
