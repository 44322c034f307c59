"""``perdure sessions``: list them, look at one, move one from store to store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final, cast

from ...lifecycle.clock import SystemClock
from ...persistence.errors import ConfigurationError
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.shared_tables import ARTIFACTS, SCOPED, SESSIONS
from ...persistence.records.tables import Order
from ...persistence.state.state import DEFAULT_LARGEST_VALUE
from ...persistence.store.store import StoreReader
from ...shared.sessions import pages
from ...shared.sessions.exporter import export
from ...shared.sessions.records import SessionInfo, SessionRow, as_session, info_of
from ...shared.sessions.status import known_status
from ...url import open_reader
from ..terminal.exits import NotFound, readable
from ..terminal.listing import Lines, show
from ..terminal.options import LARGEST, Listing, SessionsAction
from ..terminal.screen import Screen, print_json
from ..terminal.text import count, moment, size
from ..terminal.values import line, parse
from .journal import LINES
from .owned import owned


@dataclass(frozen=True, slots=True)
class SessionsCommand:
    """What was asked for on the command line."""

    what: str | None
    """A session; for an import, a file."""
    file: str | None
    status: str | None
    owner: str | None
    parent: str | None
    sort: str
    name: str | None
    """The id an imported session gets."""
    secrets: bool
    listing: Listing
    """Places are sessions for lists, sequences for a history."""


def handle(store: str, action: SessionsAction, asked: SessionsCommand) -> None:
    """Do what was asked for."""
    json = asked.listing.json
    if asked.file is not None and action is not SessionsAction.EXPORT:
        raise ConfigurationError(f"`sessions {action}` takes one argument less; see --help")
    if action is SessionsAction.LIST:
        if asked.what is not None:
            raise ConfigurationError("`sessions list` takes no ID; `show ID` shows one session")
        _list(store, asked)
        return
    if asked.what is None:
        needed = "a FILE" if action is SessionsAction.IMPORT else "the ID of a session"
        raise ConfigurationError(f"`sessions {action}` needs {needed}; see --help")
    if action is SessionsAction.IMPORT:
        _import(store, asked.what, asked.name, json=json)
    elif action is SessionsAction.ARCHIVE:
        _archive(store, asked.what, json=json)
    else:
        with closing(open_reader(store)) as reader:
            session = find(reader, asked.what)
            if action is SessionsAction.SHOW:
                _show(reader, session, json=json)
            elif action is SessionsAction.HISTORY:
                _history(reader, session, asked.listing)
            else:
                _export(reader, session, asked, json=json)


def find(reader: StoreReader, session_id: str) -> SessionRow:
    """Return a session; NotFound if there is none of that id."""
    stored = reader.row(SESSIONS, (session_id,))
    if stored is None:
        message = f"there is no session {session_id}; `perdure sessions` lists those there are"
        raise NotFound(message)
    return as_session(stored)


def described(info: SessionInfo) -> dict[str, object]:
    """Return a session for programs."""
    limits = {name: getattr(info.limits, name) for name in info.limits.__struct_fields__}
    return {
        "id": info.id, "name": info.name, "status": str(info.status), "parent": info.parent,
        "owner": str(info.owner), "correlation": info.correlation, "created": info.created,
        "changed": info.changed, "ended": info.ended, "cleanup": str(info.cleanup),
        "limits": limits, "note": info.note, "meta": parse(line(info.meta), "meta"),
    }  # fmt: skip


def _wanted(asked: SessionsCommand) -> pages.SessionFilter:
    status = None if asked.status is None else known_status(asked.status)
    owner = None if asked.owner is None else Principal.parse(asked.owner)
    wanted = pages.SessionFilter(
        status, owner, asked.parent, sort=cast("pages.Sort", asked.sort),
        newest=asked.listing.newest is not False,
    )  # fmt: skip
    wanted.order()  # refuses an unknown sort
    return wanted


def _list(store: str, asked: SessionsCommand) -> None:
    wanted, after = _wanted(asked), asked.listing.after
    with closing(open_reader(store)) as reader:
        behind = None if after is None else wanted.place(info_of(find(reader, after)))
        found = map(info_of, pages.stored(reader, wanted, behind))
        show(found, asked.listing, _LINES)


def _cells(info: SessionInfo) -> tuple[object, ...]:
    return (
        info.id, info.name, info.status, moment(info.created), moment(info.changed), info.owner,
        info.note,
    )  # fmt: skip


def _show(reader: StoreReader, session: SessionRow, *, json: bool) -> None:
    info, scope = info_of(session), Scope.session(session.id)
    keys = reader.count(SCOPED, Order(("kind", "id", "part"), scope.columns))
    by_name = ("kind", "id", "part", "name", "version")
    artifacts = reader.count(ARTIFACTS, Order(by_name, scope.columns))
    if json:
        print_json({**described(info), "keys": keys, "artifacts": artifacts})
        return
    limits = {
        name: value
        for name in info.limits.__struct_fields__
        if (value := getattr(info.limits, name)) is not None
    }
    pairs: list[tuple[object, object]] = [
        ("id", info.id), ("name", info.name), ("status", info.status), ("note", info.note),
        ("owner", info.owner), ("parent", info.parent), ("created", f"{moment(info.created)} UTC"),
        ("changed", f"{moment(info.changed)} UTC"),
        ("ended", "" if info.ended is None else f"{moment(info.ended)} UTC"),
        ("limits", line(limits)), ("cleanup", info.cleanup),
        ("meta", line(described(info)["meta"])),
        ("correlation", info.correlation), ("keys", f"{keys:,}"), ("artifacts", f"{artifacts:,}"),
    ]  # fmt: skip
    shown = [(what, value) for what, value in pairs if value not in ("", "{}")]
    Screen().table([("", "word"), ("", "name")], shown, head=False)


def _history(reader: StoreReader, session: SessionRow, listing: Listing) -> None:
    after = listing.number(-LARGEST)  # what an import brought is numbered from below 0
    show(pages.commits(reader, session, after, newest=bool(listing.newest)), listing, LINES)


def _export(
    reader: StoreReader, session: SessionRow, asked: SessionsCommand, *, json: bool
) -> None:
    if asked.file is None:
        raise ConfigurationError("`sessions export` needs the ID of a session and a FILE to write")
    path = Path(asked.file)
    try:
        report = export(
            reader, session, path, now=SystemClock.now(), largest=DEFAULT_LARGEST_VALUE,
            secrets=asked.secrets,
        )  # fmt: skip
    except OSError as error:
        if error.strerror is None:
            raise
        message = f"{path} cannot be written: {error.strerror}; name another file"
        raise ConfigurationError(message) from None
    if json:
        print_json({
            "session": report.session, "file": str(path), "keys": report.keys,
            "commits": report.commits, "artifacts": report.artifacts, "bytes": report.bytes,
        })  # fmt: skip
        return
    parts = (
        count(report.keys, "key", "keys"), count(report.commits, "commit", "commits"),
        count(report.artifacts, "artifact", "artifacts"),
    )  # fmt: skip
    Screen().say(f"exported {session.id} to {path}: {', '.join(parts)}, {size(report.bytes)}")


def _import(store: str, path: str, name: str | None, *, json: bool) -> None:
    readable(path)
    with owned(store) as system:
        info = system.sessions.import_(path, session_id=name).info()
    if json:
        print_json(described(info))
    else:
        Screen().say(f"imported {path} as {info.id}")


def _archive(store: str, session_id: str, *, json: bool) -> None:
    with closing(open_reader(store)) as reader:
        find(reader, session_id)
    with owned(store) as system:
        session = system.sessions.get(session_id)
        session.archive()
        info = session.info()
    if json:
        print_json(described(info))
    else:
        Screen().say(f"archived {session_id}")


_LINES: Final = Lines(
    columns=[
        ("ID", "name"), ("NAME", "value"), ("STATUS", "word"), ("CREATED (UTC)", "word"),
        ("CHANGED (UTC)", "word"), ("OWNER", "name"), ("NOTE", "value"),
    ],
    cells=_cells, record=described, place=attrgetter("id"), none="no such sessions",
)  # fmt: skip
