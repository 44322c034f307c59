"""``perdure why``: which turn set a value, and what led to that turn."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Final

import msgspec

from ...hooks.timeline.event import Event
from ...hooks.timeline.why import Path, Provenance, why
from ...persistence.errors import ConfigurationError
from ...url import open_reader
from ..terminal.exits import ExitCode
from ..terminal.screen import ColumnStyle, Screen, print_json
from ..terminal.text import moment
from ..terminal.values import changes, parse, short

_PART: Final = re.compile(r"""\.?([^.\[\]]+)|\[(-?\d+)\]|\[("(?:[^"\\]|\\.)*")\]""")
_COLUMNS: Final[list[tuple[str, ColumnStyle]]] = [
    ("ID", "number"), ("TIME (UTC)", "word"), ("AGENT", "name"), ("WHAT", "name"),
    ("CHANGES", "value"),
]  # fmt: skip


def explain(
    store: str, kind: str, key: str, field: str, path: str | None, *, json: bool
) -> ExitCode:
    """Print why a value is what it is; NOT_FOUND where the journal does not go back so far."""
    with closing(open_reader(store)) as reader:
        found = why(reader, kind, key, field, () if path is None else path_of(path))
    if json:
        print_json(record(found))
    else:
        _print(found, Screen())
    return ExitCode.DONE if found.event is not None else ExitCode.NOT_FOUND


def path_of(text: str) -> Path:
    """Return the path that people write: ``T-1``, ``[3].owner``, ``["a.b"][0]``."""
    parts: list[str | int] = []
    place = 0
    while place < len(text):
        match = _PART.match(text, place)
        if match is None:
            raise _no_path(text)
        name, position, quoted = match.groups()
        if position is not None:
            parts.append(int(position))
        elif quoted is None:
            parts.append(name)
        else:
            try:
                parts.append(msgspec.json.decode(quoted, type=str))
            except msgspec.DecodeError:
                raise _no_path(text) from None
        place = match.end()
    return tuple(parts)


def _no_path(text: str) -> ConfigurationError:
    return ConfigurationError(f'{text!r:.40} is no path; write T-1, [3].owner or ["a.b"]')


def record(found: Provenance) -> dict[str, object]:
    """Return it for programs."""
    return {
        "kind": found.kind, "key": found.key, "field": found.field, "path": list(found.path),
        "value": parse(found.value or "null", found.place),
        "event": None if found.event is None else found.event.record(),
        "arguments": parse(found.arguments or "null", found.place),
        "causes": [event.record() for event in found.causes],
        "hooks": [event.record() for event in found.hooks], "reads": list(found.reads),
        "artifacts": list(found.artifacts),
    }  # fmt: skip


def _print(found: Provenance, screen: Screen) -> None:
    value = short(parse(found.value, found.place)) if found.value else "(not there)"
    screen.say(f"{found.place} = {value}", "bold")
    event = found.event
    if event is None:
        screen.say("set before the oldest commit that the journal keeps, or never")
        return
    screen.title("set by")
    screen.table(_COLUMNS, [_row(event)])
    if found.arguments:
        screen.say(f"with {short(parse(found.arguments, found.place))}")
    if found.hooks:
        screen.title("hooks in that turn")
        for hook in found.hooks:
            screen.say(hook.name)
    if found.reads:
        screen.title("shared keys it looked at")
        for read in found.reads:
            screen.say(read)
    if found.artifacts:
        screen.title("artifacts it came from")
        for artifact in found.artifacts:
            screen.say(artifact)
    first = found.causes[0] if found.causes else event
    screen.title("caused by", _edge(first))
    if found.causes:
        screen.table(_COLUMNS, [_row(each) for each in found.causes])


def _edge(first: Event) -> str:
    if not first.cause_known:
        return "what led to it is not known: an earlier release has written it"
    return "what led to it is not in the journal any more" if first.cause else "from outside"


def _row(event: Event) -> tuple[object, ...]:
    detail = parse(event.detail, f"event {event.id}")
    return event.id, moment(event.time), event.agent, event.name, changes(detail)
