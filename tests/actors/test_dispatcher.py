"""The pool of threads that mailboxes run on."""

import queue
import threading

from perdure.actors.dispatcher import Dispatcher, Runnable

DEADLINE = 10.0


class Watched(queue.SimpleQueue[Runnable | None]):
    """Tell when a worker comes back for more."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = 0
        self.back = threading.Event()

    def get(self, block: bool = True, timeout: float | None = None) -> Runnable | None:  # noqa: FBT001, FBT002 - as its base
        self.gets += 1
        if self.gets > 1:
            self.back.set()
        return super().get(block, timeout)


class Work:
    """Remember who runs it."""

    thread: threading.Thread

    def run(self) -> None:
        self.thread = threading.current_thread()


def test_a_thread_given_up_too_late_ends_with_the_pool() -> None:
    """A worker that came back just before it was given up does not wait for work for ever."""
    dispatcher, ready, work = Dispatcher(1), Watched(), Work()
    dispatcher._ready = ready
    dispatcher.submit(work)
    assert ready.back.wait(DEADLINE)
    dispatcher.lend_for(work.thread)
    assert dispatcher.close(DEADLINE)
    work.thread.join(DEADLINE)
    assert not work.thread.is_alive()
