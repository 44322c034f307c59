"""Two threads at one agent's door: whoever comes second finds what the first has made."""

import threading
from collections.abc import Callable

from perdure import AgentSystem
from perdure.actors.cell.receiver import RunningCell
from perdure.actors.system.cells import Keeper
from perdure.actors.talk.control import Control, Verb
from tests.attack.agents import Tally


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
