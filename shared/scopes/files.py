"""Shared keys as a file: lines of JSON, verified as a whole before anything of it is used.

First ``begin``, then a ``key`` for each key in the order of scopes and keys, and last ``end`` with
their number and the SHA-256 of everything before it. Nothing in it is taken for a path or code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeAlias

import msgspec

from ...persistence.errors import CorruptState, ImportRefused, PerdureError
from ...persistence.names.keys import checked_key
from ...persistence.names.scope import INTERNAL, Scope
from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Key, Order, Row
from ...persistence.schema.registry import Registry
from ...persistence.secrets.masking import masked
from ...persistence.store.store import StoreReader
from .entries import EXPIRES, KEY, SEQUENCE, VALUE, VERSION
from .schemas import Versions
from .state import MOST_AT_ONCE, ScopedState

FORMAT: Final = 1
SLICE: Final = 500
"""Keys an import writes in one commit."""
LONGEST_LINE: Final = 64 * 1024 * 1024
_PAGE: Final = 1000
_ALL: Final = Order(("kind", "id", "part"))
_LAST: Final = "\U0010ffff" * 65
"""Behind every key there can be."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Told: TypeAlias = Callable[[int], None]
"""Told how many keys are done."""


class FirstLine(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="t", tag="begin"
):
    """The first line."""

    perdure_state: int
    """The format."""


class KeyLine(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="t",
    tag="key",
):  # fmt: skip
    """A key with its value."""

    scope: str
    key: str
    value: msgspec.Raw
    version: Count
    expires: float | None
    schema: str = ""
    """The version of its type that has written it; empty where the store knows of none."""


class LastLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="t", tag="end"):
    """The last line."""

    keys: Count
    sha256: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(FirstLine | KeyLine | LastLine).decode


def stored(reader: StoreReader, now: float, scope: Scope | None = None) -> Iterator[Row]:
    """Iterate over the living keys of a store, or of one scope of it, in order."""
    for row in _intact(reader, _order(scope)):
        if row[0] != INTERNAL and not _expired(row, now):
            yield row


def damaged(reader: StoreReader, scope: Scope | None = None) -> int:
    """Return how many keys of a store, or of a scope, are damaged: ``stored`` leaves them out."""
    if reader.count(SCOPED, order := _order(scope)) <= sum(1 for _ in _intact(reader, order)):
        return 0
    # An owner may have written in between: only a row that cannot be read counts.
    number, start = 0, () if scope is None else scope.columns
    after: Key | None = None if scope is None else (*start, "")
    while keys := reader.keys(SCOPED, after, _PAGE):
        for key in keys:
            if key[: len(start)] != start:
                return number
            try:
                reader.row(SCOPED, key)
            except CorruptState:
                number += 1
        after = keys[-1]
    return number


def scopes(reader: StoreReader) -> Iterator[tuple[Scope, int]]:
    """Iterate over the scopes that have keys, with how many are stored; looks a scope up once."""
    after: Row | None = None
    while rows := reader.page(SCOPED, _ALL, after, 1):
        kind, scope_id, part = map(str, rows[0][:KEY])
        if kind != INTERNAL:
            scope = Scope(kind, scope_id, part)
            yield scope, reader.count(SCOPED, Order(_ALL.by, scope.columns))
        after = (kind, scope_id, part, _LAST)


def export(
    reader: StoreReader,
    file: BinaryIO,
    now: float,
    *,
    scope: Scope | None = None,
    sealed: bool = False,
    told: Told | None = None,
) -> tuple[int, int]:
    """Write the keys of a store, or of a scope, to a file; return how many, and how many are not.

    Left out are those with secrets; ``sealed`` takes them along, as encrypted as they are stored.
    """
    digest = hashlib.sha256()

    def put(line: object) -> None:
        data = _encode(line) + b"\n"
        digest.update(data)
        file.write(data)

    put(FirstLine(FORMAT))
    written = left = 0
    versions = Versions(Registry.only_read(reader), "values")
    for row in stored(reader, now, scope):
        value = str(row[VALUE])
        if not sealed and masked(value) != value:
            left += 1
            continue
        put(_keyed(row, versions))
        written += 1
        if told is not None and written % _PAGE == 0:
            told(written)
    file.write(_encode(LastLine(written, digest.hexdigest())) + b"\n")
    return written, left


def load(
    path: Path, state: ScopedState, *, now: float, keep: bool = False, told: Told | None = None
) -> tuple[int, int]:
    """Write the keys of a file; return how many were written, and how many there are.

    The file is read twice. First all of it is verified, each key as a write of it would be; then up
    to 10,000 keys are one commit, all or none, and more of them go in commits of 500, so an import
    that was interrupted is simply done again. Versions go on as with any other write. What has
    expired is left out, and with ``keep`` what is there already. What was written by an earlier
    version of a type that is registered here is migrated.
    """
    total = 0
    for line in read(path):
        total += 1
        try:
            state.would_set(*_meant(state, line, now))
        except PerdureError as error:
            raise _refused(path, total + 1, f"it cannot be written here: {error}") from None
    if total <= MOST_AT_ONCE:
        return _write(state, list(read(path)), now, keep=keep), total
    written = done = 0
    part: list[KeyLine] = []
    for line in read(path):
        part.append(line)
        if len(part) == SLICE:
            written += _write(state, part, now, keep=keep)
            done += len(part)
            part = []
            if told is not None:
                told(done)
    return written + _write(state, part, now, keep=keep), total


def read(path: Path) -> Iterator[KeyLine]:
    """Iterate over a file's keys; ImportRefused names the first line that is not as it must be.

    Raises it at the latest at the end, so what was read counts only then.
    """
    digest, keys, number, ended, begun = hashlib.sha256(), 0, 0, False, False
    with path.open("rb") as file:
        while data := file.readline(LONGEST_LINE):
            number += 1
            line = _line(path, number, data)
            if ended:
                raise _refused(path, number, "something comes after its end")
            if isinstance(line, FirstLine) is begun:
                raise _refused(path, number, "it does not begin as an export does")
            begun = True
            if isinstance(line, FirstLine):
                if line.perdure_state != FORMAT:
                    problem = f"its format is {line.perdure_state}, which this release cannot read"
                    raise _refused(path, number, problem)
            elif isinstance(line, LastLine):
                ended = True
                if (line.keys, line.sha256) != (keys, digest.hexdigest()):
                    raise _refused(path, number, "it is not what was exported")
            else:
                keys += 1
                yield line
            digest.update(data)
    if not ended:
        raise _refused(path, number, "it ends too early")


def _line(path: Path, number: int, data: bytes) -> FirstLine | KeyLine | LastLine:
    if not data.endswith(b"\n"):
        raise _refused(path, number, "it ends too early, or a line is too long")
    try:
        line: FirstLine | KeyLine | LastLine = _decode(data)
        if isinstance(line, KeyLine):
            Scope.parse(line.scope)
            checked_key(line.key)
            msgspec.json.decode(line.value)
    except (ValueError, RecursionError, PerdureError) as error:
        raise _refused(path, number, f"it is no line of an export: {error}") from None
    return line


def _write(state: ScopedState, lines: list[KeyLine], now: float, *, keep: bool) -> int:
    def write(_: ScopedState) -> int:
        written = 0
        for line in lines:
            scope, key, value, ttl = _meant(state, line, now)
            if (ttl is None or ttl > 0) and not (keep and state.exists(scope, key)):
                state.set(scope, key, value, ttl=ttl)
                written += 1
        return written

    return state.transact(write)


def _meant(
    state: ScopedState, line: KeyLine, now: float
) -> tuple[Scope, str, object, float | None]:
    """Return what is to be written: a value of an earlier version of its type is migrated."""
    ttl = None if line.expires is None else line.expires - now
    scope, text = Scope.parse(line.scope), bytes(line.value).decode()
    return scope, line.key, state.brought(scope, line.key, text, line.schema), ttl


def _keyed(row: Row, versions: Versions) -> KeyLine:
    kind, scope_id, part, key = map(str, row[: KEY + 1])
    version, sequence, expires = row[VERSION], row[SEQUENCE], row[EXPIRES]
    assert isinstance(version, int)
    assert isinstance(sequence, int)
    assert expires is None or isinstance(expires, float)
    value = msgspec.Raw(str(row[VALUE]).encode())
    schema = versions.of(kind, key, sequence)
    return KeyLine(str(Scope(kind, scope_id, part)), key, value, version, expires, schema)


def _order(scope: Scope | None) -> Order:
    return _ALL if scope is None else Order(_ALL.by, scope.columns)


def _intact(reader: StoreReader, order: Order) -> Iterator[Row]:
    after: Row | None = None
    while True:
        rows = reader.page(SCOPED, order, after, _PAGE)
        yield from rows
        if len(rows) < _PAGE:
            return
        after = SCOPED.place(rows[-1])[len(order.equal) :]


def _expired(row: Row, now: float) -> bool:
    expires = row[EXPIRES]
    return expires is not None and float(expires) <= now


def _refused(path: Path, number: int, problem: str) -> ImportRefused:
    message = f"{path}, line {number}: {problem}; nothing of it was imported"
    return ImportRefused(message, file=str(path), line=number)
