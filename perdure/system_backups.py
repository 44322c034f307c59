"""Backups of a running system's store: ``system.backup``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import msgspec
from blinker import Signal
from msgspec.structs import replace

from .actors.system.runtime import Runtime
from .lifecycle.moments import EARLY, SHORTEST, Moments
from .lifecycle.signals import BackupEvent, backup_failed, backup_room_short, fire
from .persistence.backup.create import Making, create
from .persistence.backup.destination import Destination
from .persistence.backup.folder import Backup, Folder
from .persistence.backup.levels import DEFAULT_LEVEL
from .persistence.backup.packing import check_level
from .persistence.backup.places import folder_of
from .persistence.backup.progress import Progress, silent
from .persistence.backup.retention import BackupRetention, BackupVerdict, needed, prune
from .persistence.errors import (
    BackupDamaged,
    BackupError,
    ConfigurationError,
    Denied,
    PerdureError,
    SecretError,
    SystemClosed,
    told,
)
from .persistence.names.scope import Principal, Scope
from .persistence.options import Options, by_keyword
from .persistence.records.shared_tables import BACKUP_SCHEDULES
from .persistence.records.tables import Order, Place, Row
from .persistence.secrets.keys import KeyProvider
from .persistence.sqlite.reader import SqliteReader
from .persistence.store.store import StoreReader
from .shared.ledger.desk import Desk, Handle
from .shared.ledger.guard import Decision, Right, Use, recorded
from .shared.ledger.sweep import AT_ONCE, NEVER, Sweep
from .shared.ledger.unit import Unit

logger = logging.getLogger("perdure.backup")

BACKUP: Final = "(backup)"
"""Stands for the key in the audit."""
CALL: Final = "backup.schedule"
MOST: Final = 1_000
"""Schedules that are looked at."""
NEAR: Final = 0.8
"""The share of the room for backups from which on somebody is told."""
AGAIN: Final = 60.0
"""Seconds after which a backup that failed is tried again."""


class BackupResult(msgspec.Struct, frozen=True):
    """How a schedule went the last time."""

    time: float
    """Seconds since the epoch; of failures without one in between, that of the first."""
    backup: str = ""
    """The name of the backup that was made."""
    problem: str = ""
    """Why there is none, or why nothing was pruned behind it; it is tried again."""


class BackupSchedule(Moments, frozen=True, kw_only=True):
    """When backups are made in a folder, and which of them are kept."""

    folder: str
    full_every: int = 7
    """One in so many is a full one, the others are incremental."""
    keep: BackupRetention | None = None
    """What is pruned after each; None: nothing."""
    file: str = ""
    """The file of the store that it was given for."""
    level: int = DEFAULT_LEVEL
    """Of compression; 0 is none."""
    last: BackupResult | None = None
    """How it went the last time; None: it did not run yet."""

    def next(self, backups: Sequence[Backup], now: float) -> float:
        """Return when the next backup is due; what is over is made once the store is open.

        By the newest there is, or else now. One that is made later than now shows that the clock
        was set back; it is not waited for.
        """
        good = [each.made for each in backups if not each.problem]
        if not good or good[-1] > now + SHORTEST:
            return now
        return replace(self, made=good[-1]).next_after(good[-1], CALL) or now

    def row(self) -> Row:
        """Return it as it is stored."""
        return self.folder, msgspec.json.encode(self).decode()


def schedules_in(store: StoreReader) -> list[BackupSchedule]:
    """Return the schedules that a store has, those given for another file too."""
    return [_read(row) for row in store.page(BACKUP_SCHEDULES, Order(("folder",)), None, MOST)]


def _read(row: Row) -> BackupSchedule:
    return msgspec.json.decode(str(row[1]), type=BackupSchedule)


class SystemBackups(Handle):
    """Backups of a running system's store: ``system.backup``. Denied to all but the system."""

    def __init__(self, runtime: Runtime, keys: KeyProvider | None) -> None:
        """Back up the store of ``runtime``, encrypted if there are ``Keys(backups=...)``."""
        super().__init__(runtime.desk)
        self._store = runtime.store
        self._keys = keys
        doings = _Doings(self._scheduled, self._pruned, self._keep_result, partial(_tell, runtime))
        self._sweep = BackupSweep(runtime.desk, doings)
        runtime.attend(self._sweep)
        if isinstance(self._store, SqliteReader):
            self._go_on(self._store)

    def _go_on(self, store: SqliteReader) -> None:
        """Go on with the schedules that are stored.

        Not in a copy, nor in what was brought back: it would write beside the store it is of.
        """
        for each in schedules_in(store):
            if each.file == store.identity():
                self._sweep.add(each)
            else:
                logger.warning(
                    "the schedule of backups in %s is that of another file; give it anew for %s",
                    each.folder, store.location,
                )  # fmt: skip

    def create(
        self, folder: str | Path | Destination, *, incremental: bool = False, note: str = "",
        level: int = DEFAULT_LEVEL, tell: Progress = silent,
    ) -> Backup:  # fmt: skip
        """Make a backup in a folder, as ``Backups.create`` does, while agents go on.

        What is acknowledged before the call is in it. It is in the audit.
        """
        self._permit("backup.create", str(folder))
        making = Making(self._keys, incremental, note, tell, self._desk.now, level)
        return self._made(folder_of(folder), making)

    def prune(
        self, folder: str | Path | Destination, rules: BackupRetention, *, dry_run: bool = False
    ) -> Sequence[BackupVerdict]:
        """Remove backups that nothing keeps, as ``Backups.prune``; each removal is in the audit."""
        self._permit("backup.prune", str(folder))
        return self._pruned(folder_of(folder), rules, dry_run=dry_run)

    def schedule(
        self, folder: str | Path, *, every: float | None = None, cron: str | None = None,
        zone: str = "UTC", full_every: int = 7, keep: BackupRetention | None = None,
        level: int = DEFAULT_LEVEL,
    ) -> BackupSchedule:  # fmt: skip
        """Make backups in a folder every so often, or by cron, whenever this store is open.

        It is stored, and noted in the audit. It goes on from the newest backup in the folder; what
        was missed while the store was closed is made up for by one. One that fails is logged, noted
        in the audit, told by the signal ``backup_failed`` and tried again a minute later; ``last``
        of ``schedules()`` says how it went. The signal ``backup_room_short`` tells that what is to
        be kept takes most of ``keep.size``.

        A schedule for a folder takes the place of the one before. In a copy of the store, or one
        that was brought back, it does nothing until it is given anew.

        Args:
            folder: where they are.
            every: seconds between two.
            cron: minute, hour, day, month and weekday: ``"0 3 * * *"``.
            zone: the time zone of ``cron``.
            full_every: one in so many is full, the others are incremental.
            keep: what is pruned after each.
            level: how hard they are compressed, as in ``create``.
        """
        store = with_a_file(self._store)
        wanted = BackupSchedule(
            folder=absolute(folder), file=store.identity(), every=every, cron=cron, zone=zone,
            full_every=full_every, keep=keep, level=level, made=self._desk.now(),
        )  # fmt: skip
        wanted.check_moments(CALL, wanted.folder)
        options = Options(wanted, by_keyword(CALL))
        options.whole("full_every", least=1)
        check_level(options, level)
        options.kind("keep", BackupRetention, "BackupRetention(newest=10)", none="none goes")
        wanted.next_after(wanted.made, CALL)
        self._put(CALL, wanted.folder, wanted.row())
        self._sweep.add(wanted)
        return wanted

    def unschedule(self, folder: str | Path) -> bool:
        """Make no more backups in a folder by a schedule; False if there was none."""
        name = absolute(folder)
        there = any(each.folder == name for each in schedules_in(self._store))
        self._put("backup.unschedule", name, None)
        self._sweep.remove(name)
        return there

    def schedules(self) -> list[BackupSchedule]:
        """Return the schedules, by folder."""
        return schedules_in(self._store)

    def _put(self, operation: str, folder: str, row: Row | None) -> None:
        place = Place(BACKUP_SCHEDULES, (folder,))

        def change(unit: Unit) -> None:
            self._desk.look(unit, place)
            unit.change(place, lambda _row: row, checked=True)

        note(self._desk, operation, folder, change)

    def _keep_result(self, schedule: BackupSchedule, result: BackupResult) -> None:
        """Keep how a schedule went; a failure is in the audit."""
        place = Place(BACKUP_SCHEDULES, (schedule.folder,))

        def step(row: Row | None) -> Row | None:
            if row is None or (there := _read(row)).made != schedule.made:
                return row  # it was taken away meanwhile, or given anew
            return replace(there, last=result).row()

        def change(unit: Unit) -> None:
            self._desk.look(unit, place)
            unit.change(place, step, checked=True)

        if result.problem:
            note(self._desk, "backup.failed", f"{schedule.folder}: {result.problem}", change)
        else:
            self._desk.run(change)

    def _scheduled(self, folder: Folder, *, incremental: bool, level: int) -> Backup:
        making = Making(self._keys, incremental, now=self._desk.now, level=level)
        return self._made(folder, making)

    def _made(self, folder: Folder, making: Making) -> Backup:
        made = create(with_a_file(self._store), folder, making)
        return folder.described(folder.file(made.name))

    def _pruned(
        self, folder: Folder, rules: BackupRetention, *, dry_run: bool = False
    ) -> Sequence[BackupVerdict]:
        now = self._desk.now()

        def tell(verdict: BackupVerdict) -> None:
            note(self._desk, "backup.remove", f"{verdict.name}: {verdict.why}")

        return prune(folder, rules, now, dry_run=dry_run, tell=tell)

    def _permit(self, operation: str, why: str) -> None:
        """Raise Denied to who is not the system; either is in the audit."""
        note(self._desk, operation, why)


def absolute(folder: str | Path) -> str:
    """Return a folder's name wherever the process works."""
    text = str(folder)
    return text if "://" in text else str(Path(text).absolute())


def _nothing(_unit: Unit) -> None:
    """Change nothing."""


def note(desk: Desk, operation: str, why: str, change: Callable[[Unit], None] = _nothing) -> None:
    """Note in the audit what the system does; raise Denied to who is not the system."""
    use = Use(Right.ALL, Scope.GLOBAL, BACKUP, operation)

    def worked(unit: Unit) -> None:
        who = unit.standing.principal
        decision = Decision(allowed=who == Principal.SYSTEM, reason=f"the system's: {why}")
        unit.audit.append(recorded(desk.now(), unit.standing, use, decision))
        if who == Principal.SYSTEM:
            change(unit)
        else:
            raise Denied(f"{who} may not make or remove backups; only the system may")

    desk.run(worked)


def _tell(runtime: Runtime, signal: Signal, event: BackupEvent) -> None:
    """Tell who listens to a system."""
    fire(signal, runtime.facade, event, runtime.clock.monotonic)


class _Doings(NamedTuple):
    """What a sweep has done by others."""

    make: Callable[..., Backup]
    prune: Callable[[Folder, BackupRetention], object]
    keep: Callable[[BackupSchedule, BackupResult], None]
    tell: Callable[[Signal, BackupEvent], None]


class BackupSweep(Sweep):
    """Make the backups that are due, one at a time."""

    what: ClassVar[str] = "scheduled backups are not made"
    first: ClassVar[float] = 0.0

    def __init__(self, desk: Desk, doings: _Doings) -> None:
        """Make, prune, keep results and tell by ``doings``."""
        super().__init__()
        self._desk = desk
        self._do = doings
        self._lock = threading.Lock()
        self._schedules: dict[str, BackupSchedule] = {}
        """Never changed but replaced, under the lock: by people, and by the sweep itself."""

    def add(self, schedule: BackupSchedule) -> None:
        """Have backups made by a schedule, in the place of the one for its folder."""
        with self._lock:
            self._schedules = {**self._schedules, schedule.folder: schedule}
        self.due(0.0)

    def remove(self, folder: str) -> None:
        """Make none by the schedule for a folder."""
        with self._lock:
            self._schedules = {k: v for k, v in self._schedules.items() if k != folder}

    def slice(self) -> float:
        """Make those that are due; return in how many seconds the next is."""
        waits = [self._seen_to(each) for each in self._schedules.values()]
        return min(waits, default=NEVER)

    def _seen_to(self, schedule: BackupSchedule) -> float:
        now = self._desk.now()
        try:
            folder = folder_of(schedule.folder)
            backups = folder.list() if folder.place.there() else []
            due = schedule.next(backups, now)
            if due > now + EARLY:
                return due - now
            made = self._run(schedule, folder, backups)
            self._went(schedule, BackupResult(now, made.name))
            if schedule.keep is not None:
                self._do.prune(folder, schedule.keep)
                self._look_at_room(schedule.keep, folder, now)
            following = schedule.next_after(now, CALL)
        except (BackupError, ConfigurationError, SecretError, OSError) as error:
            # Caught here, one by one: the others are made all the same.
            logger.error("no backup in %s: %s", schedule.folder, told(error))  # noqa: TRY400
            event = BackupEvent(schedule.folder, told(error), now, error=error)
            self._do.tell(backup_failed, event)
            self._went(schedule, BackupResult(now, problem=told(error)))
            return AGAIN
        wait = (following or now) - now  # from the begin: an attendant counts so
        return wait if now + wait > self._desk.now() + EARLY else AT_ONCE

    def _went(self, schedule: BackupSchedule, result: BackupResult) -> None:
        """Keep how it went; of one failure after another of the same cause the first."""
        there = self._schedules.get(schedule.folder)
        if there is None or there.made != schedule.made:
            return  # it was taken away meanwhile, or given anew
        if result.problem and there.last is not None and there.last.problem == result.problem:
            return
        try:
            self._do.keep(schedule, result)
        except SystemClosed:
            raise
        except PerdureError as error:
            # A disk that is full takes neither a backup nor this: the next result is kept.
            logger.warning(
                "how a backup in %s went is not stored: %s", schedule.folder, told(error)
            )
            return
        with self._lock:
            if self._schedules.get(schedule.folder) is there:
                new = {schedule.folder: replace(there, last=result)}
                self._schedules = {**self._schedules, **new}

    def _look_at_room(self, keep: BackupRetention, folder: Folder, now: float) -> None:
        """Tell while there is time that a limit of size will soon take what is to be kept."""
        if keep.size is None:
            return
        taken = needed(folder.list(), keep, now)
        if taken < NEAR * keep.size:
            return
        reason = f"what is to be kept takes {taken:,} of {keep.size:,} bytes"
        logger.warning(
            "backups in %s: %s; give them more room, or other rules", folder.place, reason
        )
        self._do.tell(
            backup_room_short, BackupEvent(str(folder.place), reason, now, taken, keep.size)
        )

    def _run(self, schedule: BackupSchedule, folder: Folder, backups: Sequence[Backup]) -> Backup:
        """Make one: full if there are enough incremental ones, or where one cannot be built on."""
        note(self._desk, "backup.create", f"scheduled in {schedule.folder}")
        fulls = [at for at, each in enumerate(backups) if not each.parent and not each.problem]
        since = len(backups) - fulls[-1] if fulls else schedule.full_every
        make = partial(self._do.make, folder, level=schedule.level)
        try:
            made = make(incremental=since < schedule.full_every)
        except BackupDamaged as error:
            logger.error("%s; a full backup is made", error)  # noqa: TRY400 - it says what is wrong
            made = make(incremental=False)
        logger.info("backup %s is made in %s", made.name, schedule.folder)
        return made


def with_a_file(store: StoreReader) -> SqliteReader:
    """Return a store that has a file; ConfigurationError for one in memory."""
    if not isinstance(store, SqliteReader):
        message = f"{store.location} has no file to back up; open the system on one"
        raise ConfigurationError(message)
    return store
