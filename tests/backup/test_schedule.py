"""Backups that are made by themselves, and what the audit says of them."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    AgentSystem,
    Backup,
    BackupRetention,
    Backups,
    StaticKeys,
    VirtualClock,
    new_key,
)
from perdure.cli.terminal.text import moment
from perdure.persistence.backup import directory
from perdure.persistence.errors import ConfigurationError, StoreUnavailable
from perdure.system_backups import BackupResult, BackupSchedule, SystemBackups
from tests.backup.stores import Ledger, fill
from tests.cli.commands import invoke, records
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told

NOW = 1_790_000_000.0


def opened(path: Path, clock: VirtualClock) -> AgentSystem:
    """Open a store whose time passes by hand."""
    return AgentSystem.open(path, agents=[Ledger], sync="process", service=False, clock=clock)


def until(system: AgentSystem, clock: VirtualClock, done: Callable[[], bool]) -> None:
    """Let time go on a little until something is so."""
    for _ in range(60):
        assert system.idle(DEADLINE)
        if done():
            return
        clock.advance(10.0)
    raise TimeoutError("it did not come to that")


def due(system: AgentSystem, clock: VirtualClock, folder: Path, moment: float) -> list[Backup]:
    """Return the backups once that of a moment is there."""
    backups = list[Backup]()

    def made() -> bool:
        backups[:] = Backups(folder).list() if folder.is_dir() else []
        return bool(backups) and backups[-1].made >= moment

    until(system, clock, made)
    return backups


def test_backups_come_by_themselves(tmp_path: Path) -> None:
    """One at once, then one each hour; one in three is full; old ones go; all is in the audit."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 3)
    clock = VirtualClock(NOW)
    with opened(path, clock) as system:
        keep = BackupRetention(newest=3)
        system.backup.schedule(folder, every=3600.0, full_every=3, keep=keep)
        full = []
        for hour in range(7):
            backups = due(system, clock, folder, NOW + hour * 3600.0)
            full.append(not backups[-1].parent)
            assert system.idle(20)
            assert 1 <= len(backups) <= 6
            clock.advance(3600.0)
        assert full == [True, False, False, True, False, False, True]
        done = {entry.operation for entry in system.audit.each()}
        assert {"backup.schedule", "backup.create", "backup.remove"} <= done
    Backups(folder).verify()


def test_a_schedule_is_stored(tmp_path: Path) -> None:
    """The next opening goes on with it; a copy of the store does not; it is taken away again."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 1)
    clock = VirtualClock(NOW)
    with opened(path, clock) as system:
        system.backup.schedule(folder, every=3600.0, keep=BackupRetention(newest=3))
        due(system, clock, folder, NOW)
    with opened(path, clock) as system:
        assert [each.every for each in system.backup.schedules()] == [3600.0]
        clock.advance(3600.0)
        assert len(due(system, clock, folder, NOW + 3600.0)) == 2
    Backups(folder).restore(tmp_path / "copy.db")
    clock.advance(7200.0)
    with opened(tmp_path / "copy.db", clock) as system:
        for _ in range(10):
            assert system.idle(DEADLINE)
            clock.advance(600.0)
        assert len(Backups(folder).list()) == 2
    (listed,) = records("backup", "schedule", folder, "--store", path)
    assert (listed["folder"], listed["keep"]["newest"]) == (str(folder), 3)
    assert invoke("backup", "unschedule", folder, "--store", path).exit_code == 0
    assert invoke("backup", "unschedule", folder, "--store", path).exit_code == 5
    records("backup", "schedule", folder, "--store", path, "--every", "7200", "--daily", "2")
    with opened(path, clock) as system:
        (again,) = system.backup.schedules()
        assert (again.every, again.keep) == (7200.0, BackupRetention(daily=2))
        assert "backup.unschedule" in {entry.operation for entry in system.audit.each()}


@pytest.mark.parametrize("when", [{"every": 3600.0}, {"cron": "0 3 * * *"}])
def test_a_clock_that_was_set_back(tmp_path: Path, when: dict[str, Any]) -> None:
    """The next backup is made at once, not when the clock is where it was; and only one is."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 1)
    with opened(path, VirtualClock(NOW)) as system:
        system.backup.create(folder)
    clock = VirtualClock(NOW - 1_000_000.0)
    with opened(path, clock) as system:
        system.backup.schedule(folder, **when)
        for _ in range(60):
            assert system.idle(DEADLINE)
            clock.advance(10.0)
    made = [each.made for each in Backups(folder).list()]
    assert len(made) == 2
    assert made[1] < NOW - 900_000.0


def test_a_schedule_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    """A folder whose newest backup takes a key that is not there keeps no other from its backup."""
    path, locked, folder = tmp_path / "ledger.db", tmp_path / "locked", tmp_path / "backups"
    fill(path, 1)
    Backups(locked, keys=StaticKeys({"k1": new_key()})).create(path)
    clock = VirtualClock(NOW)
    with opened(path, clock) as system:
        system.backup.schedule(locked, every=3600.0)
        system.backup.schedule(folder, every=3600.0)
        assert len(due(system, clock, folder, NOW)) == 1
    assert len(Backups(locked).list()) == 1


def test_a_failure_is_told_once_and_shown(tmp_path: Path) -> None:
    """By the signal at each attempt, once in the audit and with the schedule, until one is made."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 1)
    folder.write_text("no folder")
    clock = VirtualClock(NOW)
    with Told("backup_failed") as told, opened(path, clock) as system:
        system.backup.schedule(folder, every=3600.0)
        until(system, clock, lambda: len(told.heard) >= 3)
        first, *_ = events = told.events("backup_failed")
        assert {(each.folder, bool(each.reason)) for each in events} == {(str(folder), True)}
        (failed,) = [each for each in system.audit.each() if each.operation == "backup.failed"]
        assert first.reason in failed.reason
        (schedule,) = system.backup.schedules()
        assert schedule.last == BackupResult(first.time, problem=first.reason)
    (listed,) = records("backup", "schedule", folder, "--store", path)
    assert listed["last"]["problem"] == first.reason
    folder.unlink()
    with opened(path, clock) as system:
        made = due(system, clock, folder, NOW)[-1]
        assert system.idle(DEADLINE)
        (schedule,) = system.backup.schedules()
        assert schedule.last is not None
        assert (schedule.last.backup, schedule.last.problem) == (made.name, "")
    (listed,) = records("backup", "schedule", folder, "--store", path)
    assert (listed["last"]["backup"], listed["next"]) == (made.name, made.made + 3600.0)
    said = invoke("backup", "list", folder, "--store", path)
    assert f"last {moment(schedule.last.time)}: {made.name}; next" in said.stderr.replace("\n", " ")
    gone = invoke("backup", "list", folder, "--store", tmp_path / "lost.db")
    assert (gone.exit_code, "the schedule is not known" in gone.stderr) == (0, True)


def test_a_result_that_is_not_stored_is_stored_by_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes no backup may not take that either, for a while."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 1)
    folder.write_text("no folder")
    keep, clock, tried = SystemBackups._keep_result, VirtualClock(NOW), list[BackupResult]()

    def full(self: SystemBackups, schedule: BackupSchedule, result: BackupResult) -> None:
        tried.append(result)
        if len(tried) == 1:
            raise StoreUnavailable("database or disk is full", full=True, location=str(path))
        keep(self, schedule, result)

    monkeypatch.setattr(SystemBackups, "_keep_result", full)
    with opened(path, clock) as system:
        system.backup.schedule(folder, every=3600.0)
        until(system, clock, lambda: len(tried) == 2)
        (schedule,) = system.backup.schedules()
        assert schedule.last == tried[1]
        assert tried[1].problem == tried[0].problem != ""


def test_a_disk_that_stays_full_is_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt would make a file of another name; the audit is not filled with them."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 1)
    clock = VirtualClock(NOW)

    def full(_draft: object, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(directory._Draft, "write", full)
    with Told("backup_failed") as told, opened(path, clock) as system:
        system.backup.schedule(folder, every=3600.0)
        until(system, clock, lambda: len(told.heard) >= 3)
        (failed,) = [each for each in system.audit.each() if each.operation == "backup.failed"]
        assert "No space left" in failed.reason


def test_a_schedule_that_ends_while_its_result_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that the sweep notes of it brings it back."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 1)
    keep, clock = SystemBackups._keep_result, VirtualClock(NOW)

    def ended(self: SystemBackups, schedule: BackupSchedule, result: BackupResult) -> None:
        keep(self, schedule, result)
        assert self.unschedule(folder)

    monkeypatch.setattr(SystemBackups, "_keep_result", ended)
    with opened(path, clock) as system:
        system.backup.schedule(folder, every=3600.0)
        due(system, clock, folder, NOW)
        for _ in range(10):
            assert system.idle(DEADLINE)
            clock.advance(3600.0)
        assert system.idle(DEADLINE)
        assert len(Backups(folder).list()) == 1


def test_too_little_room_is_told_while_there_is_time(tmp_path: Path) -> None:
    """Once what is to be kept takes most of what all may take; not as long as there is room."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 1)
    clock = VirtualClock(NOW)
    size = Backups(tmp_path / "one").create(path).bytes
    with Told("backup_room_short") as told, opened(path, clock) as system:
        keep = BackupRetention(newest=10, size=size * 5)
        system.backup.schedule(folder, every=3600.0, full_every=1, keep=keep)
        counts = []
        for hour in range(5):
            due(system, clock, folder, NOW + hour * 3600.0)
            assert system.idle(DEADLINE)
            counts.append(len(told.heard))
            clock.advance(3600.0)
        assert counts[0] == 0
        assert counts[-1] >= 1
        first, *_ = told.events("backup_room_short")
        assert (first.folder, first.most) == (str(folder), size * 5)
        assert first.bytes >= 0.8 * first.most


def test_wrong_schedules_are_refused(tmp_path: Path) -> None:
    """No time, two times, no cron expression, stores in memory, other things for rules."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 1)
    with opened(path, VirtualClock(NOW)) as system:
        for words, wrong in (
            ("give one of", {}),
            ("give one of", {"every": 5.0, "cron": "0 3 * * *"}),
            ("every", {"every": 0.5}),
            ("cron", {"cron": "at noon"}),
            ("zone", {"cron": "0 3 * * *", "zone": "Mars/Olympus"}),
            ("full_every", {"every": 60.0, "full_every": 0}),
            ("keep", {"every": 60.0, "keep": 5}),
        ):
            with pytest.raises(ConfigurationError, match=words):
                system.backup.schedule(folder, **wrong)
    with AgentSystem.open("memory://", agents=[Ledger]) as system:
        with pytest.raises(ConfigurationError, match="no file"):
            system.backup.schedule(folder, every=60.0)
        with pytest.raises(ConfigurationError, match="no file"):
            system.backup.create(folder)
