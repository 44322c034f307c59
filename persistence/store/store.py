"""The store port: what perdure asks of a place that keeps agents, and nothing else."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from ..records.records import (
    AgentRow,
    BaseFields,
    Counters,
    DeadLetter,
    Disk,
    Growth,
    Inbox,
    JournalEntry,
    Message,
    QuarantineRow,
    StoredAgent,
    Timer,
)
from ..records.tables import Key, Order, Row, Table
from ..records.texts import StoredText
from .batch import Batch
from .lease import NO_LEASE, Lease, Owner

Listed: TypeAlias = Literal["agents", "journal", "dead_letters", "mailbox", "timers"]
"""What a store lists and counts by agent."""
TEXTS_PAGE: Final = 1000
"""Items of a log, or entries of a map, that are read at once where all are."""
TimerPlace: TypeAlias = tuple[float, str, str, str]
"""Where a timer stands: when it is due, its agent's kind and key, its name."""


class Indexed(NamedTuple):
    """What an index of texts has looked at; zeros for a new one."""

    first: int
    """The first number."""
    last: int
    """The last one."""
    mark: int
    """What who added the last one knows it by: another of that number has another mark."""


class Shelf(enum.StrEnum):
    """What an index holds the texts of, each by numbers of its own."""

    COMMITS = "commits"
    HOOKS = "hooks"
    """By the commit that they belong to."""
    DECISIONS = "decisions"
    LETTERS = "letters"
    """Dead ones, in the order in which the index met them."""


class TextSearch(Protocol):
    """An index of texts by numbers, beside a store: it may be behind, or lost, without harm.

    Methods raise StoreUnavailable; one that is damaged goes, and is made anew by who opens it
    next. For one thread at a time.
    """

    def extent(self, shelf: Shelf) -> Indexed:
        """Return what was looked at."""
        ...

    def clear(self, shelf: Shelf, known: Indexed) -> None:
        """Begin anew, unless another has changed the extent from ``known`` meanwhile."""
        ...

    def add(
        self,
        shelf: Shelf,
        rows: Sequence[tuple[int, str]],
        known: Indexed,
        last: int,
        mark: int,
        *,
        letters: Iterable[tuple[int, int, int]] = (),
    ) -> bool:
        """Add texts by their numbers; False if another has gone on from ``known`` meanwhile.

        ``letters`` says which dead letters they are of: the number, the id, the checksum.
        """
        ...

    def find(self, shelf: Shelf, text: str, after: int, *, newest: bool) -> Iterator[int]:
        """Iterate over numbers behind ``after`` whose texts may hold ``text``, in order."""
        ...

    def letters(self, numbers: Iterable[int]) -> set[int]:
        """Return the ids of the dead letters of some numbers."""
        ...

    def all_letters(self) -> set[tuple[int, int]]:
        """Return the ids and the checksums of all dead letters that it holds."""
        ...

    def close(self) -> None:
        """Give back every resource."""
        ...


class StoreReader(ABC):
    """Read what is durable. Every method may be called from any thread.

    Methods raise StoreUnavailable, which names ``location``, when the store fails, CorruptState
    when bytes that were read fail their checksum. Texts are JSON.
    """

    location: str
    """Which store this is, for people, and for who has to know whose an error is."""

    @abstractmethod
    def load(self, kind: str, key: str) -> StoredAgent | None:
        """Return an agent's head, plain fields (unverified), shape and timers.

        What else was bad of it is named, and given as it must have been, or left out.
        CorruptState when its head cannot be trusted.
        """

    def load_many(self, kind: str, keys: Sequence[str]) -> list[StoredAgent]:
        """Return those agents that are there and sound, in any order, as ``load`` does each.

        Who is not among them is to be loaded alone.
        """
        found = (self.load(kind, key) for key in keys)
        return [stored for stored in found if stored is not None]

    @abstractmethod
    def known(self, kind: str, keys: Sequence[str]) -> set[str]:
        """Return those keys whose agents the store has, whatever state they are in."""

    @abstractmethod
    def remains(self, kind: str, key: str) -> AgentRow | None:
        """Return what must be known of an agent to delete it, also if its head is damaged.

        Its number stands beside its name; version and sequence are those of its latest commit as
        far as the journal still knows it. CorruptState if its name leads to another agent.
        """

    @abstractmethod
    def log_items(self, agent: int, field: str, start: int, stop: int) -> list[str]:
        """Return the texts of the items from ``start`` up to ``stop``, verified and complete."""

    @abstractmethod
    def map_entry(self, agent: int, field: str, entry: str | int) -> str | None:
        """Return one entry's text, verified, or None."""

    @abstractmethod
    def map_page(
        self, agent: int, field: str, after: str | int | None, limit: int
    ) -> list[tuple[str | int, str]]:
        """Return up to ``limit`` verified entries in key order, those after ``after``."""

    def log_texts(self, agent: int, field: str, length: int, start: int = 0) -> Iterator[str]:
        """Iterate over the texts of a log of that length from ``start`` on, a page at a time."""
        for begin in range(start, length, TEXTS_PAGE):
            yield from self.log_items(agent, field, begin, min(length, begin + TEXTS_PAGE))

    def map_texts(self, agent: int, field: str) -> Iterator[tuple[str | int, str]]:
        """Iterate over the entries of a map in key order, read a page at a time."""
        after: str | int | None = None
        while page := self.map_page(agent, field, after, TEXTS_PAGE):
            yield from page
            after = page[-1][0]

    @abstractmethod
    def map_count(self, agent: int, field: str) -> int:
        """Return the number of entries."""

    @abstractmethod
    def map_fields(self, agent: int) -> list[str]:
        """Return the names of the maps that have entries, in order."""

    @abstractmethod
    def inbox(self, kind: str, key: str) -> Inbox:
        """Return an agent's pending messages, in the order they were sent, and the spoilt ones."""

    def mail(self, kind: str, key: str) -> list[Message]:
        """Return an agent's pending messages in the order they were sent, without spoilt ones."""
        return self.inbox(kind, key).messages

    @abstractmethod
    def mailed(self, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
        """Return up to ``limit`` agents with pending messages, in (kind, key) order."""

    @abstractmethod
    def timers_between(self, after: float, until: float, limit: int) -> list[Timer]:
        """Return timers with ``after < due <= until``, earliest first."""

    @abstractmethod
    def kinds(self) -> list[str]:
        """Return the kinds of the stored agents, sorted; does not look at every agent."""

    @abstractmethod
    def written_with(self, kind: str) -> dict[int, int]:
        """Return how many agents of a kind were written with which schema; looks at all of them.

        0 stands for those of which that is not known.
        """

    @abstractmethod
    def written_otherwise(self, kind: str, schema: int, after: str, limit: int) -> list[str]:
        """Return up to ``limit`` keys behind ``after`` of agents written with another schema.

        In order. Those of which nothing but the head is stored are not among them.
        """

    @abstractmethod
    def agents(
        self, kind: str | None = None, *, after: tuple[str, str] = ("", "")
    ) -> Iterator[AgentRow]:
        """Iterate over the heads of agents in (kind, key) order, without loading them all.

        Of all, or of one kind; those behind the kind and key ``after``.
        """

    @abstractmethod
    def journal(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        newest: bool = False,
        correlation: int | None = None,
        led_from: int | None = None,
    ) -> list[JournalEntry]:
        """Return up to ``limit`` verified entries, oldest first; with ``newest`` newest first.

        ``after`` is a sequence: those behind it, which are above it, or with ``newest`` below.
        ``correlation``: only those of a chain of messages. ``led_from``: only those that begin or
        enter another chain and were caused by the commit of that sequence.
        """

    @abstractmethod
    def history(self, agent: int, before: int) -> Iterator[tuple[int, str | None]]:
        """Iterate over ``(version, delta)`` of an agent below ``before``, newest first.

        A delta that fails its checksum is given as None.
        """

    @abstractmethod
    def base_fields(self, agent: int) -> BaseFields:
        """Return the plain fields that the oldest kept journal row built on, without bad ones."""

    @abstractmethod
    def dead_letters(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> list[DeadLetter]:
        """Return up to ``limit`` dead letters by their ids; else as ``journal``."""

    @abstractmethod
    def dead_marks(self) -> list[tuple[int, int]]:
        """Return the id and the checksum of each dead letter."""

    @abstractmethod
    def dead_digest(self) -> int:
        """Return a number that is another when the dead letters are others."""

    @abstractmethod
    def mailbox(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> list[Message]:
        """Return up to ``limit`` pending messages by their ids; else as ``journal``."""

    @abstractmethod
    def timers(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: TimerPlace | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> list[Timer]:
        """Return up to ``limit`` timers, those due first first; with ``newest`` due last first."""

    @abstractmethod
    def counted(self, what: Listed, kind: str | None = None, key: str | None = None) -> int:
        """Return how many there are: of all agents, of a kind, or of one agent."""

    @abstractmethod
    def quarantined(self) -> list[QuarantineRow]:
        """Return the stored values that were set aside as bad."""

    @abstractmethod
    def row(self, table: Table, key: Key) -> Row | None:
        """Return a row of a declared table by its key, verified; None if there is none."""

    @abstractmethod
    def rows(self, table: Table, keys: Sequence[Key]) -> dict[Key, Row | None]:
        """Return what ``row`` gives for each of the keys, by a few looks for all of them.

        Where one is damaged some are left out: ``row`` says what is wrong with which.
        """

    @abstractmethod
    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return up to ``limit`` verified rows of a declared table, in an order.

        ``after`` gives the values behind which they begin: of the order's columns without those
        that are equal, then of the primary key's columns not among them. Bad rows are left out
        and logged.
        """

    @abstractmethod
    def keys(self, table: Table, after: Key | None, limit: int) -> list[Key]:
        """Return up to ``limit`` primary keys of a declared table behind ``after``, in order.

        The rows are not read, and so not verified: a way through a table of large values.
        """

    @abstractmethod
    def count(self, table: Table, order: Order, prefix: str = "") -> int:
        """Return how many rows of a declared table an order has.

        With ``prefix`` those whose first column behind the equal ones, a text, begins so.
        """

    @abstractmethod
    def texts(self, containing: str = "") -> Iterator[StoredText]:
        """Iterate over the stored texts that contain ``containing``, table by table.

        Reads page by page: a text that is written meanwhile may be met in its old or new form.
        """

    def text_index(self) -> TextSearch | None:
        """Open the index of texts, to be closed by the caller; None where there can be none."""
        return None

    @abstractmethod
    def growth(self) -> list[Growth]:
        """Return what uses the space, by agent and field, largest first."""

    @abstractmethod
    def disk(self) -> Disk:
        """Return what the store takes on disk."""

    @abstractmethod
    def close(self) -> None:
        """Give back every resource; idempotent."""


class Store(StoreReader):
    """A store opened for writing by one owner."""

    lease: Lease = NO_LEASE
    """The lease that is held; ``NO_LEASE`` before it is acquired and after it was released."""

    killed: bool = False
    """The owner before was killed; set to False by who sees to what it had in hand."""

    @abstractmethod
    def acquire(self, owner: Owner, *, takeover: bool = False) -> Counters:
        """Take the lease and return where numbering goes on.

        StoreOwned when another owner is alive; with ``takeover`` it is fenced off instead.
        """

    @abstractmethod
    def release(self) -> None:
        """Give the lease back if it is held still, so that this store may be acquired again.

        Never fails: a lease that cannot be released in the store is no hindrance to this process.
        ``close()`` does it, too.
        """

    @abstractmethod
    def commit(self, batch: Batch) -> None:
        """Make a batch durable, all of it or nothing.

        Called by one thread at a time. Raises Fenced when the lease was lost, StoreUnavailable
        when it failed and may be tried again.
        """

    @abstractmethod
    def renew(self) -> None:
        """Renew the lease; Fenced when it was lost."""

    @abstractmethod
    def trim_journal(self, below: int, limit: int) -> int:
        """Fold up to ``limit`` journal rows with a sequence below ``below`` into the base.

        Returns how many rows went. Called by the thread that commits.
        """

    def remove_deleted(self) -> bool:
        """Remove a slice of what deleted agents have left; False if there is nothing (any more).

        Called by any thread. Nobody who reads sees anything of it.
        """
        return False

    @abstractmethod
    def journal_extent(self) -> tuple[int, int]:
        """Return the first and the last sequence the journal holds; (0, 0) when empty."""
