"""``perdure runs``: what agents think about, what they wait for, and decisions about that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

import msgspec

from ...llm.records import Run, RunStep
from ...llm.runs import OpenRun, open_runs
from ...persistence.errors import ConfigurationError, UnknownRun
from ...persistence.store.store import StoreReader
from ...service.client import find_owner
from ...service.protocol import Decide
from ...url import open_reader, path_of
from ..terminal.exits import NotFound
from ..terminal.listing import Lines, behind, refuse_times, show
from ..terminal.options import Listing, RunsAction
from ..terminal.screen import Screen, print_json
from ..terminal.text import moment
from ..terminal.values import short

_ANSWERED: Final = frozenset({RunsAction.DONE, RunsAction.ANSWER})
_OF_RUN, _OF_CALL = 3, 4
"""How many words name a run, and a call of one."""
_PAGE: Final = 200


def handle(
    store: str, action: RunsAction, place: list[str], result: str | None, listing: Listing
) -> None:
    """List runs, show one, or decide about a call."""
    words = {RunsAction.LIST: 0, RunsAction.SHOW: _OF_RUN}.get(action, _OF_CALL)
    refuse_times(listing, "runs in a list", "by agent, their steps in order")
    if len(place) != words:
        needed = ["KIND", "KEY", "RUN", "CALL"][:words]
        takes = " ".join(needed) or "no further words"
        raise ConfigurationError(f"`runs {action}` takes {takes}; `perdure runs` lists the runs")
    if action is RunsAction.LIST:
        with closing(open_reader(store)) as reader:
            rows = behind(open_runs(reader), listing, _name)
            show(rows, listing, _LINES)
    elif action is RunsAction.SHOW:
        after = listing.number()
        with closing(open_reader(store)) as reader:
            steps = _steps(reader, *place)
            show((row for row in steps if after is None or row[0] > after), listing, _STEPS)
    else:
        kind, key, run, call = place
        wish = Decide(kind, key, run, call, str(action), _json(action, result))
        _decide(store, wish, json=listing.json)


def _json(action: RunsAction, result: str | None) -> msgspec.Raw:
    if result is None:
        if action in _ANSWERED:
            raise ConfigurationError(f"`runs {action}` needs --result, the result as JSON")
        return msgspec.Raw(b"null")
    try:
        msgspec.json.decode(result)
    except msgspec.DecodeError as error:
        message = (
            f"--result {result!r:.40} is no JSON ({error}); a text stands in quotes: '\"Yes.\"'"
        )
        raise ConfigurationError(message) from None
    return msgspec.Raw(result.encode())


def _decide(store: str, wish: Decide, *, json: bool) -> None:
    owner = find_owner(path_of(store))
    if owner is None:
        message = (
            f"nobody has {store} open, and a run goes on in the process that has; start it"
            " (perdure run MODULE:NAME), then decide"
        )
        raise ConfigurationError(message)
    try:
        for done in owner.ask(wish):
            if json:
                print_json(done)
            else:
                Screen().say(f"{wish.what}: call {wish.call} of {wish.kind}/{wish.key} {wish.run}")
    except UnknownRun as error:
        raise NotFound(str(error)) from None


def _steps(reader: StoreReader, kind: str, key: str, run: str) -> Iterator[tuple[int, RunStep]]:
    """Iterate over the steps of a run, each with its place in the transcript."""
    stored = reader.load(kind, key)
    text = None if stored is None else reader.map_entry(stored.head.agent, "runs", run)
    if stored is None or text is None:
        raise NotFound(f"{kind}/{key} has no run {run!r}; `perdure runs` lists those under way")
    position = msgspec.json.decode(text, type=Run).first
    length = stored.log_lengths.get("transcript", 0)
    while position < length:
        items = reader.log_items(
            stored.head.agent, "transcript", position, min(length, position + _PAGE)
        )
        for number, item in enumerate(items, position):
            step = msgspec.json.decode(item, type=RunStep)
            if step.run == run:
                yield number, step
        position += len(items)


def _name(row: OpenRun) -> str:
    return f"{row.kind}/{row.key}/{row.run}"


def _waits(row: OpenRun) -> str:
    return "; ".join(
        f"{each.why}: {each.name} {short(each.args)} (call {each.call})" for each in row.waiting
    )


_LINES: Final[Lines[OpenRun]] = Lines(
    columns=[("KIND", "name"), ("KEY", "name"), ("RUN", "name"), ("STATUS", "word"),
             ("ASKED", "word"), ("WAITS FOR", "value")],
    cells=lambda row: (row.kind, row.key, row.run, row.status, moment(row.asked), _waits(row)),
    record=msgspec.to_builtins, place=_name, none="no agent has a run that has not ended",
)  # fmt: skip
_STEPS: Final[Lines[tuple[int, RunStep]]] = Lines(
    columns=[("STEP", "number"), ("TIME", "word"), ("WHAT", "word"), ("OF", "word"),
             ("NAME", "name"), ("CALL", "name"), ("BODY", "value")],
    cells=lambda row: (row[0], moment(row[1].at), row[1].what, row[1].op, row[1].name, row[1].call,
                       short(row[1].body)),
    record=lambda row: {"step": row[0], **msgspec.to_builtins(row[1])},
    place=lambda row: row[0], none="the run has no steps",
)  # fmt: skip
