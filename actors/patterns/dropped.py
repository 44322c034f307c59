"""The items of a pipeline that its workers gave up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

import msgspec

from ...persistence.codec.codec import Codec
from ...persistence.records.page import LIMIT, Page, checked_limit, page_of, walk
from .rows import codec_for

T = TypeVar("T")


class Dropped(msgspec.Struct, Generic[T], frozen=True):
    """An item that a worker gave up."""

    number: int
    stage: str
    value: T
    reason: str


class DroppedItems:
    """List the items given up, oldest first; only the pipeline's owner may.

    ``type`` is what values are read as: plain JSON values without.
    """

    def __init__(
        self, find: Callable[[int | None, int | None, Codec[Any]], Sequence[Dropped[Any]]]
    ) -> None:
        """Show what ``find`` gives, behind a number, up to a limit, by a codec."""
        self._find = find

    @overload
    def list(self, *, after: int | None = None, limit: int = LIMIT) -> Page[Dropped[Any]]: ...
    @overload
    def list(
        self, *, after: int | None = None, limit: int = LIMIT, type: type[T]
    ) -> Page[Dropped[T]]: ...
    def list(
        self,
        *,
        after: int | None = None,
        limit: int = LIMIT,
        type: type[Any] | None = None,  # noqa: A002 - as take() has it
    ) -> Page[Dropped[Any]]:
        """Return a page of them; ``after`` is the number of the item before."""
        found = self._find(after, checked_limit(limit) + 1, codec_for(type))
        return page_of(iter(found), limit, attrgetter("number"))

    @overload
    def each(self, *, after: int | None = None) -> Iterator[Dropped[Any]]: ...
    @overload
    def each(self, *, after: int | None = None, type: type[T]) -> Iterator[Dropped[T]]: ...
    def each(
        self,
        *,
        after: int | None = None,
        type: type[Any] | None = None,  # noqa: A002 - same
    ) -> Iterator[Dropped[Any]]:
        """Iterate over all of them in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(after=place, type=type or object), after)

    def count(self) -> int:
        """Return how many there are."""
        return len(self._find(None, None, codec_for(None)))

    def __repr__(self) -> str:
        return "<DroppedItems: list(), each(), count()>"
