"""How many artifacts a name, a scope and the store have, changed in the commit that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...persistence.errors import QuotaExceeded
from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import ARTIFACT_NAMES
from ...persistence.records.tables import Key, Row
from ..ledger.unit import Place, Step
from .sink import Draft

TOTAL: Final[Key] = ("", "", "", "")
"""The key of the whole store's row."""


def usage(row: Row | None) -> tuple[int, int]:
    """Return how many artifacts and bytes a row counts."""
    return (0, 0) if row is None else (_int(row[5]), _int(row[6]))


def added(
    draft: Draft, number: int, size: int, limit: int | None, told: list[int]
) -> Iterator[tuple[Place, Step]]:
    """Iterate over what one more artifact changes; ``told`` learns its version.

    QuotaExceeded if its scope would take more than ``limit`` bytes.
    """
    scope, name = draft.scope, draft.name
    of_name: Key = (*scope.columns, name)
    of_scope: Key = (*scope.columns, "")

    def in_name(row: Row | None) -> Row:
        count, total = usage(row)
        version = 1 if row is None else _int(row[4]) + 1
        told[:] = [version]
        return (*of_name, version, count + 1, total + size, 0)

    def in_scope(row: Row | None) -> Row:
        count, total = usage(row)
        if limit is not None and total + size > limit:
            message = (
                f"{scope} {name!r}: {size:,} bytes more would be {total + size:,}, above the limit"
                f" of {limit:,}; delete others, or raise ArtifactLimits"
            )
            raise QuotaExceeded(message)
        return (*of_scope, 0, count + 1, total + size, 0)

    def in_store(row: Row | None) -> Row:
        count, total = usage(row)
        last = 0 if row is None else _int(row[4])
        return (*TOTAL, max(last, number), count + 1, total + size, 0)

    yield (ARTIFACT_NAMES, of_name), in_name
    yield (ARTIFACT_NAMES, of_scope), in_scope
    yield (ARTIFACT_NAMES, TOTAL), in_store


def removed(scope: Scope, name: str, size: int) -> Iterator[tuple[Place, Step]]:
    """Iterate over what one artifact less changes."""
    for key in ((*scope.columns, name), (*scope.columns, ""), TOTAL):
        yield (ARTIFACT_NAMES, key), _less(key, size)


def _less(key: Key, size: int) -> Step:
    def step(row: Row | None) -> Row | None:
        count, total = usage(row)
        if row is None or (count <= 1 and key != TOTAL):
            return None
        return (*key, row[4], count - 1, total - size, 0)

    return step


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
