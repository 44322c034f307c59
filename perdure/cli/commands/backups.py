"""``perdure backup``: backups made, listed, verified, brought back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from operator import attrgetter
from time import time as now
from typing import Final

import msgspec

from ...actors.agent.program import load_agents
from ...backups import Backups
from ...persistence.backup.bringing import BroughtBack
from ...persistence.backup.folder import Backup
from ...persistence.backup.levels import DEFAULT_LEVEL
from ...persistence.backup.places import folder_of
from ...persistence.backup.progress import Progress
from ...persistence.backup.recovery import Recovered
from ...persistence.backup.retention import BackupRetention
from ...persistence.errors import BackupError, ConfigurationError, PerdureError
from ...persistence.names.scope import Scope
from ...system_backups import BackupSchedule, absolute, schedules_in
from ...url import open_reader
from ..terminal.exits import ExitCode, NotFound
from ..terminal.listing import Lines, behind, show
from ..terminal.options import BackupAction, Listing
from ..terminal.screen import Screen, print_json, working
from ..terminal.text import moment, seconds_of, size
from .keys import provider_of
from .owned import owned


@dataclasses.dataclass(frozen=True, slots=True)
class PruneRules:
    """Which backups a pruning keeps."""

    newest: int | None = None
    days: float | None = None
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    size: int | None = None
    importance: int | None = None
    dry_run: bool = False

    def rules(self) -> BackupRetention:
        """Return the rules; ConfigurationError if they make no sense."""
        return BackupRetention(
            newest=self.newest, days=self.days, daily=self.daily, weekly=self.weekly,
            monthly=self.monthly, size=self.size, importance=self.importance,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class PartOptions:
    """Which part of a store comes back."""

    agents: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    as_key: str = ""
    mail: bool = False

    def __bool__(self) -> bool:
        """Tell whether it is a part."""
        return bool(self.agents or self.kinds or self.scopes)

    def names(self) -> list[tuple[str, str]]:
        """Return the agents; ConfigurationError for what names none."""
        found = [each.partition("/") for each in self.agents]
        for kind, slash, key in found:
            if not (kind and slash and key):
                message = f"--agent {kind}{slash}{key}: give KIND/KEY, as Desk/emea"
                raise ConfigurationError(message)
        return [(kind, key) for kind, _, key in found]


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """When backups are made."""

    every: float | None = None
    cron: str | None = None
    full_every: int = 7


@dataclasses.dataclass(frozen=True, slots=True)
class BackupCommand:
    """What was asked for."""

    folder: str
    name: str | None
    store: str
    target: str
    note: str
    keys: str | None
    listing: Listing
    incremental: bool = False
    drill: bool = False
    kept: PruneRules = PruneRules()
    at: int | None = None
    time: str | None = None
    in_place: bool = False
    part: PartOptions = PartOptions()
    when: ScheduleOptions = ScheduleOptions()
    code: str = ""
    level: int = DEFAULT_LEVEL

    def backups(self) -> Backups:
        """Return the backups it is about."""
        keys = None if self.keys is None else provider_of(self.keys)
        return Backups(self.folder, keys=keys)


def handle(action: BackupAction, asked: BackupCommand) -> ExitCode:
    """Do what was asked for."""
    return _ACTIONS[action](asked)


def _create(asked: BackupCommand) -> ExitCode:
    if not asked.store:
        raise ConfigurationError("`backup create` needs --store: a path or sqlite:///PATH")
    if asked.name is not None:
        raise ConfigurationError("`backup create` takes no NAME: a backup gets one")
    with _told() as tell:
        made = asked.backups().create(
            asked.store, incremental=asked.incremental, note=asked.note,
            importance=asked.kept.importance or 0, level=asked.level, tell=tell,
        )  # fmt: skip
    if asked.listing.json:
        print_json(record(made))
    else:
        share = 1 - made.bytes / made.size if made.size else 0.0
        kind = f"on {made.parent}" if made.parent else "full"
        Screen().say(made.name)
        Screen(error=True).say(
            f"{kind}, up to commit {made.last:,}: {size(made.bytes)} for a store of"
            f" {size(made.size)}, {share:.0%} saved"
        )
    return ExitCode.DONE


def _list(asked: BackupCommand) -> ExitCode:
    found = asked.backups().list()
    if asked.listing.newest:
        found.reverse()
    show(behind(found, asked.listing, attrgetter("name")), asked.listing, _LINES)
    if asked.store and not asked.listing.json:
        _say_schedule_of(asked)
    return ExitCode.PROBLEMS if any(each.problem for each in found) else ExitCode.DONE


def _info(asked: BackupCommand) -> ExitCode:
    backup = asked.backups().get(asked.name)
    if asked.listing.json:
        print_json(record(backup))
    else:
        shown = {**record(backup), "made": moment(backup.made)}
        shown |= {"last_time": moment(backup.last_time)}
        Screen().table(
            [("", "word"), ("", "name")], [(k, v) for k, v in shown.items() if v != ""], head=False
        )
    return ExitCode.DONE


def _verify(asked: BackupCommand) -> ExitCode:
    if asked.drill is not bool(asked.code):
        message = "`backup verify` takes --drill and --code together: a module, or MODULE:NAME"
        raise ConfigurationError(message)
    agents = load_agents(asked.code) if asked.drill else None
    with _told() as tell:
        found = asked.backups().verify(asked.name, drill=agents, tell=tell)
    if asked.listing.json:
        print_json({"verified": True, **dataclasses.asdict(found)})
        return ExitCode.DONE
    screen = Screen()
    screen.say(
        f"verified: {found.name}, {len(found.chain)} in its chain, up to commit {found.last:,}"
    )
    if found.drilled:
        screen.say(f"drilled: every row examined, {found.tried:,} agents, messages, timers tried")
    return ExitCode.DONE


def _restore(asked: BackupCommand) -> ExitCode:
    if asked.part:
        return _part(asked)
    if asked.part != PartOptions():
        raise ConfigurationError("--as and --mail are for a part: give --agent, --kind or --scope")
    if asked.in_place:
        return _go_back(asked)
    if not asked.target:
        raise ConfigurationError("`backup restore` needs --to: the name of the new file")
    if asked.at is not None or asked.time is not None:
        return _recover(asked)
    with _told() as tell:
        found = asked.backups().restore(asked.target, asked.name, tell=tell)
    return _say_recovered(asked, found)


def _recover(asked: BackupCommand) -> ExitCode:
    if asked.name is not None:
        raise ConfigurationError("--at and --time find the backup: leave out NAME")
    time = seconds_of(asked.time, "--time")
    with _told() as tell:
        found = asked.backups().recover(
            asked.target, sequence=asked.at, time=time, store=asked.store or None, tell=tell
        )
    return _say_recovered(asked, found)


def _go_back(asked: BackupCommand) -> ExitCode:
    if not asked.store or asked.target or asked.name is not None:
        message = "--in-place needs --store and --at or --time, and takes neither NAME nor --to"
        raise ConfigurationError(message)
    time = seconds_of(asked.time, "--time")
    with _told() as tell:
        found = asked.backups().go_back(asked.store, sequence=asked.at, time=time, tell=tell)
    return _say_recovered(asked, found)


def _part(asked: BackupCommand) -> ExitCode:
    part, backups = asked.part, asked.backups()
    if asked.in_place is bool(asked.target) or (asked.in_place and not asked.store):
        raise ConfigurationError("a part comes back with --to FILE, or with --in-place and --store")
    names, time = part.names(), seconds_of(asked.time, "--time")
    scopes = [Scope.parse(each) for each in part.scopes]
    with _told() as tell:
        if part.as_key:
            if len(names) != 1 or part.kinds or scopes or part.mail or not asked.in_place:
                raise ConfigurationError("--as takes one --agent and --in-place, and nothing else")
            done = backups.fork(
                asked.store, names[0], part.as_key, sequence=asked.at, time=time, name=asked.name,
                tell=tell,
            )  # fmt: skip
        elif asked.in_place:
            done = backups.bring_back(
                asked.store, agents=names, kinds=part.kinds, scopes=scopes, sequence=asked.at,
                time=time, name=asked.name, mail=part.mail, tell=tell,
            )  # fmt: skip
        else:
            done = backups.take_out(
                asked.target, agents=names, kinds=part.kinds, scopes=scopes, sequence=asked.at,
                time=time, name=asked.name, store=asked.store or None, tell=tell,
            )  # fmt: skip
    return _say_part(asked, done)


def _say_part(asked: BackupCommand, done: BroughtBack) -> ExitCode:
    counts = dataclasses.asdict(done.counts)
    if asked.listing.json:
        record = {"restored": asked.target or asked.store, "safety": done.safety, **counts}
        print_json(record | dataclasses.asdict(done.moment))
    else:
        moment_, where = done.moment, asked.target or asked.store
        what = (
            ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "nothing"
        )
        when = f"behind commit {moment_.last:,}, {moment(moment_.time)} UTC"
        Screen().say(f"{where}: {what}; as it was {when}")
        if done.safety:
            Screen(error=True).say(f"what was there before is in the backup {done.safety}")
        for unknown in moment_.unknown:
            Screen(error=True).say(f"not known: {unknown}", "yellow")
    return ExitCode.PROBLEMS if done.moment.unknown else ExitCode.DONE


def _say_recovered(asked: BackupCommand, found: Recovered) -> ExitCode:
    if asked.listing.json:
        print_json({"restored": asked.target or asked.store, **dataclasses.asdict(found)})
    else:
        where, when = asked.target or asked.store, moment(found.time)
        Screen().say(f"{where}: as it was behind commit {found.last:,}, {when} UTC")
        for name in found.erased:
            Screen(error=True).say(f"erased again: {name}")
        for what in found.unknown:
            Screen(error=True).say(f"not known: {what}", "yellow")
    return ExitCode.PROBLEMS if found.unknown else ExitCode.DONE


def _prune(asked: BackupCommand) -> ExitCode:
    dry = asked.kept.dry_run
    verdicts = asked.backups().prune(asked.kept.rules(), dry_run=dry)
    if asked.listing.json:
        for each in verdicts:
            print_json({**dataclasses.asdict(each), "dry_run": dry})
        return ExitCode.DONE
    gone = "would be removed" if dry else "removed"
    rows = [(v.name, "kept" if v.kept else gone, size(v.bytes), v.why) for v in verdicts]
    Screen().table([("NAME", "name"), ("", "word"), ("FILE", "number"), ("WHY", "value")], rows)
    return ExitCode.DONE


def _pin(asked: BackupCommand) -> ExitCode:
    return _marked(asked, lambda backups, name: backups.pin(name, asked.note or "pinned"))


def _unpin(asked: BackupCommand) -> ExitCode:
    return _marked(asked, lambda backups, name: backups.unpin(name))


def _marked(asked: BackupCommand, change: Callable[[Backups, str], object]) -> ExitCode:
    if asked.name is None:
        raise ConfigurationError("`backup pin`, `unpin` and `rate` need NAME: say which backup")
    backups = asked.backups()
    change(backups, asked.name)
    if asked.listing.json:
        print_json(record(backups.get(asked.name)))
    return ExitCode.DONE


def _rate(asked: BackupCommand) -> ExitCode:
    importance = asked.kept.importance
    if importance is None:
        raise ConfigurationError("`backup rate` needs --importance: a number from 0 to 9")
    return _marked(asked, lambda backups, name: backups.rate(name, importance))


def _schedule(asked: BackupCommand) -> ExitCode:
    if not asked.store or asked.name is not None:
        raise ConfigurationError("`backup schedule` needs --store, and takes no NAME")
    when, keep = asked.when, asked.kept
    if when.every is None and when.cron is None:
        return _schedules(asked)
    rules = None if keep == PruneRules() else keep.rules()
    with owned(asked.store) as system:
        made = system.backup.schedule(
            asked.folder,
            every=when.every,
            cron=when.cron,
            full_every=when.full_every,
            keep=rules,
            level=asked.level,
        )
    _say_schedules(asked, [made])
    return ExitCode.DONE


def _schedules(asked: BackupCommand) -> ExitCode:
    with closing(open_reader(asked.store)) as reader:
        _say_schedules(asked, schedules_in(reader))
    return ExitCode.DONE


def _say_schedules(asked: BackupCommand, found: list[BackupSchedule]) -> None:
    if asked.listing.json:
        for each in found:
            print_json(msgspec.to_builtins(each) | {"next": _next(each)})
        return
    rows = [
        (
            each.folder, each.cron or f"every {each.every:g} s", str(each.full_every),
            str(each.keep), _went(each), _told_next(each),
        )
        for each in found
    ]  # fmt: skip
    Screen().table(
        [("FOLDER", "name"), ("WHEN", "word"), ("FULL", "number"), ("KEPT", "value"),
         ("LAST", "value"), ("NEXT", "word")],
        rows,
    )  # fmt: skip


def _next(schedule: BackupSchedule) -> float | None:
    """Return when a schedule makes its next backup; None if its folder cannot be read."""
    try:
        folder = folder_of(schedule.folder)
        backups = folder.list() if folder.place.there() else []
        return schedule.next(backups, now())
    except (BackupError, ConfigurationError, OSError):
        return None


def _told_next(schedule: BackupSchedule) -> str:
    due = _next(schedule)
    if due is None:
        return "not known"
    return moment(due) if due > now() else "once the store is open"


def _went(schedule: BackupSchedule) -> str:
    last = schedule.last
    if last is None:
        return "never"
    return f"{moment(last.time)}: {(last.problem and f'failed: {last.problem}') or last.backup}"


def _say_schedule_of(asked: BackupCommand) -> None:
    """Say below a list of backups by which schedule they are made, if the store can be read."""
    name = absolute(asked.folder)
    try:
        with closing(open_reader(asked.store)) as reader:
            found = [each for each in schedules_in(reader) if each.folder == name]
    except PerdureError as error:
        Screen(error=True).say(f"the schedule is not known: {error}", "yellow")
        return
    for each in found:
        when = each.cron or f"every {each.every:g} s"
        told = f"scheduled {when}; last {_went(each)}; next {_told_next(each)}"
        Screen(error=True).say(told, "red" if each.last and each.last.problem else "")


def _unschedule(asked: BackupCommand) -> ExitCode:
    if not asked.store:
        raise ConfigurationError("`backup unschedule` needs --store")
    with owned(asked.store) as system:
        there = system.backup.unschedule(asked.folder)
    if not there:
        raise NotFound(f"there is no schedule of backups in {asked.folder}")
    if asked.listing.json:
        print_json({"folder": asked.folder, "removed": True})
    return ExitCode.DONE


def _rewrite(asked: BackupCommand) -> ExitCode:
    with _told() as tell:
        done = asked.backups().rewrite(tell=tell)
    for each in done:
        if asked.listing.json:
            print_json(dataclasses.asdict(each))
        else:
            Screen().say(f"{each.before} is {each.name} now, without {each.erased} agents")
    return ExitCode.DONE


def record(backup: Backup) -> dict[str, object]:
    """Return a backup for programs."""
    return dataclasses.asdict(backup)


@contextmanager
def _told() -> Iterator[Progress]:
    """Show how far the work is, if a person watches."""
    with working("beginning", total=1) as work:
        yield lambda what, done, total: work.at(done, total, what)


_ACTIONS: Final[dict[BackupAction, Callable[[BackupCommand], ExitCode]]] = {
    BackupAction.CREATE: _create,
    BackupAction.LIST: _list,
    BackupAction.INFO: _info,
    BackupAction.VERIFY: _verify,
    BackupAction.RESTORE: _restore,
    BackupAction.PRUNE: _prune,
    BackupAction.PIN: _pin,
    BackupAction.UNPIN: _unpin,
    BackupAction.RATE: _rate,
    BackupAction.SCHEDULE: _schedule,
    BackupAction.UNSCHEDULE: _unschedule,
    BackupAction.REWRITE: _rewrite,
}
_LINES: Final[Lines[Backup]] = Lines(
    columns=[
        ("NAME", "name"), ("KIND", "word"), ("MADE", "word"), ("COMMIT", "number"),
        ("FILE", "number"), ("STORE", "number"), ("KEY", "name"), ("", "value"),
    ],
    cells=lambda each: (
        each.name, "incremental" if each.parent else "full", moment(each.made), f"{each.last:,}",
        size(each.bytes), size(each.size), each.key,
        each.problem or each.pinned or each.note,
    ),
    record=record, place=attrgetter("name"), none="no backups", spare=True,
)  # fmt: skip
