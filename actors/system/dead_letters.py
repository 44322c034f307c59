"""Messages nobody could handle: to be looked at, put back or discarded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Protocol

from ...lifecycle.durability import Durability
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import Denied, NotRequeued, SystemClosed, UnknownDeadLetter
from ...persistence.records.page import LIMIT, Page, checked_limit, page_of, walk
from ...persistence.records.records import Commit, DeadLetter, Message
from ...persistence.schema.evolution import Evolution
from ...persistence.secrets.masking import masked
from ...persistence.store.store import Store
from ..agent.blueprint import Catalogue
from ..cell.graves import Graves
from ..cell.settlement import row
from ..talk.turn import Letter, StoredLetter, agent_here


class Sorter(Protocol):
    """What dead letters need from the system they came from."""

    store: Store
    supervisor: PersistenceSupervisor
    catalogue: Catalogue
    closing: bool
    graves: Graves
    evolution: Evolution

    def next_letter(self) -> int:
        """Return an id for a new letter."""
        ...

    def deliver(self, kind: str, key: str, letter: Letter) -> None:
        """Put a letter into an agent's mailbox."""
        ...


class DeadLetters:
    """The dead letters of a system: messages that failed at every attempt or no longer decode.

    Thread-safe. A letter shows up here when the commit that buried it is durable. Denied to agents:
    it is other agents' mail.
    """

    def __init__(self, home: Sorter) -> None:
        """Look after the dead letters of ``home``."""
        self._home = home
        # Shared with the deletion of agents: a letter that is put back is either deleted with
        # its agent, or mail of the next one of that name.
        self._lock = home.graves.letters
        # Taken in this process, by the sequence of the commit: not durable yet, so still listed
        # in the store, and not to be taken twice.
        self._taken: dict[int, int] = {}

    def list(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = LIMIT,
        newest: bool = False,
    ) -> Page[DeadLetter]:
        """Return a page of the letters of all agents, of a kind or of one agent, masked.

        Oldest first; with ``newest`` newest first. ``after`` is the id of the letter before.
        """
        _refuse_agents()
        limit = checked_limit(limit)
        with self._lock:
            self._forget_durable()
            most = limit + len(self._taken) + 1
            letters = self._home.store.dead_letters(
                kind, key, after=after, limit=most, newest=newest
            )
            waiting = (_shown(letter) for letter in letters if letter.id not in self._taken)
            return page_of(waiting, limit, attrgetter("id"))

    def each(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        newest: bool = False,
    ) -> Iterator[DeadLetter]:
        """Iterate over all letters in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(kind, key, after=place, newest=newest), after)

    def count(self, kind: str | None = None, key: str | None = None) -> int:
        """Return how many letters there are, of all agents, of a kind or of one agent."""
        _refuse_agents()
        with self._lock:
            self._forget_durable()
            if self._taken:
                return sum(1 for _ in self._waiting(kind, key))
            return self._home.store.counted("dead_letters", kind, key)

    def get(self, letter_id: int) -> DeadLetter:
        """Return one letter; UnknownDeadLetter if there is none of that id."""
        _refuse_agents()
        with self._lock:
            return _shown(self._get(letter_id))

    def requeue(self, letter_id: int) -> None:
        """Put a letter back to the end of its agent's mail, with its attempts counted anew.

        It leaves here and enters the mail in one commit, durable soon after the call
        (``system.flush()`` waits for it), however often and from however many threads this is
        called. Not part of a turn, and not undone with one. Raises UnknownDeadLetter if it is
        not here (any more), NotRequeued if its agent's class cannot take it, UnknownAgent if the
        system was opened without that class.
        """
        _refuse_agents()
        home = self._home
        with self._lock:
            dead = self._get(letter_id)
            blueprint = home.catalogue.of_kind(dead.kind)
            stored = Message(*dead[:8])
            try:
                stored = home.evolution.message(stored)
                message = blueprint.calls.decode(stored.name, stored.body, dead.key)
            except (ValueError, TypeError, AttributeError) as error:
                reason = f"{dead.kind}/{dead.key} cannot take dead letter {letter_id}: {error}"
                raise NotRequeued(reason) from error
            # A fresh id: to the store's readers of old mail it is a message of this process.
            letter: Letter
            if blueprint.durability is Durability.VOLATILE:
                letter = Letter(message, letter_id=home.next_letter())
            else:
                letter = StoredLetter(message, letter_id=home.next_letter())
                letter.name, letter.body, letter.sent = stored.name, stored.body, dead.sent
            letter.cause, letter.correlation = dead.cause, dead.correlation
            sends = [row(dead.kind, dead.key, letter)] if letter.durable else []
            sequence = self._take(letter_id, sends)
            if isinstance(letter, StoredLetter):
                letter.placed = sequence
            # Inside the lock: two that are put back one after the other arrive in that order.
            home.deliver(dead.kind, dead.key, letter)

    def discard(self, letter_id: int) -> None:
        """Remove a letter for good; UnknownDeadLetter if it is not here (any more)."""
        _refuse_agents()
        with self._lock:
            self._get(letter_id)
            self._take(letter_id, [])

    def __repr__(self) -> str:
        where = self._home.store.location
        return f"<DeadLetters in {where}: list(), each(), count(), get(), requeue(), discard()>"

    def _waiting(self, kind: str | None, key: str | None) -> Iterator[DeadLetter]:
        """Iterate over what is stored and was not taken; under the lock."""
        after = None
        while letters := self._home.store.dead_letters(kind, key, after=after):
            yield from (letter for letter in letters if letter.id not in self._taken)
            after = letters[-1].id

    def _get(self, letter_id: int) -> DeadLetter:
        self._forget_durable()
        if letter_id not in self._taken:
            durable = self._home.supervisor.committer.durable
            for letter in self._home.store.dead_letters(after=letter_id - 1, limit=1):
                gone = self._home.graves.since(letter.kind, letter.key, durable)
                if letter.id == letter_id and not gone:
                    return letter
        message = f"there is no dead letter {letter_id}; it may have been put back or discarded"
        raise UnknownDeadLetter(message)

    def _take(self, letter_id: int, sends: Sequence[Message]) -> int:
        if self._home.closing:
            message = "the agent system is closed; open it again to see to dead letters"
            raise SystemClosed(message)
        commit = Commit()
        effects = commit.with_effects()
        effects.revived = [letter_id]
        effects.sends = [*sends]
        sequence = self._taken[letter_id] = self._home.supervisor.append(commit)
        return sequence

    def _forget_durable(self) -> None:
        durable = self._home.supervisor.committer.durable
        for letter_id in [i for i, sequence in self._taken.items() if sequence <= durable]:
            del self._taken[letter_id]


def _shown(letter: DeadLetter) -> DeadLetter:
    return letter._replace(body=masked(letter.body))


def _refuse_agents() -> None:
    if agent_here() is not None:
        raise Denied("a handler may not look at dead letters; the program does, outside of turns")
