"""``perdure artifacts``: list them, get their bytes out of a store and put bytes into one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Final

from ...persistence.errors import ConfigurationError, UnknownArtifact
from ...persistence.names.keys import checked_key, checked_name
from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import ARTIFACT_USES
from ...persistence.records.tables import Order
from ...shared.artifacts import lineage
from ...shared.artifacts.catalogue import ArtifactFilter, by_name, by_number, find, tags
from ...shared.artifacts.chunking import CHUNK
from ...shared.artifacts.content import chunks
from ...shared.artifacts.records import Artifact, ArtifactType, from_row
from ...shared.ledger.cache import DEFAULT_CACHE_BYTES
from ...shared.ledger.ledger import Ledger
from ...shared.ledger.view import View
from ...url import open_reader
from ..terminal.exits import NotFound
from ..terminal.files import STANDARD, new_file
from ..terminal.listing import Lines, behind, show
from ..terminal.options import ArtifactsAction, Listing
from ..terminal.screen import Screen, Working, print_json, working
from ..terminal.text import moment, size
from .owned import owned

_MEGABYTE: Final = 1 << 20
_MOST_USES: Final = 100


@dataclass(frozen=True, slots=True)
class ArtifactsCommand:
    """What was asked for on the command line."""

    name: str | None
    file: str | None
    scope: str | None
    version: int | None
    type: str | None
    media: str
    tags: tuple[str, ...]
    listing: Listing


def handle(store: str, action: ArtifactsAction, asked: ArtifactsCommand) -> None:
    """Do what was asked for."""
    json = asked.listing.json
    if asked.file is not None and action not in (ArtifactsAction.GET, ArtifactsAction.PUT):
        message = f"`artifacts {action}` takes no FILE; `get` and `put` do"
        raise ConfigurationError(message)
    if action is ArtifactsAction.LIST:
        _list(store, asked)
        return
    if asked.name is None:
        message = f"`artifacts {action}` needs the NAME of an artifact; `list` shows them"
        raise ConfigurationError(message)
    name, scope = checked_key(asked.name), _scope(asked) or Scope.GLOBAL
    if action is ArtifactsAction.PUT:
        _put(store, scope, name, asked, json=json)
    elif action is ArtifactsAction.DELETE:
        _delete(store, scope, name, asked.version, json=json)
    else:
        with closing(open_reader(store)) as reader:
            view = View(Ledger(reader, cache_bytes=DEFAULT_CACHE_BYTES))
            row = by_name(view, None, scope, name, asked.version)
            if row is None:
                raise _unknown(scope, name, asked.version)
            artifact = from_row(row)
            if action is ArtifactsAction.GET:
                _get(view, artifact, asked.file or STANDARD, json=json)
            elif action is ArtifactsAction.SOURCES:
                _sources(view, artifact, asked.listing)
            else:
                _show(view, artifact, json=json)


def record(artifact: Artifact) -> dict[str, object]:
    """Return an artifact for programs."""
    return {
        "number": artifact.number,
        "scope": str(artifact.scope),
        "name": artifact.name,
        "version": artifact.version,
        "content": artifact.content,
        "size": artifact.size,
        "type": artifact.type.value,
        "media": artifact.media,
        "agent": None if artifact.agent is None else list(artifact.agent),
        "session": artifact.session,
        "sequence": artifact.sequence,
        "correlation": artifact.correlation,
        "made": artifact.made,
        "meta": dict(artifact.meta),
    }


def _scope(asked: ArtifactsCommand) -> Scope | None:
    return None if asked.scope is None else Scope.parse(asked.scope)


def _type(name: str) -> ArtifactType:
    try:
        return ArtifactType(name)
    except ValueError:
        message = f"{name!r} is no type of artifact; use {', '.join(ArtifactType)}"
        raise ConfigurationError(message) from None


def _unknown(scope: Scope, name: str, version: int | None) -> NotFound:
    which = "" if version is None else f" version {version}"
    message = f"{scope} has no artifact {name!r}{which}; `perdure artifacts` lists those there are"
    return NotFound(message)


def _list(store: str, asked: ArtifactsCommand) -> None:
    tag = checked_name(asked.tags[0], "tag") if asked.tags else None
    wanted = ArtifactFilter(
        scope=_scope(asked),
        name=None if asked.name is None else checked_key(asked.name),
        tag=tag,
        type=None if asked.type is None else _type(asked.type),
    )
    listing = asked.listing
    with closing(open_reader(store)) as reader:
        view = View(Ledger(reader, cache_bytes=DEFAULT_CACHE_BYTES))
        found = find(view, None, wanted, listing.number(), newest=bool(listing.newest))
        show(map(from_row, found), listing, _LINES)


def _cells(artifact: Artifact) -> tuple[object, ...]:
    return (
        artifact.number, moment(artifact.made), artifact.scope, artifact.name, artifact.version,
        size(artifact.size), artifact.type.value,
    )  # fmt: skip


def _show(view: View, artifact: Artifact, *, json: bool) -> None:
    order = Order(("artifact",), (artifact.number,))
    uses = [row[0] for row in view.ledger.page(ARTIFACT_USES, order, None, _MOST_USES)]
    more: dict[str, object] = {
        "tags": tags(view, None, artifact.number),
        "sources": list(lineage.sources(view, None, artifact.number)),
        "results": list(lineage.results(view, None, artifact.number)),
        "uses": uses,
    }
    shown = record(artifact) | more
    if json:
        print_json(shown)
        return
    shown["made"] = moment(artifact.made)
    shown["size"] = f"{artifact.size:,}"
    shown["agent"] = "" if artifact.agent is None else "/".join(artifact.agent)
    rows = [(what, value) for what, value in shown.items() if value not in ("", [], {}, None)]
    Screen().table([("", "word"), ("", "value")], rows, head=False)


def _sources(view: View, artifact: Artifact, listing: Listing) -> None:
    numbers = sorted(lineage.ancestors(view, None, artifact.number), reverse=bool(listing.newest))
    rows = (by_number(view, None, number) for number in numbers)
    found = (from_row(row) for row in rows if row is not None)
    show(behind(found, listing, attrgetter("number")), listing, _LINES)


def _get(view: View, artifact: Artifact, file: str, *, json: bool) -> None:
    with new_file(file) as target, _watched("reading", artifact.name, artifact.size) as told:
        done = 0
        for chunk in chunks(view.ledger.store, artifact.content, str(artifact)):
            target.write(chunk)
            done += len(chunk)
            told.at(done // _MEGABYTE)
    if file != STANDARD:
        if json:
            print_json(record(artifact))
        else:
            Screen().say(f"{file}: {artifact.size:,} bytes of {artifact}, verified")


def _put(store: str, scope: Scope, name: str, asked: ArtifactsCommand, *, json: bool) -> None:
    file = asked.file or STANDARD
    kind = ArtifactType.CUSTOM if asked.type is None else _type(asked.type)
    with _origin(file) as (origin, total), owned(store) as system:
        sink = system.artifacts.create(
            name, scope=scope, type=kind, media=asked.media, tags=asked.tags
        )
        with _watched("saving", name, total) as told, sink:
            while block := origin.read(CHUNK):
                sink.write(block)
                told.at(sink.size // _MEGABYTE)
    _did("saved", sink.artifact, json=json)


@contextlib.contextmanager
def _origin(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    if file == STANDARD:
        yield sys.stdin.buffer, None
        return
    try:
        origin = Path(file).open("rb")  # noqa: SIM115 - the error is about opening alone
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise ConfigurationError(message) from error
    with origin:
        yield origin, os.fstat(origin.fileno()).st_size


def _delete(store: str, scope: Scope, name: str, version: int | None, *, json: bool) -> None:
    with owned(store) as system:
        try:
            artifact = system.artifacts.get(name, scope=scope, version=version)
        except UnknownArtifact:
            raise _unknown(scope, name, version) from None
        system.artifacts.delete(artifact)
        with working("freeing its bytes"):
            system.artifacts.sweep()
    _did("deleted", artifact, json=json)


@contextlib.contextmanager
def _watched(doing: str, name: str, total: int | None) -> Iterator[Working]:
    megabytes = None if total is None else max(1, total // _MEGABYTE)
    with working(f"{doing} {name} (MiB)", megabytes) as told:
        yield told


def _did(what: str, artifact: Artifact, *, json: bool) -> None:
    if json:
        print_json({"action": what, **record(artifact)})
    else:
        Screen().say(f"{what} {artifact}: {artifact.size:,} bytes")


_LINES: Final = Lines(
    columns=[
        ("NUMBER", "number"), ("MADE (UTC)", "word"), ("SCOPE", "name"), ("NAME", "name"),
        ("VERSION", "number"), ("SIZE", "number"), ("TYPE", "word"),
    ],
    cells=_cells, record=record, place=attrgetter("number"), none="no artifacts",
)  # fmt: skip
