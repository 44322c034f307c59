"""``perdure dead-letters``: messages nobody could handle; look at them, put them back."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from ..persistence.errors import ConfigurationError, UnknownDeadLetter
from ..persistence.records.records import Commit, DeadLetter, Message
from ..persistence.store.batch import Batch
from ..persistence.store.lease import Owner
from ..persistence.store.store import Store, StoreReader
from ..service.client import find_owner
from ..service.protocol import Letters
from ..url import open_reader, open_store, path_of
from .exits import NotFound
from .options import Action
from .screen import Screen, print_json
from .text import moment
from .values import call, parse


@dataclass(frozen=True, slots=True)
class Which:
    """The letters that were named."""

    ids: list[int]
    every: bool
    """All there are, or of ``kind``."""
    kind: str | None


def handle(store: str, action: Action, which: Which, *, limit: int, json: bool) -> None:
    """Do what was asked for; nothing changes if one of the letters is not there."""
    ids = which.ids
    if which.every and (ids or action in (Action.LIST, Action.SHOW)):
        message = "--all and --kind go with `requeue` and `discard`, and with no ID"
        raise ConfigurationError(message)
    if action is Action.LIST:
        if ids:
            raise ConfigurationError("`dead-letters list` takes no ID; `show ID` shows one letter")
        _list(store, limit=limit, json=json)
        return
    if not ids and not which.every:
        message = f"`dead-letters {action}` needs the ID of a letter; `list` shows them"
        raise ConfigurationError(message)
    if action is Action.SHOW:
        with closing(open_reader(store)) as reader:
            letters = find(reader, ids)
        for letter in letters:
            _show(letter, json=json)
    else:
        move(store, which, back=action is Action.REQUEUE, json=json)


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
    owner = find_owner(path_of(url))
    if owner is None:
        _move_in_store(url, which, back=back, json=json)
        return
    wish = Letters(back, which.ids, which.every, which.kind)
    try:
        for done in owner.ask(wish):
            _tell_moved(DeadLetter(**done["letter"]), done["action"], None, "", json=json)
    except UnknownDeadLetter as error:
        raise NotFound(str(error)) from None


def _all(reader: StoreReader, kind: str | None) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    after = 0
    while page := reader.dead_letters(after=after, limit=1000):
        letters += [letter for letter in page if kind in (None, letter.kind)]
        after = page[-1].id
    return letters


def _move_in_store(url: str, which: Which, *, back: bool, json: bool) -> None:
    """Move letters in one commit under the store's lease."""
    with _owned(url) as (store, sequence):
        letters = _all(store, which.kind) if which.every else find(store, which.ids)
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


@contextlib.contextmanager
def _owned(url: str) -> Iterator[tuple[Store, int]]:
    open_reader(url).close()  # opening for writing would make a store where there is none
    with closing(open_store(url, sync="power")) as store:
        counters = store.acquire(Owner.this_process())
        yield store, counters.sequence + 1


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


def _list(store: str, *, limit: int, json: bool) -> None:
    with closing(open_reader(store)) as reader:
        letters = reader.dead_letters(limit=limit + 1)
    if json:
        for letter in letters[:limit]:
            print_json(record(letter))
        return
    notes = Screen(error=True)
    if not letters:
        notes.say("no dead letters")
        return
    Screen().table(
        [
            ("ID", "number"), ("DIED (UTC)", "word"), ("AGENT", "name"), ("FOR", "name"),
            ("TRIES", "number"), ("REASON", "value"),
        ],
        [
            (
                letter.id, moment(letter.died), f"{letter.kind}/{letter.key}",
                letter.name or "on_receive", letter.attempts, letter.reason,
            )
            for letter in letters[:limit]
        ],
    )  # fmt: skip
    if len(letters) > limit:
        notes.say(f"there are more than {limit}; --limit shows them", "dim")


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
