"""``perdure show --log``: a range of one log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from ...persistence.errors import CorruptState
from ...persistence.store.store import StoreReader
from ...url import open_reader
from ..terminal.exits import ExitCode, NotFound
from ..terminal.screen import Screen, print_json
from ..terminal.text import count
from ..terminal.values import parse, short

_PAGE: Final = 200
"""Items read at once, so that a long range needs little memory."""


def show_log(
    store: str, kind: str, key: str, name: str, *, start: int | None, items: int, json: bool
) -> ExitCode:
    """Print up to ``items`` of a log from ``start``, or the last; PROBLEMS if one is unreadable."""
    code = ExitCode.DONE
    rows: list[tuple[object, object]] = []
    with closing(open_reader(store)) as reader:
        agent, length = _find(reader, kind, key, name)
        first = max(0, length - items) if start is None else start
        for position, text in _items(reader, agent, name, first, min(length, first + items)):
            try:
                value = parse(_read(text), f"state.{name}[{position}]")
            except CorruptState as error:
                Screen(error=True).say(f"problem: {error}", "red")
                code = ExitCode.PROBLEMS
                continue
            if json:
                print_json({"position": position, "value": value})
            else:
                rows.append((position, short(value)))
    if rows:
        Screen().table([("POSITION", "number"), ("VALUE", "value")], rows)
    if first >= length and not json:
        said = f"no such items: the log has {count(length, 'item', 'items')}, counted from 0"
        Screen(error=True).say(said)
    return code


def _find(reader: StoreReader, kind: str, key: str, name: str) -> tuple[int, int]:
    """Return the agent's number and the log's length."""
    stored = reader.load(kind, key)
    if stored is None:
        message = f"{kind}/{key} has no logs; `perdure agents` lists the agents there are"
        raise NotFound(message)
    logs = stored.log_lengths
    if name not in logs:
        names = ", ".join(sorted(logs)) or "none"
        raise NotFound(f"{kind}/{key} has no log {name!r} with items; there are: {names}")
    return stored.head.agent, logs[name]


def _items(
    reader: StoreReader, agent: int, name: str, start: int, stop: int
) -> Iterator[tuple[int, str | CorruptState]]:
    """Read page by page; where a page has a bad item, item by item."""
    for begin in range(start, stop, _PAGE):
        end = min(stop, begin + _PAGE)
        try:
            yield from enumerate(reader.log_items(agent, name, begin, end), begin)
        except CorruptState:
            for position in range(begin, end):
                yield position, _item(reader, agent, name, position)


def _item(reader: StoreReader, agent: int, name: str, position: int) -> str | CorruptState:
    try:
        return reader.log_items(agent, name, position, position + 1)[0]
    except CorruptState as error:
        return error


def _read(text: str | CorruptState) -> str:
    if isinstance(text, CorruptState):
        raise text
    return text
