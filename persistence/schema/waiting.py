"""What waits for the agents of a kind, and which of it the methods of its class would not take."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final

from ..errors import ConfigurationError
from ..records.records import Message, Timer
from ..store.store import StoreReader
from .calls import ON_RECEIVE, ways_of
from .comparison import Compatibility, Difference, compare
from .fitting import ONLY_BY_NAME, ORDER, WAYS, places_of
from .migration import steps_of_call
from .registry import Registered, Registry
from .schema import Schema, numbers_of

_PAGE: Final = 500
_EVERY: Final = ""
"""Stands for all methods."""


class Takers:
    """The methods of one class, and what was sent to it by the classes of before and after it.

    A class of a later major version was changed on purpose: what its methods do not take goes to
    the dead letters, whole. Else that is a loss nobody has meant, and the class is refused.
    """

    def __init__(self, registry: Registry, kinds: Sequence[str], owner: type, now: Schema) -> None:
        """Of an agent class whose agents are, or were, of ``kinds``; ``now`` is its schema."""
        self._registry = registry
        self._kinds = kinds
        self._owner = owner
        self._now = now
        self._known: dict[int, Mapping[str, list[Difference]]] = {}

    def lost(self, row: Message | Timer) -> list[Difference]:
        """Return why a message or a timer must not be given to the class: [] if it may be."""
        written = self._written(row)
        return [] if written is None else self._of(written, row)

    def refused(self, reader: StoreReader) -> Iterator[str]:
        """Iterate over the differences that what waits in a store would be lost by.

        What waits is read only if there may be any.
        """
        known = [old for kind in self._kinds for old in self._registry.of(kind, "messages")]
        if not any(map(self._differences, known)):
            return
        found: Counter[tuple[str, str, Difference]] = Counter()
        for row in self._waiting(reader):
            if written := self._written(row):
                for each in self._of(written, row):
                    found[written.kind, written.schema.version, each] += 1
        for (kind, version, each), count in found.items():
            wait = f"{count:,} messages and timers wait"
            wait = wait if count > 1 else "1 message or timer waits"
            yield f"{kind}, messages {version}, {wait}: {each}"

    def _written(self, row: Message | Timer) -> Registered | None:
        if isinstance(row, Message):
            return self._registry.of_letter(row.kind, row.id)
        if not row.cause:
            return None
        return self._registry.of_commit(row.kind, "messages", row.cause)

    def _waiting(self, reader: StoreReader) -> Iterator[Message | Timer]:
        for kind in self._kinds:
            yield from mail_of(reader, kind)
            yield from timers_of(reader, kind)

    def _of(self, written: Registered, row: Message | Timer) -> list[Difference]:
        found = self._differences(written)
        of_method = found.get(method_of(row).partition(".")[0], ())
        concerned = [each for each in of_method if self._concerns(each, written.schema, row)]
        return [*found.get(_EVERY, ()), *concerned]

    def _concerns(self, found: Difference, old: Schema, row: Message | Timer) -> bool:
        """Tell whether a difference harms this message: not if it gives no value in that way."""
        method = method_of(row)
        before, now = old.member(method), self._now.member(method)
        if found.change not in WAYS or before is None or now is None:
            return True
        count, names = ways_of(row.body) if method != ON_RECEIVE else (1, frozenset())
        if found.change == ORDER:
            taken = zip_longest(places_of(before.type), places_of(now.type))
            given = [*taken, *[(None, None)] * count][:count]
            return any(was != becomes for was, becomes in given)
        parameter = found.path[len(method) + 1 : -1]
        if found.change == ONLY_BY_NAME:
            return places_of(before.type)[parameter] < count
        return parameter in names

    def _differences(self, written: Registered) -> Mapping[str, list[Difference]]:
        """Return what hinders messages of a schema, by method."""
        if written.number not in self._known:
            self._known[written.number] = self._compared(written.schema)
        return self._known[written.number]

    def _compared(self, old: Schema) -> Mapping[str, list[Difference]]:
        before, now = (numbers_of(each.version, each.name)[0] for each in (old, self._now))
        if before > now:
            told = f"{old.version} became {self._now.version}: an earlier major version takes none"
            level = Compatibility.MIGRATION
            return {_EVERY: [Difference("messages_version", "version", level, told)]}
        found: dict[str, list[Difference]] = defaultdict(list)
        for each in compare(old, self._now).hindering if before == now else ():
            method = re.split(r"[(.\[]", each.path, maxsplit=1)[0]
            if not self._migrated(method, old):
                found[method].append(each)
        return found

    def _migrated(self, method: str, old: Schema) -> bool:
        """Tell whether declared steps take messages of a method over."""
        try:
            return bool(steps_of_call(self._owner, method, old.version, self._now.version))
        except ConfigurationError:
            return False  # one of them has no way back


def mail_of(reader: StoreReader, kind: str | None = None) -> Iterator[Message]:
    """Iterate over the messages that wait for the agents of a kind, or for all."""
    after = 0
    while page := reader.mailbox(kind, after=after, limit=_PAGE):
        yield from page
        after = page[-1].id


def timers_of(reader: StoreReader, kind: str | None = None) -> Iterator[Timer]:
    """Iterate over the timers of the agents of a kind, or of all."""
    after = None
    while page := reader.timers(kind, after=after, limit=_PAGE):
        yield from page
        last = page[-1]
        after = (last.due, last.kind, last.key, last.name)


def method_of(row: Message | Timer) -> str:
    """Return the method that a message or a timer is for."""
    return (row.name if isinstance(row, Message) else row.method) or ON_RECEIVE
