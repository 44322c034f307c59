"""Points that a program runs: those of its own, and its calls of tools and models."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from types import CoroutineType
from typing import Any, Final, TypeVar, cast

import msgspec

from ...hooks.acting import apart, refuse_replayed
from ...hooks.details import CallDetails, CallErrorDetails
from ...hooks.executor import Decision, run_chain
from ...hooks.following import led_to
from ...hooks.history.recording import CallPlace
from ...hooks.hook import HookRun, called_of
from ...hooks.points import Point, Work
from ...hooks.results import Retry, Skip
from ...persistence.errors import ConfigurationError
from ...persistence.names.scope import Principal
from ..cell.answers import run_recorded
from ..cell.cell import AgentCell, Surroundings
from ..cell.chains import chain_of
from ..cell.listeners import keep_runs, refuse
from ..talk.copies import reply_of
from ..talk.turn import Turn, begun_in, collecting_in

D = TypeVar("D")

_running: Final[ContextVar[frozenset[tuple[Point[Any], str]]]] = ContextVar(
    "perdure_points_running", default=frozenset()
)
"""The points whose hooks run in this context, with the names of what they run for."""
agreed: Final[ContextVar[bool]] = ContextVar("perdure_agreed", default=False)
"""Whether a person has agreed to the call that is begun here."""


class ProgramPoints:
    """Run hooks where a program says so, in the turn under way or outside. Thread-safe."""

    def __init__(self, home: Surroundings) -> None:
        """Run the hooks of a system."""
        self._home = home

    def run(self, point: Point[D], details: D, name: str = "", call: int = 0) -> Decision[D] | None:
        """Run the hooks that listen to the agent at work here, or if there is none to all.

        What they did is kept with the turn, and outside of turns in a commit of its own. ``name``
        is what a hook may be limited to; ``call`` which call of it in the turn this is about.
        """
        home, turn = self._home, collecting_in(self._home)
        kind, key, agent, who = self._at_work(turn)
        chain = home.hooks.registry.chain(point, kind, key)
        if agent is None:
            chain = tuple(hook for hook in chain if not hook.method)
        if not chain:
            return None
        if not name:
            name = details.name if isinstance(details, CallDetails) else point.name
        notes = None if turn is None else turn.notes
        runs: list[HookRun] = [] if notes is None else notes.runs
        token = _running.set(_entered(point, name))
        try:
            if turn is None or notes is None or notes.tape is None:
                return run_chain(chain, details, name, agent, home.hooks, runs, who)
            cell: Any = turn.cell
            return run_recorded(
                notes.tape, cell.blueprint.calls, chain, details, name, agent, home.hooks, runs,
                call,
            )  # fmt: skip
        finally:
            _running.reset(token)
            if turn is None:
                keep_runs(home, runs, (0, led_to(home)[1]))
            elif notes is None:
                keep_runs(home, runs, (turn.letter.id, turn.letter.cause))
            elif runs:
                turn.effects = True

    def call(
        self, work: Work, name: str, function: Callable[..., Any], args: Mapping[str, object]
    ) -> Any:  # noqa: ANN401 - what the function returns
        """Call a function with the hooks of its work around it."""
        turn = collecting_in(self._home)
        kind, key, _, _ = self._at_work(turn)
        correlation = led_to(self._home)[0] if turn is None else chain_of(self._home, turn)
        first = CallDetails(kind, key, correlation, name, args, None, 0.0, agreed=agreed.get())
        tape = None if turn is None or turn.notes is None else turn.notes.tape
        # Here, not where it is made: of several at once the order in which that is done varies.
        call = _Call(self, work, first, None if tape is None else tape.begin(name))
        if inspect.iscoroutinefunction(called_of(function)):
            return call.awaited(function)
        return call.made(function)

    def now(self) -> float:
        """Return the seconds by which caches count."""
        return self._home.clock.monotonic()

    def outside(self, name: str, call: Callable[[], Any], place: CallPlace | None) -> Any:  # noqa: ANN401 - what it returns
        """Make a call outside; in a recorded turn it is recorded, in a replayed one played."""
        turn = collecting_in(self._home)
        if turn is None or turn.notes is None or turn.notes.tape is None:
            return call()
        return turn.notes.tape.outside(name, call, place)

    def pause(self, seconds: float) -> None:
        """Wait on the system's clock, until it closes at most; a worker lends its place."""
        home = self._home
        if not seconds or home.hooks.played is not None:  # in a replay time stands still
            return
        turn, over = collecting_in(home), threading.Event()
        cell = None if turn is None else cast("AgentCell", turn.cell)
        call_off = home.agenda.later(seconds, over.set, "a call is made again", cell)
        try:
            with home.dispatcher.blocking():
                over.wait()
        finally:
            call_off()

    async def nap(self, seconds: float) -> None:
        """Wait as ``pause`` does, without a thread that would outlive who is cancelled."""
        if seconds and self._home.hooks.played is None:
            await self._home.beside.nap(seconds)

    def _at_work(self, turn: Turn | None) -> tuple[str, str, object, Principal | None]:
        """Return the agent at work here, and as who hooks of its class act: None for its turn."""
        if turn is not None:
            cell: Any = turn.cell
            return cell.kind, cell.key, cell.activation.agent, None
        refuse_replayed("hooks.run, call_tool or call_model")
        who, begun = apart.get(), begun_in(self._home)
        if who is None and begun is not None:  # it goes on behind its turn
            who = cast("AgentCell", begun.cell).principal
        if who is None or who is Principal.SYSTEM:
            return "", "", None, None
        return who.id, who.part, None, who


class _Call:
    """One call: its hooks before, the attempts to make it, its hooks after."""

    def __init__(
        self, points: ProgramPoints, work: Work, first: CallDetails, place: CallPlace | None
    ) -> None:
        self._points = points
        self._place = place
        self._nth = 0 if place is None else place.nth
        self._work = work
        self._first = first
        self._attempt = 0
        self._started = 0.0
        self._decision: Decision[CallDetails] | None = None

    def made(self, function: Callable[..., Any]) -> object:
        """Make it."""
        while True:
            details = self._begin()
            if details.done:
                return details.result
            try:
                call = partial(_called, function, details.name, details.args)
                result = self._points.outside(details.name, call, self._place)
            except Exception as error:
                answer = self._failed(details, error)
                if answer is None:
                    raise
                if isinstance(answer, Skip):
                    return answer.value
                self._points.pause(answer.delay)
            else:
                return self._end(details, result)

    async def awaited(self, function: Callable[..., Any]) -> object:
        """Make it on an event loop; its hooks run beside that, and may be async themselves."""
        while True:
            details = await asyncio.to_thread(self._begin)
            if details.done:
                return details.result
            try:
                called = partial(function, **details.args)
                result = await self._points.outside(details.name, called, self._place)
            except Exception as error:
                answer = await asyncio.to_thread(self._failed, details, error)
                if answer is None:
                    raise
                if isinstance(answer, Skip):
                    return answer.value
                await self._points.nap(answer.delay)
            else:
                return await asyncio.to_thread(self._end, details, result)

    def _begin(self) -> CallDetails:
        """Ask who listens before an attempt; what comes back is done if the call need not be."""
        self._attempt += 1
        told = msgspec.structs.replace(self._first, attempt=self._attempt)
        self._decision = decision = self._run(self._work.before, told)
        refuse(decision)
        if decision is not None:
            told = decision.details
            if isinstance(decision.answer, Skip):
                given = reply_of(decision.answer.value)  # it may be that of a cache
                told = msgspec.structs.replace(told, result=given, done=True)
        self._started = time.perf_counter()
        return told

    def _run(self, point: Point[D], told: D) -> Decision[D] | None:
        return self._points.run(point, told, self._first.name, self._nth)

    def _end(self, details: CallDetails, result: object) -> object:
        took = time.perf_counter() - self._started
        told = msgspec.structs.replace(details, result=result, seconds=took, done=True)
        after = self._run(self._work.after, told)
        if after is not None:
            result = after.details.result
        if self._decision is not None:
            self._decision.keep(reply_of(result), self._points.now())
        return result

    def _failed(self, details: CallDetails, error: Exception) -> Retry | Skip | None:
        """Ask what becomes of an error; None if it stays one."""
        told = CallErrorDetails(
            details.kind, details.key, details.correlation, details.name, details.args, None,
            time.perf_counter() - self._started, attempt=self._attempt, error=error,
        )  # fmt: skip
        decision = self._run(self._work.error, told)
        answer = None if decision is None else decision.answer
        if isinstance(answer, Retry) and self._attempt < answer.attempts:
            return answer
        return answer if isinstance(answer, Skip) else None


def _entered(point: Point[Any], name: str) -> frozenset[tuple[Point[Any], str]]:
    """Return what runs when a point is run here as well; ConfigurationError for a circle."""
    running, here = _running.get(), (point, name)
    if here in running:
        again = f"{point} for {name}" if name != point.name else str(point)
        message = f"a hook of {again} leads to {again} once more, which would never end"
        raise ConfigurationError(message)
    return running | {here}


def _called(function: Callable[..., Any], name: str, args: Mapping[str, object]) -> object:
    result = function(**args)
    if isinstance(result, CoroutineType):
        result.close()
        message = f"{name} gave a coroutine; call a function that is declared as async def"
        raise ConfigurationError(message)
    return result
