"""Two threads at one agent's door: whoever comes second finds what the first has made."""

import threading
from collections.abc import Callable

import pytest

from perdure import AgentSystem, VirtualClock
from perdure.actors.cell.cell import AgentCell
from perdure.actors.cell.receiver import RunningCell
from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.pool.mailbox import Mailbox, Outcome
from perdure.actors.system.cells import Keeper
from perdure.actors.talk.control import Control, Verb
from tests.attack.agents import Tally
from tests.kit.deadline import DEADLINE
from tests.kit.gates import GATES, gate


class Overtaken:
    """A lock whose holder is overtaken: something else happens just before it is taken."""

    def __init__(self, lock: threading.Lock, before: Callable[[], object]) -> None:
        self._lock = lock
        self._before = [before]

    def __enter__(self) -> None:
        while self._before:
            self._before.pop()()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def overtake(keeper: Keeper, before: Callable[[], object]) -> None:
    """Have `before` happen when somebody next takes the keeper's lock."""
    keeper._lock = Overtaken(keeper._lock, before)  # type: ignore[assignment]


def test_two_threads_make_one_cell() -> None:
    """An ask that finds the cell made by another thread in the meantime uses that one."""
    with AgentSystem.open("memory://", agents=[Tally]) as system:
        keeper = system._runtime.keeper
        made = []
        overtake(keeper, lambda: made.append(keeper.cell("Tally", "t")))
        assert keeper.cell("Tally", "t") is made[0]


def test_an_order_to_a_closed_cell_forgets_that_cell_only() -> None:
    """An order that meets a closed cell leaves alone the open one another thread has made."""
    with AgentSystem.open("memory://", agents=[Tally]) as system:
        runtime = system._runtime
        keeper = runtime.keeper
        closed = keeper.cell("Tally", "t")
        assert closed.mailbox.close_if_idle(lambda: True)
        find, calls = keeper.cell, []
        opened = []

        def cell(kind: str, key: str, *, here: bool = False) -> RunningCell:
            calls.append(key)
            assert not here
            if len(calls) == 2:  # another thread, between the refusal and the next look
                keeper.forget(closed)
                opened.append(find(kind, key))
            return find(kind, key)

        keeper.cell = cell  # type: ignore[method-assign]
        runtime.order("Tally", "t", Control(Verb.WAKE, edge=False))
        assert runtime.cells["Tally", "t"] is opened[0]


class Slow(Tally):
    """Its turns may be given up by the clock."""

    turn_limit = 60.0

    def wait(self, at: str) -> None:
        GATES[at].pass_through()
        self.add(1)


TAKE_OVERS: dict[str, Callable[[AgentSystem, VirtualClock], object]] = {
    "isolated": lambda system, _clock: system.access.isolate(system.agent(Slow, "t"), "why"),
    "over its limit": lambda _system, clock: clock.advance(61.0),
}


@pytest.mark.parametrize("how", TAKE_OVERS)
def test_a_cell_that_takes_over_is_not_swept_away_before_it_has_the_mail(how: str) -> None:
    """A sweep that comes just then leaves it alone: the message in hand comes again."""
    clock = VirtualClock()
    with gate("in") as door, AgentSystem.open("memory://", agents=[Slow], clock=clock) as system:
        slow, keeper = system.agent(Slow, "t"), system._runtime.keeper
        slow.cast(Slow.wait, "in")
        door.wait()
        take_over = keeper._take_over

        def swept(cell: AgentCell) -> RunningCell | None:
            fresh = take_over(cell)
            keeper.sweep()
            return fresh

        keeper._take_over = swept  # type: ignore[method-assign]
        TAKE_OVERS[how](system, clock)
        door.open()
        system.access.restore(slow)
        clock.advance(61.0)  # the wait before a restart
        assert slow.call(Slow.add, 1).get() == 2


class Taken:
    """A receiver from whom what it handles is taken at once."""

    def __init__(self) -> None:
        self.begun: list[object] = []
        self.again: list[object] = []

    def receive(self, envelope: object) -> Outcome:
        self.begun.append(envelope)
        return Outcome.GONE

    def recover(self, envelope: object) -> Outcome | None:
        self.again.append(envelope)
        return None

    def broke(self, envelope: object, error: BaseException) -> None: ...

    def launch(self) -> None: ...

    def drained(self) -> None: ...


def test_what_was_taken_from_its_runner_is_in_its_hand_no_more() -> None:
    """Something urgent that comes before the mailbox is closed does not go on with it."""
    pool, taken = Dispatcher(1), Taken()
    try:
        mailbox = Mailbox(pool)
        mailbox.attach(taken, pool)
        mailbox.put("told")
        assert mailbox.wait_until_rest(DEADLINE)
        urgent = Control(Verb.WAKE, edge=False)
        mailbox.put_urgent(urgent)
        assert mailbox.wait_until_rest(DEADLINE)
        assert taken.begun == ["told", urgent]
        assert taken.again == []
    finally:
        assert pool.close(DEADLINE)
