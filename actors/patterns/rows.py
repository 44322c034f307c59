"""The rows of one shared thing, read and changed as part of the turn or call under way.

They are rows of scoped state in a scope that only this package uses. What each pattern allows is
its own matter, so these rows ask nobody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar, cast
from urllib.parse import quote

import msgspec

from ...persistence.codec.codec import Codec, codec_of
from ...persistence.errors import ScopeError, StateError
from ...persistence.names.keys import checked_name
from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Row
from ...shared.ledger.desk import Desk, Handle
from ...shared.ledger.unit import Place, Unit
from ...shared.scopes.entries import KEY, VALUE, Clerk, gone
from ...shared.scopes.rows import keyed
from ..pool.future import Future
from ..talk.control import Verb
from ..talk.reference import AgentRef
from .claims import Claims

T = TypeVar("T")

_SPREAD: Final = 2_654_435_761
"""Knuth's multiplicative hash: 2^32 by the golden ratio."""
TextStep = Callable[[str | None], str | None]


class _Value(msgspec.Struct):
    value: msgspec.Raw


class Postman(Protocol):
    """Carry messages that leave with a commit."""

    def enclose(
        self,
        ref: AgentRef[Any],
        message: object,
        unit: Unit,
        *,
        once: bool,
        within: bool = False,
    ) -> None:
        """Send a message with the turn under way, or with the commit of a unit outside."""
        ...

    def rests(self, ref: AgentRef[Any]) -> bool:
        """Tell whether an agent takes no mail at this moment: paused, quarantined, isolated."""
        ...

    def control(self, ref: AgentRef[Any], verb: Verb) -> Future[Any]:
        """Have a lifecycle step taken and return its future."""
        ...


class Office(Handle):
    """What all shared things of a system have in common."""

    def __init__(
        self,
        desk: Desk,
        post: Postman,
        *,
        largest: int,
        number: Callable[[], int],
        reference: Callable[[str, str], AgentRef[Any]],
    ) -> None:
        """Act by ``desk``; ``number`` gives rising numbers that no process gives twice."""
        super().__init__(desk)
        self.post = post
        self.largest = largest
        self.number = number
        self.reference = reference
        self.now = desk.now
        self.clerk = Clerk(desk.now)
        self.claims = Claims()
        self.damaged: set[Place] = set()
        """Rows that do not decode, and of which the log knows."""

    @property
    def desk(self) -> Desk:
        """What it acts by."""
        return self._desk

    def run(self, work: Callable[[Unit], T]) -> T:
        """Have ``work`` done in the turn or transaction under way, else in a commit of its own.

        That one is durable when this returns, and made again while others were first. What must
        still hold at the end, each pattern says itself.
        """
        return self._desk.run(work)

    def tell(
        self,
        unit: Unit,
        ref: AgentRef[Any],
        message: object,
        *,
        once: bool = True,
        within: bool = False,
    ) -> None:
        """Send a message that leaves with the commit; with ``once`` one of a kind in each.

        ``within`` the session of the unit: for those whom an owner has named for it.
        """
        self.post.enclose(ref, message, unit, once=once, within=within)

    def text(self, value: T, path: str, codec: Codec[T] | None = None) -> str:
        """Return a value as JSON; StateError names what cannot be stored.

        Without a codec records go by their own class, everything else as plain JSON.
        """
        record = isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(value)
        codec = codec or codec_for(type(value) if record else None)
        text = self.desk.plain.value(codec.encode(value, path), path)
        if len(text) > self.largest:
            problem = f"takes {len(text):,} characters, more than the limit of {self.largest:,}"
            raise StateError(path, problem)
        return text


class Rows:
    """The rows of one shared thing.

    With a unit they are as it has them: what is appended, and what it has changed itself. Without
    one they are what is durable.
    """

    def __init__(self, office: Office, scope: Scope) -> None:
        """Keep the rows of a scope."""
        self.office = office
        self.scope = scope

    def place(self, key: str) -> Place:
        """Return where a row stands."""
        return SCOPED, (*self.scope.columns, key)

    def look(self, unit: Unit | None, key: str) -> str | None:
        """Return a text. The unit begins again if it writes there and another was first."""
        desk, place = self.office.desk, self.place(key)
        return self._text(desk.behold(None, place) if unit is None else desk.look(unit, place))

    def firm(self, unit: Unit | None, key: str) -> str | None:
        """Return a text that must still be the same when the unit ends."""
        if unit is not None:
            unit.checked.add(self.place(key))
        return self.look(unit, key)

    def peek(self, unit: Unit | None, key: str) -> str | None:
        """Return a text that may be another by the time the unit ends."""
        return self._text(self.office.desk.glance(unit, self.place(key)))

    def taken(self, unit: Unit, key: str) -> str | None:
        """Return a text as it was when the unit first looked; None if it never did."""
        place = self.place(key)
        if place not in unit.reads:
            return None
        return self._text(unit.seen(place, unit.reads[place]))

    def overtaken(self, unit: Unit, key: str) -> bool:
        """Tell whether a row that the unit has looked at was changed by another since."""
        place = self.place(key)
        return place in unit.reads and unit.reads[place] != self.office.desk.ledger.newest(*place)

    def put(self, unit: Unit, key: str, text: str, expires: float | None = None) -> None:
        """Write a text, whatever is there."""
        place = self.place(key)
        unit.change(place, self.office.clerk.put(place[1], text, expires), checked=False)

    def remove(self, unit: Unit, key: str) -> None:
        """Delete a row."""
        unit.change(self.place(key), gone, checked=False)

    def change(self, unit: Unit, key: str, step: TextStep) -> None:
        """Make a row's text from the one before, whatever others make of it meanwhile."""
        place = self.place(key)

        def applied(row: Row | None) -> Row | None:
            before = self._text(row)
            after = step(before)
            if after == before:
                return row
            return None if after is None else self.office.clerk.put(place[1], after, None)(row)

        unit.change(place, applied, checked=False)

    def rows(self, unit: Unit | None, prefix: str, after: str = "") -> Iterator[tuple[str, str]]:
        """Iterate over keys and texts in key order; nothing holds them as they are."""
        for row in keyed(self.office.desk, unit, self.scope.columns, prefix, after):
            if self.office.clerk.living(row) is not None:
                yield str(row[KEY]), str(row[VALUE])

    def _text(self, row: Row | None) -> str | None:
        living = self.office.clerk.living(row)
        return None if living is None else str(living[VALUE])


def codec_for(declared: object | None) -> Codec[Any]:
    """Return the codec of a type; of plain JSON values for None."""
    return cast("Codec[Any]", codec_of(object if declared is None else declared))


def scope_of(pattern: str, name: str) -> Scope:
    """Return the scope of a shared thing; ScopeError for a name that cannot be one."""
    whose = pattern if pattern.endswith("s") else f"a {pattern}"
    if name == "":
        raise ScopeError(f"the name of {whose} must not be empty")
    return Scope("sharing", pattern, checked_name(name, f"name of {whose}"))


def numbered(prefix: str, number: int) -> str:
    """Return a key in the order of numbers."""
    return f"{prefix}/{number:016x}"


def number_of(key: str) -> int:
    """Return the number of such a key."""
    return int(key.rpartition("/")[2], 16)


def salvaged(text: str) -> msgspec.Raw:
    """Return the value of a row that does not decode; the whole row as text if that is lost."""
    try:
        return msgspec.json.decode(text, type=_Value).value
    except ValueError:
        return msgspec.Raw(msgspec.json.encode(text))


def quoted(name: str) -> str:
    """Return a name as part of a key: without separators."""
    return quote(name, safe="")


def in_turn(number: int, among: Sequence[T]) -> Sequence[T]:
    """Return all of them, each first as often as the others for rising numbers of any step."""
    first = (number * _SPREAD >> 16) % len(among)
    return [*among[first:], *among[:first]]
