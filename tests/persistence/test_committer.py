"""Group commit: in order, a prefix whatever fails, and nobody who waits is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.persistence.errors import Fenced, StoreError, StoreUnavailable, SystemClosed
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.records import Commit, Delta, Message
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store import committer as module
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.committer import Committer
from perdure.persistence.store.store import Store
from tests.kit.deadline import DEADLINE
from tests.kit.threads import together
from tests.persistence.keeper import HERE

TROUBLE = StoreUnavailable("memory://: the disk is on fire")


class Watched(MemoryStore):
    """A memory store that fails by plan and can hold a commit until told."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[BaseException | None] = []
        self.late: list[BaseException] = []
        """Raised after a batch was taken over: the outcome is unknown to the committer."""
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.batches: list[int] = []
        self.writers: set[str] = set()

    def commit(self, batch: Batch) -> None:
        """Take over a batch, unless it is planned otherwise."""
        self.entered.set()
        assert self.go_on.wait(DEADLINE)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        super().commit(batch)
        self.batches.append(len(batch.commits))
        self.writers.add(threading.current_thread().name)
        if self.late:
            raise self.late.pop(0)


class Observer:
    """Take note of what is told."""

    def __init__(self) -> None:
        self.committer: Committer
        self.resumes = False
        self.told: list[tuple[str, int]] = []
        self.released_at: list[tuple[int, int]] = []
        self.committer_replies: Replies | None = None
        self.failed_once = threading.Event()

    def saved(self, commits: int, _seconds: float) -> None:
        """Take note of a batch that is durable."""
        self.told.append(("saved", commits))

    def released(self, commits: int) -> None:
        """Take note of how many replies had left."""
        answered = len(self.committer_replies.answers) if self.committer_replies else 0
        self.released_at.append((commits, answered))

    def failed(self, _error: StoreError, commits: int) -> None:
        """Take note of a batch that failed, and have it tried again if that is wanted."""
        self.told.append(("failed", commits))
        self.failed_once.set()
        if self.resumes:
            self.committer.resume()


class Replies:
    """Make replies that take note of their answers, and wait for them."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.answers: list[tuple[object, Exception | None]] = []

    def reply(self, name: object) -> Callable[[Exception | None], None]:
        """Return a reply of a name."""

        def answer(error: Exception | None) -> None:
            with self.changed:
                self.answers.append((name, error))
                self.changed.notify_all()

        return answer

    def wait(self, count: int) -> list[tuple[object, Exception | None]]:
        """Wait for so many answers and return them."""
        with self.changed:
            arrived = self.changed.wait_for(lambda: len(self.answers) >= count, DEADLINE)
        assert arrived, f"{len(self.answers)} of {count} answers came"
        return self.answers


class Bench:
    """A committer on a watched store, not started yet."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store if store is not None else Watched()
        self.store.acquire(HERE)
        self.observer = Observer()
        self.committer = Committer(self.store, self.observer, first=1, clock=lambda: 0.0)
        self.observer.committer = self.committer
        self.replies = self.observer.committer_replies = Replies()
        self.versions: dict[int, int] = {}

    def commit(self, agent: int = 1, name: object = None) -> Commit:
        """Return a commit of an agent, with a reply if it has a name."""
        self.versions[agent] = version = self.versions.get(agent, 0) + 1
        delta = Delta(agent)
        delta.fields["n"] = str(version)
        commit = Commit(agent=agent, kind="K", key=str(agent), version=version, delta=delta)
        if name is not None:
            commit.reply = self.replies.reply(name)
        return commit

    def append(self, count: int = 1, **more: object) -> None:
        """Append some commits, with their numbers as names."""
        for _ in range(count):
            self.committer.append(self.commit(name=self.committer.appended + 1, **more))  # type: ignore[arg-type]

    def sequences(self) -> list[int]:
        """Return the sequences that are in the store."""
        return [entry.sequence for entry in self.store.journal(limit=10**6)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a bench whose committer is closed at the end."""
    made = Bench()
    yield made
    assert isinstance(made.store, Watched)
    made.store.go_on.set()
    made.committer.close(0.0)


def watched(bench: Bench) -> Watched:
    """Return the bench's store."""
    assert isinstance(bench.store, Watched)
    return bench.store


def test_commits_are_written_in_order_and_together(bench: Bench) -> None:
    """What gathers is one batch, in the order of appending; replies come in that order too."""
    bench.append(5)
    bench.committer.start()
    assert bench.replies.wait(5) == [(n, None) for n in range(1, 6)]
    assert watched(bench).batches == [5]
    assert bench.sequences() == [1, 2, 3, 4, 5]
    assert (bench.committer.durable, bench.committer.backlog()) == (5, 0)


def test_batches_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction holds more commits than the limit."""
    monkeypatch.setattr(module, "LARGEST_BATCH", 2)
    bench.append(5)
    bench.committer.start()
    bench.replies.wait(5)
    assert watched(bench).batches == [2, 2, 1]


def test_reply_waits_for_the_disk(bench: Bench) -> None:
    """No reply is given while its commit is being written, and none before it."""
    store = watched(bench)
    store.go_on.clear()
    bench.committer.start()
    bench.append()
    assert store.entered.wait(DEADLINE)
    assert bench.replies.answers == []
    assert bench.committer.durable == 0
    assert not bench.committer.flush(0.0)
    store.go_on.set()
    assert bench.committer.flush(DEADLINE)
    assert bench.replies.wait(1) == [(1, None)]


def test_failed_batch_is_tried_again_before_anything_else(bench: Bench) -> None:
    """A batch that failed stays at the head; nothing that came later overtakes it."""
    store = watched(bench)
    store.failures = [TROUBLE, TROUBLE, None]
    bench.committer.start()
    bench.append(2)
    assert bench.observer.failed_once.wait(DEADLINE)
    bench.append(2)
    assert bench.sequences() == []
    bench.observer.resumes = True
    bench.committer.resume()
    assert bench.replies.wait(4) == [(n, None) for n in range(1, 5)]
    assert bench.sequences() == [1, 2, 3, 4]


def test_unforeseen_error_counts_as_a_failed_save(bench: Bench) -> None:
    """An error no adapter should raise is logged, told as a failure, and tried again."""
    watched(bench).failures = [ZeroDivisionError("a bug")]
    bench.observer.resumes = True
    bench.committer.start()
    bench.append()
    bench.replies.wait(1)
    assert bench.observer.told == [("failed", 1), ("saved", 1)]


def test_unknown_outcome_is_written_once(bench: Bench) -> None:
    """A batch that was written although an error came back is not written twice."""
    watched(bench).late = [TROUBLE]
    bench.observer.resumes = True
    bench.committer.start()
    bench.append(2)
    bench.replies.wait(2)
    assert bench.sequences() == [1, 2]


def test_waiting_callers_can_be_told_while_commits_are_kept(bench: Bench) -> None:
    """fail_waiting answers every reply and gate with the error; the commits are still saved."""
    store = watched(bench)
    store.failures = [TROUBLE]
    bench.append(2)
    bench.committer.start()
    assert bench.observer.failed_once.wait(DEADLINE)
    bench.append()
    bench.committer.gate(bench.replies.reply("gate"))
    bench.committer.fail_waiting(TROUBLE)
    assert sorted(bench.replies.answers, key=str) == [
        ("gate", TROUBLE), (1, TROUBLE), (2, TROUBLE), (3, TROUBLE),
    ]  # fmt: skip
    bench.committer.resume()
    assert bench.committer.flush(DEADLINE)
    assert bench.sequences() == [1, 2, 3]
    assert len(bench.replies.answers) == 4


def test_who_comes_after_the_others_were_told_is_told_as_well(bench: Bench) -> None:
    """A turn that looked at the outage just before it began does not wait for its end."""
    store = watched(bench)
    store.failures = [TROUBLE, TROUBLE]
    bench.append()
    bench.committer.start()
    assert bench.observer.failed_once.wait(DEADLINE)
    bench.committer.fail_waiting(TROUBLE)
    late = Commit(agent=1, kind="K", key="1", version=2)
    late.reply = bench.replies.reply("late")
    bench.committer.append(late)
    bench.committer.refuse(late)
    bench.committer.gate(bench.replies.reply("gate"))
    assert bench.replies.answers == [(1, TROUBLE), ("late", TROUBLE), ("gate", TROUBLE)]
    bench.committer.refuse(late)
    store.failures = []
    bench.committer.resume()
    assert bench.committer.flush(DEADLINE)
    bench.committer.gate(bench.replies.reply("after"))
    assert bench.replies.answers[3:] == [("after", None)]
    assert bench.sequences() == [1, 2]


def test_gate_opens_at_once_when_everything_is_durable(bench: Bench) -> None:
    """A reply that changes nothing waits only for what was appended before it."""
    bench.committer.gate(bench.replies.reply("early"))
    assert bench.replies.answers == [("early", None)]
    bench.append()
    bench.committer.gate(bench.replies.reply("late"))
    assert len(bench.replies.answers) == 1
    bench.committer.start()
    assert bench.replies.wait(3) == [("early", None), (1, None), ("late", None)]


def test_when_durable_calls_once_and_in_time(bench: Bench) -> None:
    """A callback comes when its sequence is on disk; False says that it already is."""
    called = threading.Event()
    bench.append(2)
    assert bench.committer.when_durable(2, called.set)
    assert not called.is_set()
    bench.committer.start()
    assert called.wait(DEADLINE)
    assert not bench.committer.when_durable(2, called.set)


def test_helper_writes_on_its_own_thread(bench: Bench) -> None:
    """help() writes what has gathered without the committer's thread."""
    bench.append(3)
    bench.committer.help()
    assert bench.replies.answers == [(1, None), (2, None), (3, None)]
    assert watched(bench).writers == {threading.current_thread().name}


def test_helper_leaves_a_failing_store_alone(bench: Bench) -> None:
    """While a failed batch is held back, help() and flush() do not try it again."""
    watched(bench).failures = [TROUBLE]
    bench.append()
    bench.committer.help()
    bench.committer.help()
    assert not bench.committer.flush(0.0)
    assert bench.observer.told == [("failed", 1)]


def test_interrupted_helper_leaves_its_batch_to_the_thread(bench: Bench) -> None:
    """A KeyboardInterrupt in a helping caller loses neither commits nor replies."""
    store = watched(bench)
    store.failures = [KeyboardInterrupt(), None]
    bench.committer.start()
    store.go_on.set()
    bench.committer._baton.acquire()  # keep the thread out until the caller helps
    bench.append(2)
    bench.committer._baton.release()
    try:
        bench.committer.help()
    except KeyboardInterrupt:
        pass
    else:
        store.failures.clear()  # the thread was faster, and took no notice of the plan
    bench.append()
    assert [name for name, _ in bench.replies.wait(3)] == [1, 2, 3]
    assert bench.sequences() == [1, 2, 3]


def test_interrupt_after_the_commit_writes_nothing_twice() -> None:
    """A KeyboardInterrupt between COMMIT and our knowing of it leaves a consistent store."""
    bench = Bench()
    watched(bench).late = [KeyboardInterrupt()]
    bench.append(2)
    with pytest.raises(KeyboardInterrupt):
        bench.committer.help()
    bench.committer.start()
    bench.append()
    assert [name for name, _ in bench.replies.wait(3)] == [1, 2, 3]
    assert bench.sequences() == [1, 2, 3]
    bench.committer.close(DEADLINE)


def test_reply_that_raises_harms_nobody(bench: Bench) -> None:
    """A reply, callback or observer that raises is logged; all others are still told."""

    def broken(*_args: object) -> None:
        message = "a reply with a bug"
        raise ValueError(message)

    bench.observer.saved = broken  # type: ignore[method-assign,assignment]
    commit = bench.commit()
    commit.reply = broken
    bench.committer.append(commit)
    bench.committer.gate(bench.replies.reply("second"))
    bench.committer.when_durable(1, broken)
    bench.append()
    bench.committer.start()
    assert {name for name, _ in bench.replies.wait(2)} == {"second", 2}
    bench.append()
    bench.replies.wait(3)
    assert bench.sequences() == [1, 2, 3]


def test_fenced_committer_ends(bench: Bench) -> None:
    """A lost lease ends the committer: everybody is told, nothing more is taken or written."""
    error = Fenced("memory://", token=1, current=2)
    watched(bench).failures = [error]
    waited = threading.Event()
    bench.append(2)
    bench.committer.when_durable(1, waited.set)
    bench.committer.start()
    assert [answer for _, answer in bench.replies.wait(2)] == [error, error]
    assert waited.wait(DEADLINE)
    with pytest.raises(Fenced):
        bench.append()
    with pytest.raises(Fenced):
        bench.committer.flush(DEADLINE)
    bench.committer.gate(bench.replies.reply("gate"))
    assert bench.replies.answers[-1] == ("gate", error)
    assert bench.sequences() == []


def test_close_writes_what_is_left(bench: Bench) -> None:
    """Closing writes the queue first, and then refuses with SystemClosed."""
    bench.append(3)
    bench.committer.start()
    assert bench.committer.close(DEADLINE)
    assert bench.sequences() == [1, 2, 3]
    with pytest.raises(SystemClosed):
        bench.append()


def test_close_leaves_nobody_behind_a_stuck_batch(bench: Bench) -> None:
    """If the store does not come back in time, close() is False and every waiter gets an error."""
    watched(bench).failures = [TROUBLE]
    bench.append(2)
    bench.committer.start()
    assert bench.observer.failed_once.wait(DEADLINE)
    bench.append()
    bench.committer.gate(bench.replies.reply("gate"))
    assert bench.committer.close(0.0) is False
    answers = bench.replies.wait(4)
    assert {name for name, _ in answers} == {1, 2, 3, "gate"}
    assert all(isinstance(error, SystemClosed) for _, error in answers)


def test_empty_batches_need_no_store(bench: Bench) -> None:
    """Commits whose effects cancel each other out are durable without a transaction."""
    send, consume = Commit(), Commit()
    send.with_effects().sends = [Message(7, "K", "2", "go", "[]", 0, 7, 0.0)]
    consume.with_effects().consumed = [7]
    consume.reply = bench.replies.reply("done")
    bench.committer.append(send)
    bench.committer.append(consume)
    bench.committer.help()
    assert bench.replies.answers == [("done", None)]
    assert watched(bench).batches == []


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["append", "fail", "help", "resume", "gate", "tell"]), max_size=40))
def test_durable_is_always_a_prefix(steps: list[str]) -> None:
    """Whatever fails and whoever helps: the store holds a prefix, and only it was acknowledged."""
    bench = Bench()
    for step in steps:
        if step == "append":
            bench.append()
        elif step == "fail":
            watched(bench).failures = [TROUBLE]
        elif step == "help":
            bench.committer.help()
        elif step == "resume":
            bench.committer.resume()
        elif step == "gate":
            bench.committer.gate(bench.replies.reply(("gate", bench.committer.appended)))
        else:
            bench.committer.fail_waiting(TROUBLE)
        written = bench.sequences()
        assert written == list(range(1, len(written) + 1))
        assert bench.committer.durable == len(written)
        for name, error in bench.replies.answers:
            number = name[1] if isinstance(name, tuple) else name
            assert error is not None or number <= len(written)  # type: ignore[operator]
    watched(bench).failures = []
    bench.committer.start()
    bench.committer.resume()
    assert bench.committer.close(DEADLINE)
    assert len(bench.replies.answers) == steps.count("append") + steps.count("gate")


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("helping", [False, True])
def test_many_threads_on_a_real_file(tmp_path: Path, helping: bool) -> None:  # noqa: FBT001
    """Threads that append, help and gate, on a store that fails now and then, lose nothing."""
    store = SqliteStore(tmp_path / "store.db", sync="process")
    bench = Bench(store)
    bench.observer.resumes = True
    commit, count = store.commit, 0

    def sometimes(batch: Batch) -> None:
        nonlocal count
        count += 1
        if count % 5 == 0:
            raise TROUBLE
        commit(batch)

    store.commit = sometimes  # type: ignore[method-assign]
    bench.committer.start()
    gates: list[bool] = []

    def gate(seen: int) -> Callable[[object], None]:
        return lambda _error: gates.append(seen <= bench.committer.durable)

    def work(agent: int) -> None:
        for _ in range(60):
            bench.committer.append(bench.commit(agent, name=agent))
            seen = bench.committer.appended
            bench.committer.gate(gate(seen))
            if helping:
                bench.committer.help()

    together(*(partial(work, agent) for agent in range(1, 7)))
    bench.replies.wait(360)
    assert bench.committer.close(DEADLINE)
    assert all(error is None for _, error in bench.replies.answers)
    assert len(gates) == 360
    assert all(gates)
    assert bench.sequences() == list(range(1, 361))
    for agent in range(1, 7):
        versions = [entry.version for entry in store.journal("K", str(agent), limit=999)]
        assert versions == list(range(1, 61))
    store.close()


def test_housekeeping_comes_after_the_replies(bench: Bench) -> None:
    """What can wait, such as trimming the journal, keeps no caller waiting."""
    bench.append(3)
    bench.committer.help()
    assert bench.observer.released_at == [(3, 3)]
