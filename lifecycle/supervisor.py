"""The persistence supervisor: everything between a finished turn and a durable one."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..persistence.committer import Committer
from ..persistence.errors import Fenced, PerdureError, StoreError, StoreUnavailable
from ..persistence.lease import RENEW_SECONDS
from ..persistence.records import Commit, Counters
from ..persistence.retention import Janitor, Retention
from ..persistence.store import Store
from . import signals
from .backoff import Backoff
from .breaker import Breaker, BreakerState, Circuit
from .clock import Clock, Handle
from .signals import SaveEvent, fire

logger = logging.getLogger("perdure.lifecycle")

FAILURE_LIMIT: Final = "it is kept and will be saved when the store is back"


@dataclass(frozen=True, slots=True)
class SaveStatistics:
    """What the supervisor did; counts rise only for what really happened."""

    attempted: int
    """Transactions tried."""
    succeeded: int
    failed: int
    commits: int
    """Commits made durable."""
    backlog: int
    """Commits not durable yet."""
    seconds: float
    """Time spent in transactions that succeeded."""
    slowest: float
    """Seconds the slowest of them took."""
    breaker: str
    last_error: str


class Writer:
    """The right of one activation to commit for one agent; revoked when the activation ends."""

    __slots__ = ("_supervisor", "agent", "revoked", "version")

    def __init__(self, supervisor: PersistenceSupervisor, agent: int, version: int) -> None:
        """Commit for ``agent``, whose latest commit is ``version``."""
        self._supervisor = supervisor
        self.agent = agent
        self.version = version
        self.revoked = False

    def submit(self, commit: Commit) -> int:
        """Number a commit of this agent, append it and return its sequence.

        PerdureError if this activation lost its right, or the commit holds another agent's rows.
        """
        if self.revoked:
            message = f"{commit.kind}/{commit.key}: a stale activation tried to commit"
            raise PerdureError(message)
        commit.agent = self.agent
        commit.version = self.version + 1
        delta = commit.delta
        if delta is not None:
            rows = (*delta.fields.values(), *delta.items)
            if any(row[0] != self.agent for row in rows) or any(
                place[0] != self.agent for place in delta.entries
            ):
                message = f"{commit.kind}/{commit.key} tried to write another agent's state"
                raise PerdureError(message)
        sequence = self._supervisor.committer.append(commit)
        self.version = commit.version
        return sequence


class PersistenceSupervisor:
    """Take commits, have them written, retry, open and close the breaker, schedule auto-saves.

    ``outage`` is true while the breaker is not closed; agents look at it before every message.
    """

    def __init__(  # noqa: PLR0913
        self,
        store: Store,
        counters: Counters,
        *,
        clock: Clock,
        randomness: random.Random,
        backoff: Backoff,
        breaker: Breaker,
        retention: Retention,
        sender: object,
    ) -> None:
        """Save to ``store``, whose lease is held; ``sender`` is the sender of all signals."""
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._backoff = backoff
        self._sender = sender
        self._lock = threading.Lock()
        self._circuit = Circuit(breaker)
        self._counts = {"attempted": 0, "succeeded": 0, "failed": 0, "commits": 0}
        self._seconds = 0.0
        self._slowest = 0.0
        self._last_error: Exception | None = None
        self._savers: dict[float, dict[object, Callable[[], None]]] = {}
        self._pending: Handle | None = None
        self._closed = False
        self._janitor = Janitor(store, retention)
        self.outage = False
        self.on_outage: Callable[[Exception], None] = _ignore
        self.on_recovery: Callable[[], None] = _nothing
        self.committer = Committer(
            store, self, first=counters.sequence + 1, clock=clock.monotonic
        )

    def start(self) -> None:
        """Start saving and renewing the lease."""
        self.committer.start()
        self._clock.call_later(RENEW_SECONDS, self._renew)

    def writer(self, agent: int, version: int) -> Writer:
        """Return the right to commit for an agent; its owner must revoke it when it ends."""
        return Writer(self, agent, version)

    def refusal(self) -> StoreUnavailable:
        """Return the error for an ask that is refused while the breaker is open."""
        return StoreUnavailable(f"the store is unavailable ({self._last_error}); ask again later")

    def dirty(self, agent: object, every: float, save: Callable[[], None]) -> None:
        """Have ``save`` called within ``every`` seconds, unless it is due already."""
        with self._lock:
            waiting = self._savers.get(every)
            if waiting is None:
                waiting = self._savers[every] = {}
                self._clock.call_later(every, lambda: self._auto_save(every))
            waiting[agent] = save

    def delay(self, backoff: Backoff, attempt: int) -> float:
        """Return the seconds to wait after failure number ``attempt``."""
        return backoff.delay(attempt, self._randomness)

    def statistics(self) -> SaveStatistics:
        """Return what was done so far."""
        with self._lock:
            return SaveStatistics(
                **self._counts,
                backlog=self.committer.backlog(),
                seconds=self._seconds,
                slowest=self._slowest,
                breaker=self._circuit.state,
                last_error=str(self._last_error or ""),
            )

    def close(self, timeout: float | None) -> bool:
        """Save what is left; False if that failed within ``timeout`` seconds."""
        self._closed = True
        self.committer.resume()
        return self.committer.close(timeout)

    # What the committer tells, on the thread that wrote.

    def saved(self, commits: int, seconds: float) -> None:
        """Take note that a batch is durable."""
        with self._lock:
            counts = self._counts
            counts["attempted"] += 1
            counts["succeeded"] += 1
            counts["commits"] += commits
            self._seconds += seconds
            self._slowest = max(self._slowest, seconds)
            closed = self._circuit.succeeded()
            self._last_error = None
            self.outage = False
        if closed:
            logger.info("the store is back; the breaker is closed")
            fire(signals.breaker_closed, self._sender, self._event(None))
            self.on_recovery()
        self._janitor.after_commit(commits)

    def failed(self, error: StoreError, commits: int) -> None:
        """Take note that a batch failed, and decide when it is tried again."""
        fenced = isinstance(error, Fenced)
        with self._lock:
            self._counts["attempted"] += 1
            self._counts["failed"] += 1
            self._last_error = error
            opened = self._circuit.failed() or fenced
            attempt = self._circuit.failures
            self.outage = self.outage or opened
        logger.warning("saving %d commits failed (failure %d): %s", commits, attempt, error)
        fire(signals.save_failed, self._sender, self._event(error))
        if fenced:
            self.on_outage(error)
        elif opened:
            message = f"the turn is done but not durable: {error}; {FAILURE_LIMIT}"
            self.committer.fail_waiting(StoreUnavailable(message))
            fire(signals.breaker_opened, self._sender, self._event(error))
            self.on_outage(error)
            self._clock.call_later(self._circuit.settings.reset_after, self._half_open)
        else:
            delay = self._backoff.delay(attempt, self._randomness)
            self._clock.call_later(delay, self.committer.resume)

    def _half_open(self) -> None:
        with self._lock:
            self._circuit.half_open()
        fire(signals.breaker_half_opened, self._sender, self._event(None))
        self.committer.resume()

    def _auto_save(self, every: float) -> None:
        with self._lock:
            if self.outage and self._circuit.state is not BreakerState.CLOSED:
                # Saving now would only pile up; everybody is saved when the breaker closes.
                self._clock.call_later(every, lambda: self._auto_save(every))
                return
            waiting = self._savers.pop(every, {})
        for save in waiting.values():
            save()

    def _renew(self) -> None:
        if self._closed:
            return
        try:
            self._store.renew()
        except Fenced as error:
            self.committer.abort(error)
            self.failed(error, 0)
            return
        except StoreError as error:
            logger.warning("renewing the lease failed: %s", error)
        self._clock.call_later(RENEW_SECONDS, self._renew)

    def _event(self, error: Exception | None) -> SaveEvent:
        return SaveEvent(
            breaker=self._circuit.state,
            attempt=self._circuit.failures,
            backlog=self.committer.backlog(),
            time=self._clock.now(),
            error=error,
        )


def _ignore(_error: Exception) -> None:
    """Do nothing about an outage."""


def _nothing() -> None:
    """Do nothing about a recovery."""
