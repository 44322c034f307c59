"""Rows of keys, as a call may see and change them: in turns, in transactions, alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, cast

from ...persistence.codec.codec import Codec
from ...persistence.errors import CorruptState, Denied, StateError
from ...persistence.names.keys import checked_key, checked_part
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Row
from ..access.admission import admit
from ..access.named import checked_scope
from ..ledger.guard import Right, Standing, Use
from ..ledger.ledger import Ledger
from ..ledger.unit import Place, Step, Unit
from .entries import ABSENT, KEY, SEQUENCE, VALUE, VERSION, Clerk, Entry, addend
from .listing import listed
from .schemas import Schemas, canonical

T = TypeVar("T")


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


class KeyedRows:
    """Find out whose call it is, what it sees, and with what it commits; ask the guard before."""

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

    def _standing(self) -> Standing:
        standing = self.calls.standing()
        if self._principal is not None and standing.principal == Principal.SYSTEM:
            return standing._replace(principal=self._principal)
        return standing

    def _place(self, scope: Scope, key: str) -> Place:
        if scope.__class__ is not Scope:
            scope = checked_scope(scope)
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
        return unit.base(place, self._fetch(unit, place))

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
        scope = checked_scope(scope)
        unit = self.calls.unit()
        standing = self._standing() if unit is None else unit.standing
        shown = self.ledger.guard.shown(standing, scope)  # before a grant may be used up by this
        self._allow(unit, Right.LIST, scope, None, "list")
        if unit is not None:
            if unit.begins(scope):
                shown = _everything
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


def _everything(_key: str) -> bool:
    return True
