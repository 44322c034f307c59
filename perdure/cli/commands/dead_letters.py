"""``perdure dead-letters``: messages nobody could handle; look at them, put them back."""

from __future__ import annotations

import itertools
from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from ...persistence.errors import ConfigurationError, UnknownDeadLetter
from ...persistence.records.records import Commit, DeadLetter, Message
from ...persistence.store.batch import Batch
from ...persistence.store.store import StoreReader
from ...service.client import find_owner
from ...service.protocol import Letters
from ...url import open_reader, path_of
from ..terminal.exits import NotFound
from ..terminal.listing import Lines, show
from ..terminal.options import Action, Listing
from ..terminal.screen import Screen, print_json
from ..terminal.text import moment
from ..terminal.values import call, parse
from .census import AgentFilter
from .leased import leased

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Which:
    """The letters that were named."""

    ids: list[int]
    every: bool
    """All there are."""
    of: AgentFilter
    """All of a kind, or of one agent."""

    @property
    def many(self) -> bool:
        """Whether no ids were named, but all, or all of a kind."""
        return self.every or self.of.kind is not None


def handle(store: str, action: Action, which: Which, listing: Listing) -> None:
    """Do what was asked for; nothing changes if one of the letters is not there."""
    ids = which.ids
    if action is Action.LIST:
        if ids or which.every:
            message = "`dead-letters list` takes no ID and no --all; `show ID` shows one letter"
            raise ConfigurationError(message)
        _list(store, which.of, listing)
        return
    if which.many and (ids or action is Action.SHOW):
        message = "--all and --kind go with `requeue` and `discard`, and with no ID"
        raise ConfigurationError(message)
    if not ids and not which.many:
        message = f"`dead-letters {action}` needs the ID of a letter; `list` shows them"
        raise ConfigurationError(message)
    if action is Action.SHOW:
        with closing(open_reader(store)) as reader:
            letters = find(reader, ids)
        for letter in letters:
            _show(letter, json=listing.json)
    else:
        move(store, which, back=action is Action.REQUEUE, json=listing.json)


def record(letter: DeadLetter) -> dict[str, object]:
    """Return a dead letter for programs."""
    return {**letter._asdict(), "body": parse(letter.body, f"dead letter {letter.id}")}


def find(reader: StoreReader, ids: list[int]) -> list[DeadLetter]:
    """Return the letters of those ids; NotFound names the first that is not there."""
    letters = []
    for wanted in dict.fromkeys(ids):
        found = reader.dead_letters(after=wanted - 1, limit=1)
        if not found or found[0].id != wanted:
            message = (
                f"there is no dead letter {wanted}; `perdure dead-letters` lists those there are"
            )
            raise NotFound(message)
        letters += found
    return letters


def move(url: str, which: Which, *, back: bool, json: bool) -> None:
    """Put letters back into the mail, or discard them: by who has the store open, or in it."""
    if which.of.key is not None:
        with closing(open_reader(url)) as reader:
            ids = [letter.id for letter in _all(reader, which.of)]
        which = Which(ids, every=False, of=AgentFilter())
    owner = find_owner(path_of(url))
    if owner is None:
        _move_in_store(url, which, back=back, json=json)
        return
    wish = Letters(back, which.ids, which.many, which.of.kind)
    try:
        for done in owner.ask(wish):
            _tell_moved(DeadLetter(**done["letter"]), done["action"], None, "", json=json)
    except UnknownDeadLetter as error:
        raise NotFound(str(error)) from None


def _all(reader: StoreReader, wanted: AgentFilter) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    after = 0
    while page := reader.dead_letters(*wanted.name, after=after, limit=_PAGE):
        letters += page
        after = page[-1].id
    return letters


def _move_in_store(url: str, which: Which, *, back: bool, json: bool) -> None:
    """Move letters in one commit under the store's lease."""
    with leased(url) as (store, sequence):
        letters = _all(store, which.of) if which.many else find(store, which.ids)
        if not letters:
            return
        commit = Commit()
        commit.sequence = sequence
        effects = commit.with_effects()
        effects.revived = [letter.id for letter in letters]
        if back:
            # Ids of this lease are below those of the next owner, so it takes them for old mail.
            first = store.lease.token << 40
            effects.sends = [Message(first + n, *letter[1:8]) for n, letter in enumerate(letters)]
        store.commit(Batch([commit]))
    for letter, message in itertools.zip_longest(letters, effects.sends):
        _moved(letter, message, json=json)


def _moved(letter: DeadLetter, message: Message | None, *, json: bool) -> None:
    action = "discarded" if message is None else "requeued"
    number = None if message is None else message.id
    then = "" if message is None else "; it is handled when the store is opened to run agents"
    _tell_moved(letter, action, number, then, json=json)


def _tell_moved(
    letter: DeadLetter, action: str, number: int | None, then: str, *, json: bool
) -> None:
    if json:
        print_json({"action": action, "message": number, "letter": record(letter)})
        return
    name = f"{letter.name or 'on_receive'} of {letter.kind}/{letter.key}"
    Screen().say(f"{action} {letter.id}: {name}{then}")


def _list(store: str, wanted: AgentFilter, listing: Listing) -> None:
    with closing(open_reader(store)) as reader:
        found = reader.dead_letters(
            *wanted.name, after=listing.number(), limit=listing.limit + 1,
            newest=bool(listing.newest),
        )  # fmt: skip
    show(found, listing, _LINES)


def _cells(letter: DeadLetter) -> tuple[object, ...]:
    return (
        letter.id, moment(letter.died), f"{letter.kind}/{letter.key}",
        letter.name or "on_receive", letter.attempts, letter.reason,
    )  # fmt: skip


def _show(letter: DeadLetter, *, json: bool) -> None:
    if json:
        print_json(record(letter))
        return
    sent = f"{moment(letter.sent)} UTC" if letter.sent else "not recorded"
    body = call(letter.name, parse(letter.body, f"dead letter {letter.id}"))
    pairs: list[tuple[object, object]] = [
        ("id", letter.id), ("agent", f"{letter.kind}/{letter.key}"),
        ("for", letter.name or "on_receive"), ("content", body), ("reason", letter.reason),
        ("tries", letter.attempts), ("sent", sent),
        ("died", f"{moment(letter.died)} UTC"), ("cause", letter.cause),
        ("correlation", letter.correlation),
    ]  # fmt: skip
    Screen().table([("", "word"), ("", "name")], pairs, head=False)


_LINES: Final = Lines(
    columns=[
        ("ID", "number"), ("DIED (UTC)", "word"), ("AGENT", "name"), ("FOR", "name"),
        ("TRIES", "number"), ("REASON", "value"),
    ],
    cells=_cells, record=record, place=attrgetter("id"), none="no dead letters",
)  # fmt: skip
