"""Waking those who await replies on event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from perdure.actors.pool.wakes import Wakes
from tests.kit.deadline import DEADLINE


class Loop(asyncio.SelectorEventLoop):
    """Count how often another thread calls; be struck at the first call if that is wanted."""

    calls = 0
    struck = False

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object, **more: object):  # type: ignore[no-untyped-def]  # noqa: ANN201 - as its base
        """Count, then do so."""
        if self.struck:
            self.struck = False
            raise KeyboardInterrupt
        self.calls += 1
        return super().call_soon_threadsafe(callback, *args, **more)  # type: ignore[arg-type]


def test_all_waiters_of_a_loop_are_woken_by_one_call() -> None:
    """However many replies a batch releases, each loop is called once, and nobody is left out."""
    wakes, loops = Wakes(), (Loop(), Loop())
    waiters = [(loop, loop.create_future()) for loop in loops for _ in range(100)]
    for loop, waiter in waiters:
        wakes.add(loop, waiter)
    wakes.send()
    wakes.send()
    for loop in loops:
        mine = [waiter for owner, waiter in waiters if owner is loop]
        loop.run_until_complete(asyncio.wait_for(asyncio.gather(*mine), DEADLINE))
        loop.close()
    assert [loop.calls for loop in loops] == [1, 1]


def test_a_loop_that_is_gone_keeps_nobody_from_being_woken() -> None:
    """A closed loop has nobody waiting; the others are woken all the same, and it is forgotten."""
    wakes, gone, loop = Wakes(), Loop(), Loop()
    wakes.add(gone, gone.create_future())
    gone.close()
    waiter = loop.create_future()
    wakes.add(loop, waiter)
    wakes.send()
    loop.run_until_complete(asyncio.wait_for(waiter, DEADLINE))
    loop.close()
    assert wakes._waiters == {}


def test_what_an_interrupt_has_left_is_sent_by_the_next() -> None:
    """A send that was struck before it called is made good by whoever sends next."""
    wakes, loop = Wakes(), Loop()
    waiter = loop.create_future()
    wakes.add(loop, waiter)
    loop.struck = True
    with pytest.raises(KeyboardInterrupt):
        wakes.send()
    wakes.send()
    loop.run_until_complete(asyncio.wait_for(waiter, DEADLINE))
    loop.close()


def test_a_waiter_that_gave_up_is_left_alone() -> None:
    """A waiter that was cancelled meanwhile does not disturb the others."""
    wakes, loop = Wakes(), Loop()
    gave_up, waiter = loop.create_future(), loop.create_future()
    wakes.add(loop, gave_up)
    wakes.add(loop, waiter)
    gave_up.cancel()
    wakes.send()
    loop.run_until_complete(asyncio.wait_for(waiter, DEADLINE))
    loop.close()
