"""``perdure runs``: what agents think about, what they wait for, and decisions about that."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import msgspec

from ...llm.open_runs import DECISIONS, OpenRun, open_runs
from ...llm.records import RunStep
from ...llm.stored import StoredThinker
from ...persistence.errors import ConfigurationError
from ...persistence.records.records import Commit, Message
from ...persistence.store.batch import Batch
from ...persistence.store.store import StoreReader
from ...service.client import find_owner
from ...service.protocol import Decide
from ...url import open_reader, path_of
from ..terminal.exits import ExitCode, NotFound
from ..terminal.listing import Lines, behind, refuse_times, show
from ..terminal.options import Listing, RunsAction
from ..terminal.screen import Screen, print_json
from ..terminal.text import moment
from ..terminal.values import short
from .leased import leased
from .show import missing
from .tallies import list_tallies

_ANSWERED: Final = frozenset({RunsAction.DONE, RunsAction.ANSWER})
_WORDS: Final = {
    RunsAction.LIST: (0, 2),
    RunsAction.SHOW: (3,),
    RunsAction.REPLAY: (3,),
    RunsAction.STATS: (0, 1, 2),
}
"""How many of KIND, KEY, RUN and CALL an action takes; another takes all."""


def handle(
    store: str,
    action: RunsAction,
    place: list[str],
    *,
    result: str | None,
    against: str | None,
    listing: Listing,
) -> ExitCode:
    """List runs, show one, go through one again, or decide about a call."""
    refuse_times(listing, "runs in a list", "by agent, their steps in order")
    words = _WORDS.get(action, (4,))
    if len(place) not in words:
        takes = " ".join(["KIND", "KEY", "RUN", "CALL"][: words[-1]])
        takes = takes if words[0] else f"no further words, or {takes}"
        raise ConfigurationError(f"`runs {action}` takes {takes}; `perdure runs` lists the runs")
    if against is not None and action is not RunsAction.REPLAY:
        raise ConfigurationError("only `runs replay` takes --against")
    if action is RunsAction.LIST:
        with closing(open_reader(store)) as reader:
            rows = _kept(reader, *place) if place else open_runs(reader)
            show(behind(rows, listing, _name), listing, _LINES)
    elif action is RunsAction.SHOW:
        after = listing.number()
        with closing(open_reader(store)) as reader:
            steps = _steps(reader, *place)
            show((row for row in steps if after is None or row[0] > after), listing, _STEPS)
    elif action is RunsAction.STATS:
        kind, key = [*place, None, None][:2]
        list_tallies(store, kind, key, listing)
    elif action is RunsAction.REPLAY:
        if importlib.util.find_spec("pydantic_ai") is None:
            from ...llm.agent import INSTALL

            raise ConfigurationError(INSTALL)
        from .run_replay import replay

        kind, key, run = place
        return replay(store, kind, key, run, against, json=listing.json)
    else:
        kind, key, run, call = place
        wish = Decide(kind, key, run, call, str(action), _json(action, result))
        _decide(store, wish, json=listing.json)
    return ExitCode.DONE


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
    """Have the owner of a store decide; where there is none, put that into the agent's mail."""
    owner = find_owner(path_of(store))
    then = ""
    if owner is None:
        _write(store, wish)
        then = "; it is handled when the store is opened to run agents"
    else:
        list(owner.ask(wish))
    if json:
        names = ("kind", "key", "run", "call", "what")
        print_json({name: getattr(wish, name) for name in names})
    else:
        run = f"{wish.kind}/{wish.key} {wish.run}"
        Screen().say(f"{wish.what}: call {wish.call} of {run}{then}")


def _write(store: str, wish: Decide) -> None:
    with leased(store) as (opened, sequence):
        place = (wish.kind, wish.key, wish.run)
        runs = [row for row in open_runs(opened) if (row.kind, row.key, row.run) == place]
        waits = [each for row in runs for each in row.waiting if each.call == wish.call]
        if not waits:
            where = f"{wish.kind}/{wish.key}: run {wish.run}"
            raise NotFound(f"{where} does not wait for a call {wish.call!r}; see `perdure runs`")
        if wish.what not in DECISIONS[waits[0].why]:
            takes = ", ".join(DECISIONS[waits[0].why])
            raise ConfigurationError(f"call {wish.call} ({waits[0].why}) takes {takes}")
        body = msgspec.json.encode([[wish.run, wish.call, wish.what, wish.result], {}]).decode()
        # Ids of this lease are below those of the next owner, so it takes it for old mail.
        number = opened.lease.token << 40
        message = Message(number, wish.kind, wish.key, "decide", body, 0, number, time.time())
        commit = Commit()
        commit.sequence = sequence
        commit.with_effects().sends = [message]
        opened.commit(Batch([commit]))


def _steps(reader: StoreReader, kind: str, key: str, run: str) -> Iterator[tuple[int, RunStep]]:
    """Iterate over the steps of a run, each with its place in the transcript."""
    thinker = StoredThinker(reader, kind, key)
    steps = thinker.steps(thinker.run(run).first)
    return ((place, step) for place, step in steps if step.run == run)


def _kept(reader: StoreReader, kind: str, key: str) -> Iterator[OpenRun]:
    """Iterate over the runs of one agent, those that have ended included."""
    if reader.load(kind, key) is None:
        raise NotFound(missing(reader, kind, key))
    for run in StoredThinker(reader, kind, key).runs():
        yield OpenRun(kind, key, run.id, run.status, run.asked, run.waiting, run.error)


def _name(row: OpenRun) -> str:
    return f"{row.kind}/{row.key}/{row.run}"


def _waits(row: OpenRun) -> str:
    return row.error or "; ".join(
        f"{each.why}: {each.name} {short(each.args)} (call {each.call})"
        + (f": {each.reason}" if each.reason else "")
        for each in row.waiting
    )


def _record(row: OpenRun) -> dict[str, object]:
    waiting = [msgspec.structs.asdict(each) for each in row.waiting]
    return {**msgspec.structs.asdict(row), "waiting": waiting}


_LINES: Final[Lines[OpenRun]] = Lines(
    columns=[("KIND", "name"), ("KEY", "name"), ("RUN", "name"), ("STATUS", "word"),
             ("ASKED", "word"), ("WAITS FOR, FAILED BY", "value")],
    cells=lambda row: (row.kind, row.key, row.run, row.status, moment(row.asked), _waits(row)),
    record=_record, place=_name,
    none="no agent has a run that has not ended; `runs list KIND KEY` lists all of one",
)  # fmt: skip
_STEPS: Final[Lines[tuple[int, RunStep]]] = Lines(
    columns=[("STEP", "number"), ("TIME", "word"), ("WHAT", "word"), ("OF", "word"),
             ("NAME", "name"), ("CALL", "name"), ("BODY", "value")],
    cells=lambda row: (row[0], moment(row[1].at), row[1].what, row[1].op, row[1].name, row[1].call,
                       short(row[1].body)),
    record=lambda row: {"step": row[0], **msgspec.structs.asdict(row[1])},
    place=lambda row: row[0], none="the run has no steps",
)  # fmt: skip
