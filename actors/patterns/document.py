"""A document that several change: proposals are merged, and a conflict is a value."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Generic, TypeVar, cast

import msgspec

from ...persistence.codec.codec import Codec, codec_of
from ...persistence.errors import CorruptState, QuotaExceeded
from ...persistence.names.scope import Principal
from ...shared.ledger.ledger import Stale
from ...shared.ledger.unit import Unit
from .pattern import Method, Pattern
from .quota import Quota, size_of
from .rows import Office
from .rules import Members

T = TypeVar("T")

READERS: Final = "readers"
WRITERS: Final = "writers"
VALUE: Final = "value"


class Version(msgspec.Struct, Generic[T], frozen=True):
    """A document as it was read; ``value`` may be changed and proposed."""

    value: T
    number: int
    """How many changes were accepted before."""
    text: str
    """The value as it was read, whatever has become of it since."""


class Merged(msgspec.Struct, Generic[T], frozen=True):
    """A proposal that was accepted."""

    version: Version[T]
    """What the document is now: the proposal, with what others have changed meanwhile."""

    @property
    def value(self) -> T:
        """The document's value now."""
        return self.version.value


class Conflicted(msgspec.Struct, Generic[T], frozen=True):
    """A proposal that was not accepted: others have changed the same meanwhile."""

    theirs: Version[T]
    """What the document is; propose again from here."""
    paths: tuple[str, ...]
    """What both have changed; "" is the whole."""


class _Stored(msgspec.Struct):
    number: int
    by: str
    value: msgspec.Raw


class Document(Pattern, Generic[T]):
    """Change a value together; made by ``system.sharing.document(name, type, initial=...)``."""

    pattern: ClassVar[str] = "document"

    def __init__(
        self,
        office: Office,
        name: str,
        type: type[T],  # noqa: A002 - as msgspec has it
        *,
        initial: T,
        quota: Quota | None = None,
        owner: Principal | None = None,
        readers: Members = None,
        writers: Members = None,
    ) -> None:
        """Find the document, or make it with the value ``initial``."""
        self._codec = cast("Codec[T]", codec_of(cast("object", type)))
        self._initial = office.text(initial, f"document {name!r}", self._codec)
        roles = {READERS: readers, WRITERS: writers} if (readers, writers) != (None, None) else None
        super().__init__(office, name, quota=quota, owner=owner, roles=roles)

    def read(self) -> Version[T]:
        """Return the document as it is."""

        def read(unit: Unit) -> Version[T]:
            head = self._head(unit)
            self._require(unit, head, READERS, "read")
            self._saw(unit, "read", head)
            return self._current(unit)

        return self._office.run(read)

    def propose(self, base: Version[T], value: T) -> Merged[T] | Conflicted[T]:
        """Make the document ``value``, which was made from ``base``.

        Where others have changed it since, both changes are made if they are to different keys of
        dictionaries (or fields of records, at any depth); if to the same, nothing is, and the
        outcome says where. QuotaExceeded above the quota's bytes. The outcome shows the document,
        so a writer must be a reader as well (Denied).
        """
        text = self._over(base.text, self._office.text(value, str(self), self._codec))
        return self._office.run(lambda unit: self._propose(unit, base, text))

    def watch(self, wake: Method | None) -> None:
        """Have a method of the calling agent called when a change was accepted; None ends it."""

        def watched(unit: Unit) -> None:
            who = self._require(unit, self._head(unit), READERS, "watch").principal
            self._listen(unit, "wakes", who, wake)

        self._office.run(watched)

    def _propose(self, unit: Unit, base: Version[T], text: str) -> Merged[T] | Conflicted[T]:
        head = self._head(unit)
        who = self._require(unit, head, WRITERS, "change").principal
        self._require(unit, head, READERS, "read")
        if self._rows.overtaken(unit, VALUE):
            # The proposal may be made from what it saw first: no conflict, but a new beginning.
            raise Stale(f"{self} was changed by another; try again")
        current = self._current(unit)
        if current.text != base.text:
            merged, paths = merge(_decoded(base.text), _decoded(text), _decoded(current.text))
            if paths:
                return Conflicted(current, tuple(paths))
            try:
                both = self._load(msgspec.json.encode(merged).decode())
                text = self._over(current.text, self._codec.encode(both, str(self)))
            except CorruptState:  # each change is right by itself, and both together are not
                return Conflicted(current, ("",))
        if text == current.text:
            return Merged(current)
        if problem := head.quota.overrun(1, size_of(text)):
            raise QuotaExceeded(f"{self} would be above {problem}; make it smaller")
        stored = _Stored(current.number + 1, str(who), msgspec.Raw(text.encode()))
        until = head.quota.until(self._office.now())
        self._rows.put(unit, VALUE, msgspec.json.encode(stored).decode(), until)
        for listener, method in self._listeners(unit, "wakes"):
            if listener != who:
                self._tell(unit, listener, method)
        return Merged(Version(self._load(text), stored.number, text))

    def _over(self, before: str, text: str) -> str:
        """Return a new text with what the type does not know of the one of before."""
        return self._codec.over(before, self._codec.seen(before), text)

    def _current(self, unit: Unit) -> Version[T]:
        found = self._rows.look(unit, VALUE)
        if found is None:
            return Version(self._load(self._initial), 0, self._initial)
        stored = msgspec.json.decode(found, type=_Stored)
        text = bytes(stored.value).decode()
        return Version(self._load(text), stored.number, text)

    def _load(self, text: str) -> T:
        return self._codec.load(text, str(self))


_MISSING: Final = object()


def merge(base: object, mine: object, theirs: object, path: str = "") -> tuple[Any, list[str]]:
    """Return both changes to ``base`` as one value, and the paths that both have changed."""
    if _same(mine, theirs) or _same(base, theirs):
        return mine, []
    if _same(base, mine):
        return theirs, []
    if not (isinstance(base, dict) and isinstance(mine, dict) and isinstance(theirs, dict)):
        return theirs, [path]
    merged: dict[str, object] = {}
    conflicts: list[str] = []
    for key in {**theirs, **mine, **base}:
        inside = f"{path}.{key}" if path else str(key)
        before, here, there = (each.get(key, _MISSING) for each in (base, mine, theirs))
        value, found = merge(before, here, there, inside)
        conflicts += found
        if value is not _MISSING:
            merged[key] = value
    return merged, conflicts


def _same(one: object, other: object) -> bool:
    """Tell whether two decoded values are stored alike: 1, 1.0 and true are three."""
    if one is _MISSING or other is _MISSING:
        return one is other
    return _encoded(one) == _encoded(other)


def _decoded(text: str) -> object:
    return msgspec.json.decode(text)


def _encoded(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
