"""A page of a listing: the one shape in which everything that is listed comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Generic, TypeVar, overload

from ..errors import ConfigurationError

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")

LIMIT: Final = 100
"""What a page holds at most, unless it is asked for more or less."""


class Page(Sequence[T_co], Generic[T_co]):
    """What one call of ``list()`` found, in order: a sequence that does not change.

    Equal to every page, list and tuple of the same items. ``more`` says whether there are others
    behind it; then ``list(..., after=page.next)`` gives the page that follows.
    """

    __slots__ = ("_items", "_next")

    def __init__(self, items: Sequence[T_co], next: object = None) -> None:  # noqa: A002 - as it is read
        """Hold ``items``; others are behind ``next``, none if that is None."""
        self._items = tuple(items)
        self._next = next

    @property
    def more(self) -> bool:
        """Whether there are others behind this page."""
        return self._next is not None

    @property
    def next(self) -> Any:  # noqa: ANN401 - each listing has its own kind of place
        """Where the page that follows begins, to be given as ``after``; None if there is none."""
        return self._next

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T_co, ...]: ...
    def __getitem__(self, index: int | slice) -> T_co | tuple[T_co, ...]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Page | list | tuple):
            return self._items == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        more = f", more after {self._next!r}" if self.more else ""
        return f"<Page {list(self._items)!r}{more}>"


def page_of(found: Iterator[U], limit: int, place: Callable[[U], object]) -> Page[U]:
    """Take a page of what is found; ``place`` gives where an item stands."""
    limit = checked_limit(limit)
    items = list(islice(found, limit))
    return page_behind(items, items[-1:] and next(found, None) is not None, place)


def page_behind(items: list[U], more: object, place: Callable[[U], object]) -> Page[U]:
    """Make a page of all of ``items``; ``more`` is true if there are others behind them."""
    return Page(items, place(items[-1]) if more and items else None)


def walk(page: Callable[[Any], Page[U]], after: object = None) -> Iterator[U]:
    """Iterate over all items, page by page; the first page is read, or refused, at once."""
    return _walk(page, page(after))


def checked_limit(limit: object) -> int:
    """Return a limit; ConfigurationError for one that would show nothing."""
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1:
        return min(limit, 2**62)
    message = f"limit={limit!r:.40}: give the most items that a page may hold, an int from 1 up"
    raise ConfigurationError(message)


def _walk(page: Callable[[Any], Page[U]], found: Page[U]) -> Iterator[U]:
    while True:
        yield from found
        if not found.more:
            return
        found = page(found.next)
