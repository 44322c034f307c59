"""The persistence supervisor: everything between a finished turn and a durable one."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from blinker import Signal

from ..hooks.breaker import BreakerState, Circuit
from ..persistence.errors import StoreError, StoreUnavailable
from ..persistence.records.records import AgentRow, Commit, Counters
from ..persistence.store.committer import Committer
from ..persistence.store.lease import RENEW_SECONDS
from ..persistence.store.store import Store
from ..persistence.upkeep.retention import Janitor, Retention
from . import signals
from .autosave import AutoSaver
from .backoff import Backoff
from .clock import Clock
from .durability import Saving, WhenUnsaved
from .saves import SaveCounts, SaveStatistics
from .signals import SaveEvent, fire
from .writer import Writer

logger = logging.getLogger("perdure.lifecycle")

_LEASE: Final = "the lease on the store is renewed"
LEAST_WAIT: Final = 0.05
"""Seconds between two attempts during a shutdown, if the backoff has no more."""
LAST_ATTEMPT_SECONDS: Final = 1.0
"""Seconds that one attempt may last after the time of a shutdown is up."""


class PersistenceSupervisor:
    """Take commits, have them written, retry, open and close the breaker, schedule auto-saves.

    Three flags say what agents may not do now; they look at them before every message:
    ``outage`` (the breaker is not closed), ``swamped`` (too much is unsaved) and ``ended`` (the
    store is lost for good). ``on_strain`` is called when one of them has been raised,
    ``on_relief`` when one has been lowered; ``ended`` never is.
    """

    def __init__(
        self,
        store: Store,
        counters: Counters,
        *,
        clock: Clock,
        randomness: random.Random,
        saving: Saving,
        retention: Retention,
        sender: object,
    ) -> None:
        """Save to ``store``, whose lease is held; ``sender`` is the sender of all signals."""
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._backoff = saving.backoff
        self._sender = sender
        self._most_unsaved = saving.most_unsaved
        self._lock = threading.Lock()
        self._relief = threading.Condition(self._lock)
        self._circuit = Circuit(saving.breaker)
        self._counts = SaveCounts()
        self._janitor = Janitor(store, retention)
        self._auto_saver = AutoSaver(clock, lambda: not self.outage)
        self._deadline: float | None = None
        self.outage = False
        self.swamped = False
        self.ended: StoreError | None = None
        self.on_strain: Callable[[], None] = _nothing
        self.on_relief: Callable[[], None] = _nothing
        self.defer: Callable[[Callable[[], None]], None] = _at_once
        """Makes a call that must not be made where ``append`` is called: under a lock."""
        self.committer = Committer(
            store, self, first=counters.sequence + 1, clock=clock.monotonic, chain=counters.chain
        )

    def start(self) -> None:
        """Start saving and renewing the lease."""
        self.committer.start()
        self._clock.call_later(RENEW_SECONDS, self._renew).named(_LEASE, routine=True)

    def writer(self, head: AgentRow) -> Writer:
        """Return the right to commit for an agent; its owner must revoke it when it ends."""
        return Writer(self, head.agent, head.version, head.sequence)

    def append(self, commit: Commit) -> int:
        """Take a commit and return its sequence; it is written after all before it.

        Never blocks. Above ``most_unsaved`` unsaved commits the agents are told to wait, so the
        backlog stays within that and the turns under way. Raises the error that ended the store.
        """
        sequence = self.committer.append(commit)
        if self.committer.refusing is not None and commit.reply is not None:
            # Its turn looked at the outage a moment before that began.
            self.defer(lambda: self.committer.refuse(commit))
        if sequence - self.committer.durable > self._most_unsaved and not self.swamped:
            self._swamp(sequence)
        return sequence

    def hinders(self, policy: WhenUnsaved) -> bool:
        """Tell whether agents of ``policy`` take no messages now."""
        return (
            self.ended is not None
            or self.swamped
            or (self.outage and policy is not WhenUnsaved.CONTINUE)
        )

    def strained(self) -> bool:
        """Tell whether any agent may be hindered now."""
        return self.outage or self.swamped or self.ended is not None

    def refusal(self) -> StoreError | None:
        """Return the error for an ask that would wait too long; None if it may well wait."""
        if self.ended is not None:
            return self.ended
        if self.outage:
            message = f"the store is unavailable ({self._counts.last_error}); ask again later"
            return StoreUnavailable(message, location=self._store.location)
        return None

    def awaited(self) -> list[str]:
        """Return, for people, what is left until a failed save is tried again; empty if none is."""
        if not self.committer.held or self.ended is not None:
            return []
        error = self._counts.last_error
        if self.outage:
            seconds = self._circuit.settings.reset_after
            return [f"the breaker is open for {seconds:g} s before the next attempt ({error})"]
        return [f"saving is tried again after a backoff ({error})"]

    def wait_for_relief(self, timeout: float) -> bool:
        """Wait until not too much is unsaved; False on timeout. Raises what ended the store."""
        with self._relief:
            relieved = self._relief.wait_for(
                lambda: not self.swamped or self.ended is not None, timeout
            )
        if self.ended is not None:
            raise self.ended
        return relieved

    def dirty(self, agent: object, every: float, save: Callable[[], None]) -> None:
        """Have ``save`` called within ``every`` seconds, or when the store is back."""
        self._auto_saver.dirty(agent, every, save)

    def delay(self, backoff: Backoff, attempt: int) -> float:
        """Return the seconds to wait after failure number ``attempt``."""
        return backoff.delay(attempt, self._randomness)

    def last_error(self) -> Exception | None:
        """Return what ended the store, or why the latest attempt to save failed."""
        return self.ended or self._counts.last_error

    def statistics(self) -> SaveStatistics:
        """Return what was done so far."""
        oldest = self.committer.oldest()
        with self._lock:
            return self._counts.statistics(
                backlog=self.committer.backlog(),
                oldest_unsaved=0.0 if oldest is None else max(0.0, self._clock.now() - oldest),
                breaker=self._circuit.state,
                swamped=self.swamped,
            )

    def close(self, timeout: float) -> bool:
        """Save what is left, trying again for ``timeout`` seconds; False if that was in vain.

        One attempt is made in any case: what waits may be what the end itself has to say. The
        clock may have stopped: from here on the waits between attempts are real ones.
        """
        with self._lock:
            self._deadline = deadline = time.monotonic() + timeout
        self.committer.resume()
        if timeout < LAST_ATTEMPT_SECONDS:
            with suppress(StoreError):  # what ended the committer: close() tells
                self.committer.flush(LAST_ATTEMPT_SECONDS, while_held=False)
        return self.committer.close(max(0.0, deadline - time.monotonic()))

    # What the committer tells, on the thread that wrote.

    def saved(self, commits: int, seconds: float) -> None:
        """Take note that a batch is durable."""
        with self._lock:
            self._counts.count_success(commits, seconds)
            closed = self._circuit.succeeded()
            self.outage = False
        if closed:
            event = self._event(None, durable=commits)
            logger.info("the store is back; the breaker is closed")
            self.on_relief()
            self._auto_saver.save_all()
            self._fire(signals.breaker_closed, event)

    def released(self, commits: int) -> None:
        """Trim the journal: nobody waits for it any more."""
        self._janitor.after_commit(commits)

    def failed(self, error: StoreError, commits: int) -> None:
        """Take note that a batch failed, and decide when it is tried again."""
        final = not isinstance(error, StoreUnavailable)
        with self._lock:
            self._counts.count_failure(error)
            opened = self._circuit.failed() and not final
            if opened:
                self._counts.opened += 1
                self.outage = True
            attempt = self._circuit.failures
            event = self._event(error)
        if attempt & (attempt - 1) == 0:  # 1, 2, 4, 8, ...: a long outage must not flood the log
            logger.warning("saving %d commits failed (failure %d): %s", commits, attempt, error)
        # The next attempt is arranged before anybody is told: it must not hang on a receiver.
        if final:
            self._lost(error)
        elif opened:
            message = (
                f"the turn is done but not durable: {error}; it is kept and will be saved when the"
                " store is back"
            )
            self._clock.call_later(self._circuit.settings.reset_after, self._half_open).named(
                f"the breaker of saving lets one attempt through ({error})"
            )
            self.on_strain()
            self.committer.fail_waiting(StoreUnavailable(message, location=self._store.location))
        elif event.breaker is BreakerState.CLOSED:
            delay = self._backoff.delay(attempt, self._randomness)
            self._clock.call_later(delay, self.committer.resume).named(
                f"saving is tried again after failure {attempt} ({error})"
            )
        self._fire(signals.save_failed, event)
        if opened:
            self._fire(signals.breaker_opened, event)
        self._try_again_while_closing()

    def _half_open(self) -> None:
        with self._lock:
            # Half-open already if this call was struck, and is made once more.
            if not self._circuit.half_open() and self._circuit.state is not BreakerState.HALF_OPEN:
                return
            event = self._event(None)
        self._clock.call_aside(lambda: self._probe(event))

    def _probe(self, event: SaveEvent) -> None:
        """Let one attempt through; told before, so that nobody hears of its outcome first."""
        self._fire(signals.breaker_half_opened, event)
        self.committer.resume()

    def _try_again_while_closing(self) -> None:
        """Wait a little and try again, on the thread that writes: the clock has stopped."""
        if self._deadline is None or self.ended is not None:
            return
        left = self._deadline - time.monotonic()
        if left > 0:
            time.sleep(min(left, max(self._backoff.first, LEAST_WAIT)))
            self.committer.resume()

    # The bound on what is unsaved.

    def _swamp(self, sequence: int) -> None:
        """Hold the agents until half of what is unsaved now is durable."""
        with self._lock:
            if self.swamped:
                return
            self.swamped = True
            event = self._event(None)
        logger.info("%d commits are unsaved; agents wait until half are", event.backlog)
        self.on_strain()
        self.defer(lambda: self._fire(signals.backlog_full, event))
        # The committer calls back after it has moved ``durable``, so that a batch that becomes
        # durable just now cannot be missed.
        if not self.committer.when_durable(sequence - self._most_unsaved // 2, self._relieve):
            self.defer(self._relieve)

    def _relieve(self) -> None:
        with self._lock:
            self.swamped = False
            self._relief.notify_all()
            event = self._event(None)
        self.on_relief()
        self._fire(signals.backlog_drained, event)

    # The lease.

    def _renew(self) -> None:
        """Renew it aside: the store may be locked, and the clock must go on."""
        if self._deadline is None and self.ended is None:
            self._clock.call_aside(self._renew_now)

    def _renew_now(self) -> None:
        self._clock.call_later(RENEW_SECONDS, self._renew).named(_LEASE, routine=True)
        try:
            self._store.renew()
        except StoreUnavailable as error:
            logger.warning("renewing the lease failed: %s", error)
        except StoreError as error:
            self.committer.abort(error)
            self._lost(error)

    def _lost(self, error: StoreError) -> None:
        """Take note that nothing will be saved any more; the committer has told who waited."""
        with self._lock:
            if self.ended is not None:
                return
            self.ended = error
            self._relief.notify_all()
            event = self._event(error)
        logger.critical("the store is lost: %s", error)
        self.on_strain()
        self._fire(signals.store_lost, event)

    def _event(self, error: Exception | None, *, durable: int = 0) -> SaveEvent:
        """Return how things stand; ``durable`` commits have just been saved."""
        return SaveEvent(
            breaker=self._circuit.state,
            attempt=self._circuit.failures,
            backlog=self.committer.backlog() - durable,
            time=self._clock.now(),
            error=error,
        )

    def _fire(self, signal: Signal, event: SaveEvent) -> None:
        fire(signal, self._sender, event, self._clock.monotonic)


def _at_once(call: Callable[[], None]) -> None:
    call()


def _nothing() -> None:
    """Be told and do nothing."""
