"""Rooms for scratch files: gone after the work, or with the next one where a process was killed."""

import os
import tempfile
from pathlib import Path

import pytest

from perdure import Backups
from perdure.persistence.backup.scratch import remove_left_rooms, scratch_room
from tests.backup.stores import fill, opened
from tests.kit.children import started


def left_by_the_killed(folder: Path) -> Path:
    """Have a process make a room and die in it; return the room."""
    with started("-m", "tests.backup.roomer", folder) as child:
        assert child.stdout is not None
        room = Path(child.stdout.readline().decode().strip())
        assert (room / "kept").exists()
        remove_left_rooms(folder)
        assert (room / "kept").exists()  # it is somebody's
        child.kill()
        child.wait()
    return room


def test_a_room_is_gone_after_its_block(tmp_path: Path) -> None:
    """What is in it goes too, also when the block fails; nobody else may look into it."""

    def fail() -> None:
        with scratch_room(tmp_path) as room:
            (room / "deep").mkdir()
            (room / "deep" / "file").write_bytes(b"x")
            assert room.stat().st_mode & 0o077 == 0
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["opening", "create", "restore", "verify"])
def test_a_room_of_a_killed_process_goes_with_the_next_work(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An opening and each command remove it where they work; a room that is used stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path, 3)
    if way != "create":
        backups.create(path)
    room = left_by_the_killed(tmp_path)
    with scratch_room(tmp_path) as mine:
        if way == "opening":
            opened(path).close()
        elif way == "create":
            backups.create(path)
        elif way == "restore":
            backups.restore(tmp_path / "again.db")
        else:
            backups.verify()
        assert not room.exists()
        assert mine.exists()


def test_a_room_that_is_taken_away_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may find a new room unlocked: the owner ends up with one that is there."""
    taken = list[Path]()

    def open_late(path: Path, flags: int) -> int:
        if not taken and path.name.startswith(".perdure"):
            taken.append(path)
            file = opening(path, flags)
            path.rmdir()  # between the opening and the lock
            return file
        return opening(path, flags)

    opening = os.open
    monkeypatch.setattr(os, "open", open_late)
    with scratch_room(tmp_path) as room:
        assert room not in taken
        assert list(tmp_path.iterdir()) == [room]


def test_what_is_no_room_stays(tmp_path: Path) -> None:
    """A file of such a name, and what a symlink of such a name leads to, are left alone."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_bytes(b"x")
    (tmp_path / ".perdure-scratch-1").symlink_to(other)
    (tmp_path / ".perdure-scratch-2").write_bytes(b"x")
    remove_left_rooms(tmp_path)
    assert (other / "file").exists()
    assert (tmp_path / ".perdure-scratch-2").exists()
