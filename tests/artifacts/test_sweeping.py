"""Sweeping: what nothing refers to goes, what somebody needs stays, whoever comes first."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from perdure import MemoryStore, VirtualClock
from perdure.persistence.errors import UnknownArtifact
from perdure.persistence.records.shared_tables import CHUNKS, CONTENT_PARTS, CONTENTS
from perdure.persistence.records.tables import Key
from perdure.persistence.store.batch import Batch
from perdure.shared.artifacts.artifacts import Artifacts
from perdure.shared.artifacts.chunking import CHUNK
from perdure.shared.artifacts.sweep import DELAY, Swept
from perdure.shared.artifacts.traffic import Hold, Traffic
from perdure.shared.artifacts.upload import MOST_UNDER_WAY
from perdure.testing import FaultyStore
from tests.artifacts.agents import Maker, opened
from tests.artifacts.looks import counts, dangling, noise, orphans, rows, stores
from tests.kit.deadline import DEADLINE
from tests.kit.threads import at_once

NOTHING = dict.fromkeys(
    ("artifacts", "artifact_tags", "lineage", "artifact_uses", "contents", "content_parts",
     "chunks"), 0,
)  # fmt: skip


def test_deletion_frees_the_space(tmp_path: Path) -> None:
    """After the last deletion of equal bytes and a sweep, no row of them is left."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        artifacts = system.artifacts
        one = artifacts.save("one", noise(3 * CHUNK), tags=["t"])
        two = artifacts.save("two", noise(3 * CHUNK), sources=[one])
        system.agent(Maker, "m").proxy().make("x", "y", 2).get()
        artifacts.delete(one)
        artifacts.sweep()
        assert artifacts.read(two) == noise(3 * CHUNK)
        for artifact in artifacts.list():
            artifacts.delete(artifact)
        assert artifacts.sweep() == Swept(contents=2, chunks=4, notes=4)
        assert counts(path) == NOTHING
        used = rows(path, "PRAGMA page_count")[0][0] - rows(path, "PRAGMA freelist_count")[0][0]
        assert used * 4096 < 3 * CHUNK
        artifacts.save("three", noise(3 * CHUNK, 7))
        assert artifacts.sweep() == Swept()


def test_freed_pages_are_used_again(tmp_path: Path) -> None:
    """A store that saves and deletes for ever does not grow for ever."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        sizes = []
        for seed in range(6):
            system.artifacts.delete(system.artifacts.save("a", noise(8 * CHUNK, seed)))
            system.artifacts.sweep()
            sizes.append(rows(path, "PRAGMA page_count")[0][0])
        assert sizes[-1] <= sizes[1]


class WatchedStore(MemoryStore):
    """A memory store that tells of each commit."""

    def __init__(self) -> None:
        super().__init__()
        self._committed = threading.Condition()

    def commit(self, batch: Batch) -> None:
        super().commit(batch)
        with self._committed:
            self._committed.notify_all()

    def empty(self) -> bool:
        """Wait until there are no contents and chunks; False if they stay."""
        with self._committed:
            return self._committed.wait_for(
                lambda: not self.keys(CHUNKS, None, 1) and not self.keys(CONTENTS, None, 1),
                DEADLINE,
            )


def test_a_sweep_comes_by_itself() -> None:
    """Some seconds after a deletion, and after an opening, what is of no use is freed."""
    clock, store = VirtualClock(), WatchedStore()
    with opened(store, clock=clock) as system:
        system.artifacts.delete(system.artifacts.save("a", b"1"))
        clock.advance(DELAY)
        assert store.empty()
    with opened(store, clock=clock) as system:
        sink = system.artifacts.create("b").__enter__()  # an upload that never ends
        sink.write(noise(2 * CHUNK))
        system.flush()
    assert store.keys(CHUNKS, None, 1)
    with opened(store, clock=clock):
        clock.advance(DELAY)
        assert store.empty()


def test_what_is_being_read_stays(tmp_path: Path) -> None:
    """Who has opened an artifact reads it to its end, although it is deleted meanwhile."""
    for store in stores(tmp_path):
        with opened(store) as system:
            artifact = system.artifacts.save("a", noise(300 * CHUNK // 64))
            with system.artifacts.open(artifact) as source:
                first = source.read(10)
                system.artifacts.delete(artifact)
                swept = system.artifacts.sweep()
                assert (swept.contents, swept.left) == (0, True)
                assert first + source.read() == noise(300 * CHUNK // 64)
            assert system.artifacts.sweep().contents == 1
            with pytest.raises(UnknownArtifact, match="deleted"):
                system.artifacts.open(artifact)


def test_what_is_being_saved_stays(tmp_path: Path) -> None:
    """A sweep leaves the chunks of an upload under way, and those it found in the store."""
    for store in stores(tmp_path):
        with opened(store) as system:
            twin = system.artifacts.save("twin", noise(2 * CHUNK))
            with system.artifacts.create("a") as sink:
                sink.write(noise(2 * CHUNK))
                sink.write(noise(CHUNK, 1))
                system.artifacts.delete(twin)
                swept = system.artifacts.sweep()
                assert (swept.contents, swept.chunks) == (1, 0)
            system.artifacts.sweep()
            assert system.artifacts.read(sink.artifact) == noise(2 * CHUNK) + noise(CHUNK, 1)


def test_a_turn_under_way_keeps_its_bytes(tmp_path: Path) -> None:
    """What a transaction has saved is not swept before it is known whether it comes to be."""
    for store in stores(tmp_path):
        with opened(store) as system:
            with system.state.transaction():
                artifact = system.artifacts.save("a", noise(CHUNK))
                sweeper = threading.Thread(target=system.artifacts.sweep)
                sweeper.start()
                sweeper.join(DEADLINE)
                assert not sweeper.is_alive()
            assert system.artifacts.read(artifact) == noise(CHUNK)


@pytest.mark.usefixtures("hasty_threads")
def test_a_twin_deleted_while_it_is_saved(tmp_path: Path) -> None:
    """Threads that save, delete and sweep equal bytes: whoever has an artifact can read it."""
    path = tmp_path / "a.db"
    faults: list[str] = []
    with opened(path, sync="process") as system:
        at_once(5, lambda number: _save_and_delete(system.artifacts, number, faults))
        assert faults == []
        system.artifacts.sweep()
        for artifact in system.artifacts.list(limit=1000):
            assert system.artifacts.read(artifact) in TWINS
    assert dangling(path) == orphans(path) == []


TWINS = [noise(CHUNK // 4), noise(CHUNK // 4, 1) + b"tail", noise(500, 2)]


def _save_and_delete(artifacts: Artifacts, number: int, faults: list[str]) -> None:
    random = Random(number)
    try:
        for round_ in range(25):
            data = random.choice(TWINS)
            saved = artifacts.save(f"{number}", data)
            if artifacts.read(saved) != data:
                faults.append(f"{number} in round {round_}")
            if random.random() < 0.8:
                artifacts.delete(saved)
            if number == 0:
                artifacts.sweep()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
        faults.append(repr(error))


def test_who_comes_second_sees_the_first() -> None:
    """The two orders of a sweep and an upload: written again, or left alone."""
    durable, name, hold = [0], (CHUNKS, "c"), Hold()
    traffic = Traffic(threading.RLock(), lambda: durable[0])
    assert traffic.hold(hold, name) is None  # the store knows
    assert traffic.idle([name]) == []
    del hold
    assert traffic.idle([name]) == [name]
    traffic.deletes([name], 5)
    upload = Hold()
    assert traffic.hold(upload, name) is False  # deleted, on its way: write it again
    traffic.wrote([name], 6)
    del upload
    assert traffic.idle([name]) == []  # written, and not durable yet
    assert traffic.hold(Hold(), name) is True
    durable[0] = 6
    assert traffic.idle([name]) == [name]
    assert traffic.hold(Hold(), name) is None


def test_traffic_forgets_what_is_durable() -> None:
    """What is remembered of commits is bounded by those on their way."""
    durable = [0]
    traffic = Traffic(threading.RLock(), lambda: durable[0])
    for number in range(1, 50_000):
        traffic.wrote([(CHUNKS, str(number))], number)
        durable[0] = number - 10
    assert len(traffic._written) < 20_000
    assert traffic.written((CHUNKS, "49999")) == 49_999


def test_a_sweep_that_fails_is_done_again() -> None:
    """What a sweep could not delete stays suspect, and goes with the next one."""
    with opened(MemoryStore()) as system:
        artifact = system.artifacts.save("a", b"1")
        system.artifacts.delete(artifact)
        sweeper = system.artifacts.sweeper
        kept = sweeper._uploads.flush

        def broken(sequence: int | None = None) -> None:
            raise UnknownArtifact("flush")

        sweeper._uploads.flush = broken  # type: ignore[method-assign]
        with pytest.raises(UnknownArtifact):
            sweeper.sweep(everything=False)
        sweeper._uploads.flush = kept  # type: ignore[method-assign]
        assert sweeper.sweep(everything=False).contents == 1


def test_a_deletion_under_way_is_swept_once_it_counts() -> None:
    """A sweep before a deletion's transaction ends leaves the bytes, the next one takes them."""
    store = MemoryStore()
    with opened(store) as system:
        artifact = system.artifacts.save("a", b"1")
        with system.state.transaction():
            system.artifacts.delete(artifact)
            assert _on_a_thread(lambda: system.artifacts.sweeper.sweep(everything=False)).left
        assert system.artifacts.sweeper.sweep(everything=False).contents == 1


def _on_a_thread(function: Callable[[], Swept]) -> Swept:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(DEADLINE)


def test_uploads_wait_for_the_disk() -> None:
    """No more than 8 MiB are on their way: a slow disk holds the upload up, and not the memory."""
    store, waits = FaultyStore(), threading.Event()
    with opened(store.open()) as system, ThreadPoolExecutor(1) as pool, store.held():
        uploads = system.artifacts._uploads

        @contextmanager
        def waiting() -> Iterator[None]:
            waits.set()
            yield

        uploads.waiting = waiting
        saved = pool.submit(system.artifacts.save, "a", noise(3 * MOST_UNDER_WAY))
        assert waits.wait(DEADLINE)
        assert MOST_UNDER_WAY - CHUNK < uploads._used <= MOST_UNDER_WAY
        assert not saved.done()
        store.let_go()
        assert system.artifacts.read(saved.result(DEADLINE)) == noise(3 * MOST_UNDER_WAY)
        assert uploads._used == 0


def test_keys_come_in_order_page_by_page(tmp_path: Path) -> None:
    """Both stores give the keys of a table in order, without its rows."""
    for store in stores(tmp_path):
        with opened(store) as system:
            for number in range(25):
                system.artifacts.save(str(number), b"%d" % number)
            system.artifacts.save("two", noise(2 * CHUNK))
            reader = system._store
            for table, count in ((CHUNKS, 27), (CONTENT_PARTS, 2), (CONTENTS, 26)):
                found: list[Key] = []
                while page := reader.keys(table, found[-1] if found else None, 10):
                    assert len(page) <= 10
                    found += page
                assert found == sorted(set(found), key=str)
                assert len(found) == count
                assert {len(key) for key in found} == {table.key}
