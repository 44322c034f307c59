"""Shared state by scope and key, in and outside turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, cast, overload

from ...persistence.codec import Codec
from ...persistence.errors import Conflict, CorruptState, Denied, LimitExceeded, StateError
from ...persistence.shared.guard import Right, Standing, Use
from ...persistence.shared.keys import checked_key, checked_part
from ...persistence.shared.ledger import Ledger, Stale
from ...persistence.shared.scope import Principal, Scope
from ...persistence.shared.unit import Place, Step, Unit
from ...persistence.shared_tables import SCOPED
from ...persistence.tables import Row
from ..access.admission import admit
from .entries import (
    ABSENT,
    EXPIRES,
    KEY,
    SEQUENCE,
    VALUE,
    VERSION,
    Clerk,
    Entry,
    addend,
    entry_of,
    gone,
)
from .listing import listed
from .schemas import Schemas, canonical

T = TypeVar("T")
D = TypeVar("D")

ATTEMPTS: Final = 100
"""Times ``transact`` tries."""
PATIENCE: Final = 3
"""Times it does so before what it needs is reserved for it."""
MOST_AT_ONCE: Final = 10_000
"""Keys one turn or transaction may clear."""
SLICE: Final = 1_000
"""Keys a clearing outside takes in one commit."""


class Calls(Protocol):
    """Know in whose name a call runs and what it belongs to; end what belongs to nothing else."""

    def standing(self) -> Standing:
        """Return in whose name this call runs."""
        ...

    def unit(self) -> Unit | None:
        """Return the unit of the turn or transaction under way; None outside of both."""
        ...

    def learnt(self) -> None:
        """Take note that the turn under way knows what may not be durable yet."""
        ...

    def commit(self, unit: Unit) -> None:
        """End a unit that is no turn's, and wait until it is durable."""
        ...

    def wait(self) -> None:
        """Wait until everything appended so far is durable."""
        ...

    def transaction(self, unit: Unit) -> Any:  # noqa: ANN401 - a context manager
        """Surround an outside transaction that is collected in ``unit``."""
        ...

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...


class ScopedState:
    """Read and write shared keys. Thread-safe; the same handle serves turns and callers outside.

    In a turn, calls run in the name of its agent, writes commit with the turn and are undone with
    it, and reads see them. Outside, each write is a commit of its own and returns when it is
    durable; reads see what is durable. A turn that wrote over a key that another changed after this
    turn had read it begins again. Refused calls raise Denied, whatever is stored.
    """

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        *,
        largest: int,
        principal: Principal | None = None,
        schemas: Schemas | None = None,
    ) -> None:
        """Work on ``ledger``; outside turns in the name of ``principal``, else of the system."""
        self.ledger = ledger
        self.calls = calls
        self.largest = largest
        self.schemas = Schemas() if schemas is None else schemas
        self._principal = principal
        self._clerk = Clerk(calls.now)

    def acting_as(self, principal: Principal) -> ScopedState:
        """Return a handle that acts as ``principal`` outside of turns."""
        return ScopedState(
            self.ledger, self.calls,
            largest=self.largest, principal=principal, schemas=self.schemas,
        )  # fmt: skip

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
        reading gives the type. ConfigurationError if the pattern has another type already.
        """
        self.schemas.register(pattern, type, kind)

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

    def list_keys(
        self, scope: Scope, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[str]:
        """Return up to ``limit`` keys in code point order, those after ``after``; needs LIST."""
        return [str(row[KEY]) for row in self._rows(scope, prefix, after, limit)]

    def count(self, scope: Scope, *, prefix: str = "") -> int:
        """Return how many keys there are; needs LIST. Takes time in proportion."""
        return sum(1 for _ in self._rows(scope, prefix, "", None))

    # Writing.

    def set(self, scope: Scope, key: str, value: object, *, ttl: float | None = None) -> int:
        """Write a value, for ``ttl`` seconds if that is given; return its version. Needs WRITE.

        In a turn or transaction the version is the one as far as is known by then: the write is
        put where it belongs in the order of the commits, whatever was written in between.
        StateError names the path of a value that cannot be stored exactly.
        """
        place = self._place(scope, key)
        step = self._clerk.put(place[1], self._text(scope, key, value), self._clerk.deadline(ttl))
        row = self._change(scope, place, step, Right.WRITE, "write", blind=True)
        assert row is not None
        return cast("int", row[VERSION])

    def set_many(
        self, scope: Scope, values: Mapping[str, object], *, ttl: float | None = None
    ) -> None:
        """Write several values, all or none; needs WRITE for each."""
        with self.transaction():
            for key, value in values.items():
                self.set(scope, key, value, ttl=ttl)

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
        holds = self._expectation(scope, key, expected)
        told: list[bool] = []
        put = self._clerk.put(place[1], self._text(scope, key, value), self._clerk.deadline(ttl))
        step = self._clerk.when(holds, put, told)
        self._change(scope, place, step, Right.READ | Right.WRITE, "compare and set", checked=True)
        return told[0]

    def increment(self, scope: Scope, key: str, by: int = 1, *, ttl: float | None = None) -> int:
        """Add to an integer, 0 if it is not there; return the sum. Needs READ and WRITE.

        Every sum is given out once. In a turn that is so because the turn begins again if another
        added meanwhile; use ``add`` where the sum does not matter. StateError if the value is no
        integer, or the sum is beyond 64 bits.
        """
        place = self._place(scope, key)
        told: list[int] = []
        step = self._adding(scope, place, by, ttl, told)
        self._change(scope, place, step, Right.READ | Right.WRITE, "increment", checked=True)
        return told[0]

    def add(self, scope: Scope, key: str, by: int = 1, *, ttl: float | None = None) -> None:
        """Add to an integer without learning the sum; needs WRITE.

        Never makes a turn begin again: additions are put together in the order of the commits.
        """
        place = self._place(scope, key)
        self._change(scope, place, self._adding(scope, place, by, ttl, []), Right.WRITE, "add")

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
        if self.calls.unit() is not None:
            keys = self.list_keys(scope, prefix=prefix, limit=MOST_AT_ONCE + 1)
            if len(keys) > MOST_AT_ONCE:
                message = f"{scope} has more than {MOST_AT_ONCE:,} keys; clear it outside of turns"
                raise LimitExceeded(message)
            return self._delete_all(scope, keys)
        cleared, after = 0, ""
        while keys := self.list_keys(scope, prefix=prefix, after=after, limit=SLICE):
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
        unit = self.calls.unit()
        if unit is None:
            with self.calls.transaction(self._transaction_unit(None)):
                yield self
            return
        unit.serializable = True
        try:
            with unit.savepoint():
                yield self
        except Exception as error:
            if unit.edge or isinstance(error, Conflict) or self.ledger.holds(unit):
                raise
            # It saw one key before and another after somebody's commit: no wonder.
            raise Stale("a transaction was overtaken while it ran; try again") from error

    def transact(self, function: Callable[[ScopedState], T], *, attempts: int = ATTEMPTS) -> T:
        """Run ``function(state)`` in a transaction, and again while it meets a Conflict.

        It should do nothing else than read and write here: it may run several times. Also in a
        turn, which begins again as a whole.
        """
        if self.calls.unit() is not None:
            with self.transaction():
                return function(self)
        owner = object()
        try:
            for attempt in range(1, attempts + 1):
                unit = self._transaction_unit(owner)
                try:
                    with self.calls.transaction(unit):
                        return self._attempt(function, unit)
                except Conflict:
                    if attempt >= attempts:
                        raise
                    if attempt >= PATIENCE:
                        self.ledger.reserve(unit)
        finally:
            self.ledger.free(owner)
        raise ValueError(f"attempts={attempts}: at least one is needed")

    def _attempt(self, function: Callable[[ScopedState], T], unit: Unit) -> T:
        try:
            return function(self)
        except Exception as error:
            if isinstance(error, Conflict) or self.ledger.holds(unit):
                raise
            # It saw one key before and another after somebody's commit: no wonder.
            self.ledger.reserve(unit)
            raise Stale("a transaction was overtaken while it ran; try again") from error

    # Underneath.

    def _standing(self) -> Standing:
        standing = self.calls.standing()
        if self._principal is not None and standing.principal == Principal.SYSTEM:
            return standing._replace(principal=self._principal)
        return standing

    def _place(self, scope: Scope, key: str) -> Place:
        return SCOPED, (scope.kind, scope.id, scope.part, checked_key(key))

    def _transaction_unit(self, owner: object) -> Unit:
        unit = Unit(self._standing(), self.ledger.guard.epoch, owner, edge=True)
        unit.serializable = True
        return unit

    def _codec(self, scope: Scope, row: Row, declared: type[T] | None) -> Codec[T]:
        if declared is None:
            codec = self.schemas.of(scope, cast("str", row[KEY]))
        else:
            codec = self.schemas.codec(declared, f"{scope} {row[KEY]!r}")
        return cast("Codec[T]", codec)

    def _read(self, scope: Scope, key: str, right: Right, operation: str) -> Row | None:
        place = self._place(scope, key)
        unit = self.calls.unit()
        # By its normal form, under which it is stored: a grant is for that.
        self._allow(unit, right, scope, cast("str", place[1][KEY]), operation)
        if unit is None:
            return self._clerk.living(self.ledger.durable(*place))
        return self._clerk.living(self._look(unit, place))

    def _look(self, unit: Unit, place: Place) -> Row | None:
        if not unit.edge:
            newest = self._fetch(unit, place)
            if self.ledger.under_way(place):
                self.calls.learnt()
            return unit.read(place, newest)
        # What belongs to no turn may be told to anybody: it sees nothing before it is durable.
        if self.ledger.under_way(place):
            self.calls.wait()
        return unit.read(place, self._fetch(unit, place))

    def _delete(
        self, scope: Scope, key: str, told: list[bool], *, checked: bool, blind: bool = False
    ) -> None:
        place = self._place(scope, key)
        step = self._clerk.when(lambda row: row is not None, gone, told)

        def swept(row: Row | None) -> Row | None:
            left = step(row)
            return None if left is not None and self._clerk.living(left) is None else left

        self._change(scope, place, swept, Right.DELETE, "delete", checked=checked, blind=blind)

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
        text = str(row[VALUE])
        self.schemas.check(to, cast("str", place[1][KEY]), text, f"{to} {to_key!r}")
        step = self._clerk.put(place[1], text, cast("float | None", row[EXPIRES]))
        self._change(to, place, step, Right.WRITE, "write")
        return True

    def _adding(
        self, scope: Scope, place: Place, by: int, ttl: float | None, told: list[int]
    ) -> Step:
        check = _Fits(self.schemas, scope, cast("str", place[1][KEY]))
        number = addend(by, check.path)
        return self._clerk.add(place[1], number, self._clerk.deadline(ttl), told, check)

    def _change(
        self,
        scope: Scope,
        place: Place,
        step: Step,
        right: Right,
        operation: str,
        *,
        checked: bool = False,
        blind: bool = False,
    ) -> Row | None:
        """Add a step to the unit under way, or commit it alone; return what it makes.

        A ``blind`` one is made from nothing, so that it replaces what cannot be read any more.
        """
        unit = self.calls.unit()
        key = cast("str", place[1][KEY])
        if unit is not None:
            self._allow(unit, right, scope, key, operation)
            if blind and place not in unit.steps:
                unit.replaced.add(place)
            before = self._before(unit, place, checked=checked)
            unit.change(place, step, checked=checked)
            try:
                return unit.seen(place, before)
            except Exception:
                unit.withdraw(place)  # whoever catches this may go on with the rest
                raise
        unit = Unit(self._standing(), self.ledger.guard.epoch)
        self._allow(unit, right, scope, key, operation)
        written: list[Row | None] = []

        def watched(row: Row | None) -> Row | None:
            written[:] = [step(row)]
            return written[0]

        if blind:
            unit.replaced.add(place)
        unit.change(place, watched, checked=False)
        self.calls.commit(unit)
        return written[0]

    def _before(self, unit: Unit, place: Place, *, checked: bool) -> Row | None:
        """Return what a step in a unit is made from."""
        if checked:
            self._look(unit, place)
            return unit.reads[place]
        return self._fetch(unit, place)

    def _fetch(self, unit: Unit, place: Place) -> Row | None:
        """Return a row as a unit may see it."""
        try:
            return self.ledger.durable(*place) if unit.edge else self.ledger.newest(*place)
        except CorruptState:
            if place not in unit.replaced:
                raise
            return None

    def _rows(self, scope: Scope, prefix: str, after: str, limit: int | None) -> Iterator[Row]:
        prefix, after = checked_part(prefix, "prefix"), checked_part(after, "key to go on after")
        unit = self.calls.unit()
        standing = self._standing() if unit is None else unit.standing
        shown = self.ledger.guard.shown(standing, scope)  # before a grant may be used up by this
        self._allow(unit, Right.LIST, scope, None, "list")
        if unit is not None:
            self.calls.learnt()
        for row in listed(self.ledger, unit, scope.columns, prefix, after):
            if limit is not None and limit <= 0:
                return
            if self._clerk.living(row) is not None and shown(str(row[KEY])):
                yield row
                limit = None if limit is None else limit - 1

    def _allow(
        self, unit: Unit | None, right: Right, scope: Scope, key: str | None, operation: str
    ) -> None:
        standing = self._standing()
        if unit is not None:
            if unit.edge and standing.principal != unit.standing.principal:
                message = (
                    f"this transaction runs in the name of {unit.standing.principal}; use the"
                    " handle that it gives"
                )
                raise Denied(message)
            standing = unit.standing
        admit(self.ledger.guard, self.calls, unit, standing, Use(right, scope, key, operation))

    def _text(self, scope: Scope, key: str, value: object) -> str:
        path = f"{scope} {key!r}"
        text = self.schemas.encode(scope, checked_key(key), value, path)
        if len(text) > self.largest:
            problem = f"takes {len(text):,} characters, more than the limit of {self.largest:,}"
            raise StateError(path, problem)
        return text

    def _expectation(
        self, scope: Scope, key: str, expected: object
    ) -> Callable[[Row | None], bool]:
        if expected is ABSENT:
            return lambda row: row is None
        if isinstance(expected, Entry):
            # The sequence is 0 while the write is this turn's own; the version tells those apart.
            written = (expected.sequence, expected.version)
            return lambda row: row is not None and (row[SEQUENCE], row[VERSION]) == written
        text = self._text(scope, key, expected)
        form = canonical(text)
        return lambda row: (
            row is not None and (row[VALUE] == text or canonical(str(row[VALUE])) == form)
        )


class _Fits:
    """Tell whether a sum fits what a key may hold."""

    def __init__(self, schemas: Schemas, scope: Scope, key: str) -> None:
        self.path = f"{scope} {key!r}"
        self._place = (schemas, scope, key)

    def __call__(self, text: str) -> None:
        schemas, scope, key = self._place
        schemas.check(scope, key, text, self.path)
