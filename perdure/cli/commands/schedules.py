"""``perdure replay-schedules``: replays that fall due by themselves, and what came of them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec

from ...actors.agent.program import load_program
from ...hooks.history.erasure import rows_of
from ...persistence.errors import ConfigurationError
from ...persistence.records.shared_tables import REPLAY_SCHEDULES
from ...persistence.store.store import StoreReader
from ...replay.comparison import ReplayRules
from ...replay.report import ReplayReport
from ...replay.results import ReplayResult, results_in
from ...replay.schedule import KEEP, ReplaySchedule
from ...replay.schedules import schedule_in
from ...service.protocol import PutSchedule, ScheduleWish
from ...url import open_reader
from ..terminal.exits import ExitCode, NotFound
from ..terminal.listing import Lines, refuse_times, show
from ..terminal.options import Listing, ScheduleAction
from ..terminal.screen import Screen, print_json
from ..terminal.text import moment, seconds_of
from .operate import do
from .replay import Wanted


@dataclass(frozen=True, slots=True)
class When:
    """When and how turns are to be replayed."""

    at: str | None
    every: float | None
    cron: str | None
    zone: str
    against: str | None
    workers: int
    keep: int
    ignore: tuple[str, ...]
    any_order: tuple[str, ...]
    tolerance: float
    wanted: Wanted

    def schedule(self, name: str) -> ReplaySchedule:
        """Return the schedule that the options describe; ConfigurationError."""
        made = ReplaySchedule(
            name=name, at=seconds_of(self.at, "--at"),
            every=self.every, cron=self.cron, zone=self.zone, against=self.against,
            which=self.wanted.selection(), workers=self.workers, keep=self.keep,
            rules=ReplayRules(self.ignore, self.tolerance, self.any_order),
        )  # fmt: skip
        made.check()
        return made


_NEVER: Final = When(None, None, None, "UTC", None, 2, KEEP, (), (), 0.0, Wanted())
"""What the options say where none is given."""


def handle(
    store: str, action: ScheduleAction, name: str | None, when: When, listing: Listing
) -> ExitCode:
    """Do what was asked for."""
    if action is not ScheduleAction.ADD and when != _NEVER:
        message = f"`replay-schedules {action}` takes no options of `add`; a schedule has them"
        raise ConfigurationError(message)
    if action is ScheduleAction.LIST:
        return _list(store, listing)
    if action is ScheduleAction.RESULTS:
        return _results(store, name, listing)
    if name is None:
        needed = "the ID of a result" if action is ScheduleAction.SHOW else "the NAME of a schedule"
        raise ConfigurationError(f"`replay-schedules {action}` needs {needed}")
    if action is ScheduleAction.SHOW:
        return _show(store, name, json=listing.json)
    if action is ScheduleAction.ADD:
        return _add(store, when.schedule(name), json=listing.json)
    if action is ScheduleAction.RUN:
        return _run(store, name, json=listing.json)
    return _remove(store, name, json=listing.json)


def _list(store: str, listing: Listing) -> ExitCode:
    refuse_times(listing, "schedules", "in the order of their names")
    with closing(open_reader(store)) as reader:
        found = map(schedule_in, rows_of(reader, REPLAY_SCHEDULES))
        behind = dropwhile(lambda each: each.name <= (listing.after or ""), found)
        show(behind, listing, _SCHEDULES)
    return ExitCode.DONE


def _results(store: str, name: str | None, listing: Listing) -> ExitCode:
    tail = listing.after is None and listing.newest is None
    newest = tail or bool(listing.newest)
    with closing(open_reader(store)) as reader:
        if name is not None:
            _known(reader, name)
        found = results_in(reader, name, after=listing.number(), newest=newest)
        show(found, listing, _RESULTS, tail=tail)
    return ExitCode.DONE


def _show(store: str, number: str, *, json: bool) -> ExitCode:
    if not number.isdecimal():
        raise ConfigurationError(f"{number!r:.40} is no ID of a result; `results` lists them")
    with closing(open_reader(store)) as reader:
        found = next(results_in(reader, None, after=int(number) - 1, newest=False), None)
    if found is None or found.id != int(number):
        raise NotFound(f"there is no result {number}; `replay-schedules results` has all")
    return _tell(found, json=json)


def _add(store: str, schedule: ReplaySchedule, *, json: bool) -> ExitCode:
    (made,) = do(store, PutSchedule(schedule), partial(_import, schedule.against))
    if json:
        print_json(made)
    else:
        Screen().say(f"{made['name']} is due at {moment(made['due'])} (UTC)")
    return ExitCode.DONE


def _run(store: str, name: str, *, json: bool) -> ExitCode:
    def ready() -> None:
        with closing(open_reader(store)) as reader:
            against = _known(reader, name).against
        if against is None:
            message = (
                f"nobody has the store open, and {name} runs under the classes of the process that"
                " has; `perdure replay --against MODULE:NAME` replays turns under others"
            )
            raise ConfigurationError(message)
        _import(against)

    (done,) = do(store, ScheduleWish(name, run=True), ready)
    return _tell(msgspec.convert(done, ReplayResult), json=json)


def _import(against: str | None) -> None:
    """Import the code here, where it is not another process that will."""
    if against is not None:
        load_program(against, Path.cwd())


def _remove(store: str, name: str, *, json: bool) -> ExitCode:
    (done,) = do(store, ScheduleWish(name, run=False))
    if json:
        print_json(done)
    else:
        Screen().say(f"{name} is removed, with its results")
    return ExitCode.DONE


def _known(reader: StoreReader, name: str) -> ReplaySchedule:
    row = reader.row(REPLAY_SCHEDULES, (name,))
    if row is None:
        raise NotFound(f"there is no schedule {name!r}; `perdure replay-schedules` lists them")
    return schedule_in(row)


def _tell(result: ReplayResult, *, json: bool) -> ExitCode:
    """Print a result with the turns that differ."""
    if json:
        print_json(record(result))
    else:
        screen = Screen()
        report = ReplayReport(result.differing, result.counts, more=result.more)
        for line in report.text().splitlines()[:-1]:
            screen.say(line)
        screen.say(result.error or result.summary)
    return ExitCode.DONE if result.outcome == "same" else ExitCode.PROBLEMS


def record(one: ReplaySchedule | ReplayResult) -> dict[str, Any]:
    """Return a schedule, or a result, for programs."""
    facts: dict[str, Any] = msgspec.to_builtins(one)
    return facts


def _when(schedule: ReplaySchedule) -> str:
    if schedule.cron is not None:
        return f"{schedule.cron} {schedule.zone}"
    return "once" if schedule.every is None else f"every {schedule.every:g} s"


def _cells(schedule: ReplaySchedule) -> tuple[object, ...]:
    due = "over" if schedule.due is None else moment(schedule.due)
    turns = ", ".join(f"{name} {value}" for name, value in schedule.which.items()) or "all"
    return schedule.name, _when(schedule), due, schedule.against or "the system's", turns


def _result_cells(result: ReplayResult) -> tuple[object, ...]:
    came = result.error or result.summary
    return result.id, moment(result.began), result.schedule, result.outcome, came


_SCHEDULES: Final = Lines(
    columns=[
        ("NAME", "name"), ("WHEN", "name"), ("DUE (UTC)", "word"), ("AGAINST", "name"),
        ("TURNS", "name"),
    ],
    cells=_cells, record=record, place=attrgetter("name"), none="no replays are scheduled",
)  # fmt: skip
_RESULTS: Final = Lines(
    columns=[
        ("ID", "word"), ("BEGAN (UTC)", "word"), ("SCHEDULE", "name"), ("OUTCOME", "word"),
        ("WHAT CAME OF IT", "value"),
    ],
    cells=_result_cells,
    record=record, place=attrgetter("id"), none="no replay has run on a schedule",
)  # fmt: skip
