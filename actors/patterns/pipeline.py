"""A pipeline: ordered stages that pass items on, none lost and none doubled.

An item is one row. Taking it only reads that row; passing it on deletes it and writes it at the
next stage, in the commit of the turn that did the work. So a turn that fails leaves it where it
was, and so does a crash. If two turns had taken the same item, the second would begin again;
claims, kept in memory, see to it that they take different ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Final, Generic, TypeVar, overload

import msgspec

from ...persistence.codec.codec import Codec
from ...persistence.errors import ConfigurationError, Conflict, CorruptState, QuotaExceeded
from ...persistence.names.keys import checked_name, checked_part
from ...persistence.names.scope import Principal
from ...shared.ledger.ledger import Stale
from ...shared.ledger.unit import Unit
from .amounts import checked_limit, checked_seconds
from .dropped import Dropped, DroppedItems
from .pattern import Head, Method, Pattern
from .quota import Counts, Quota, counted, size_of
from .rows import Office, codec_for, number_of, numbered, quoted, salvaged
from .rules import Members

T = TypeVar("T")

SOURCES: Final = "sources"
"""The part of those who put items in; the other parts are named as their stages."""
DROPPED: Final = "dropped"
COUNTS: Final = "counts"
_UNCHANGED: Final = object()


class Work(msgspec.Struct, Generic[T], frozen=True):
    """An item that was taken; may be kept in an agent's state while its lease lasts."""

    number: int
    """The same at every stage."""
    stage: str
    value: T
    lease: int = 0
    """Names the lease; 0 without one."""
    until: float | None = None
    """When the lease ends, in seconds since the epoch."""


class _Lease(msgspec.Struct):
    number: int
    holder: str
    until: float


class _Unleased(msgspec.Struct, omit_defaults=True):
    value: msgspec.Raw
    until: float | None = None
    stage: str = ""
    """Where it was dropped."""
    reason: str = ""


class _Item(_Unleased, omit_defaults=True):
    lease: _Lease | None = None


class Pipeline(Pattern):
    """Pass items from stage to stage; made by ``system.sharing.pipeline(name, stages)``."""

    pattern: ClassVar[str] = "pipeline"

    def __init__(
        self,
        office: Office,
        name: str,
        stages: Sequence[str] | None = None,
        *,
        quota: Quota | None = None,
        owner: Principal | None = None,
        roles: Mapping[str, Members] | None = None,
    ) -> None:
        """Find the pipeline, or make it with ``stages``; ConfigurationError without any.

        ``roles`` says who may work at a stage, and as ``"sources"`` who may put items in; what it
        does not name is everybody's.
        """
        if isinstance(stages, str):
            raise ConfigurationError(f"stages must be a list of names, not the text {stages!r:.40}")
        listed = [checked_name(stage, "stage") if stage else "" for stage in stages or ()]
        if len(set(listed)) != len(listed) or not all(map(_is_stage, listed)):
            message = f"the stages {listed} must be different names without '/', and neither"
            raise ConfigurationError(f"{message} {SOURCES!r} nor {DROPPED!r}")
        unknown = set(roles or ()) - {*listed, SOURCES}
        if unknown:
            message = f"roles name {sorted(unknown)}, which are no stages of pipeline {name!r}"
            raise ConfigurationError(message)
        super().__init__(office, name, quota=quota, owner=owner, stages=listed, roles=roles)

    def put(self, value: object) -> int:
        """Put an item in at the first stage and return its number.

        QuotaExceeded while the pipeline is full: try again when it has been worked on.
        """
        text = self._office.text(value, str(self))
        return self._office.run(lambda unit: self._put(unit, text))

    @overload
    def take(
        self, stage: str, *, limit: int = 1, lease: float | None = None
    ) -> list[Work[Any]]: ...
    @overload
    def take(
        self,
        stage: str,
        *,
        limit: int = 1,
        lease: float | None = None,
        type: type[T],
    ) -> list[Work[T]]: ...
    def take(
        self,
        stage: str,
        *,
        limit: int = 1,
        lease: float | None = None,
        type: type[Any] | None = None,  # noqa: A002 - as msgspec has it
    ) -> list[Work[Any]]:
        """Return up to ``limit`` items that wait at a stage, oldest first, none to two workers.

        Without a lease they are the turn's (or the transaction's): what it does not pass on or
        drop stays where it is. With one they are the caller's for so many seconds, over as many
        turns as that takes; after it somebody else may take them. Outside of turns and
        transactions a lease is needed. What does not decode as it was stored is dropped.
        """
        wanted = checked_limit(limit, str(self))
        if lease is not None:
            lease = checked_seconds(lease, f"{self}: a lease")
        if lease is None and self._office.desk.unit() is None:
            message = "outside of turns and transactions take() needs a lease: take(..., lease=60)"
            raise ConfigurationError(message)
        codec = codec_for(type)
        return self._office.run(lambda unit: self._take(unit, stage, wanted, lease, codec))

    def pass_on(self, work: Work[Any], value: object = _UNCHANGED) -> None:
        """Hand an item over to the next stage, with another ``value`` if given.

        From the last stage it leaves the pipeline. Conflict if it is no longer the caller's.
        """
        text = None if value is _UNCHANGED else self._office.text(value, str(self))
        self._office.run(lambda unit: self._pass_on(unit, work, text))

    def drop(self, work: Work[Any], reason: str) -> None:
        """Give an item up: it waits among the dropped ones for ``requeue`` or ``discard``.

        It counts towards the quota as long. Conflict if it is no longer the caller's.
        """
        why = self._office.desk.plain.reason(checked_part(reason, "reason"), f"{self} reason")

        def dropped(unit: Unit) -> None:
            item = self._own(unit, work, "drop items of")
            self._remove(unit, work.stage, work.number)
            item.stage, item.reason, item.lease = work.stage, why, None
            self._rows.put(unit, numbered(DROPPED, work.number), _text(item))
            self._count(unit, {work.stage: -1, DROPPED: 1})

        self._office.run(dropped)

    def give_back(self, work: Work[Any]) -> None:
        """End a lease before its time: the item waits at its stage for the next worker."""

        def back(unit: Unit) -> None:
            item = self._own(unit, work, "give back items of")
            item.lease = None
            self._rows.put(unit, _key(work.stage, work.number), _text(item))
            self._wake(unit, work.stage, work.number)

        self._office.run(back)

    def attend(self, stage: str, wake: Method | None) -> None:
        """Have a method of the calling agent called when there is work at a stage; None ends it.

        It is told in the commit that brings an item: for each item one of the stage's workers, each
        of them once in a commit. One that takes up to its limit and leaves some is told again.
        """

        def attended(unit: Unit) -> None:
            head = self._head(unit)
            self._index(head, stage)
            who = self._require(unit, head, stage, "work for").principal
            self._listen(unit, _wakes_of(stage), who, wake)

        self._office.run(attended)

    def depth(self) -> dict[str, int]:
        """Return how many items each stage has, in order, and how many were dropped.

        Those under a lease count where they are; those out of date, until they are let go.
        """
        unit = self._office.desk.unit()
        head = self._found(unit) or self._office.run(self._head)
        counts = counted(self._rows.peek(unit, COUNTS))
        return {stage: counts.get(stage, 0) for stage in (*head.stages, DROPPED)}

    def passed(self) -> int:
        """Return how many items have left from the last stage."""
        unit = self._office.desk.unit()
        return counted(self._rows.peek(unit, COUNTS)).get("", 0)

    @property
    def dropped(self) -> DroppedItems:
        """The items given up: ``list()``, ``each()``, ``count()``; only the owner may see them."""
        return DroppedItems(self._dropped)

    def _dropped(
        self, after: int | None, limit: int | None, codec: Codec[Any]
    ) -> list[Dropped[Any]]:
        def found(unit: Unit) -> list[Dropped[Any]]:
            self._require(unit, self._head(unit), None, "see the dropped items of")
            behind = "" if after is None else numbered(DROPPED, after)
            return [
                self._given_up(number_of(key), text, key, codec)
                for key, text in islice(self._rows.rows(unit, f"{DROPPED}/", behind), limit)
            ]

        return self._office.run(found)

    def _given_up(self, number: int, text: str, key: str, codec: Codec[Any]) -> Dropped[Any]:
        item = self._item(key, text) or _salvaged(text)
        return Dropped(number, item.stage, self._value(item, codec, number), item.reason)

    def requeue(self, number: int) -> bool:
        """Put a dropped item back to its stage; False if it is not there. Only the owner may."""
        return self._office.run(lambda unit: self._settle_dropped(unit, number, back=True))

    def discard(self, number: int) -> bool:
        """Remove a dropped item for good; False if it is not there. Only the owner may."""
        return self._office.run(lambda unit: self._settle_dropped(unit, number, back=False))

    # Underneath.

    def _make(self, unit: Unit) -> None:
        if not self._stages and self._found(unit) is None:
            message = f"there is no pipeline {self.name!r}; name its stages to make it"
            raise ConfigurationError(message)
        super()._make(unit)

    def _put(self, unit: Unit, text: str) -> int:
        head = self._head(unit)
        self._require(unit, head, SOURCES, "put items into")
        size = size_of(text)
        if self._overrun(unit, head, size):
            self._expire(unit, head)
        if problem := self._overrun(unit, head, size):
            raise QuotaExceeded(f"{self} is at {problem}; put more in when it has been worked on")
        number, first = self._office.number(), head.stages[0]
        item = _Item(msgspec.Raw(text.encode()), head.quota.until(self._office.now()))
        self._rows.put(unit, _key(first, number), _text(item))
        counts = Counts({first: 1, _BYTES: size, _ITEMS: 1})

        def within(before: str | None) -> str:
            after = counts(before)
            sums = counted(after)
            # Others have filled it since this turn looked: begin again, and be refused there.
            if head.quota.overrun(sums.get(_ITEMS, 0), sums.get(_BYTES, 0)):
                raise Stale(f"{self} was filled by others; try again")
            return after

        self._rows.change(unit, COUNTS, within)
        self._wake(unit, first, number)
        return number

    def _overrun(self, unit: Unit, head: Head, size: int) -> str:
        counts = counted(self._rows.peek(unit, COUNTS))
        return head.quota.overrun(counts.get(_ITEMS, 0) + 1, counts.get(_BYTES, 0) + size)

    def _take(
        self, unit: Unit, stage: str, limit: int, lease: float | None, codec: Codec[T]
    ) -> list[Work[T]]:
        head = self._head(unit)
        self._index(head, stage)
        standing = self._require(unit, head, stage, "take items from")
        taken: list[Work[T]] = []
        for number, item in self._waiting(unit, stage):
            if len(taken) == limit:
                # One more than wanted: whoever is woken comes back for it.
                place = self._rows.place(_key(stage, number))
                self._office.claims.release(place, unit)
                unit.reads.pop(place, None)
                self._tell_again(unit, _wakes_of(stage))
                break
            work = Work(number, stage, self._value(item, codec, number))
            if lease is not None:
                held = _Lease(self._office.number(), str(standing.principal), self._now() + lease)
                item.lease = held
                self._rows.put(unit, _key(stage, number), _text(item))
                work = msgspec.structs.replace(work, lease=held.number, until=held.until)
            taken.append(work)
        return taken

    def _waiting(self, unit: Unit, stage: str) -> Iterator[tuple[int, _Item]]:
        """Iterate over what may be taken from a stage, claimed for this unit."""
        now = self._now()
        for key, _ in self._rows.rows(unit, _key(stage)):
            place = self._rows.place(key)
            if self._office.claims.holds(place, unit):
                continue
            text = self._rows.look(unit, key)
            if text is None:
                continue  # taken between the list and now
            item, number = self._item(key, text), number_of(key)
            if item is None:
                self._office.claims.claim(place, unit)
                self._put_aside(unit, stage, number, text)
                continue
            if item.lease is not None and item.lease.until > now:
                unit.reads.pop(place, None)  # not looked at: it may change as it likes
                continue
            self._office.claims.claim(place, unit)
            if item.until is not None and item.until <= now:
                self._let_go(unit, stage, number, item)
            else:
                yield number, item

    def _pass_on(self, unit: Unit, work: Work[Any], text: str | None) -> None:
        head = self._head(unit)
        following = self._index(head, work.stage) + 1
        item = self._own(unit, work, "pass on items of")
        before = size_of(bytes(item.value).decode())
        if following == len(head.stages):
            self._let_go(unit, work.stage, work.number, item, passed=1)
            return
        self._remove(unit, work.stage, work.number)
        item.lease = None
        if text is not None:
            item.value = msgspec.Raw(text.encode())
        stage = head.stages[following]
        self._rows.put(unit, _key(stage, work.number), _text(item))
        grown = 0 if text is None else size_of(text) - before
        self._count(unit, {work.stage: -1, stage: 1, _BYTES: grown})
        self._wake(unit, stage, work.number)

    def _own(self, unit: Unit, work: Work[Any], operation: str) -> _Item:
        """Return an item that the caller has taken; Conflict if somebody else has it by now."""
        head = self._head(unit)
        standing = self._require(unit, head, work.stage, operation)
        key = _key(work.stage, work.number)
        if not work.lease:
            text = self._rows.taken(unit, key)
            item = None if text is None else self._item(key, text)
            if text is None and self._rows.place(key) in unit.reads:
                raise self._lost(work, f"it is not at stage {work.stage!r} any more")
            if item is None or item.lease is not None:
                message = f"item {work.number} of {self} was not taken in this turn; take a lease"
                raise Conflict(f"{message} to work on it over several")
            return item
        text = self._rows.look(unit, key)
        item = None if text is None else self._item(key, text)
        if item is None:
            raise self._lost(work, f"it is not at stage {work.stage!r} any more")
        lease = item.lease
        if lease is None:
            raise self._lost(work, "its lease has ended, or was given back")
        if lease.number != work.lease:
            raise self._lost(work, "it was taken again, with another lease")
        if lease.holder != str(standing.principal):
            raise Conflict(f"item {work.number} of {self} is leased to another, who settles it")
        return item

    def _lost(self, work: Work[Any], why: str) -> Conflict:
        return Conflict(f"item {work.number} of {self} is not yours any more: {why}")

    def _item(self, key: str, text: str) -> _Item | None:
        """Return an item; None if it does not decode. A lease that does not decode is over."""
        try:
            return msgspec.json.decode(text, type=_Item)
        except ValueError as error:
            number, problem = number_of(key), error
        try:
            item = msgspec.json.decode(text, type=_Unleased)
        except ValueError as error:
            self._report(key, f"item {number}", error)
            return None
        self._report(key, f"the lease on item {number}", problem)
        return _Item(item.value, item.until, item.stage, item.reason)

    def _put_aside(self, unit: Unit, stage: str, number: int, text: str) -> None:
        """Drop an item that does not decode, so that the stage goes on without it."""
        item = _salvaged(text)
        item.stage = stage
        self._remove(unit, stage, number)
        self._rows.put(unit, numbered(DROPPED, number), _text(item))
        self._count(unit, {stage: -1, DROPPED: 1})

    def _let_go(self, unit: Unit, stage: str, number: int, item: _Item, passed: int = 0) -> None:
        self._remove(unit, stage, number)
        size = size_of(bytes(item.value).decode())
        self._count(unit, {stage: -1, _ITEMS: -1, _BYTES: -size, "": passed})

    def _expire(self, unit: Unit, head: Head) -> None:
        """Make room: let go of what is out of date and nobody works on."""
        now = self._now()
        for stage in head.stages:
            for key, text in self._rows.rows(unit, _key(stage)):
                item = self._item(key, text)
                if item is None:
                    continue  # who takes puts it aside
                if item.until is None or item.until > now:
                    break  # the rest is younger
                if item.lease is not None and item.lease.until > now:
                    continue
                place = self._rows.place(key)
                text_now = None
                if not self._office.claims.holds(place, unit):
                    text_now = self._rows.look(unit, key)
                found = None if text_now is None else self._item(key, text_now)
                if found is not None:
                    self._office.claims.claim(place, unit)
                    self._let_go(unit, stage, number_of(key), found)

    def _settle_dropped(self, unit: Unit, number: int, *, back: bool) -> bool:
        head = self._head(unit)
        self._require(unit, head, None, "settle the dropped items of")
        key = numbered(DROPPED, number)
        text = self._rows.look(unit, key)
        if text is None:
            return False
        item = self._item(key, text) or _salvaged(text)
        if back and item.stage not in head.stages:
            raise CorruptState(f"{self} item {number}", "its stage is not known; discard it")
        stage, item.stage, item.reason = item.stage, "", ""
        self._rows.remove(unit, key)
        if back:
            self._rows.put(unit, _key(stage, number), _text(item))
            self._count(unit, {DROPPED: -1, stage: 1})
            self._wake(unit, stage, number)
        else:
            size = size_of(bytes(item.value).decode())
            self._count(unit, {DROPPED: -1, _ITEMS: -1, _BYTES: -size})
        return True

    def _wake(self, unit: Unit, stage: str, number: int) -> None:
        workers = self._listeners(unit, _wakes_of(stage))
        if workers:
            # An item's session goes on with workers that the pipeline's owner has named; others,
            # who named themselves, are told outside of it.
            named = self._head(unit).roles.get(stage) is not None
            self._tell_one(unit, number, workers, within=named)

    def _remove(self, unit: Unit, stage: str, number: int) -> None:
        self._rows.remove(unit, _key(stage, number))

    def _count(self, unit: Unit, changes: dict[str, int]) -> None:
        self._rows.change(unit, COUNTS, Counts(changes))

    def _index(self, head: Head, stage: str) -> int:
        try:
            return head.stages.index(stage)
        except ValueError:
            message = f"{self} has no stage {stage!r}; it has {', '.join(head.stages)}"
            raise ConfigurationError(message) from None

    def _value(self, item: _Item, codec: Codec[T], number: int) -> T:
        return codec.load(bytes(item.value).decode(), f"{self} item {number}")

    def _now(self) -> float:
        return self._office.now()


_ITEMS: Final = "/items"
_BYTES: Final = "/bytes"


def _is_stage(name: str) -> bool:
    return bool(name) and "/" not in name and name not in (SOURCES, DROPPED)


def _key(stage: str, number: int | None = None) -> str:
    prefix = f"stage/{quoted(stage)}"
    return f"{prefix}/" if number is None else numbered(prefix, number)


def _wakes_of(stage: str) -> str:
    return f"wakes/{quoted(stage)}"


def _salvaged(text: str) -> _Item:
    return _Item(salvaged(text), reason="it does not decode as it was stored")


def _text(item: _Item) -> str:
    return msgspec.json.encode(item).decode()
