"""Shared state by scope and key, in and outside turns."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar, cast, overload

import msgspec

from ...hooks.points import (
    SCOPE_DELETE_AFTER,
    SCOPE_DELETE_BEFORE,
    SCOPE_WRITE_AFTER,
    SCOPE_WRITE_BEFORE,
)
from ...persistence.errors import Conflict, CorruptState, Denied, LimitExceeded
from ...persistence.names.keys import apart, checked_key, checked_part, matches
from ...persistence.names.named import checked_scope
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.page import LIMIT, Page, page_of, walk
from ...persistence.records.tables import Change, Row
from ...persistence.secrets.place import Place, in_scope
from ..ledger.desk import ATTEMPTS
from ..ledger.guard import ALL, Right, Shown
from ..ledger.ledger import Stale
from ..ledger.unit import Step
from .entries import ABSENT, EXPIRES, KEY, VALUE, VERSION, Entry, entry_of, gone
from .rows import KeyedRows, KeyPlace
from .tally import counted

T = TypeVar("T")
D = TypeVar("D")

MOST_AT_ONCE: Final = 10_000
"""Keys one turn or transaction may clear."""
SLICE: Final = 1_000
"""Keys a clearing outside takes in one commit."""


class ScopedState(KeyedRows):
    """Read and write shared keys. Thread-safe; the same handle serves turns and callers outside.

    In a turn its agent acts; writes commit with the turn and are undone with
    it, and reads see them. Outside, each write is a commit of its own and returns when it is
    durable; reads see what is durable. A turn that wrote over a key that another changed after this
    turn had read it begins again. Refused calls raise Denied, whatever is stored.
    """

    def register(
        self,
        pattern: str,
        type: object,  # noqa: A002 - as msgspec has it
        *,
        kind: str | None = None,
    ) -> None:
        """Have the keys of a pattern hold values of a type, as long as the system is open.

        ``pattern`` is a key, or a prefix and ``*``; the longest that fits a key counts. ``kind``
        limits it to one kind of scopes. Writing anything else is a StateError with its path, and
        reading gives the type. ConfigurationError if the pattern has another type already,
        IncompatibleSchema if the type cannot read what is stored. Denied to agents: it would bind
        all others.
        """
        who = self._desk.standing().principal
        if who != Principal.SYSTEM:
            raise Denied(f"{who} may not register types; the program does, outside")
        self._schemas.register(pattern, type, kind)

    # Reading.

    @overload
    def get(self, scope: Scope, key: str, *, default: object = None) -> object: ...
    @overload
    def get(self, scope: Scope, key: str, type: type[T], *, default: None = None) -> T | None: ...
    @overload
    def get(self, scope: Scope, key: str, type: type[T], *, default: D) -> T | D: ...

    def get(
        self,
        scope: Scope,
        key: str,
        type: type[T] | None = None,  # noqa: A002 - as msgspec has it
        *,
        default: object = None,
    ) -> object:
        """Return a value, or ``default`` if the key is not there; needs the right READ.

        ``type`` says what it is; CorruptState if the stored value is of another type.
        """
        row = self._read(scope, key, Right.READ, "read")
        if row is None:
            return default
        return self._codec(scope, row, type).load(str(row[VALUE]), f"{scope} {key!r}")

    @overload
    def entry(self, scope: Scope, key: str) -> Entry[object] | None: ...
    @overload
    def entry(self, scope: Scope, key: str, type: type[T]) -> Entry[T] | None: ...

    def entry(
        self,
        scope: Scope,
        key: str,
        type: type[T] | None = None,  # noqa: A002 - same
    ) -> Entry[T] | Entry[object] | None:
        """Return a value with its version, or None; needs READ."""
        row = self._read(scope, key, Right.READ, "read")
        if row is None:
            return None
        return entry_of(row, self._codec(scope, row, type), f"{scope} {key!r}")

    def exists(self, scope: Scope, key: str) -> bool:
        """Tell whether a key is there; needs READ."""
        return self._read(scope, key, Right.READ, "read") is not None

    @overload
    def get_many(self, scope: Scope, keys: Iterable[str]) -> dict[str, object]: ...
    @overload
    def get_many(self, scope: Scope, keys: Iterable[str], type: type[T]) -> dict[str, T]: ...

    def get_many(
        self,
        scope: Scope,
        keys: Iterable[str],
        type: type[T] | None = None,  # noqa: A002 - same
    ) -> dict[str, T] | dict[str, object]:
        """Return the values of those keys that are there; needs READ for each.

        Each as of its own moment; in a transaction they are of one.
        """
        found: dict[str, T] = {}
        for key in keys:
            row = self._read(scope, key, Right.READ, "read")
            if row is not None:
                codec = self._codec(scope, row, type)
                found[key] = codec.load(str(row[VALUE]), f"{scope} {key!r}")
        return found

    def list(
        self, scope: Scope, *, prefix: str = "", after: str | None = None, limit: int = LIMIT
    ) -> Page[str]:
        """Return a page of the keys in code point order, those behind ``after``; needs LIST."""
        keys = (str(row[KEY]) for row in self._rows(scope, prefix, after or ""))
        return page_of(keys, limit, str)

    def each(self, scope: Scope, *, prefix: str = "", after: str | None = None) -> Iterator[str]:
        """Iterate over all keys in that order; each page is a call of ``list``, with its right."""
        return walk(lambda place: self.list(scope, prefix=prefix, after=place, limit=SLICE), after)

    def count(self, scope: Scope, *, prefix: str = "") -> int:
        """Return how many keys there are that the caller may list; needs LIST.

        The store counts, also those with a prefix or covered by grants. Where a boundary of your
        own decides, and while keys wait for the sweep that deletes expired ones, it takes the time
        of a list. A key whose row is damaged counts where the store counts.
        """
        prefix = checked_part(prefix, "prefix")
        desk, scope = self._desk, checked_scope(scope)
        unit = desk.unit()
        standing = desk.standing() if unit is None else unit.standing
        whole = unit is not None and unit.begins(scope)
        shown = ALL if whole else desk.guard.shown(standing, scope)
        if shown is not ALL and not isinstance(shown, Shown):
            return sum(1 for _ in self._rows(scope, prefix, ""))
        patterns = apart(shown.patterns if isinstance(shown, Shown) else ("*",), prefix)
        desk.allow(unit, Right.LIST, scope, None, "list")
        if unit is not None and not unit.edge:
            desk.learnt()

        def count() -> int:
            found = counted(desk.ledger, unit, scope, desk.now(), patterns)
            if found is not None:
                return found
            keys = (str(row[KEY]) for row in self._living(scope))
            return sum(1 for key in keys if any(matches(pattern, key) for pattern in patterns))

        return desk.number(count)

    # Writing.

    def set(self, scope: Scope, key: str, value: object, *, ttl: float | None = None) -> int:
        """Write a value, for ``ttl`` seconds if that is given; return its version. Needs WRITE.

        In a turn or transaction the version is the one as far as is known by then: the write is
        put where it belongs in the order of the commits, whatever was written in between.
        StateError names the path of a value that cannot be stored exactly. Where a type with
        records is registered, members that it does not know are taken over from what was there.
        """
        place = self._place(scope, key)
        heard = self._desk.listeners.shared
        if heard:
            value = self._offer(SCOPE_WRITE_BEFORE, scope, place[1][KEY], "write", value)
        expires = None if ttl is None else self._clerk.deadline(ttl)
        step = self._put(scope, place, value, expires)
        row = self._change(scope, place, step, Right.WRITE, "write", blind=True)
        assert row is not None
        if heard:
            self._ask(SCOPE_WRITE_AFTER, scope, place[1][KEY], "write", row)
        return cast("int", row[VERSION])

    def would_set(self, scope: Scope, key: str, value: object, ttl: float | None = None) -> None:
        """Raise what writing the key would raise for its value, and write nothing.

        StateError, ScopeError, SessionEnded, SessionLimit; no right is asked for. A ``ttl`` that
        has run out is none.
        """
        place = self._place(scope, key)
        deadline = self._clerk.deadline(None if ttl is not None and ttl <= 0 else ttl)
        step = self._put(scope, place, value, deadline)
        self._desk.ledger.check(Change(*place, step(None)))

    def brought(self, scope: Scope, key: str, text: str, version: str) -> object:
        """Return a value of another store as it is to be written here.

        What an earlier version of its type has written is migrated. MigrationFailed, CorruptState.
        """
        where = f"{scope} {key!r}"
        made = self._schemas.brought(scope.kind, key, text, version, where)
        if self._schemas.knows(scope.kind, key):
            return self._schemas.of(scope, key).load(made, where)
        return msgspec.json.decode(made)

    def set_many(
        self, scope: Scope, values: Mapping[str, object], *, ttl: float | None = None
    ) -> None:
        """Write several values, all or none; needs WRITE for each."""
        if self._desk.listeners.shared:
            with self.transaction():
                for key, value in values.items():
                    self.set(scope, key, value, ttl=ttl)
            return
        with self.transaction():
            desk, expires = self._desk, self._clerk.deadline(ttl)
            unit = desk.unit()
            assert unit is not None, "a transaction has one"
            with unit:
                steps: list[tuple[KeyPlace, Step]] = []
                for key, value in values.items():
                    place = self._place(scope, key)
                    steps.append((place, self._put(scope, place, value, expires)))
                keys = [place[1][KEY] for place, _ in steps]
                desk.allow_each(unit, Right.WRITE, scope, keys, "write")
                unit.change_blindly(steps)  # what is there is seen when it ends

    def set_if_absent(
        self, scope: Scope, key: str, value: object, *, ttl: float | None = None
    ) -> bool:
        """Write a value if the key is not there; tell whether it was written. READ and WRITE."""
        return self.compare_and_set(scope, key, ABSENT, value, ttl=ttl)

    def compare_and_set(
        self, scope: Scope, key: str, expected: object, value: object, *, ttl: float | None = None
    ) -> bool:
        """Write a value if the key has the ``expected`` one; tell whether it was written.

        ``expected`` is a value, ``ABSENT``, or an Entry, which must still be the latest write of
        its key: a key deleted and made anew is another. Needs READ and WRITE.
        """
        place = self._place(scope, key)
        key = place[1][KEY]
        heard, operation = self._desk.listeners.shared, "compare and set"
        if heard:
            value = self._offer(SCOPE_WRITE_BEFORE, scope, key, operation, value)
        holds = self._expectation(scope, key, expected)
        told: list[bool] = []
        put = self._put(scope, place, value, self._clerk.deadline(ttl))
        step = self._clerk.when(holds, put, told)
        row = self._change(scope, place, step, Right.READ | Right.WRITE, operation, checked=True)
        if heard and told[0]:
            self._ask(SCOPE_WRITE_AFTER, scope, key, operation, row)
        return told[0]

    def increment(self, scope: Scope, key: str, by: int = 1, *, ttl: float | None = None) -> int:
        """Add to an integer, 0 if it is not there; return the sum. Needs READ and WRITE.

        Every sum is given out once. In a turn that is so because the turn begins again if another
        added meanwhile; use ``add`` where the sum does not matter. StateError if the value is no
        integer, or the sum is beyond 64 bits.
        """
        told: list[int] = []
        self._add(scope, key, by, ttl, "increment", told, checked=True)
        return told[0]

    def add(self, scope: Scope, key: str, by: int = 1, *, ttl: float | None = None) -> None:
        """Add to an integer without learning the sum; needs READ and WRITE.

        READ because an addition that cannot be made tells what is there. Never makes a turn begin
        again: additions are put together in the order of the commits.
        """
        self._add(scope, key, by, ttl, "add", [], checked=False)

    def delete(self, scope: Scope, key: str) -> bool:
        """Delete a key; tell whether it was there. Needs DELETE.

        Of several who delete a key, one is told that it was there.
        """
        told: list[bool] = []
        try:
            self._delete(scope, key, told, checked=True)
        except CorruptState:
            self._delete(scope, key, told, checked=False, blind=True)
            return True
        return told[0]

    def clear(self, scope: Scope, *, prefix: str = "") -> int:
        """Delete all keys of a scope, or those with a prefix; return how many. DELETE and LIST.

        In a turn or a transaction all at once, up to 10,000 keys (LimitExceeded). Outside in
        commits of 1,000: another may write in between.
        """
        if self._desk.unit() is not None:
            keys = self.list(scope, prefix=prefix, limit=MOST_AT_ONCE + 1)
            if len(keys) > MOST_AT_ONCE:
                message = f"{scope} has more than {MOST_AT_ONCE:,} keys; clear it outside of turns"
                raise LimitExceeded(message)
            return self._delete_all(scope, keys)
        cleared, after = 0, ""
        while keys := self.list(scope, prefix=prefix, after=after, limit=SLICE):
            cleared += self._delete_all(scope, keys)
            after = keys[-1]
        return cleared

    def copy(self, scope: Scope, key: str, to: Scope, to_key: str | None = None) -> bool:
        """Write a key's value under another; False if it is not there. READ here, WRITE there.

        The time to live is copied, too.
        """
        target = key if to_key is None else to_key
        return self.transact(lambda _: self._copy(scope, key, to, target))

    def move(self, scope: Scope, key: str, to: Scope, to_key: str | None = None) -> bool:
        """Copy a key and delete it where it was; False if it is not there. Also needs DELETE."""
        target = key if to_key is None else to_key
        same = (scope, checked_key(key)) == (to, checked_key(target))

        def both(_: ScopedState) -> bool:
            if same:
                return self.exists(scope, key)
            return self._copy(scope, key, to, target) and self.delete(scope, key)

        return self.transact(both)

    # Several keys at once.

    @contextmanager
    def transaction(self) -> Iterator[ScopedState]:
        """Commit what the block changes, in whatever scopes, all or none.

        Outside: one commit at its end, durable when the block is left; Conflict if another changed
        meanwhile what the block has read. In a turn: undone if the block raises, and committed
        with the turn, which begins again in that case. Lists and counts are not watched.
        """
        desk = self._desk
        unit = desk.unit()
        if unit is None:
            alone = desk.begin(edge=True)
            alone.serializable = True
            with desk.transaction(alone):
                yield self
            return
        unit.serializable = True
        try:
            with unit.savepoint():
                yield self
        except Exception as error:
            if unit.edge or isinstance(error, Conflict) or desk.ledger.holds(unit):
                raise
            # It saw one key before and another after somebody's commit: no wonder.
            raise Stale("a transaction was overtaken while it ran; try again") from error

    def transact(self, function: Callable[[ScopedState], T], *, attempts: int = ATTEMPTS) -> T:
        """Run ``function(state)`` in a transaction, and again while it meets a Conflict.

        It should do nothing else than read and write here: it may run several times. Also in a
        turn, which begins again as a whole.
        """
        if self._desk.unit() is not None:
            with self.transaction():
                return function(self)
        return self._desk.run(lambda _unit: function(self), attempts=attempts, serializable=True)

    # Underneath.

    def _add(  # noqa: PLR0917 - what an addition is
        self, scope: Scope, key: str, by: int, ttl: float | None, operation: str,
        told: builtins.list[int], *, checked: bool,
    ) -> None:  # fmt: skip
        place = self._place(scope, key)
        heard = self._desk.listeners.shared
        if heard:
            offered = self._offer(SCOPE_WRITE_BEFORE, scope, place[1][KEY], operation, by)
            by = cast("int", offered)  # anything else is refused as an addend
        step = self._adding(scope, place, by, ttl, told)
        right = Right.READ | Right.WRITE
        row = self._change(scope, place, step, right, operation, checked=checked)
        if heard:
            self._ask(SCOPE_WRITE_AFTER, scope, place[1][KEY], operation, row)

    def _delete(
        self,
        scope: Scope,
        key: str,
        told: builtins.list[bool],
        *,
        checked: bool,
        blind: bool = False,
    ) -> None:
        place = self._place(scope, key)
        heard = self._desk.listeners.shared
        if heard and not blind:  # one that is damaged was asked for when it was tried first
            self._ask(SCOPE_DELETE_BEFORE, scope, place[1][KEY], "delete")
        step = self._clerk.when(lambda row: row is not None, gone, told)

        def swept(row: Row | None) -> Row | None:
            left = step(row)
            return None if left is not None and self._clerk.living(left) is None else left

        self._change(scope, place, swept, Right.DELETE, "delete", checked=checked, blind=blind)
        if heard and told != [False]:
            self._ask(SCOPE_DELETE_AFTER, scope, place[1][KEY], "delete")

    def _delete_all(self, scope: Scope, keys: Sequence[str]) -> int:
        """Delete keys in one commit, whatever others do with them; return how many were there."""
        told: list[list[bool]] = [[] for _ in keys]
        with self.transaction():
            for key, answer in zip(keys, told, strict=True):
                self._delete(scope, key, answer, checked=False)
        return sum(answer == [True] for answer in told)

    def _copy(self, scope: Scope, key: str, to: Scope, to_key: str) -> bool:
        row = self._read(scope, key, Right.READ, "read")
        if row is None:
            return False
        place = self._place(to, to_key)
        there, expires = f"{to} {to_key!r}", cast("float | None", row[EXPIRES])
        text = self._desk.plain.moved(
            str(row[VALUE]), _whole(row), in_scope(*to.columns, place[1][KEY]), there
        )
        self._schemas.check(to, place[1][KEY], text, there)
        step = self._clerk.put(place[1], text, expires)
        heard = self._desk.listeners.shared
        if heard:
            value: object = self._codec(scope, row, None).load(str(row[VALUE]), f"{scope} {key!r}")
            offered = self._offer(SCOPE_WRITE_BEFORE, to, place[1][KEY], "write", value)
            if offered is not value:
                step = self._put(to, place, offered, expires)
        written = self._change(to, place, step, Right.WRITE, "write")
        if heard:
            self._ask(SCOPE_WRITE_AFTER, to, place[1][KEY], "write", written)
        return True


def _whole(row: Row) -> Place:
    """Return the place to which the secrets of a row are bound."""
    return in_scope(*map(str, row[: KEY + 1]))
