"""An exception thrown into a worker, or into the thread that commits, at any moment.

As ``PyThreadState_SetAsyncExc`` does. In a handler it is what the handler raises: an attempt.
Anywhere else nothing is lost, nothing is done twice, and the thread goes on.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest

from perdure import (
    AgentRef,
    AgentSystem,
    Cancel,
    Durability,
    LifecycleDetails,
    MemoryStore,
    SaveDetails,
    Store,
)
from perdure.actors.pool.agenda import Agenda, Errand
from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.pool.future import Future
from perdure.actors.system.attendant import Attendant
from perdure.actors.talk.control import Control, Verb
from perdure.lifecycle.clock import SystemClock, VirtualClock
from perdure.lifecycle.status import Status
from perdure.lifecycle.writer import Writer
from perdure.persistence.records.records import Commit
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.shared.ledger.sweep import AT_ONCE, NEVER, Sweep
from perdure.testing.faults.strikes import ENOUGH, Striker, Struck
from tests.actors.counting import KINDS, Counter, Listener, Noter, Rounds
from tests.actors.test_interrupts import traced
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate

T = TypeVar("T")

FEW: Final = 11
"""In the short version every so many places are tried."""
MOST: Final = 4000
"""Places that a round cannot have: the tests end when rounds are over before they are struck."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the reports of hundreds of strikes out of the way."""
    logger = logging.getLogger("perdure")
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(logging.NOTSET)


def reply(future: Future[T]) -> T:
    """Return a reply when the one who waits for it is told; this thread does none of the work."""
    told = threading.Event()
    future.add_callback(told.set)
    assert told.wait(DEADLINE)
    return future.get()


class StruckRounds(Rounds):
    """Rounds of a cast and an ask from outside, while another thread is struck."""

    def __init__(self, store: Store, kind: type[Counter]) -> None:
        super().__init__(store, kind)
        self.check()

    def strike(self, at: int) -> bool:
        """Do one round; False if it was over before the place was reached.

        It waits without a deadline: a look at its end would hide that a wake-up was lost.
        """
        told, asked = 2 * at, 2 * at + 1
        self.sent |= {told, asked}
        striker = Striker(Struck, at, inside=("perdure",))
        self.lay(striker)
        self.counter.cast(Counter.take, told)
        self.acknowledged.add(told)
        with contextlib.suppress(Struck):
            reply(self.counter.call(Counter.take, asked))
            self.acknowledged.add(asked)
        with contextlib.suppress(Struck, ValueError):
            reply(self.counter.call(Counter.refuse, asked))
            raise AssertionError(asked)
        assert self.system.idle(), striker.struck
        self.end(striker)
        return bool(striker.struck)

    def check_behind(self, striker: Striker) -> bool:
        """Check, and tell whether it was struck; what is wrong says where that was."""
        try:
            self.check()
        except AssertionError as error:
            error.add_note(striker.struck)
            raise
        return bool(striker.struck)

    def lay(self, striker: Striker) -> None:
        """Have the thread struck from now on."""
        raise NotImplementedError

    def end(self, striker: Striker) -> None:
        """Have it struck no more."""
        raise NotImplementedError


class Lure:
    """Work for the pool: its worker is struck from now on, or no more."""

    def __init__(self, striker: Striker | None) -> None:
        self._striker = striker
        self.taken = threading.Event()

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Lie in wait for the worker."""
        if self._striker is None:
            sys.settrace(None)
        else:
            self._striker.lie_in_wait()
        self.taken.set()
        return True


class WorkerRounds(StruckRounds):
    """The only worker is struck."""

    def lay(self, striker: Striker | None) -> None:
        lure = Lure(striker)
        self.system._runtime.dispatcher.submit(lure)
        assert lure.taken.wait(DEADLINE)

    def end(self, striker: Striker) -> None:
        if not striker.struck:
            self.lay(None)


class Lured:
    """A store in whose commits the committing thread meets what lies in wait for it."""

    striker: Striker | None = None

    def meet(self) -> None:
        """Lie in wait for the thread, if it is the one that commits."""
        if threading.current_thread().name == "perdure-committer":
            striker, self.striker = self.striker, None
            if striker is not None:
                striker.lie_in_wait()


class LuredMemory(Lured, MemoryStore):
    """In memory."""

    def commit(self, batch: Batch) -> None:
        self.meet()
        super().commit(batch)


class LuredFile(Lured, SqliteStore):
    """In a file."""

    def commit(self, batch: Batch) -> None:
        self.meet()
        super().commit(batch)


class CommitterRounds(StruckRounds):
    """The thread that commits is struck, from the commit of the cast on."""

    def lay(self, striker: Striker) -> None:
        store = self.system._store
        assert isinstance(store, Lured)
        store.striker = striker

    def end(self, striker: Striker) -> None:
        store = self.system._store
        assert isinstance(store, Lured)
        store.striker = None


def store_at(path: Path | None) -> Store:
    """Return a store in a file, or in memory if there is no path."""
    return LuredMemory() if path is None else LuredFile(path, sync="process")


def strike_everywhere(rounds: StruckRounds, places: range) -> int:
    """Strike at each of some places; return how many rounds were struck."""
    with rounds.system:
        rounds.check()
        struck = early = 0
        for at in places:
            # A round is short where another thread was faster; the end is where several are.
            early = 0 if rounds.strike(at) else early + 1
            if early == ENOUGH:
                break
            struck += not early
            if struck % 20 == 0:
                rounds.check()
        rounds.check()
        assert rounds.system.dead_letters.list() == []
    return struck


WHO = {"worker": (WorkerRounds, FEW, 20), "committer": (CommitterRounds, 3, 3)}
"""Who is struck: at every so many places, of which there must be more than so many.

From Python 3.13 on there are half as many as in 3.11 where the committer works.
"""


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", WHO)
def test_struck_at_many_places(tmp_path: Path, who: str, kind: type[Counter], where: str) -> None:
    """A thread struck at every so many places loses and doubles nothing, and goes on."""
    rounds, few, least = WHO[who]
    store = store_at(None if where == "memory" else tmp_path / "store.db")
    first = 1 + KINDS.index(kind) % few
    assert strike_everywhere(rounds(store, kind), range(first, MOST, few)) > least


@pytest.mark.slow
@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", WHO)
def test_struck_at_every_place(tmp_path: Path, who: str, kind: type[Counter], where: str) -> None:
    """The same, at each place there is."""
    rounds, few, least = WHO[who]
    store = store_at(None if where == "memory" else tmp_path / "store.db")
    assert strike_everywhere(rounds(store, kind), range(1, MOST)) > least * few


class Starter(Counter):
    """Tell of each start."""

    durability = Durability.TURN

    def on_start(self) -> None:
        self.state.total += 1
        self.state.times[self.state.total] = 1
        self.system.agent(Listener, "one").cast(Listener.take, self.state.total)

    def greet(self) -> int:
        return self.state.total


class StarterRounds(WorkerRounds):
    """Rounds in which an agent starts, takes a message and stops, while the worker is struck."""

    def __init__(self, store: Store, kind: type[Counter]) -> None:
        self.starts = 0
        super().__init__(store, kind)
        assert issubclass(kind, Starter)
        self.starter = self.system.agent(kind, "one")

    def check(self) -> None:
        self.sent.update(range(self.starts + 10))
        super().check()
        self.counter.stop(timeout=DEADLINE)

    def strike(self, at: int) -> bool:
        """Do one round; False if it was over before the place was reached."""
        striker = Striker(Struck, at, inside=("perdure",))
        self.lay(striker)
        with contextlib.suppress(Struck):
            starts = reply(self.starter.call(Starter.greet))
            assert starts > self.starts, striker.struck
            self.starts = starts
        assert self.system.idle(), striker.struck
        self.end(striker)
        self.counter.stop(timeout=DEADLINE)
        return bool(striker.struck)


def test_struck_while_it_starts() -> None:
    """on_start runs at each start, again where it was struck; each of its commits counts once."""
    rounds = StarterRounds(store_at(None), Starter)
    assert strike_everywhere(rounds, range(1, MOST, 5)) > 20


class SavedRounds(WorkerRounds):
    """Rounds of an agent that is saved now and then: turns, and one of the ways to save them."""

    def __init__(self, store: Store, kind: type[Counter]) -> None:
        super().__init__(store, kind)
        self.noter = self.system.agent(Noter, "one")
        self.noted: list[int] = []

    def check(self) -> None:
        """Compare what is saved with what its turns have left: all of it, and each once."""
        if not hasattr(self, "noter"):
            return
        self.noter.restart(timeout=DEADLINE)  # it is loaded again, from what is saved
        times, lines, total = self.noter.call(Noter.noted).get(timeout=DEADLINE)
        assert lines == self.noted
        assert times == dict.fromkeys(self.noted, 1)
        assert total == len(self.noted)

    def strike(self, at: int) -> bool:
        """Do one round; False if it was over before the place was reached."""
        striker = Striker(Struck, at, inside=("perdure",))
        self.lay(striker)
        for number, method in enumerate((Noter.note, Noter.tell, Noter.note), 3 * at):
            self.sent.add(number)
            self.noted.append(reply(self.noter.call(method, number)) or number)
        if at % 2:
            self.system._runtime.order("Noter", "one", Control(Verb.PASSIVATE, edge=False))
        else:
            reply(self.system._runtime.post.control(self.noter, Verb.PAUSE))
        assert self.system.idle(), striker.struck
        self.end(striker)
        if at % 2 == 0:
            assert stored_status(self.system, "Noter") is Status.PAUSED, striker.struck
            self.noter.resume(timeout=DEADLINE)
        return self.check_behind(striker)


@pytest.mark.parametrize("where", ["memory", "file"])
def test_struck_while_turns_wait_for_their_save(tmp_path: Path, where: str) -> None:
    """A worker struck anywhere from a turn to its save leaves out nothing of what is saved."""
    store = store_at(None if where == "memory" else tmp_path / "store.db")
    first = 1 + (where == "file")
    assert strike_everywhere(SavedRounds(store, Counter), range(first, MOST, 5)) > 40


@pytest.mark.slow
def test_struck_while_turns_wait_for_their_save_everywhere() -> None:
    """The same, at each place there is."""
    assert strike_everywhere(SavedRounds(store_at(None), Counter), range(1, MOST)) > 200


def stored_status(system: AgentSystem, kind: str) -> Status:
    """Return the status that the store has of the one agent of a kind."""
    (row,) = system.agents.list(kind)
    return Status(row.status)


class Stepper(Counter):
    """Count each of its steps."""

    def on_pause(self) -> None:
        self.state.total += 1

    def on_resume(self) -> None:
        self.state.total += 1

    def on_stop(self) -> None:
        self.state.total += 1

    def steps(self) -> int:
        return self.state.total


class StepRounds(WorkerRounds):
    """Rounds of one step of the lifecycle each, while the worker is struck."""

    WAY: Final = (
        (Verb.PAUSE, Status.PAUSED, 1), (Verb.RESUME, Status.ACTIVE, 1),
        (Verb.PAUSE, Status.PAUSED, 1), (Verb.RESTART, Status.ACTIVE, 0),
        (Verb.STOP, Status.STOPPED, 1), (Verb.RESTART, Status.ACTIVE, 0),
    )  # fmt: skip

    def __init__(self, store: Store, kind: type[Counter], *, hooked: bool) -> None:
        self.done = self.steps = 0
        self.stepper: AgentRef[Stepper] | None = None
        super().__init__(store, kind)
        self.told: list[int] = []
        self.stepper = self.system.agent(Stepper, "one")
        self.stepper.call(Stepper.steps).get(timeout=DEADLINE)
        if hooked:
            self.system.hooks.on("save.after", self._tell, name="told")
            self.system.hooks.on("lifecycle.after", self._tell_step, name="step")
            self.system.hooks.on("lifecycle.before", self._refuse_again, name="again")

    def _tell_step(self, _details: LifecycleDetails) -> None:
        """Make the step one that hooks listen to."""

    def _refuse_again(self, details: LifecycleDetails) -> Cancel | None:
        """Refuse a restart of an agent that works: no round asks for one."""
        works = details.step == Verb.RESTART and details.status == Status.ACTIVE
        return Cancel("it works") if works else None

    def _tell(self, details: SaveDetails) -> None:
        self.told.append(details.sequence)

    def check(self) -> None:
        """No step has run the agent's own method twice; of an agent that had to be loaded, none."""
        if self.stepper is not None and self.done % len(self.WAY) == 0:
            assert self.stepper.call(Stepper.steps).get(timeout=DEADLINE) <= self.steps

    def strike(self, at: int) -> bool:
        """Take a step; False if it was over before the place was reached."""
        assert self.stepper is not None
        verb, status, methods = self.WAY[self.done % len(self.WAY)]
        striker = Striker(Struck, at, inside=("perdure",))
        self.lay(striker)
        reply(self.system._runtime.post.control(self.stepper, verb))
        assert self.system.idle(), striker.struck
        self.end(striker)
        self.done, self.steps = self.done + 1, self.steps + methods
        assert stored_status(self.system, "Stepper") is status, striker.struck
        assert self.stepper.describe().status is status, striker.struck
        cell = self.system._runtime.keeper.cell("Stepper", "one")
        assert bool(cell.holds) is (status is Status.PAUSED), striker.struck
        return self.check_behind(striker)


@pytest.mark.parametrize("hooked", [False, True], ids=["alone", "hooked"])
def test_struck_while_it_takes_a_step(*, hooked: bool) -> None:
    """A step struck anywhere is taken, in memory as in the store; nothing is left open."""
    rounds = StepRounds(store_at(None), Stepper, hooked=hooked)
    assert strike_everywhere(rounds, range(1, MOST, 5)) > 20


@pytest.mark.slow
@pytest.mark.parametrize("hooked", [False, True], ids=["alone", "hooked"])
def test_struck_while_it_takes_a_step_everywhere(*, hooked: bool) -> None:
    """The same, at each place there is."""
    rounds = StepRounds(store_at(None), Stepper, hooked=hooked)
    assert strike_everywhere(rounds, range(1, MOST)) > 100


def test_who_is_answered_by_the_commit_of_a_step_finds_its_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pause is seen by who was told of it, though its runner still is at the append."""
    gate, submit = Gate(), Writer.submit

    def slow(writer: Writer, commit: Commit) -> int:
        sequence = submit(writer, commit)
        if commit.name == "(pause)":
            gate.pass_through()
        return sequence

    monkeypatch.setattr(Writer, "submit", slow)
    with AgentSystem.open("memory://", agents=[Stepper]) as system:
        stepper = system.agent(Stepper, "one")
        stepper.call(Stepper.steps).get(timeout=DEADLINE)
        try:
            reply(system._runtime.post.control(stepper, Verb.PAUSE))
            assert stepper.describe().status is Status.PAUSED
        finally:
            gate.open()


class Sender:
    """Work that sends an errand: what strikes its worker strikes the sending."""

    def __init__(self, errand: Errand, dispatcher: Dispatcher) -> None:
        self._errand = errand
        self._dispatcher = dispatcher

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Send it, again if that was struck."""
        self._errand.send(self._dispatcher)
        return True


class SenderBehind(Sender):
    """The same behind something that is to be waited for."""

    def __init__(self, errand: Errand, dispatcher: Dispatcher) -> None:
        super().__init__(errand, dispatcher)
        self._due: list[Callable[[], None]] = []

    def run(self) -> bool:
        """Send it, again if that was struck, and say that it is time."""
        self._errand.send_behind(self._arrange, self._dispatcher)
        return True

    def _arrange(self, send: Callable[[], None]) -> bool:
        self._due.append(send)
        return True

    def come(self) -> None:
        """Say that it is time."""
        while self._due:
            self._due.pop()()


def test_struck_at_every_place_of_a_call_that_waits_for_its_time() -> None:
    """Who is struck between taking a call and making it leaves nothing open: it is made."""
    clock = VirtualClock()
    struck = 0
    for at in range(1, MOST):
        agenda, made = Agenda(clock), list[int]()
        agenda.later(1.0, lambda made=made: made.append(1), "a call")  # type: ignore[misc]
        striker = Striker(Struck, at, inside=("perdure.actors.pool.agenda", "perdure.lifecycle"))
        with contextlib.suppress(Struck), traced(striker):
            clock.advance(1.0)
        clock.advance(1.0)
        assert made, striker.struck
        assert agenda.wait(DEADLINE), striker.struck
        if not striker.struck:
            break
        struck += 1
    assert struck  # there is one place in Python 3.13, and more in those before


def test_struck_at_every_place_of_arranging_a_call() -> None:
    """Who is struck while it arranges a call does so once more; the first leaves nothing open."""
    clock = VirtualClock()
    struck = 0
    for at in range(1, MOST):
        agenda, made = Agenda(clock), list[int]()
        arrange = functools.partial(agenda.later, 1.0, functools.partial(made.append, 1), "a call")
        striker = Striker(Struck, at, inside=("perdure.actors.pool.agenda", "perdure.lifecycle"))
        with contextlib.suppress(Struck), traced(striker):
            arrange()
        if not striker.struck:
            break
        arrange()
        clock.advance(1.0)
        assert made, striker.struck
        assert agenda.wait(DEADLINE), striker.struck
        struck += 1
    assert struck > 3 or sys.version_info >= (3, 13)  # which strikes at no place there


def test_the_end_of_other_work_is_told_to_who_waits_for_all_that_does_not_sleep() -> None:
    """Work that has fallen asleep tells nobody any more: who ends last does."""
    agenda, asked = Agenda(VirtualClock()), threading.Event()

    def asleep(works: list[object]) -> bool:
        asked.set()  # under the lock that is given back by the wait
        return all(work == "sleeper" for work in works)

    agenda.asleep = asleep
    for work in ("sleeper", "errand"):
        agenda.begin(work)
    waiter = threading.Thread(target=agenda.wait, args=(None,), kwargs={"for_time": False})
    waiter.start()
    assert asked.wait(DEADLINE)
    agenda.end("errand")
    waiter.join(DEADLINE)
    told = not waiter.is_alive()
    agenda.look_again()
    waiter.join()
    assert told


@pytest.mark.parametrize(("kind", "least"), [(Sender, 10), (SenderBehind, 3)])
def test_struck_at_every_place_of_an_errand(kind: type[Sender], least: int) -> None:
    """Wherever the worker that sends or makes an errand is struck: it is made, nothing is left."""
    dispatcher, agenda = Dispatcher(1), Agenda(SystemClock())
    dispatcher.start()
    try:
        struck = early = 0
        for at in range(1, MOST):
            inside = ("perdure.actors.pool.agenda", "perdure.actors.pool.dispatcher")
            striker, made = Striker(Struck, at, inside=inside), threading.Event()
            errand = Errand(agenda, made.set)
            sender = kind(errand, dispatcher)
            for work in (Lure(striker), sender):
                dispatcher.submit(work)
            if isinstance(sender, SenderBehind):
                dispatcher.submit(end := Lure(None))
                assert end.taken.wait(DEADLINE)
                sender.come()
            assert made.wait(DEADLINE), striker.struck
            assert agenda.wait(DEADLINE), striker.struck
            dispatcher.submit(end := Lure(None))
            assert end.taken.wait(DEADLINE)
            early = 0 if striker.struck else early + 1
            if early == ENOUGH:
                break
            struck += not early
        assert struck > least
    finally:
        assert dispatcher.close(DEADLINE)


class Chore(Sweep):
    """Something to do once, in two slices."""

    what = "chores are not done"

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self.done = threading.Event()

    def slice(self) -> float:
        """Do half of it."""
        if not self._begun:
            self._begun = True
            return AT_ONCE
        self.done.set()
        return NEVER


def test_struck_at_every_place_of_a_slice() -> None:
    """Wherever the worker that does a sweep's slices is struck: all are done, nothing is left."""
    clock, dispatcher = SystemClock(), Dispatcher(1)
    agenda = Agenda(clock)
    clock.start()
    dispatcher.start()
    try:
        struck = early = 0
        for at in range(1, MOST):
            inside = ("perdure.actors.system.attendant", "perdure.actors.pool")
            striker, chore = Striker(Struck, at, inside=inside), Chore()
            attendant = Attendant(chore, clock, dispatcher, agenda)
            dispatcher.submit(Lure(striker))
            attendant.look()
            assert agenda.wait(DEADLINE), striker.struck
            dispatcher.submit(end := Lure(None))
            assert end.taken.wait(DEADLINE)
            assert chore.done.wait(DEADLINE), striker.struck  # maybe after RETRY_SECONDS
            assert agenda.wait(DEADLINE), striker.struck
            early = 0 if striker.struck else early + 1
            if early == ENOUGH:
                break
            struck += not early
        assert struck > 10
    finally:
        assert dispatcher.close(DEADLINE)
        clock.close()
