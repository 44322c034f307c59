"""``perdure secrets``: keys in use, sealing again with another, looking for plain secrets."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from ...persistence.errors import ConfigurationError, CorruptState, KeyMissing
from ...persistence.records.records import Commit
from ...persistence.records.texts import StoredText
from ...persistence.secrets.detector import Detector, sensitive
from ...persistence.secrets.keys import KeyProvider
from ...persistence.secrets.sealer import Sealer
from ...persistence.secrets.signer import Signer
from ...persistence.secrets.tokens import key_of
from ...persistence.store.batch import Batch
from ...persistence.store.lease import Owner
from ...persistence.store.store import StoreReader
from ...shared.secrets.rotation import Rotator, remaining, sealed, signed, unfinished
from ...url import open_reader, open_store
from ..terminal.exits import ExitCode
from ..terminal.options import SecretsAction
from ..terminal.screen import Screen, print_json
from ..terminal.text import count
from .keys import provider_of

_OF_AGENTS: Final = frozenset({"fields", "log_items", "map_entries"})
_WITH_NAMES: Final = frozenset({"mailbox", "timers", "dead_letters", "scoped"})
"""Other tables whose texts are looked through; journals tell what stands in the others."""


def handle(
    store: str, action: SecretsAction, *, keys: str | None, pickles: str | None, json: bool
) -> ExitCode:
    """Do what was asked for."""
    if action is SecretsAction.SCAN:
        return _scan(store, json=json)
    provider = None if keys is None else provider_of(keys)
    if action is SecretsAction.STATUS:
        return _status(store, provider, json=json)
    signing = None if pickles is None else provider_of(pickles)
    if provider is None and signing is None:
        message = "`secrets rotate` needs --keys: a file, env:VARIABLE or keyring:SERVICE"
        raise ConfigurationError(message)
    return _rotate(store, provider, signing, json=json)


def _status(store: str, provider: KeyProvider | None, *, json: bool) -> ExitCode:
    with closing(open_reader(store)) as reader:
        keys, rotating = remaining(reader), unfinished(reader)
        objects = signed(reader)
        missing = [] if provider is None else [key for key in keys if not _has(provider, key)]
        tried = set(keys) - set(missing)
        wrong = [] if provider is None else sorted(_wrong(reader, provider, tried))
    current = None if provider is None else provider.current()
    if json:
        print_json({
            "keys": keys, "current": current, "missing": missing, "wrong": wrong,
            "signed": objects, "rotating": rotating,
        })  # fmt: skip
    elif keys:
        said = {
            **dict.fromkeys(filter(None, [current]), "current"),
            **dict.fromkeys(missing, "missing"),
            **dict.fromkeys(wrong, "does not open"),
        }
        Screen().table(
            [("KEY", "name"), ("SECRETS", "number"), ("", "word")],
            [(key, number, said.get(key, "")) for key, number in keys.items()],
        )
    else:
        Screen(error=True).say("no sealed secrets")
    if objects and not json:
        Screen().table(
            [("SIGNED WITH", "name"), ("OBJECTS", "number")], list(objects.items()),
        )  # fmt: skip
    if rotating and not json:
        Screen(error=True).say("a rotation has begun; it goes on when the store is opened")
    if wrong and not json:
        message = f"other bytes than those of {', '.join(wrong)} were given; its secrets stay shut"
        Screen(error=True).say(message, "red")
    return ExitCode.PROBLEMS if missing or wrong else ExitCode.DONE


def _wrong(reader: StoreReader, provider: KeyProvider, keys: set[str]) -> set[str]:
    """Return those keys that open not one of their secrets."""
    sealer, left = Sealer(provider), set(keys)
    for token in sealed(reader):
        if not left:
            break
        if key_of(token) in left:
            with contextlib.suppress(CorruptState):
                sealer.check(token, "a secret")
                left.discard(key_of(token))
    return left


def _has(provider: KeyProvider, key_id: str) -> bool:
    try:
        provider.key(key_id)
    except KeyMissing:
        return False
    return True


def _rotate(
    url: str, provider: KeyProvider | None, signing: KeyProvider | None, *, json: bool
) -> ExitCode:
    open_reader(url).close()  # opening for writing would make a store where there is none
    with closing(open_store(url, sync="power")) as store:
        sequence = store.acquire(Owner.this_process()).sequence

        def write(commit: Commit) -> None:
            nonlocal sequence
            sequence += 1
            commit.sequence = sequence
            store.commit(Batch([commit]))

        rotator = Rotator(
            store,
            None if provider is None else Sealer(provider),
            None if signing is None else Signer(signing),
            write,
        )
        rotator.run()
        secrets = {} if provider is None else remaining(store)
        left = {key: n for key, n in secrets.items() if key != rotator.key_id}
        objects = {} if signing is None else signed(store)
        unsigned = {key: n for key, n in objects.items() if key != rotator.signing_key_id}
    if json:
        print_json({
            "key": rotator.key_id, "signing_key": rotator.signing_key_id, "texts": rotator.texts,
            "remaining": left, "signed": unsigned,
        })  # fmt: skip
    else:
        _tell(rotator, left, unsigned)
    return ExitCode.PROBLEMS if left or unsigned else ExitCode.DONE


def _tell(rotator: Rotator, left: dict[str, int], unsigned: dict[str, int]) -> None:
    """Say what a rotation has done, and what it could not do."""
    said = [
        f"{verb} with key {key}"
        for verb, key in (("sealed", rotator.key_id), ("signed", rotator.signing_key_id))
        if key
    ]
    Screen().say(f"{count(rotator.texts, 'text', 'texts')} {' or '.join(said)}")
    for key, number in left.items():
        secrets = count(number, "secret stays", "secrets stay")
        Screen(error=True).say(f"{secrets} sealed with key {key}, which is missing or wrong")
    for key, number in unsigned.items():
        objects = count(number, "object stays", "objects stay")
        Screen(error=True).say(f"{objects} signed with key {key}, which is missing or wrong")


def _scan(store: str, *, json: bool) -> ExitCode:
    with closing(open_reader(store)) as reader:
        found = Counter(_findings(reader))
    for (place, rule), number in sorted(found.items()):
        if json:
            print_json({"place": place, "rule": rule, "texts": number})
    if found and not json:
        Screen().table(
            [("PLACE", "name"), ("LOOKS LIKE", "word"), ("TEXTS", "number")],
            [(place, rule, number) for (place, rule), number in sorted(found.items())],
        )
    elif not found and not json:
        Screen(error=True).say("nothing stored in the plain looks like a secret")
    return ExitCode.PROBLEMS if found else ExitCode.DONE


def _findings(reader: StoreReader) -> Iterator[tuple[str, str]]:
    """Give ``(place, rule)`` for each text that looks like a secret; never the text."""
    detector = Detector()
    kinds = {head.agent: head.kind for head in reader.agents()}
    for stored in reader.texts():
        if stored.table in _OF_AGENTS:
            kind = kinds.get(int(stored.key[0] or 0), "?")
            place, name = f"{kind}.{stored.key[1]!s}", _name(stored)
        elif stored.table in _WITH_NAMES:
            place, name = stored.table, ""
        else:
            continue
        for rule in detector.find(stored.text, name):
            yield place, rule


def _name(stored: StoredText) -> str:
    """Return the name under which the text stands, if secrets stand under it."""
    field, entry = str(stored.key[1]), stored.key[-1]
    if stored.table == "map_entries" and isinstance(entry, str):
        return sensitive(entry) or sensitive(field)
    return sensitive(field)
