"""A topic: its owner publishes, and each subscriber reads on from a place of its own.

Items are numbered without a gap, and each knows the bytes of all up to it. So what a topic holds is
the difference of two marks: the last item published, which only the publisher moves, and the first
one still there, which only ever moves forward. Neither makes readers and publisher wait.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Generic, TypeVar, overload

import msgspec

from ...persistence.errors import QuotaExceeded
from ...persistence.names.scope import Principal
from ...shared.ledger.unit import Unit
from .amounts import checked_limit
from .pattern import Head, Method, Pattern
from .quota import Quota, size_of
from .rows import Office, TextStep, codec_for, number_of, numbered
from .rules import Members, checked_principal

T = TypeVar("T")

READERS: Final = "readers"
SWEPT_AT_ONCE: Final = 1_000
"""Items that go in one commit."""
SWEEP_EVERY: Final = 64
"""Items after which the publisher looks for those that may go."""


class Item(msgspec.Struct, Generic[T], frozen=True):
    """What was published."""

    number: int
    """From 1, without a gap: a reader that finds one was too late for those between."""
    value: T
    time: float
    """Seconds since the epoch."""


class _Mark(msgspec.Struct, array_like=True, frozen=True):
    number: int = 0
    total: int = 0
    """Bytes of all items up to that number."""


class _Published(msgspec.Struct):
    value: msgspec.Raw
    time: float
    total: int
    until: float | None = None


class _Place(msgspec.Struct):
    who: str
    after: int


class Topic(Pattern):
    """Publish to subscribers; made by ``system.sharing.topic(name)``."""

    pattern: ClassVar[str] = "topic"

    def __init__(
        self,
        office: Office,
        name: str,
        *,
        quota: Quota | None = None,
        owner: Principal | None = None,
        readers: Members = None,
    ) -> None:
        """Find the topic, or make it; ``readers`` may subscribe, else everybody."""
        roles = None if readers is None else {READERS: readers}
        super().__init__(office, name, quota=quota, owner=owner, roles=roles)

    def publish(self, value: object) -> int:
        """Add an item and return its number; only the owner may.

        Readers who asked for it are woken in the same commit. QuotaExceeded while the topic is
        full: somebody has not read for long, and ``lag()`` says who.
        """
        text = self._office.text(value, str(self))
        return self._office.run(lambda unit: self._publish(unit, text))

    def subscribe(self, *, from_start: bool = False, wake: Method | None = None) -> None:
        """Have a place in the topic: at its end, or at the oldest item that is still there.

        ``wake`` is a method of the calling agent, called without arguments after each commit that
        published, and again while it leaves some. Who has subscribed already keeps the place, and
        is woken as said here.
        """

        def subscribed(unit: Unit) -> None:
            head = self._head(unit)
            who = self._require(unit, head, READERS, "subscribe to").principal
            if self._rows.look(unit, _place_of(who)) is None:
                mark = self._first(unit) if from_start else self._last(unit)
                self._move(unit, who, mark.number)
            self._listen(unit, "wakes", who, wake)

        self._office.run(subscribed)

    def unsubscribe(self, who: Principal | None = None) -> None:
        """Give the caller's place up, or as the owner anybody's: what it waited for may go."""
        if who is not None:
            checked_principal(who, "who")

        def unsubscribed(unit: Unit) -> None:
            head = self._head(unit)
            own = unit.standing.principal
            if who is not None and who != own:
                self._require(unit, head, None, "dismiss readers of")
            gone = who or own
            self._rows.remove(unit, _place_of(gone))
            self._listen(unit, "wakes", gone, None)
            self._sweep(unit)

        self._office.run(unsubscribed)

    @overload
    def read(self, limit: int = 100) -> list[Item[Any]]: ...
    @overload
    def read(self, limit: int = 100, *, type: type[T]) -> list[Item[T]]: ...
    def read(self, limit: int = 100, *, type: type[Any] | None = None) -> list[Item[Any]]:  # noqa: A002 - same
        """Return the next items, oldest first, and move the caller's place behind them.

        The place moves in the commit of the turn: what a turn has read that fails comes again.
        Denied without a subscription.
        """
        wanted = checked_limit(limit, str(self))
        return self._office.run(lambda unit: self._read(unit, wanted, type))

    def lag(self) -> dict[Principal, int]:
        """Return how many items each subscriber has not read; only the owner may."""

        def lags(unit: Unit) -> dict[Principal, int]:
            self._require(unit, self._head(unit), None, "watch readers of")
            last = self._last(unit).number
            return {who: last - after for who, after in self._places(unit)}

        return self._office.run(lags)

    def _publish(self, unit: Unit, text: str) -> int:
        head = self._head(unit)
        self._require(unit, head, None, "publish in")
        last, size = self._last(unit), size_of(text)
        full = bool(self._overrun(unit, head, last, size))
        if full or last.number % SWEEP_EVERY == 0:
            self._sweep(unit, make_room=full)
        if problem := self._overrun(unit, head, last, size):
            message = f"{self} is at {problem}; publish again when its readers have caught up"
            raise QuotaExceeded(message)
        now = self._office.now()
        mark = _Mark(last.number + 1, last.total + size)
        item = _Published(msgspec.Raw(text.encode()), now, mark.total, head.quota.until(now))
        self._rows.put(unit, numbered("item", mark.number), _text(item))
        self._rows.put(unit, "last", _text(mark))
        for who, method in self._listeners(unit, "wakes"):
            self._tell(unit, who, method)
        return mark.number

    def _overrun(self, unit: Unit, head: Head, last: _Mark, size: int) -> str:
        first = self._first(unit)
        return head.quota.overrun(last.number - first.number + 1, last.total - first.total + size)

    def _read(self, unit: Unit, limit: int, type_: type[T] | None) -> list[Item[T]]:
        head = self._head(unit)
        who = self._require(unit, head, READERS, "read").principal
        place = self._rows.look(unit, _place_of(who))
        if place is None:
            raise self._deny(unit, "read", "it has no place there; subscribe() first")
        start = after = msgspec.json.decode(place, type=_Place).after
        codec = codec_for(type_)
        now = self._office.now()
        items: list[Item[T]] = []
        for key, text in self._rows.rows(unit, "item/", numbered("item", after)):
            if len(items) == limit:
                self._tell_again(unit, "wakes")
                break
            after, item = number_of(key), msgspec.json.decode(text, type=_Published)
            if item.until is None or item.until > now:
                value = codec.load(bytes(item.value).decode(), f"{self} item {after}")
                items.append(Item(after, value, item.time))
        if items:
            self._saw(unit, "read", head)
        if after > start:
            self._move(unit, who, after)
        # Whoever was not among the last readers cannot have held anything up.
        if not items or start <= self._first(unit).number:
            self._sweep(unit)
        return items

    def _sweep(self, unit: Unit, *, make_room: bool = False) -> None:
        """Remove what all subscribers have read, and what is out of date.

        While there is no subscriber at all, items stay for late ones, but for ``make_room``. Safe
        with places that are old by now, as they only move forward; two may remove the same.
        """
        first, last, now = self._first(unit), self._last_seen(unit), self._office.now()
        unread = last.number if make_room else 0
        passed = min((after for _, after in self._places(unit)), default=unread)
        mark = first
        while mark.number < min(last.number, first.number + SWEPT_AT_ONCE):
            key = numbered("item", mark.number + 1)
            text = self._rows.peek(unit, key)
            if text is None:
                return  # another removes them at this moment
            item = msgspec.json.decode(text, type=_Published)
            over = item.until is not None and item.until <= now
            if not over and mark.number >= passed:
                break
            self._rows.remove(unit, key)
            mark = _Mark(mark.number + 1, item.total)
        if mark != first:
            self._rows.change(unit, "first", _further(mark))

    def _places(self, unit: Unit) -> list[tuple[Principal, int]]:
        found = [
            msgspec.json.decode(text, type=_Place) for _, text in self._rows.rows(unit, "place/")
        ]
        return [(Principal.parse(place.who), place.after) for place in found]

    def _move(self, unit: Unit, who: Principal, after: int) -> None:
        self._rows.put(unit, _place_of(who), _text(_Place(str(who), after)))

    def _last(self, unit: Unit) -> _Mark:
        """Return the last item's mark, held firm: numbers have no gap, and nobody misses one."""
        return _mark(self._rows.firm(unit, "last"))

    def _last_seen(self, unit: Unit) -> _Mark:
        return _mark(self._rows.peek(unit, "last"))

    def _first(self, unit: Unit) -> _Mark:
        """Return the mark before the first item that is still there, or was a moment ago."""
        return _mark(self._rows.peek(unit, "first"))


def _mark(text: str | None) -> _Mark:
    return _Mark() if text is None else msgspec.json.decode(text, type=_Mark)


def _further(mark: _Mark) -> TextStep:
    """Return the step that moves a mark forward, and never back."""

    def step(text: str | None) -> str:
        there = _mark(text)
        return _text(mark if mark.number > there.number else there)

    return step


def _place_of(who: Principal) -> str:
    return f"place/{who}"


def _text(record: msgspec.Struct) -> str:
    return msgspec.json.encode(record).decode()
