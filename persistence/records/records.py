"""The values that cross the border between agents and a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from .chain import START, AuditRecord, Chain
from .checksums import of_entry, of_item
from .tables import Change
from .texts import Replacement

_quote: Final = json.JSONEncoder(ensure_ascii=False).encode

Reply: TypeAlias = Callable[[Exception | None], None]
"""Called with None when the turn is durable, else with the error that keeps it from it.

Called a second time only if the first was interrupted (KeyboardInterrupt)."""

NOT_KNOWN: Final = -1
"""Stands for the cause of what an earlier release wrote, which did not keep it. No message has the
id 1."""


class Message(NamedTuple):
    """A durable message: a row of the mailbox."""

    id: int
    kind: str
    key: str
    name: str
    """The method to call, or "" for ``on_receive``."""
    body: str
    """JSON: ``[args, kwargs]`` for a method, the message itself for ``on_receive``."""
    cause: int
    """Sequence of the commit that sent it; 0 from outside."""
    correlation: int
    """Id of the message that began the chain; below 0, that of the session it belongs to."""
    sent: float
    """Seconds since the epoch."""


class Timer(NamedTuple):
    """A durable timer: fires once, or every ``interval`` seconds."""

    kind: str
    key: str
    name: str
    method: str
    body: str
    due: float
    """Seconds since the epoch."""
    interval: float | None
    catch_up: str
    """What happens to ticks missed while nothing ran: "one", "all" or "skip"."""
    correlation: int = 0
    """Of the chain of messages that a single one goes on, or of the session it was set in; 0 where
    each tick begins a chain of its own."""
    cause: int = 0
    """Sequence of the commit that set it; NOT_KNOWN where an earlier release did."""


class DeadLetter(NamedTuple):
    """A message nobody could handle, kept until someone puts it back or discards it."""

    id: int
    kind: str
    key: str
    name: str
    body: str
    cause: int
    correlation: int
    sent: float
    attempts: int
    reason: str
    died: float


class FieldRow(NamedTuple):
    """A plain field's current value."""

    agent: int
    field: str
    value: str
    crc: int


class ItemRow(NamedTuple):
    """One item of a log."""

    agent: int
    field: str
    position: int
    value: str
    crc: int


class EntryRow(NamedTuple):
    """One entry of a map."""

    agent: int
    field: str
    entry: str | int
    value: str
    crc: int


class AgentRow(NamedTuple):
    """An agent's head: what it takes to find and activate it."""

    agent: int
    kind: str
    key: str
    version: int
    sequence: int
    status: str
    reason: str


class JournalRow(NamedTuple):
    """One commit as the journal keeps it."""

    sequence: int
    agent: int
    version: int
    previous: int
    """Sequence of the agent's commit before it; 0 for its first."""
    time: float
    name: str
    """What was handled: a method, or a lifecycle step such as "(pause)"."""
    message: int
    cause: int
    correlation: int
    delta: str
    crc: int


class JournalEntry(NamedTuple):
    """A commit as people and programs read it back."""

    sequence: int
    kind: str
    key: str
    version: int
    time: float
    name: str
    message: int
    """Id of the message that was handled; 0 where it had none."""
    cause: int
    """Sequence of the commit that sent the message; 0 from outside. Below 0 for what was asked in a
    turn, which had not committed then: less the id of the message that is handled in that turn."""
    correlation: int
    """Id of the message that began the chain; below 0, that of the session it belongs to."""
    delta: str


class QuarantineRow(NamedTuple):
    """A stored value that failed its checksum or did not decode, kept for inspection."""

    agent: int
    place: str
    value: str
    reason: str
    time: float


class Deletion(NamedTuple):
    """The end of an agent: everything stored of it goes, as of the commit that says so."""

    agent: int
    kind: str
    key: str
    erase: bool
    """What the journal holds of it goes, too."""
    sequence: int = 0
    """That commit; known once it is appended. Keys of the agent's own scope that were set before it
    go, whether the commit names them or not."""


class Renaming(NamedTuple):
    """An agent that has another kind from its commit on."""

    agent: int
    kind: str
    """The one it had."""
    key: str
    becomes: str


class Delta:
    """What one or more turns changed in one agent's state; rows are ready for the store."""

    __slots__ = ("_entries", "_truncated", "agent", "fields", "items", "schemas", "shape")

    def __init__(self, agent: int) -> None:
        """Make a delta that changes nothing of ``agent``."""
        self.agent = agent
        # Name to text. A dictionary of strings alone is nothing the garbage collector looks at,
        # and there is one for every turn on its way to the disk.
        self.fields: dict[str, str] = {}
        self.items: list[ItemRow] | tuple[()] = ()
        self._entries: dict[tuple[int, str, str | int], EntryRow | None] | None = None
        self._truncated: dict[str, int] | None = None
        # The agent's shape after it (see StoredAgent) as JSON; None where it stays as it was.
        self.shape: str | None = None
        # The number of its schema, and the one before; None where that stays, or begins, as it is.
        self.schemas: tuple[int, int] | None = None

    @property
    def entries(self) -> dict[tuple[int, str, str | int], EntryRow | None]:
        """Map entries by (agent, field, entry); None stands for "removed"."""
        if self._entries is None:
            self._entries = {}
        return self._entries

    @property
    def truncated(self) -> dict[str, int]:
        """Log to length; happens before the appends. Only a rewind shortens logs."""
        if self._truncated is None:
            self._truncated = {}
        return self._truncated

    @property
    def plain(self) -> bool:
        """Whether nothing but plain fields changes, as in most turns."""
        return not self.items and not self._entries and not self._truncated

    def __bool__(self) -> bool:
        """Tell whether it changes anything."""
        return bool(self.fields) or not self.plain

    def append(self, field: str, start: int, texts: Iterable[str]) -> None:
        """Append items to a log, the first at ``start``."""
        agent = self.agent
        rows = (
            ItemRow(agent, field, at, text, of_item(agent, field, at, text))
            for at, text in enumerate(texts, start)
        )
        self.items = [*self.items, *rows]

    def put(self, field: str, key: str | int, text: str | None) -> None:
        """Put an entry into a map; with None, remove it."""
        agent, row = self.agent, None
        if text is not None:
            row = EntryRow(agent, field, key, text, of_entry(agent, field, key, text))
        self.entries[agent, field, key] = row

    def merge(self, later: Delta) -> None:
        """Add what ``later`` changed after this; nothing more if it is added twice in a row."""
        self.fields |= later.fields
        if later._truncated:
            cut = later._truncated
            self.items = [row for row in self.items if row.position < cut.get(row.field, 2**63)]
            for field, length in cut.items():
                self.truncated[field] = min(length, self.truncated.get(field, length))
        if later.items and not (self.items and self.items[-1] is later.items[-1]):
            self.items = [*self.items, *later.items]
        if later._entries:
            self.entries.update(later._entries)
        if later.shape is not None:
            self.shape = later.shape
        self.schemas = self.schemas or later.schemas  # once for each time it is loaded

    def text(self) -> str:
        """Return the delta as JSON, for the journal: what was set, cut, appended, put, deleted."""
        values = ""
        for name, text in self.fields.items():
            values += f',"{name}":{text}'
        values = values[1:]
        if self.plain:
            return f'{{"set":{{{values}}}}}' if values else "{}"
        parts = [f'"set":{{{values}}}'] if values else []
        if self._truncated:
            parts.append('"truncate":' + _quote(self.truncated))
        if self.items:
            parts.append('"append":{' + ",".join(_appended(self.items)) + "}")
        if self._entries:
            parts += _entries_text(self.entries)
        return "{" + ",".join(parts) + "}"


def _appended(items: Iterable[ItemRow]) -> list[str]:
    logs: dict[str, tuple[int, list[str]]] = {}
    for _, field, position, value, _ in items:
        logs.setdefault(field, (position, []))[1].append(value)
    return [f'"{field}":[{start},[{",".join(values)}]]' for field, (start, values) in logs.items()]


def _entries_text(entries: dict[tuple[int, str, str | int], EntryRow | None]) -> list[str]:
    put: dict[str, list[str]] = {}
    deleted: dict[str, list[str]] = {}
    for (_, field, entry), row in entries.items():
        key = _quote(entry)
        if row is None:
            deleted.setdefault(field, []).append(key)
        else:
            put.setdefault(field, []).append(f"[{key},{row.value}]")
    return [
        f'"{verb}":{{' + ",".join(f'"{field}":[{",".join(v)}]' for field, v in m.items()) + "}"
        for verb, m in (("put", put), ("delete", deleted))
        if m
    ]


class Effects:
    """What a commit does besides changing its agent's state.

    Most turns have none, and few have more than two: what is not there costs nothing.
    """

    sends: list[Message] | tuple[()] = ()
    consumed: list[int] | tuple[()] = ()
    timers: list[Timer] | tuple[()] = ()
    cancelled: list[tuple[str, str, str]] | tuple[()] = ()
    dead: list[DeadLetter] | tuple[()] = ()
    revived: list[int] | tuple[()] = ()
    quarantined: list[QuarantineRow] | tuple[()] = ()
    rows: list[Change] | tuple[()] = ()
    """Rows of declared tables, in the order in which they were changed."""
    audit: list[AuditRecord] | tuple[()] = ()
    """Decisions, to be numbered and chained when the commit is folded."""
    replaced: list[Replacement] | tuple[()] = ()
    """Texts that say the same in another form, where they still are as they were read."""
    renamed: Renaming | None = None
    """The commit's agent has another kind with it."""
    deleted: Deletion | None = None
    """The commit's agent ends with it: no later commit is of the same number."""


class Revocable(Protocol):
    """A right that may be lost; knows the latest commit that was made by it."""

    revoked: bool
    sequence: int
    version: int
    quiet: bool
    """Whoever makes the next commit by it will write that, too: nobody is woken for it."""


class Commit:
    """The durable record of a turn; its sequence is given when the committer takes it."""

    __slots__ = (
        "agent", "cause", "correlation", "delta", "effects", "history", "key", "kind", "message",
        "name", "previous", "reason", "reply", "sequence", "status", "time", "version", "writer",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - once a turn, and keywords cost
        self,
        kind: str = "",
        key: str = "",
        status: str = "active",
        reason: str = "",
        time: float = 0.0,
        name: str = "",
        message: int = 0,
        cause: int = 0,
        correlation: int = 0,
        *,
        delta: Delta | None = None,
        agent: int = 0,
        version: int = 0,
    ) -> None:
        """Make a commit without effects; ``agent=0`` for one that has nothing but effects."""
        self.sequence = 0
        self.agent = agent
        self.kind = kind
        self.key = key
        self.version = version
        self.previous = 0
        self.status = status
        self.reason = reason
        self.time = time
        self.name = name
        self.message = message
        self.cause = cause
        self.correlation = correlation
        self.delta = delta
        self.effects: Effects | None = None
        self.history: Sequence[Any] = ()
        """What the history of hooks keeps with it: made rows of when it is folded."""
        self.reply: Reply | None = None
        self.writer: Revocable | None = None
        """Whose right to commit is looked at once more when the commit is taken."""

    def with_effects(self) -> Effects:
        """Return the commit's effects, to be filled in."""
        if self.effects is None:
            self.effects = Effects()
        return self.effects


Shape: TypeAlias = Mapping[str, int | None]
"""What an agent has in the store, by the field's name: a log's length, None for a plain field, a
number below 0 for a map (``map_mark``)."""


def map_mark(key_type: type) -> int:
    """Return what stands for a map in an agent's shape: which keys it has."""
    return -2 if key_type is int else -1


@dataclass(frozen=True, slots=True)
class StoredAgent:
    """An agent as the store has it: its head, its plain fields, its shape, its timers."""

    head: AgentRow
    fields: dict[str, tuple[str, int]]
    """Field name to text and stored checksum; not verified yet."""
    shape: Shape
    """Verified: a field named here that has no row was lost."""
    timers: list[Timer]
    damaged: tuple[QuarantineRow, ...] = ()
    """What was bad and is given here as it must have been, or left out."""
    bad_timers: tuple[tuple[str, QuarantineRow], ...] = ()
    """The names of the timers left out, and what their rows hold."""
    schema: int = 0
    """The number of the schema it was written with; 0 where that is not known."""

    @property
    def log_lengths(self) -> dict[str, int]:
        """Return the lengths of the logs that have items, or had."""
        return {name: n for name, n in self.shape.items() if n is not None and n >= 0}


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A stored message that fails its checksum."""

    id: int
    text: str
    """What its row holds now."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """An agent's pending messages in the order they were sent, and those that are spoilt."""

    messages: list[Message]
    spoilt: list[Spoilt]


@dataclass(frozen=True, slots=True)
class BaseFields:
    """The plain fields of an agent just before the oldest entry that the journal keeps of it."""

    fields: dict[str, str]
    complete: bool
    """Every field missing here had its default; False after a loss."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes of values one agent's field takes in one table."""

    kind: str
    key: str
    field: str
    table: str
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Disk:
    """What a store takes on disk; all zero for one without files."""

    file: int
    """Bytes of the main file."""
    log: int
    """Bytes of the write-ahead log beside it, which is given back at the next checkpoint."""
    page: int
    """Bytes of a page."""
    pages: int
    free_pages: int
    """Pages inside the file that hold nothing and are used before the file grows."""
    deleted: int = 0
    """Deleted agents of which something is still to be removed."""
    copies: float | None = None
    """Since when pages may hold copies of what was erased or replaced; None where none does."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Where numbering goes on after a store was opened."""

    sequence: int
    agent: int
    chain: Chain = START
    """The newest link of the audit's chain."""
