"""What a kind was called before: who is erased was stored, and backed up, by that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from .shared_tables import PROGRESS
from .tables import Key, Row, Table

_EVER: Final = 2**63 - 1

Read = Callable[[Table, Key], Row | None]
"""Gives the rows of a store."""


class Name(NamedTuple):
    """An agent by a name that it had up to a commit; another may have had that later."""

    kind: str
    key: str
    until: int

    @property
    def scope(self) -> tuple[str, str, str]:
        """The columns of its own scope."""
        return ("agent", self.kind, self.key)

    def has(self, kind: object, key: object, sequence: int = 0) -> bool:
        """Tell whether what a commit says of an agent is of this one."""
        return (kind, key) == self[:2] and sequence <= self.until


def former_place(kind: str) -> Key:
    """Return where the names that a kind had before are kept."""
    return (f"perdure.kinds/{kind}",)


def former_kinds(row: Read, kind: str) -> list[str]:
    """Return the names that a kind had before, by what gives a row of a store."""
    found = row(PROGRESS, former_place(kind))
    return [] if found is None else msgspec.json.decode(str(found[1]), type=list[str])


def names_of(row: Read, kind: str, key: str) -> list[Name]:
    """Return all names of an agent, that of today first."""
    names, found = [Name(kind, key, _EVER)], row(PROGRESS, former_place(kind))
    if found is not None:
        names += [Name(each, key, int(str(found[2]))) for each in former_kinds(row, kind)]
    return names
