"""Which rows a damaged file holds, of which table, and which of its pages are lost.

First the trees are walked from where the schema says that they begin, as SQLite does. A page that
no tree leads to any more, because what led to it is damaged, is found by looking at every page:
each row on it proves by its checksum of which table it is. Pages that are free are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple

from .cells import INTERIOR, KEY_INTERIOR, KEY_LEAF, LEAF, Cell, Page, read_page
from .forms import Form, Row, forms, index_forms
from .image import Image

Key = tuple[Any, ...]
_RANKS: Final = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}
_KINDS: Final = {False: (LEAF, INTERIOR), True: (KEY_LEAF, KEY_INTERIOR)}


def order(key: Key) -> list[tuple[int, Any]]:
    """Return a key as Python compares it the way SQLite does."""
    return [
        (_RANKS[type(part)], part.encode() if isinstance(part, str) else part or 0) for part in key
    ]


class FoundRow(NamedTuple):
    """A row of a table, or what is left of one."""

    table: str
    row: Row
    good: bool
    pages: tuple[int, ...]
    """On which it stands."""


@dataclass(slots=True, eq=False)
class LostPage:
    """A page that cannot be read as what it should be, or a part of it that cannot."""

    number: int
    belongs_to: str
    """A table or an index; empty where nothing says."""
    what: str
    after: Key | None = None
    before: Key | None = None
    """Between which rows of the table, by their keys, its own were; None for no bound."""
    rows: bool = False
    """It can be read, and rows on it fail their checksums: keys, too, may not be what they were."""

    def covers(self, key: Key) -> bool:
        """Tell whether a row with a key would have been on it, by what stands before and behind."""
        place = order(key)
        low = self.after is None or order(self.after) < place
        return low and (self.before is None or place < order(self.before))


class SchemaRow(NamedTuple):
    """What the file itself says that it has."""

    type: str
    name: str
    table: str
    root: int
    sql: str | None


@dataclass(slots=True)
class Forest:
    """The trees of one file."""

    image: Image
    lost: list[LostPage] = field(default_factory=list)
    schema: list[SchemaRow] = field(default_factory=list)
    lease: list[Row] = field(default_factory=list)
    """The rows of the table in which the owner stands."""
    _seen: set[int] = field(default_factory=set)
    _taken: set[int] = field(default_factory=set)
    """Pages on which rows go on that have begun on another."""

    def rows(self) -> Iterator[FoundRow]:
        """Iterate over all rows: first those that trees lead to, then the others."""
        self._read_schema()
        roots = {row.name: row.root for row in self.schema if row.root}
        for name, form in forms().items():
            if name not in roots:
                self.lost.append(LostPage(1, name, "the schema does not say where it begins"))
                continue
            yield from self._of_tree(roots[name], form)
        for page in self._walk(roots.get("lease", 0), "lease", keyed=False):
            self.lease += ((cell.number, *cell.values[1:]) for cell in page.cells)
        yield from self._others(roots)

    def _read_schema(self) -> None:
        """Find out where the trees begin; by all pages, if what should lead there is damaged."""
        pages: Iterable[Page] = [*self._walk(1, "the schema", keyed=False)]
        if self.lost:
            numbers = (n for n in range(2, self.image.pages + 1) if n not in self._seen)
            found = (read_page(self.image, number) for number in numbers)
            pages = chain(pages, (page for page in found if page and page.kind == LEAF))
        for page in pages:
            rows = [cell.values for cell in page.cells if _is_schema(cell.values)]
            self.schema += (SchemaRow(*values) for values in rows)
            if rows:
                self._seen.add(page.number)

    def entries(self, index: str) -> Iterator[tuple[Any, ...]]:
        """Iterate over the entries of an index; after ``rows``."""
        root = next((r.root for r in self.schema if (r.type, r.name) == ("index", index)), 0)
        for page in self._walk(root, index, keyed=True, again=True):
            yield from (cell.values for cell in page.cells)

    def indexed(self) -> set[str]:
        """Return the tables of which an index that is whole says which rows they had."""
        there = {row.name for row in self.schema} - {each.belongs_to for each in self.lost}
        return {f.table for f in index_forms().values() if f.complete and f.name in there}

    def of_others(self) -> list[str]:
        """Return the tables that are not perdure's."""
        tables = (row.name for row in self.schema if row.type == "table")
        return [n for n in tables if n not in forms() and n != "lease" and "sqlite_" not in n[:7]]

    def _walk(self, root: int, name: str, *, keyed: bool, again: bool = False) -> Iterator[Page]:
        """Iterate over the pages of a tree in its order, each once; note those that are lost."""
        waiting = [root] if root else []
        before = set() if again else self._seen
        while waiting:
            number = waiting.pop()
            if number in before:
                self._lose(number, name, "other pages lead to it, too", again=again)
                continue
            if not 0 < number <= self.image.pages:
                self._lose(number, name, "is behind the end of the file", again=again)
                continue
            before.add(number)
            page = read_page(self.image, number, taken=self._taken)
            if page is None or page.kind not in _KINDS[keyed]:
                of_another, page = page, self._guessed(number, keyed=keyed)
                what = "is not a page of it" if page is None else "its kind was changed"
                self._lose(number, name, what, again=again)
                if page is None:
                    if of_another is not None:
                        before.discard(number)  # a damaged page led here: its own tree reads it
                    continue
            for what in page.faults:
                self._lose(number, name, what, again=again)
            if number != root and not page.cells and not page.children:
                self._lose(number, name, "it is empty", again=again)
            waiting += reversed(page.children)
            yield page

    def _lose(self, number: int, name: str, what: str, *, again: bool) -> None:
        if not again:
            self.lost.append(LostPage(number, name, what))

    def _guessed(self, number: int, *, keyed: bool) -> Page | None:
        """Return a page whose kind was changed, if the cells of one kind make sense on it."""
        for kind in _KINDS[keyed]:
            page = read_page(self.image, number, kind, taken=self._taken)
            if page is not None and page.cells and not page.faults:
                return page
        return None

    def _of_tree(self, root: int, form: Form) -> Iterator[FoundRow]:
        """Iterate over the rows of a table; say of each lost page between which rows it was."""
        last: Key | None = None
        waiting: list[LostPage] = []
        told = len(self.lost)
        for page in self._walk(root, form.name, keyed=form.keyed):
            waiting += self.lost[told:]
            told = len(self.lost)
            before, own = last, [each for each in waiting if each.number == page.number]
            for found in self._of_page(page, form):
                yield found
                if found.table != form.name or not found.good:
                    own.append(LostPage(page.number, form.name, "a row on it is bad", rows=True))
                elif not page.children:
                    key = tuple(found.row[at] for at in form.key)
                    last = self._next(form, page, own, last, key)
                    for lost in waiting:
                        if lost not in own:
                            lost.after, lost.before = before, key
                    waiting = [each for each in waiting if each in own]
            waiting += (each for each in own if each not in waiting)
            self.lost += (each for each in own if each not in self.lost)
            told = len(self.lost)
            for lost in own:
                lost.after = before
        for lost in [*waiting, *self.lost[told:]]:
            lost.after = last if lost.after is None and lost.before is None else lost.after

    @staticmethod
    def _next(
        form: Form, page: Page, own: list[LostPage], last: Key | None, key: Key
    ) -> Key:  # fmt: skip
        """Return the key of a row, as the one behind the last; note it where it is not."""
        ordered = form.keyed or form.numbered
        if ordered and last is not None and order(key) <= order(last):
            own.append(LostPage(page.number, form.name, "its rows are out of order"))
            return max(last, key, key=order)
        return key

    def _of_page(self, page: Page, form: Form) -> Iterator[FoundRow]:
        for cell in page.cells:
            row, pages = form.row(cell.number, cell.values), (page.number, *cell.overflow)
            good = row is not None and form.good(row)
            found = None if good else self._proven(page, cell)
            if found is not None:  # the page is of another table
                yield found
            else:
                self._taken.update(cell.overflow if good else ())
                left = (cell.number, *cell.values) if row is None else row
                yield FoundRow(form.name, left, good, pages)

    def _others(self, roots: dict[str, int]) -> Iterator[FoundRow]:
        """Iterate over the rows of pages that no tree of ours leads to."""
        missing = forms().keys() - roots.keys()  # one may stand there under a damaged name
        for name in roots.keys() - forms().keys() - {"lease"}:  # indexes, tables of others
            keyed = name in index_forms() or any(
                row.name == name
                and (row.type == "index" or "WITHOUT ROWID" in (row.sql or "").upper())
                for row in self.schema
            )
            for each in self._walk(roots[name], name, keyed=keyed):
                self._taken.update(at for cell in each.cells for at in cell.overflow)
                found = (self._proven(each, cell) for cell in each.cells if missing)
                yield from (row for row in found if row is not None and row.table in missing)
        passed = self._seen | self._taken | self._free()
        for number in range(2, self.image.pages + 1):
            if number in passed:
                continue
            page = read_page(self.image, number, taken=self._taken)
            if page is not None:
                found = (self._proven(page, cell) for cell in page.cells)
                yield from (row for row in found if row is not None)
            elif any(self.image.page(number)):
                self.lost.append(LostPage(number, "", "nothing leads to it, and it is no page"))

    def _proven(self, page: Page, cell: Cell) -> FoundRow | None:
        """Return a row of whichever table it is of by its checksum."""
        for form in forms().values():
            if form.keyed == page.keyed:
                row = form.row(cell.number, cell.values)
                if row is not None and form.good(row):
                    self._taken.update(cell.overflow)
                    pages = (page.number, *cell.overflow)
                    return FoundRow(form.name, row, good=True, pages=pages)
        return None

    def _free(self) -> set[int]:
        """Return the pages that the file says are free, as far as its list of them goes."""
        free: set[int] = set()
        trunk = int.from_bytes(self.image.header()[32:36])
        most = self.image.page_size // 4 - 2
        while 1 < trunk <= self.image.pages and trunk not in free | self._seen:
            free.add(trunk)
            data = self.image.page(trunk)
            count = int.from_bytes(data[4:8])
            if count > most:
                self.lost.append(LostPage(trunk, "free pages", "its list of them is damaged"))
                break
            free.update(int.from_bytes(data[at : at + 4]) for at in range(8, 8 + 4 * count, 4))
            trunk = int.from_bytes(data[:4])
        return free - self._seen


def _is_schema(values: tuple[Any, ...]) -> bool:
    match values:
        case ("table" | "index" | "view" | "trigger", str(), str(), int(), str() | None):
            return True
    return False
