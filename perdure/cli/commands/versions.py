"""``perdure show --at`` and ``perdure diff``: an agent as it was, and what changed since."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from ...persistence.errors import CorruptState, StoreError
from ...persistence.records.records import JournalEntry
from ...persistence.store.store import StoreReader
from ...persistence.upkeep.difference import MISSING, Difference, differences
from ...persistence.upkeep.versions import PartChange, Versions
from ...url import open_reader
from ..terminal.exits import ExitCode, NotFound
from ..terminal.screen import ColumnStyle, Screen, print_json
from ..terminal.text import moment
from ..terminal.values import parse, short
from . import journal
from .show import Picture, missing, print_commits, print_pairs, print_state

_PAGE: Final = 500
_COLUMNS: Final[list[tuple[str, ColumnStyle]]] = [
    ("PATH", "name"), ("CHANGE", "word"), ("BEFORE", "value"), ("AFTER", "value"),
]  # fmt: skip


def show_version(
    store: str, kind: str, key: str, version: int, *, items: int, json: bool
) -> ExitCode:
    """Print an agent's state at a version; PROBLEMS if a part of it is not known any more."""
    with closing(open_reader(store)) as reader:
        versions = _versions(reader, kind, key)
        _check(versions, kind, key, version)
        picture = _picture(reader, versions, (kind, key), version, items)
    if json:
        print_json(picture)
    else:
        _print(picture, Screen(), versions.latest)
    return ExitCode.PROBLEMS if picture["problems"] else ExitCode.DONE


def show_diff(
    store: str, kind: str, key: str, before: int | None, after: int | None, *, json: bool
) -> ExitCode:
    """Print what differs between two versions; PROBLEMS if a part is not known any more.

    Without ``after`` up to the latest, without ``before`` from the one before it.
    """
    with closing(open_reader(store)) as reader:
        versions = _versions(reader, kind, key)
        last = versions.latest if after is None else after
        first = max(0, last - 1) if before is None else before
        for version in (first, last):
            _check(versions, kind, key, version)
        changes = list(versions.changes(first, last))
    found = [difference for change, known in changes if known for difference in _inside(change)]
    unknown = [change.part for change, known in changes if not known]
    if json:
        for difference in found:
            print_json(_record(difference))
    elif found:
        Screen().say(f"{kind}/{key}, version {first} to {last}", "bold")
        Screen().table(_COLUMNS, map(_row, found))
    elif not unknown:
        Screen(error=True).say(f"nothing differs between version {first} and version {last}")
    for part in unknown:
        said = f"problem: {_text(part)} is not known any more: its entry was trimmed or damaged"
        Screen(error=True).say(said, "red")
    return ExitCode.PROBLEMS if unknown else ExitCode.DONE


def _versions(reader: StoreReader, kind: str, key: str) -> Versions:
    stored = reader.load(kind, key)
    if stored is None:
        raise NotFound(missing(reader, kind, key))
    return Versions(reader, stored)


def _check(versions: Versions, kind: str, key: str, version: int) -> None:
    """Refuse a version that never was, or that the journal does not reach."""
    if version > versions.latest:
        message = f"{kind}/{key} has no version {version}: the latest is {versions.latest}"
        raise NotFound(message)
    if version < versions.oldest:
        message = (
            f"the journal does not reach version {version} of {kind}/{key}: it was trimmed, and"
            f" {versions.oldest} is the oldest version that is known (see Retention)"
        )
        raise NotFound(message)


def _picture(
    reader: StoreReader, versions: Versions, name: tuple[str, str], version: int, items: int
) -> Picture:
    then = versions.at(version)
    problems = [f"state.{path} is not known at version {version} any more" for path in then.unknown]
    commits: list[JournalEntry] = []
    try:
        commits = list(_commits(reader, name, version, max(1, items)))
    except StoreError as error:
        problems.append(str(error))
    made = commits[0] if commits and commits[0].version == version else None
    values = _Values(versions, version, problems)
    return {
        "kind": name[0], "key": name[1], "version": version,
        "sequence": None if made is None else made.sequence,
        "time": None if made is None else made.time,
        "name": None if made is None else made.name,
        "fields": {name: values.read(text, name) for name, text in then.fields.items()},
        "logs": {name: values.log(name, length, items) for name, length in then.logs.items()},
        "maps": {name: values.map(name, keys, items) for name, keys in then.maps.items()},
        "commits": [journal.record(entry) for entry in reversed(commits[:items])],
        "problems": problems,
    }  # fmt: skip


class _Values:
    """Values at a version; what cannot be read becomes a problem."""

    def __init__(self, versions: Versions, version: int, problems: list[str]) -> None:
        self._versions = versions
        self._version = version
        self._problems = problems

    def read(self, text: str, path: str) -> object:
        try:
            return parse(text, f"state.{path}")
        except CorruptState as error:
            self._problems.append(str(error))
            return None

    def log(self, name: str, length: int, items: int) -> dict[str, Any]:
        last = []
        for position in range(max(0, length - items), length):
            known, text = self._versions.item(name, position, self._version)
            last.append({"position": position, "value": self._part(known, text, name, position)})
        return {"length": length, "last": last}

    def map(self, name: str, keys: list[str | int], items: int) -> dict[str, Any]:
        first = []
        for key in keys[:items]:
            known, text = self._versions.entry(name, key, self._version)
            first.append({"entry": key, "value": self._part(known, text, name, key)})
        return {"count": len(keys), "first": first}

    def _part(self, known: bool, text: str | None, name: str, place: str | int) -> object:  # noqa: FBT001 - half of a Known
        path = f"{name}[{place!r}]"
        if not known or text is None:
            self._problems.append(f"state.{path} is not known at version {self._version} any more")
            return None
        return self.read(text, path)


def _commits(
    reader: StoreReader, name: tuple[str, str], version: int, items: int
) -> Iterator[JournalEntry]:
    """Iterate over the commits up to a version, newest first, ``items`` of them."""
    after: int | None = None
    while page := reader.journal(*name, after=after, limit=_PAGE, newest=True):
        for entry in page:
            if entry.version <= version and items:
                items -= 1
                yield entry
        if not items:
            return
        after = page[-1].sequence


def _print(picture: Picture, screen: Screen, latest: int) -> None:
    screen.say(f"{picture['kind']}/{picture['key']}", "bold")
    head = [("version", f"{picture['version']} of {latest}")]
    if picture["sequence"] is not None:
        head += [
            ("commit", picture["sequence"]), ("time", f"{moment(picture['time'])} UTC"),
            ("handled", picture["name"] or "on_receive"),
        ]  # fmt: skip
    print_pairs(screen, head)
    print_state(picture, screen)
    print_commits(picture["commits"], screen)
    for problem in picture["problems"]:
        Screen(error=True).say(f"problem: {problem}", "red")


def _inside(change: PartChange) -> Iterator[Difference]:
    """Iterate over what differs inside a part; secrets are told apart, and shown masked."""
    try:
        before, after = (
            MISSING if text is None else json_text.loads(text)
            for text in (change.before, change.after)
        )
        yield from list(differences(before, after, change.part))
    except (ValueError, RecursionError) as error:
        raise CorruptState(_text(change.part), f"it cannot be compared: {error}") from None


def _record(difference: Difference) -> dict[str, object]:
    change, before, after = _told(difference)
    record: dict[str, object] = {"path": list(difference.path), "change": change}
    if before is not MISSING:
        record["before"] = before
    if after is not MISSING:
        record["after"] = after
    return record


def _row(difference: Difference) -> tuple[object, ...]:
    change, before, after = _told(difference)
    shown = ("" if value is MISSING else short(value) for value in (before, after))
    return _text(difference.path), change, *shown


def _told(difference: Difference) -> tuple[str, object, object]:
    before, after = (
        value if value is MISSING else parse(json_text.dumps(value), _text(difference.path))
        for value in (difference.before, difference.after)
    )
    change = "added" if before is MISSING else "removed" if after is MISSING else "changed"
    return change, before, after


def _text(path: tuple[str | int, ...]) -> str:
    return "".join([str(path[0]), *(f"[{short(step)}]" for step in path[1:])])
