"""G1 when the power goes: what was acknowledged is in the file, and what was torn is not believed.

SIGKILL leaves the kernel's cache intact, so no kill can show a missing fsync. SQLite's promise is
that with synchronous=FULL a commit is on the disk before it returns. What is left to test is that
the setting is in force, that a commit is in the file before its reply leaves, and that whatever a
power cut leaves of the bytes written after that is recognised.
"""

import shutil
from pathlib import Path
from random import Random

import pytest

from tests.attack.audit import Book, Picture, audit, opened
from tests.attack.children import Child


@pytest.mark.parametrize(("sync", "synchronous"), [("power", 2), ("process", 1)])
def test_the_writer_syncs_as_promised(tmp_path: Path, sync: str, synchronous: int) -> None:
    """With sync="power" the writing connection runs with synchronous=FULL, else with NORMAL."""
    with Child(tmp_path / "store.db", sync) as child:
        assert child.ask("synchronous") == ["did", synchronous]
        assert child.end() == 0


def test_an_acknowledged_result_is_in_the_file(tmp_path: Path) -> None:
    """The bytes of the file and its log, copied right after a reply, hold what was replied."""
    store, book = tmp_path / "store.db", Book()
    with Child(store) as child:
        for _ in range(10):
            book.enter(["did", "push", child.ask("push", 7)[1]])
            child.freeze()
            with opened(store) as connection:
                audit(Picture(connection), book)
            child.thaw()
        assert child.end() == 0
    assert book.pushed == 70


def test_a_torn_tail_is_not_believed(tmp_path: Path, seed: int) -> None:
    """Whatever part of the later writes reached the disk, the store opens as a consistent cut."""
    store, torn, random, book = tmp_path / "store.db", tmp_path / "torn.db", Random(seed), Book()
    log = Path(f"{store}-wal")
    with Child(store) as child:
        book.enter(["did", "push", child.ask("push", 20)[1]])
        child.freeze()
        synced = log.stat().st_size
        child.thaw()
        child.ask("push", 30)
        child.freeze()
        shutil.copyfile(store, torn)
        later = log.read_bytes()
    assert len(later) > synced
    for _ in range(40):
        cut = random.randrange(synced, len(later))
        rest = random.choice([b"", bytes(len(later) - cut), random.randbytes(len(later) - cut)])
        Path(f"{torn}-wal").write_bytes(later[:cut] + rest)
        with opened(torn) as connection:
            audit(Picture(connection), book)
