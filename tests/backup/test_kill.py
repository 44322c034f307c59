"""SIGKILL and a full disk while a backup is made, brought back or pruned: all of it or nothing."""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure import BackupRetention, Backups
from perdure.persistence.errors import BackupFailed, StoreError
from tests.backup.stores import Ledger, contents, fill, opened
from tests.kit.children import kill_after, started
from tests.kit.disks import small_disk


def struck(action: str, folder: Path, store: Path, after: float) -> float:
    """Run an action in a child and kill it some seconds after it has begun; return how long."""
    with started("-m", "tests.backup.worker", action, folder, store) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        child.stdin.write(b"go\n")
        child.stdin.flush()
        begun = time.monotonic()
        kill_after(child, after)
        child.wait()
        return time.monotonic() - begun


def beside(path: Path) -> set[str]:
    """Return the names of what stands beside a store, its log and the backups left out."""
    return {file.name for file in path.parent.iterdir()} - {
        path.name,
        f"{path.name}-wal",
        f"{path.name}-shm",
        f"{path.name}-witness",
        "backups",
    }


def make(backups: Backups, path: Path, count: int) -> None:
    """Make so many backups."""
    for _ in range(count):
        backups.create(path)


def attack(folder: Path, rounds: int) -> None:
    """Kill each of the three so many times, at any moment."""
    random = Random(rounds)
    path, backups = folder / "ledger.db", Backups(folder / "backups")
    fill(path, 300)
    backups.create(path)
    made = struck("create", folder / "backups", path, 60)
    for number in range(rounds):
        with opened(path) as system:
            system.agent(Ledger, "k0").call(Ledger.add, number).get()
        struck("create", folder / "backups", path, random.uniform(0, 1.3 * made))
        assert [each.problem for each in backups.list()] == [""] * len(backups.list())
        assert backups.verify().last > 0
        target = folder / "again.db"
        struck("restore", folder / "backups", target, random.uniform(0, 1.3 * made))
        if target.exists():
            assert contents(target).keys() == contents(path).keys()
            for file in folder.glob("again.db*"):
                file.unlink()
        struck("prune", folder / "backups", path, random.uniform(0, 0.02))
        assert [each.problem for each in backups.list()] == [""] * len(backups.list())
    backups.create(path)
    backups.restore(folder / "again.db")
    assert contents(folder / "again.db") == contents(path)
    backups.prune(BackupRetention(newest=1))
    assert beside(path) - {"again.db-wal", "again.db-shm"} == {"again.db"}
    left = {file.suffix for file in (folder / "backups").iterdir()} - {""}
    assert left == {".backup"}


def test_a_kill_leaves_the_old_state_or_the_new(tmp_path: Path) -> None:
    """What is listed is whole, a restored file is there as a whole or not, and no scraps stay."""
    attack(tmp_path, 4)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_many_kills_leave_the_old_state_or_the_new(tmp_path: Path) -> None:
    """The same a hundred times."""
    attack(tmp_path, 100)


def states(path: Path) -> list[list[tuple[Any, ...]]]:
    """Return what agents have."""
    found = contents(path)
    return [found[table] for table in ("fields", "log_items", "map_entries")]


def attack_in_place(folder: Path, action: str, rounds: int) -> set[bool]:
    """Kill what brings a store back in its place; return whether it was brought back by then."""
    random = Random(rounds)
    path, backups, seen = folder / "ledger.db", Backups(folder / "backups"), set[bool]()
    fill(path, 100)
    backups.create(path)
    then, took = states(path), 1.0
    for number in range(rounds + 1):
        with opened(path) as system:
            system.agent(Ledger, "k0").call(Ledger.add, number + 1).get()
        now = states(path)
        if number:
            struck(action, folder / "backups", path, random.uniform(0, 1.3 * took))
        else:
            took = struck(action, folder / "backups", path, 60)
        left = states(path)
        assert left in (then, now)
        seen.add(left == then)
        assert [each.problem for each in backups.list()] == [""] * len(backups.list())
    return seen


@pytest.mark.parametrize("action", ["go back", "bring back"])
def test_a_kill_leaves_a_store_in_its_place(tmp_path: Path, action: str) -> None:
    """Killed while it goes back, or a part of it does, it is as it was or as it shall be."""
    assert True in attack_in_place(tmp_path, action, 3)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("action", ["go back", "bring back"])
def test_many_kills_leave_a_store_in_its_place(tmp_path: Path, action: str) -> None:
    """The same a hundred times; some are early, some late."""
    assert attack_in_place(tmp_path, action, 100) == {True, False}


def attack_rewrite(folder: Path, rounds: int) -> None:
    """Kill what writes backups anew without an agent; the next that does so comes to its end."""
    random, took = Random(rounds), 1.0
    path, template = folder / "ledger.db", Backups(folder / "template")
    fill(path, 100)
    template.create(path)
    with opened(path) as system:
        system.agent(Ledger, "k2").call(Ledger.add, 1).get()
    template.pin(template.create(path, incremental=True).name, "law")
    with opened(path) as system:
        system.agent(Ledger, "k2").delete(erase=True)
    template.create(path, incremental=True)
    lasts = [each.last for each in template.list()]
    for number in range(rounds + 1):
        backups = Backups(shutil.copytree(folder / "template", folder / "backups"))
        took_now = struck(
            "rewrite", folder / "backups", path, random.uniform(0, 1.2 * took) if number else 60
        )
        took = took if number else took_now
        for _ in range(2):
            found = backups.list()
            assert [each.problem for each in found] == [""] * len(found)
            assert {each.last for each in found} == {*lasts}
            assert any(each.pinned == "law" for each in found if each.last == lasts[1])
            backups.rewrite()
        for each in backups.list():
            backups.restore(folder / "again.db", each.name)
            assert "k2" not in {row[2] for row in contents(folder / "again.db")["agents"]}
            for file in folder.glob("again.db*"):
                file.unlink()
        assert backups.rewrite() == []
        shutil.rmtree(folder / "backups")


def test_a_kill_leaves_what_is_written_anew(tmp_path: Path) -> None:
    """Killed while backups are written anew, each moment has a whole one; the next work ends it."""
    attack_rewrite(tmp_path, 1)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_many_kills_leave_what_is_written_anew(tmp_path: Path) -> None:
    """The same a hundred times."""
    attack_rewrite(tmp_path, 100)


@pytest.mark.parametrize("action", ["go back", "bring back"])
def test_a_full_disk_leaves_a_store_in_its_place(action: str) -> None:
    """However little room there is, a store goes back as a whole, or stays as it is."""
    with small_disk("40m") as disk:
        path, backups = disk / "ledger.db", Backups(disk / "backups")
        fill(path, 100)
        first = backups.create(path)
        then = states(path)
        with opened(path) as system:
            system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        now, failed = states(path), 0
        for room in (0, 50, 100, 200, 400, 800, 1_200, 2_000, 30_000):
            fill_up(disk, room << 10)
            try:
                if action == "go back":
                    backups.go_back(path, sequence=first.last)
                else:
                    backups.bring_back(path, kinds=["Ledger"], name=first.name)
            except (BackupFailed, StoreError) as error:
                failed += 1
                # Where its shared memory finds no room, SQLite speaks of the disk.
                assert re.search("No space left|is full|the room on it", str(error))  # noqa: PT017
                assert states(path) == now
                assert beside(path) == {"rest"}
            else:
                assert states(path) == then
                break
        assert 0 < failed < 9


@pytest.mark.parametrize("way", ["recover", "restore", "part"])
def test_a_disk_that_is_full_while_the_journal_is_gone_on_with(tmp_path: Path, way: str) -> None:
    """However far a recovery came, or the erasing again: one sentence, and nothing is left."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path, 100)
    base = backups.create(path)
    with opened(path) as system:
        for number in range(600):
            system.agent(Ledger, "k0").call(Ledger.note, f"{number}" * 90).get()
    last = backups.create(path, incremental=True).last - 20
    with opened(path) as system:
        for number in (0, 2, 3, 4):
            system.agent(Ledger, f"k{number}").delete(erase=way != "part")
    backups.create(path, incremental=True)
    told: list[str] = []
    ways: dict[str, Callable[[Path], object]] = {
        "recover": partial(backups.recover, sequence=last),
        "restore": partial(backups.restore, name=base.name),
        "part": partial(backups.take_out, kinds=["Ledger"], sequence=last),
    }
    bring = ways[way]
    bring(tmp_path / "expected.db")
    with small_disk("60m") as disk:
        for room in range(base.size >> 10, 60_000, 350):
            fill_up(disk, room << 10)
            try:
                bring(disk / "again.db")
            except BackupFailed as error:
                told.append(str(error))
                assert beside(disk / "rest") == set()
            else:
                assert states(disk / "again.db") == states(tmp_path / "expected.db")
                break
    assert told
    advice = r"No space left|free some disk space|the room on it"
    assert [each for each in told if not re.search(advice, each)] == []


def fill_up(disk: Path, room: int) -> None:
    """Leave so many bytes free on a disk."""
    (disk / "rest").unlink(missing_ok=True)
    free = os.statvfs(disk)
    (disk / "rest").write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - room)))


@pytest.mark.parametrize("size", ["200k", "400k", "600k"])
def test_a_full_disk_leaves_nothing_half_done(tmp_path: Path, size: str) -> None:
    """On a disk that is too small, making and restoring fail, and say why."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path, 2_000)
    backups.create(path)
    before = contents(path)
    with small_disk(size) as disk:
        with pytest.raises(BackupFailed, match="No space left"):
            backups.restore(disk / "again.db")
        assert list(disk.iterdir()) == []
        (disk / "rest").write_bytes(b"x" * 90_000)
        found = Backups(disk / "backups")
        with pytest.raises(BackupFailed, match="No space left"):
            make(found, path, 100)
        assert [each.problem for each in found.list()] == [""] * len(found.list())
        assert not list((disk / "backups").glob("*.draft"))
    assert beside(path) == set()
    assert contents(path) == before


def test_a_disk_that_is_full_by_a_page_is_told_as_one(tmp_path: Path) -> None:
    """Also where the pages have room, and what is changed in them has none."""
    path, backups, failed = tmp_path / "ledger.db", Backups(tmp_path / "backups"), 0
    fill(path, 100)
    size = backups.create(path).size
    with small_disk("40m") as disk:
        for pages in range(20):
            fill_up(disk, size + (pages << 12))
            with contextlib.suppress(BackupFailed):
                backups.restore(disk / "again.db")
                break
            failed += 1
            assert beside(disk / "rest") == set()
        assert 0 < failed < 20


def test_no_room_for_the_pages_leaves_the_store_alone() -> None:
    """Where the copy of the pages has no room beside the store, nothing is left of it."""
    with small_disk("60m") as disk:
        path = disk / "ledger.db"
        fill(path, 300)
        free = os.statvfs(disk)
        (disk / "rest").write_bytes(bytes((free.f_bavail - 8) * free.f_bsize))
        before = contents(path)
        with pytest.raises((BackupFailed, StoreError)):
            Backups(disk / "backups").create(path)
        assert beside(path) == {"rest"}
        assert contents(path) == before
