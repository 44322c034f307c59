"""Threads that begin together, and threads that change places all the time."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tests.kit.deadline import DEADLINE


def together(*works: Callable[[], object]) -> None:
    """Run each of ``works`` in a thread, all begun at one moment; raise what one has raised."""
    barrier = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            barrier.wait(DEADLINE)
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
    if errors:
        raise errors[0]


def at_once(count: int, work: Callable[[int], object]) -> None:
    """Run ``work`` with its number in so many threads that begin together."""
    together(*(partial(work, number) for number in range(count)))


@contextmanager
def hasty(seconds: float = 1e-6) -> Iterator[None]:
    """Have threads change places as often as the interpreter can; a fixture has the same name."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def others_end() -> bool:
    """Tell whether all threads but this one end: one may have just left what it ran."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(DEADLINE)
    return threading.active_count() == 1
