"""Text search: which rows may hold a text, by an index that is brought up to date by the search.

A commit pays nothing for it. The index only says which commits, executions of hooks, decisions and
dead letters may hold the text: each is read from the store and looked at before it is shown, so an
index that is lost, or older than a deletion, shows nothing wrong. Where there is none (a store in
memory, a folder that cannot be written to, a text of less than three characters), or it fails, all
is read.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from ...persistence.errors import StoreError
from ...persistence.records.records import DeadLetter
from ...persistence.store.store import Indexed, Shelf, StoreReader, TextSearch
from .selection import Selection

logger = logging.getLogger("perdure.hooks")

T = TypeVar("T")
Text = tuple[int, str]
"""A text by its number; empty for what is never looked for."""

SHORTEST: Final = 3
"""Characters of a text that an index can look up."""
PAGE: Final = 2_000
"""Texts that are added to the index at a time."""
MOST_LETTERS: Final = 5_000
"""Dead letters that are looked up one by one; where more may hold a text, all are read."""
NUL: Final = "\0"
"""Where SQLite takes a text to end."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is looked through: texts of a store, by numbers that rise with the commits."""

    shelf: Shelf
    behind: Callable[[int], Iterator[Text]]
    """Iterates over the texts behind a number, in order."""
    at: Callable[[int], str | None]
    """Returns the text of a number; None if it is not there any more."""
    ends: Callable[[], tuple[int, int] | None]
    """Returns the first number and the last; None if there is none."""


def searchable(selection: Selection) -> bool:
    """Tell whether an index helps: where few events are left anyway, they are read."""
    text = selection.text.casefold()
    narrow = selection.correlation is not None or selection.key is not None
    return len(text) >= SHORTEST and not narrow and NUL not in text and _is_unicode(text)


def _is_unicode(text: str) -> bool:
    """Tell whether a text has no half of a surrogate pair, which no database takes."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def candidates(
    store: StoreReader,
    texts: Texts,
    text: str,
    after: int,
    read: Callable[[int], Iterable[T]],
    *,
    newest: bool,
) -> Generator[T, None, int | None]:
    """Iterate over what is ``read`` of the numbers behind ``after`` that may hold a text.

    Returns None when those are all; else, where there is no index or it failed, the number behind
    which all must be read.
    """
    try:
        index = store.text_index()
        if index is None:
            return after
        with contextlib.closing(index):
            _catch_up(index, texts)
            for number in index.find(texts.shelf, text.casefold(), after, newest=newest):
                after = number
                yield from read(number)
    except StoreError as error:
        logger.info("the search reads every row, without an index: %s", error)
        return after
    return None


def _catch_up(index: TextSearch, texts: Texts) -> None:
    """Add what came since; begin anew where most of what it has is not in the store any more."""
    while not _is_caught_up(index, texts):
        pass  # another process adds to it as well


def _is_caught_up(index: TextSearch, texts: Texts) -> bool:
    shelf = texts.shelf
    known = index.extent(shelf)  # before the store, which others add to
    if known.last and (_mostly_trimmed(texts, known) or _differs(texts, known)):
        index.clear(shelf, known)
        known = index.extent(shelf)
    new = texts.behind(known.last)
    while page := list(itertools.islice(new, PAGE)):
        last, text = page[-1]
        if not index.add(shelf, page, known, last, _mark(text)):
            return False
        known = index.extent(shelf)
    return True


def _mark(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _mostly_trimmed(texts: Texts, known: Indexed) -> bool:
    """Tell whether the index has more of what was trimmed away than the store has at all."""
    ends = texts.ends()
    return ends is not None and ends[0] - known.first > ends[1] - ends[0] + PAGE


def _differs(texts: Texts, known: Indexed) -> bool:
    """Tell whether the store has another text where the index ends: a backup was put back.

    Not where that was trimmed: whatever stood there, a search finds it no more.
    """
    text = texts.at(known.last)
    if text is not None:
        return _mark(text) != known.mark
    ends = texts.ends()
    return ends is not None and known.last > ends[0]


def letters_with(
    store: StoreReader, text: str, text_of: Callable[[DeadLetter], str]
) -> list[DeadLetter] | None:
    """Return the dead letters that may hold a text; None where all must be read.

    Their ids do not rise with their deaths, so the index numbers them as it meets them, and knows
    each by its checksum.
    """
    try:
        index = store.text_index()
        if index is None:
            return None
        with contextlib.closing(index):
            _catch_up_letters(store, index, text_of)
            few = itertools.islice(
                index.find(Shelf.LETTERS, text.casefold(), 0, newest=False), MOST_LETTERS + 1
            )
            ids = index.letters(list(few))
    except StoreError as error:
        logger.info("the search reads every dead letter, without an index: %s", error)
        return None
    return None if len(ids) > MOST_LETTERS else [*_read(store, sorted(ids))]


def _read(store: StoreReader, ids: Iterable[int]) -> Iterator[DeadLetter]:
    """Iterate over dead letters by ids that are in order; those that are gone are left out."""
    wanted = list(ids)
    if len(wanted) <= MOST_LETTERS:
        for number in wanted:
            yield from (x for x in store.dead_letters(after=number - 1, limit=1) if x.id == number)
        return
    after, chosen = wanted[0] - 1, set(wanted)
    while page := store.dead_letters(after=after, limit=PAGE):
        yield from (letter for letter in page if letter.id in chosen)
        after = page[-1].id


def _catch_up_letters(
    store: StoreReader, index: TextSearch, text_of: Callable[[DeadLetter], str]
) -> None:
    while not _has_letters(store, index, text_of):
        pass


def _has_letters(
    store: StoreReader, index: TextSearch, text_of: Callable[[DeadLetter], str]
) -> bool:
    known, digest = index.extent(Shelf.LETTERS), store.dead_digest()
    if known.first and known.mark == digest:
        return True
    held = index.all_letters()
    if len(held) > 2 * store.counted("dead_letters") + PAGE:
        index.clear(Shelf.LETTERS, known)
        known, held = index.extent(Shelf.LETTERS), set()
    new = {letter: crc for letter, crc in store.dead_marks() if (letter, crc) not in held}
    serial = itertools.count(known.last + 1)
    found = ((number, letter) for letter in _read(store, sorted(new)) for number in (next(serial),))
    while page := list(itertools.islice(found, PAGE)):
        rows = [(number, text_of(letter)) for number, letter in page]
        marks = [(number, letter.id, new[letter.id]) for number, letter in page]
        if not index.add(Shelf.LETTERS, rows, known, page[-1][0], 0, letters=marks):
            return False
        known = index.extent(Shelf.LETTERS)
    return index.add(Shelf.LETTERS, (), known, known.last, digest)
