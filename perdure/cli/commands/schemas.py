"""``perdure schema``: what a store was ever written with, and what differs."""

from __future__ import annotations

import sys
from contextlib import closing

from ...persistence.errors import ConfigurationError
from ...persistence.schema.comparison import compare
from ...persistence.schema.documents import json_schema, markdown
from ...persistence.schema.registry import Registered, registered
from ...persistence.store.store import StoreReader
from ...url import open_reader
from ..terminal.exits import ExitCode, NotFound
from ..terminal.screen import Screen, print_json
from ..terminal.text import moment


def list_schemas(url: str, kind: str | None, *, json: bool) -> None:
    """List the schemas of a store, and how many agents were written with each."""
    with closing(open_reader(url)) as reader:
        found = [each for each in registered(reader) if kind in (None, each.kind)]
        counts = _counts(reader, found)
    if json:
        for each in found:
            print_json(_record(each, counts[each.number]))
        return
    rows = [
        (
            each.number, each.kind, each.schema.family, each.schema.name, each.schema.version,
            each.fingerprint[:12], counts[each.number], moment(each.made),
        )
        for each in found
    ]  # fmt: skip
    Screen().table(
        [
            ("number", "number"), ("kind", "name"), ("of", "word"), ("class", "name"),
            ("version", "word"), ("fingerprint", "word"), ("agents", "number"), ("since", "word"),
        ],
        rows,
    )  # fmt: skip


def _counts(reader: StoreReader, found: list[Registered]) -> dict[int, int]:
    counts = {each.number: 0 for each in found}
    for kind in {each.kind for each in found}:
        counts.update(
            (number, count)
            for number, count in reader.written_with(kind).items()
            if number in counts
        )
    return counts


def _record(entry: Registered, count: int) -> dict[str, object]:
    schema = entry.schema
    return {
        "number": entry.number, "kind": entry.kind, "family": schema.family, "name": schema.name,
        "version": schema.version, "fingerprint": entry.fingerprint, "agents": count,
        "made": entry.made, "sequence": entry.sequence,
    }  # fmt: skip


def show_schema(url: str, words: list[str], *, json: bool) -> None:
    """Show one as Markdown, or as JSON Schema."""
    if len(words) != 1:
        raise ConfigurationError("`schema show` needs a NUMBER, or a KIND for its latest")
    with closing(open_reader(url)) as reader:
        entry = _find(list(registered(reader)), words[0])
        counts = _counts(reader, [entry])
    if json:
        record = _record(entry, counts[entry.number])
        print_json({**record, "json_schema": json_schema(entry.schema)})
    else:
        sys.stdout.write(markdown(entry))


def diff_schemas(url: str, words: list[str], *, json: bool) -> ExitCode:
    """Say what differs from one to another; PROBLEMS if values need a migration."""
    if len(words) != 2:  # noqa: PLR2004 - from, to
        raise ConfigurationError("`schema diff` needs two NUMBERs: from, to")
    with closing(open_reader(url)) as reader:
        known = list(registered(reader))
    comparison = compare(*(_find(known, word).schema for word in words))
    if json:
        print_json({
            "compatibility": str(comparison.level),
            "differences": [each.record() for each in comparison.differences],
        })  # fmt: skip
    else:
        screen = Screen()
        screen.say(str(comparison.level))
        for each in comparison.differences:
            screen.say(f"  {each}")
    return ExitCode.PROBLEMS if comparison.level else ExitCode.DONE


def _find(known: list[Registered], word: str) -> Registered:
    for each in reversed(known):
        if word in (str(each.number), each.fingerprint) or (
            word == each.kind and each.schema.family == "state"
        ):
            return each
    raise NotFound(f"the store knows no schema {word!r}; `perdure schema list` lists them")
