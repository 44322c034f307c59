"""Shared state by scope and key, in and outside turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, cast

from ...persistence.chain import AuditRecord
from ...persistence.codec import Codec, codec_of
from ...persistence.errors import Conflict, LimitExceeded, StateError
from ...persistence.shared.guard import Right, Standing, Use
from ...persistence.shared.keys import checked_key
from ...persistence.shared.ledger import Ledger, refusal
from ...persistence.shared.scope import Principal, Scope
from ...persistence.shared.unit import Place, Step, Unit
from ...persistence.shared_tables import SCOPED
from ...persistence.tables import Row
from .entries import ABSENT, KEY, SEQUENCE, VALUE, VERSION, Clerk, Entry, entry_of, gone
from .listing import listed

T = TypeVar("T")
D = TypeVar("D")

ATTEMPTS: Final = 100
"""Times ``transact`` tries."""
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

    def transaction(self, standing: Standing) -> Any:  # noqa: ANN401 - a context manager
        """Surround an outside transaction."""
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
        self, ledger: Ledger, calls: Calls, *, largest: int, principal: Principal | None = None
    ) -> None:
        """Work on ``ledger``; outside turns in the name of ``principal``, else of the system."""
        self.ledger = ledger
        self.calls = calls
        self.largest = largest
        self._principal = principal
        self._clerk = Clerk(calls.now)

    def acting_as(self, principal: Principal) -> ScopedState:
        """Return a handle that acts as ``principal`` outside of turns."""
        return ScopedState(self.ledger, self.calls, largest=self.largest, principal=principal)

    # Reading.

    def get(
        self,
        scope: Scope,
        key: str,
        type: type[T] | None = None,  # noqa: A002 - as msgspec has it
        *,
        default: D | None = None,
    ) -> T | D | None:
        """Return a value, or ``default`` if the key is not there; needs the right READ.

        ``type`` says what it is; CorruptState if the stored value is of another type.
        """
        row = self._read(scope, key, Right.READ, "read")
        if row is None:
            return default
        codec = cast("Codec[T]", codec_of(object if type is None else type))
        return codec.load(str(row[VALUE]), f"{scope} {key!r}")

    def entry(self, scope: Scope, key: str, type: type[T] | None = None) -> Entry[T] | None:  # noqa: A002 - same
        """Return a value with its version, or None; needs READ."""
        row = self._read(scope, key, Right.READ, "read")
        codec = cast("Codec[T]", codec_of(object if type is None else type))
        return None if row is None else entry_of(row, codec, f"{scope} {key!r}")

    def exists(self, scope: Scope, key: str) -> bool:
        """Tell whether a key is there; needs READ."""
        return self._read(scope, key, Right.READ, "read") is not None

    def get_many(
        self,
        scope: Scope,
        keys: Sequence[str],
        type: type[T] | None = None,  # noqa: A002 - same
    ) -> dict[str, T]:
        """Return the values of those keys that are there; needs READ for each."""
        found: dict[str, T] = {}
        for key in keys:
            entry = self.entry(scope, key, type)
            if entry is not None:
                found[key] = entry.value
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

        StateError names the path of a value that cannot be stored exactly.
        """
        place = self._place(scope, key)
        step = self._clerk.put(place[1], self._text(scope, key, value), self._clerk.deadline(ttl))
        row = self._change(scope, place, step, Right.WRITE, "write")
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
        step = self._clerk.add(place[1], by, self._clerk.deadline(ttl), told, f"{scope} {key!r}")
        self._change(scope, place, step, Right.READ | Right.WRITE, "increment", checked=True)
        return told[0]

    def add(self, scope: Scope, key: str, by: int = 1, *, ttl: float | None = None) -> None:
        """Add to an integer without learning the sum; needs WRITE.

        Never makes a turn begin again: additions are put together in the order of the commits.
        """
        place = self._place(scope, key)
        step = self._clerk.add(place[1], by, self._clerk.deadline(ttl), [], f"{scope} {key!r}")
        self._change(scope, place, step, Right.WRITE, "add")

    def delete(self, scope: Scope, key: str) -> bool:
        """Delete a key; tell whether it was there. Needs DELETE."""
        place = self._place(scope, key)
        told: list[bool] = []
        step = self._clerk.when(lambda row: row is not None, gone, told)

        def swept(row: Row | None) -> Row | None:
            left = step(row)
            return None if left is not None and self._clerk.living(left) is None else left

        self._change(scope, place, swept, Right.DELETE, "delete")
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
            return sum([self.delete(scope, key) for key in keys])
        cleared = 0
        while keys := self.list_keys(scope, prefix=prefix, limit=SLICE):
            with self.transaction():
                cleared += sum([self.delete(scope, key) for key in keys])
        return cleared

    def copy(self, scope: Scope, key: str, to: Scope, to_key: str | None = None) -> bool:
        """Write a key's value under another; False if it is not there. READ here, WRITE there."""
        with self.transaction():
            row = self._read(scope, key, Right.READ, "read")
            if row is not None:
                place = self._place(to, key if to_key is None else to_key)
                expires = cast("float | None", row[-1])
                step = self._clerk.put(place[1], str(row[VALUE]), expires)
                self._change(to, place, step, Right.WRITE, "write")
        return row is not None

    def move(self, scope: Scope, key: str, to: Scope, to_key: str | None = None) -> bool:
        """Copy a key and delete it where it was; False if it is not there. Also needs DELETE."""
        with self.transaction():
            same = (scope, key) == (to, key if to_key is None else to_key)
            return self.copy(scope, key, to, to_key) and (same or self.delete(scope, key))

    # Several keys at once.

    @contextmanager
    def transaction(self) -> Iterator[ScopedState]:
        """Commit what the block changes, in whatever scopes, all or none.

        Outside: one commit at its end, durable when the block is left; Conflict if another changed
        meanwhile what the block has read. In a turn: undone if the block raises, and committed
        with the turn, which begins again in that case. Lists and counts are not watched.
        """
        unit = self.calls.unit()
        if unit is not None:
            unit.serializable = True
            with unit.savepoint():
                yield self
            return
        with self.calls.transaction(self._standing()):
            yield self

    def transact(self, function: Callable[[ScopedState], T], *, attempts: int = ATTEMPTS) -> T:
        """Run ``function(state)`` in a transaction, and again while it meets a Conflict."""
        for _ in range(attempts - 1):
            try:
                with self.transaction():
                    return function(self)
            except Conflict:
                if self.calls.unit() is not None:
                    raise
        with self.transaction():
            return function(self)

    # Underneath.

    def _standing(self) -> Standing:
        standing = self.calls.standing()
        if self._principal is not None and standing.principal == Principal.SYSTEM:
            return standing._replace(principal=self._principal)
        return standing

    def _place(self, scope: Scope, key: str) -> Place:
        return SCOPED, (scope.kind, scope.id, scope.part, checked_key(key))

    def _read(self, scope: Scope, key: str, right: Right, operation: str) -> Row | None:
        place = self._place(scope, key)
        unit = self.calls.unit()
        self._allow(unit, right, scope, key, operation)
        if unit is None:
            return self._clerk.living(self.ledger.durable(*place))
        return self._clerk.living(self._look(unit, place))

    def _look(self, unit: Unit, place: Place) -> Row | None:
        newest = self.ledger.newest(*place)
        unit.reads.setdefault(place, newest)
        if self.ledger.under_way(place):
            self.calls.learnt()
        return unit.seen(place, newest)

    def _change(
        self,
        scope: Scope,
        place: Place,
        step: Step,
        right: Right,
        operation: str,
        *,
        checked: bool = False,
    ) -> Row | None:
        unit = self.calls.unit()
        key = cast("str", place[1][KEY])
        if unit is not None:
            self._allow(unit, right, scope, key, operation)
            if checked:
                self._look(unit, place)
            unit.change(place, step, checked=checked)
            return unit.seen(place, self.ledger.newest(*place))
        unit = Unit(self._standing(), self.ledger.guard.epoch)
        self._allow(unit, right, scope, key, operation)
        written: list[Row | None] = []

        def watched(row: Row | None) -> Row | None:
            written[:] = [step(row)]
            return written[0]

        unit.change(place, watched, checked=False)
        self.calls.commit(unit)
        return written[0]

    def _rows(self, scope: Scope, prefix: str, after: str, limit: int | None) -> Iterator[Row]:
        unit = self.calls.unit()
        self._allow(unit, Right.LIST, scope, None, "list")
        for row in listed(self.ledger, unit, scope.columns, prefix, after):
            if limit is not None and limit <= 0:
                return
            if self._clerk.living(row) is not None and self._shown(unit, scope, str(row[KEY])):
                yield row
                limit = None if limit is None else limit - 1
        if unit is not None:
            self.calls.learnt()

    def _shown(self, unit: Unit | None, scope: Scope, key: str) -> bool:
        standing = self._standing() if unit is None else unit.standing
        return self.ledger.guard.check(standing, Right.LIST, scope, key).allowed

    def _allow(
        self, unit: Unit | None, right: Right, scope: Scope, key: str | None, operation: str
    ) -> None:
        standing = self._standing() if unit is None else unit.standing
        decision = self.ledger.guard.check(standing, right, scope, key)
        if decision.audited:
            outcome = "allowed" if decision.allowed else "refused"
            record = AuditRecord(
                self.calls.now(), standing.principal.columns, scope.columns, key or "",
                operation, outcome, decision.reason, 1, standing.correlation,
            )  # fmt: skip
            if unit is None:
                alone = Unit(standing, self.ledger.guard.epoch)
                alone.audit.append(record)
                self.calls.commit(alone)
            else:
                unit.audit.append(record)
        if not decision.allowed:
            if unit is not None and decision.audited and self.calls.unit() is not unit:
                self.calls.commit(unit)  # a call of its own: its refusal is all there is of it
            raise refusal(standing, operation, scope)
        if unit is not None:
            unit.used.append(Use(right, scope, key, operation))

    def _text(self, scope: Scope, key: str, value: object) -> str:
        path = f"{scope} {key!r}"
        text = codec_of(object).encode(value, path)
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
            return lambda row: row is not None and row[SEQUENCE] == expected.sequence
        text = self._text(scope, key, expected)
        return lambda row: row is not None and row[VALUE] == text
