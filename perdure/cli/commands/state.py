"""``perdure state``: shared keys; read them, write them, move them from store to store."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from ...persistence.errors import ConfigurationError, CorruptState, StateError
from ...persistence.names.keys import checked_key, checked_part
from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Order, Row
from ...persistence.secrets.masking import masked
from ...persistence.store.store import StoreReader
from ...shared.ledger.merged import PAGE
from ...shared.scopes import files
from ...shared.scopes.entries import EXPIRES, KEY, SEQUENCE, VALUE, VERSION
from ...shared.scopes.rows import start_of
from ...url import open_reader
from ..terminal.exits import ExitCode, NotFound, readable
from ..terminal.files import STANDARD, new_file
from ..terminal.listing import Lines, behind, latest, show
from ..terminal.options import Listing, StateAction
from ..terminal.screen import Screen, print_json, working
from ..terminal.text import count, moment
from ..terminal.values import parse, short
from .owned import owned
from .sharing import patterns

_BY_SCOPE = ("kind", "id", "part")

ScopeCount: TypeAlias = tuple[Scope, int]
"""A scope, and how many keys it has."""


@dataclass(frozen=True, slots=True)
class StateCommand:
    """What was asked for on the command line."""

    words: list[str]
    """A scope, its keys and a value; for files, a file and a scope."""
    prefix: str
    ttl: float | None
    keep: bool
    sealed: bool
    force: bool
    listing: Listing


def handle(store: str, action: StateAction, asked: StateCommand) -> ExitCode:
    """Do what was asked for."""
    least, most, usage = _USAGE[action]
    if not least <= len(asked.words) <= most:
        message = f"`perdure state {action}` is called as `perdure state {action} {usage}`".rstrip()
        raise ConfigurationError(message)
    return _ACTIONS[action](store, asked, asked.listing.json) or ExitCode.DONE


def record(row: Row) -> dict[str, object]:
    """Return a key for programs; secrets in its value are masked."""
    scope = _scope_of(row)
    return {
        "scope": str(scope), "key": row[KEY], "value": parse(str(row[VALUE]), _path(row)),
        "version": row[VERSION], "sequence": row[SEQUENCE], "expires": row[EXPIRES],
    }  # fmt: skip


def _get(store: str, asked: StateCommand, json: bool) -> None:  # noqa: FBT001 - as all of them
    scope, key = Scope.parse(asked.words[0]), checked_key(asked.words[1])
    with closing(open_reader(store)) as reader:
        row = reader.row(SCOPED, (*scope.columns, key))
    if row is None or _expired(row):
        raise _missing(scope, key)
    if json:
        print_json(record(row))
    else:
        Screen().say(short(parse(str(row[VALUE]), _path(row))))


def _list(store: str, asked: StateCommand, json: bool) -> None:  # noqa: ARG001, FBT001 - same
    listing = asked.listing
    with closing(open_reader(store)) as reader:
        if not asked.words:
            _list_scopes(reader, listing)
            return
        scope = Scope.parse(asked.words[0])
        prefix, after = checked_part(asked.prefix, "prefix"), listing.after or ""
        lines = replace(_KEYS, none=f"no keys in {scope}")
        if not listing.newest:
            found = _rows(reader, scope, prefix, checked_part(after, "key"))
            show(found, listing, lines)
            return
        last = None
        if after:
            row = reader.row(SCOPED, (*scope.columns, checked_key(after)))
            if row is None:
                raise _missing(scope, after)
            last = _changed(row)
        show(latest(_rows(reader, scope, prefix, ""), listing, _changed, last), listing, lines)


def _changed(row: Row) -> tuple[int, str]:
    return int(str(row[SEQUENCE])), str(row[KEY])


def _cells(row: Row) -> tuple[object, ...]:
    value = short(parse(str(row[VALUE]), _path(row)))
    return row[KEY], row[VERSION], _moment(row), value


def _list_scopes(reader: StoreReader, listing: Listing) -> None:
    with working("looking for scopes"):
        found = list(files.scopes(reader))
        if listing.newest:
            changed = {scope: _last_change(reader, scope) for scope, _ in found}
            found.sort(key=lambda row: (changed[row[0]], str(row[0])), reverse=True)
    shared = next(patterns(reader), None)
    more = "" if shared is None else "; `perdure sharing` lists the topics, pipelines, ..."
    none = f"no shared keys in this store{more}"
    show(behind(found, listing, _SCOPES.place), listing, replace(_SCOPES, none=none))


def _last_change(reader: StoreReader, scope: Scope) -> int:
    return max((int(str(row[SEQUENCE])) for row in _rows(reader, scope, "", "")), default=0)


def _scope_record(row: ScopeCount) -> dict[str, object]:
    return {"scope": str(row[0]), "keys": row[1]}


def _scope_cells(row: ScopeCount) -> ScopeCount:
    return row


def _scope_place(row: ScopeCount) -> Scope:
    return row[0]


def _set(store: str, asked: StateCommand, json: bool) -> None:  # noqa: FBT001 - same
    scope, key, text = Scope.parse(asked.words[0]), checked_key(asked.words[1]), asked.words[2]
    try:
        value: object = msgspec.json.decode(text.encode())
    except (ValueError, RecursionError):
        message = f"the value {text[:40]!r} is no JSON; write a text as '\"text\"'"
        raise ConfigurationError(message) from None
    if not asked.force:
        _spare_secrets(store, scope, key)
    with owned(store) as system:
        try:
            version = system.state.set(scope, key, value, ttl=asked.ttl)
        except StateError as error:
            raise ConfigurationError(str(error)) from None
    _did({"action": "set", "scope": str(scope), "key": key, "version": version}, json=json)


def _spare_secrets(store: str, scope: Scope, key: str) -> None:
    """Refuse to write over a secret: what is written from here is plain."""
    try:
        with closing(open_reader(store)) as reader:
            row = reader.row(SCOPED, (*scope.columns, key))
    except CorruptState:
        return  # writing over it mends it
    if row is not None and not _expired(row) and masked(str(row[VALUE])) != row[VALUE]:
        message = (
            f"{scope} {key!r} holds a secret, and `state set` would write a plain value in its"
            " place; set it in the program, or give --force"
        )
        raise ConfigurationError(message)


def _delete(store: str, asked: StateCommand, json: bool) -> None:  # noqa: FBT001 - same
    scope, keys = Scope.parse(asked.words[0]), [checked_key(key) for key in asked.words[1:]]
    with owned(store) as system, system.state.transaction() as state:
        for key in dict.fromkeys(keys):
            if not state.delete(scope, key):
                raise _missing(scope, key)
    _did({"action": "delete", "scope": str(scope), "keys": len(set(keys))}, json=json)


def _clear(store: str, asked: StateCommand, json: bool) -> None:  # noqa: FBT001 - same
    scope = Scope.parse(asked.words[0])
    with owned(store) as system, working(f"clearing {scope}"):
        cleared = system.state.clear(scope, prefix=asked.prefix)
    _did({"action": "clear", "scope": str(scope), "keys": cleared}, json=json)


def _export(store: str, asked: StateCommand, json: bool) -> ExitCode:  # noqa: FBT001 - same
    target = asked.words[0]
    scope = Scope.parse(asked.words[1]) if len(asked.words) > 1 else None
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(closing(open_reader(store)))
        order = Order(_BY_SCOPE, () if scope is None else scope.columns)
        bar = stack.enter_context(working("exporting", reader.count(SCOPED, order)))
        file = stack.enter_context(new_file(target))
        written, left = files.export(
            reader, file, time.time(), scope=scope, sealed=asked.sealed, told=bar.at
        )
        missing = files.damaged(reader, scope)
    if target != STANDARD:
        what = {"action": "export", "file": target, "keys": written}
        _did({**what, "left_out": left, "missing": missing}, json=json)
    notes = Screen(error=True)
    if left and not json:
        kept = count(left, "key holds a secret and is", "keys hold secrets and are")
        notes.say(f"{kept} left out; --sealed takes them along, encrypted")
    if missing:
        lost = count(missing, "key is damaged and is", "keys are damaged and are")
        notes.say(f"{lost} missing; `perdure doctor` names them", "red")
    return ExitCode.PROBLEMS if missing else ExitCode.DONE


def _import(store: str, asked: StateCommand, json: bool) -> None:  # noqa: FBT001 - same
    path = Path(asked.words[0])
    readable(asked.words[0])
    with working("verifying"):
        total = sum(1 for _ in files.read(path))
    with owned(store) as system, working("importing", total) as bar:
        now = time.time()
        written, _ = files.load(path, system.state, now=now, keep=asked.keep, told=bar.at)
    _did({"action": "import", "file": str(path), "keys": written}, json=json)


_ACTIONS: Final[dict[StateAction, Callable[[str, StateCommand, bool], ExitCode | None]]] = {
    StateAction.GET: _get, StateAction.SET: _set, StateAction.LIST: _list,
    StateAction.DELETE: _delete, StateAction.CLEAR: _clear, StateAction.EXPORT: _export,
    StateAction.IMPORT: _import,
}  # fmt: skip
_USAGE = {
    StateAction.GET: (2, 2, "SCOPE KEY"), StateAction.SET: (3, 3, "SCOPE KEY JSON"),
    StateAction.LIST: (0, 1, "[SCOPE]"), StateAction.DELETE: (2, sys.maxsize, "SCOPE KEY..."),
    StateAction.CLEAR: (1, 1, "SCOPE"), StateAction.EXPORT: (1, 2, "FILE [SCOPE]"),
    StateAction.IMPORT: (1, 1, "FILE"),
}  # fmt: skip


def _rows(reader: StoreReader, scope: Scope, prefix: str, after: str) -> Iterator[Row]:
    order, start = Order(_BY_SCOPE, scope.columns), max(after, start_of(prefix))
    while True:
        rows = reader.page(SCOPED, order, (start,) if start else None, PAGE)
        for row in rows:
            key = str(row[KEY])
            if key > prefix and not key.startswith(prefix):
                return
            if key.startswith(prefix) and not _expired(row):
                yield row
        if len(rows) < PAGE:
            return
        start = str(rows[-1][KEY])


def _did(what: dict[str, object], *, json: bool) -> None:
    if json:
        print_json(what)
        return
    action, number = what["action"], what.get("keys")
    place = what.get("file") or what["scope"]
    keys = count(number, "key", "keys") if isinstance(number, int) else ""
    match action:
        case "set":
            text = f"set {what['key']} in {place}, version {what['version']}"
        case "import" | "export":
            text = f"{action}ed {keys} {'from' if action == 'import' else 'to'} {place}"
        case _:
            text = f"deleted {keys} in {place}"
    Screen().say(text)


def _missing(scope: Scope, key: str) -> NotFound:
    shown = masked(key)
    message = f"there is no key {shown!r} in {scope}; `perdure state list {scope}` lists those"
    return NotFound(message)


def _expired(row: Row) -> bool:
    expires = row[EXPIRES]
    return expires is not None and float(expires) <= time.time()


def _moment(row: Row) -> str:
    expires = row[EXPIRES]
    return "" if expires is None else moment(float(expires))


def _scope_of(row: Row) -> Scope:
    return Scope(*map(str, row[:KEY]))


def _path(row: Row) -> str:
    return f"{_scope_of(row)} {row[KEY]!r}"


_KEYS: Final = Lines(
    columns=[
        ("KEY", "name"), ("VERSION", "number"), ("EXPIRES (UTC)", "word"), ("VALUE", "value"),
    ],
    cells=_cells, record=record, place=itemgetter(KEY), none="",
)  # fmt: skip
_SCOPES: Final = Lines(
    columns=[("SCOPE", "name"), ("KEYS", "number")],
    cells=_scope_cells, record=_scope_record, place=_scope_place, none="",
)  # fmt: skip
