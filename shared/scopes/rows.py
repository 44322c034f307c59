"""Rows of keys, as a call may see and change them: in turns, in transactions, alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, TypeAlias, TypeVar, cast

from ...hooks import points
from ...hooks.details import ScopeDetails
from ...hooks.points import Point
from ...persistence.codec.codec import Codec
from ...persistence.errors import CorruptState, StateError
from ...persistence.names.keys import checked_key, checked_part
from ...persistence.names.named import checked_scope
from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Order, Row, Table
from ...persistence.secrets.detector import sensitive
from ...persistence.secrets.place import in_scope
from ..ledger.desk import Desk, Handle
from ..ledger.guard import Right
from ..ledger.unit import Step, Unit
from .entries import ABSENT, KEY, SEQUENCE, VALUE, VERSION, Clerk, Entry, addend
from .schemas import Schemas, canonical

T = TypeVar("T")

KeyPlace: TypeAlias = tuple[Table, tuple[str, str, str, str]]
"""The place of a scoped key: its scope's columns, and the key in its normal form."""

_BY_SCOPE: Final = ("kind", "id", "part")
_FIRST_SURROGATE, _LAST_SURROGATE = 0xD800, 0xDFFF


class KeyedRows(Handle):
    """Rows of keys as the caller may see and change them."""

    def __init__(self, desk: Desk, *, largest: int, schemas: Schemas) -> None:
        """Act by ``desk``; a value takes ``largest`` characters at most."""
        super().__init__(desk)
        self.largest = largest
        self._schemas = schemas
        self._clerk = Clerk(desk.now)

    def _place(self, scope: object, key: str) -> KeyPlace:
        if not isinstance(scope, Scope):
            scope = checked_scope(scope)
        return SCOPED, (scope.kind, scope.id, scope.part, checked_key(key))

    def _codec(self, scope: Scope, row: Row, declared: type[T] | None) -> Codec[T]:
        key = cast("str", row[KEY])
        if declared is None:
            codec = self._schemas.of(scope, key)
        else:
            codec = self._schemas.codec(declared, f"{scope} {key!r}")
            codec = codec.at(*in_scope(*scope.columns, key))
        return cast("Codec[T]", codec)

    def _read(self, scope: Scope, key: str, right: Right, operation: str) -> Row | None:
        place = self._place(scope, key)
        desk = self._desk
        unit = desk.unit()
        # By its normal form, under which it is stored: a grant is for that.
        normal = place[1][KEY]
        heard = desk.listeners.shared
        if heard:
            self._ask(points.SCOPE_READ_BEFORE, scope, normal, operation)
        if unit is None:
            desk.allow(None, right, scope, normal, operation)
            row = self._clerk.living(desk.behold(None, place))
        else:
            with unit:
                desk.allow(unit, right, scope, normal, operation)
                row = self._clerk.living(desk.look(unit, place))
        if row is not None and self._schemas.aged:
            row = self._fresh(row)
        if heard:
            self._ask(points.SCOPE_READ_AFTER, scope, normal, operation, row)
        return row

    def _ask(
        self,
        point: Point[ScopeDetails],
        scope: Scope,
        key: str,
        operation: str,
        row: Row | None = None,
    ) -> None:
        """Ask who listens; they see the value of ``row``."""
        value: object = None
        if row is not None:
            with suppress(CorruptState):  # the call itself says so where it matters
                value = self._codec(scope, row, None).load(str(row[VALUE]), f"{scope} {key!r}")
        self._offer(point, scope, key, operation, value)

    def _offer(
        self, point: Point[ScopeDetails], scope: Scope, key: str, operation: str, value: object
    ) -> object:
        """Return a value of a key, in its normal form, as those who listen leave it."""
        of = (operation, str(scope), key, value)
        return self._desk.tell(point, key, ScopeDetails, *of).value

    def _adding(
        self, scope: Scope, place: KeyPlace, by: int, ttl: float | None, told: list[int]
    ) -> Step:
        check = _Fits(self._schemas, scope, place[1][KEY])
        number = addend(by, check.path)
        return self._clerk.add(place[1], number, self._clerk.deadline(ttl), told, check)

    def _change(
        self,
        scope: Scope,
        place: KeyPlace,
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
        desk = self._desk
        unit = desk.unit()
        key = place[1][KEY]
        if unit is None:
            return self._change_alone(scope, place, step, right, operation, blind=blind)
        with unit:
            desk.allow(unit, right, scope, key, operation)
            if checked:
                desk.look(unit, place)
                before = unit.reads[place]
            else:
                before = desk.behold(unit, place, blind=blind)
                if unit.serializable:
                    before = unit.base(place, before)
            unit.change(place, step, checked=checked, blind=blind)
            try:
                return unit.seen(place, before)
            except Exception:
                unit.withdraw(place)  # whoever catches this may go on with the rest
                raise

    def _change_alone(
        self,
        scope: Scope,
        place: KeyPlace,
        step: Step,
        right: Right,
        operation: str,
        *,
        blind: bool,
    ) -> Row | None:
        """Commit a step that is run once, under the ledger's lock: whatever is there, it fits."""
        unit = self._desk.begin()
        self._desk.allow(unit, right, scope, place[1][KEY], operation)
        written: list[Row | None] = []

        def watched(row: Row | None) -> Row | None:
            written[:] = [step(row)]
            return written[0]

        unit.change(place, watched, blind=blind)
        self._desk.commit(unit)
        return written[0]

    def _rows(self, scope: Scope, prefix: str, after: str) -> Iterator[Row]:
        prefix, after = checked_part(prefix, "prefix"), checked_part(after, "key to go on after")
        scope = checked_scope(scope)
        desk = self._desk
        unit = desk.unit()
        standing = desk.standing() if unit is None else unit.standing
        shown = desk.guard.shown(standing, scope)  # before a grant may be used up by this
        desk.allow(unit, Right.LIST, scope, None, "list")
        if unit is not None and unit.begins(scope):
            shown = _everything
        for row in keyed(desk, unit, scope.columns, prefix, after):
            if self._clerk.living(row) is not None and shown(str(row[KEY])):
                yield row

    def _living(self, scope: Scope) -> Iterator[Row]:
        """Iterate over all keys of a scope as the caller sees them; no right is asked for."""
        for row in keyed(self._desk, self._desk.unit(), scope.columns, ""):
            if self._clerk.living(row) is not None:
                yield row

    def _text(self, scope: Scope, key: str, value: object, codec: Codec[object]) -> str:
        """Return what is stored of a value of a key, given in its normal form."""
        text = self._schemas.encode(codec, value, scope, key)
        # The name of a key says nothing of a value in which no text stands.
        name = sensitive(key) if '"' in text else ""
        text = self._desk.plain.value(text, f"{scope.kind} {key}", name)
        if len(text) > self.largest:
            problem = f"takes {len(text):,} characters, more than the limit of {self.largest:,}"
            raise StateError(f"{scope} {key!r}", problem)
        return text

    def _put(self, scope: Scope, place: KeyPlace, value: object, expires: float | None) -> Step:
        key = place[1][KEY]
        codec = self._schemas.of(scope, key)
        step = self._clerk.put(place[1], self._text(scope, key, value, codec), expires, codec)
        return self._over_fresh(step)

    def _over_fresh(self, step: Step) -> Step:
        """Have a step go on from a value as the type of today has it."""
        if not self._schemas.aged:
            return step
        return lambda row: step(None if row is None else self._fresh(row))

    def _fresh(self, row: Row) -> Row:
        """Return a stored row with its value as the type of today has it."""
        kind, scope_id, part, key, text, _, sequence = map(str, row[:7])
        where = f"{Scope(kind, scope_id, part)} {key!r}"
        made = self._schemas.fresh(kind, key, text, int(sequence), where)
        return row if made == text else (*row[:VALUE], made, *row[VALUE + 1 :])

    def _expectation(
        self, scope: Scope, key: str, expected: object
    ) -> Callable[[Row | None], bool]:
        if expected is ABSENT:
            return lambda row: row is None
        if isinstance(expected, Entry):
            # The sequence is 0 while the write is this turn's own; the version tells those apart.
            written = (expected.sequence, expected.version)
            return lambda row: row is not None and (row[SEQUENCE], row[VERSION]) == written
        codec = self._schemas.of(scope, key)
        text = self._text(scope, key, expected, codec)
        form = canonical(text)

        def equal(row: Row | None) -> bool:
            if row is None:
                return False
            stored = str((self._fresh(row) if self._schemas.aged else row)[VALUE])
            if stored == text or canonical(stored) == form:
                return True
            if codec.bound:  # a secret has another token each time it is sealed
                with suppress(ValueError, RecursionError):
                    return codec.decode(stored) == codec.decode(text)
            # Who expects a record cannot give the members that its type does not know.
            return codec.records and canonical(codec.seen(stored)) == form

        return equal


def keyed(
    desk: Desk, unit: Unit | None, columns: tuple[str, str, str], prefix: str, after: str = ""
) -> Iterator[Row]:
    """Iterate over a scope's rows with a prefix, those after the key ``after``, in key order.

    As the caller sees them; what expired is given as well.
    """
    start = max(after, start_of(prefix))
    for row in desk.rows(unit, SCOPED, Order(_BY_SCOPE, columns), (start,) if start else None):
        key = str(row[KEY])
        if key.startswith(prefix):
            yield row
        elif key > prefix:
            return


def start_of(prefix: str) -> str:
    """Return a text that is less than every one that begins with ``prefix``, and hardly less."""
    if not prefix or prefix[-1] == "\0":
        return prefix[:-1]
    code = ord(prefix[-1]) - 1
    if _FIRST_SURROGATE <= code <= _LAST_SURROGATE:
        code = _FIRST_SURROGATE - 1
    return prefix[:-1] + chr(code) + "\U0010ffff"


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
