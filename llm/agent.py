"""The class of agents that think: its turns begin runs, take down their steps and end them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar, cast

import msgspec

from ..actors.agent.agent import OWN_NAMES, Agent
from ..persistence.errors import ConfigurationError, RunFailed, UnknownRun
from .job import Job
from .ledger import Ledger, Verdict, key_of
from .records import (
    ENDED,
    MODEL,
    TOOL,
    Budget,
    Run,
    RunStatus,
    Spent,
    Step,
    Tally,
    ThinkingState,
    Waiting,
)
from .runs import Noted, runs_of
from .tools import Tool, tools_of

S = TypeVar("S", bound=ThinkingState)

INSTALL = 'agents that think need pydantic-ai: pip install "perdure[llm]"'
_DECISIONS = ("retry", "done", "skip", "fail", "approve", "deny", "answer")


class ThinkingAgent(Agent[S], Generic[S]):
    """Be an agent whose runs of a language model are durable, step by step.

    Subclass it with the class of its state, which derives from ``ThinkingState``; say which model
    it uses, and mark methods as tools. A run goes on beside its turns: meanwhile the agent takes
    other messages, and each step that begins or ends is a short turn of its own.
    """

    model: ClassVar[Any] = None
    """What pydantic-ai takes: ``"openai:gpt-5-mini"``, or a Model."""
    fallbacks: ClassVar[Sequence[Any]] = ()
    """Models that are asked in turn where the one before cannot be reached."""
    instructions: ClassVar[str] = ""
    tools: ClassVar[Sequence[Callable[..., Any]]] = ()
    """Functions that the model may call, besides methods marked with ``tool``."""
    toolsets: ClassVar[Sequence[Any]] = ()
    """Toolsets of pydantic-ai, each with an ``id``."""
    output: ClassVar[Any] = str
    """What a run returns: a type, which the model's answer is held to."""
    settings: ClassVar[Any] = None
    """Settings of the model, as pydantic-ai takes them."""
    budget: ClassVar[Budget] = Budget()
    """What a run may use, unless it is given its own."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Refuse a class that could not think."""
        if importlib.util.find_spec("pydantic_ai") is None:
            raise ConfigurationError(f"{cls.__name__}: {INSTALL}")
        super().__init_subclass__(**kwargs)
        taken = sorted(_OURS & cls.__dict__.keys())
        if taken and cls.__module__ != __name__:
            name = f"{cls.__name__}.{taken[0]}"
            message = f"{name} would replace ThinkingAgent.{taken[0]}; give it another name"
            raise ConfigurationError(message)
        tools_of(cls, cls.tools)

    # What callers ask.

    def think(self, prompt: str, *, run: str = "", budget: Budget | None = None) -> Any:  # noqa: ANN401 - as ``output`` says
        """Have the model answer; the reply comes when the run has ended, which may take days.

        With the name of a ``run`` that is there already its answer is returned, and nothing is
        asked again. One run is at work at a time, the next ones wait. RunFailed says why there is
        no answer.
        """
        state = self.state
        known = state.runs.get(run) if run else None
        if known is not None:
            return self._answer_of(known)
        first = len(state.transcript)
        run = run or f"run{first}"
        self._put(Run(run, "queued", self.now(), first, budget=budget or self.budget))
        self._add(Step("asked", run, self.now(), body=prompt))
        if not state.current:
            self._begin_run(run)
        self._home.answer_later(run)
        return None

    def run_status(self, run: str) -> Run:
        """Return a run as it stands; UnknownRun if there is none of that name."""
        return self._run(run)

    def cancel_run(self, run: str = "", reason: str = "") -> bool:
        """End a run now, by default the one at work; False if it has ended already.

        Calls under way are told to stop; what they have done is not undone. The transcript says
        that they were cut off.
        """
        if not run and not self.state.current:
            return False
        found = self._run(run or self.state.current)
        if found.status in ENDED:
            return False
        self._home.end_beside(found.id)
        self._end_run(found.id, "cancelled", None, reason or "it was cancelled")
        return True

    def steer(self, text: str, run: str = "") -> bool:
        """Give a run more input, which the model sees with its next call; False if it has ended."""
        found = self.state.runs.get(run or self.state.current)
        if found is None or found.status in ENDED:
            return False
        self._add(Step("steered", found.id, self.now(), body=text))
        return True

    def decide(self, run: str, call: str, what: str, result: Any = None) -> None:  # noqa: ANN401 - JSON
        """Say what becomes of a call that a run waits for.

        Args:
            run: the run.
            call: the id of the call: see ``run_status(run).waiting``.
            what: ``"retry"`` runs it again, ``"done"`` takes ``result`` for its result, ``"skip"``
                has the model go on without one, ``"fail"`` ends the run. ``"approve"`` and
                ``"deny"`` are for calls that need approval, ``"answer"`` for questions.
            result: the result, the answer, or why it is denied.
        """
        if what not in _DECISIONS:
            message = f"{self}: {what!r} is no decision; use {', '.join(_DECISIONS)}"
            raise ConfigurationError(message)
        found = self._run(run)
        left = tuple(each for each in found.waiting if each.call != call)
        if len(left) == len(found.waiting):
            raise UnknownRun(f"{self}: run {run} does not wait for a call {call!r}")
        self._add(Step("decided", run, self.now(), TOOL, call=call, body=[what, result]))
        if what == "fail":
            self._end_run(run, "failed", None, f"call {call} was given up")
            return
        self._put(msgspec.structs.replace(found, waiting=left))
        self._begin_run(run)

    def approve(self, run: str, call: str) -> None:
        """Agree to a call that waits for it."""
        self.decide(run, call, "approve")

    def deny(self, run: str, call: str, reason: str = "") -> None:
        """Refuse a call that waits for approval; the model is told so."""
        self.decide(run, call, "deny", reason)

    # What happens to runs.

    def go_on(self) -> None:
        """Go on with the run that an earlier process was at."""
        current = self.state.current
        if current and self.state.runs[current].status == "running":
            self._begin_run(current)

    def _begin_run(self, run: str) -> None:
        found = self._run(run)
        if found.start < 0:
            found = msgspec.structs.replace(
                found, begun=self.now(), start=len(self.state.transcript)
            )
        self.state.current = run
        self._put(msgspec.structs.replace(found, status="running"))
        self._home.begin_beside(run, self._work(run))

    def _work(self, run: str) -> Callable[[], Coroutine[Any, Any, object]]:
        from .engine import engine_of  # noqa: PLC0415 - pydantic-ai is loaded by the first run

        engine = engine_of(type(self))
        found = self._run(run)
        history = engine.history(self, found)
        ledger = self._ledger(run)
        prompt = str(self.state.transcript[found.first].body)
        job = Job(self, run, prompt, ledger.copy(), history)
        return partial(engine.drive, job)

    def _end_run(self, run: str, status: RunStatus, output: object, error: str) -> None:
        """End a run: close what it leaves open, tell who waits, begin the next."""
        found, ledger = self._run(run), self._ledger(run)
        if found.status in ENDED:
            return
        for nth, call, name in ledger.open():
            why = error or "the run ended"
            self._add(
                Step("closed", run, self.now(), TOOL, nth, call, name, body=f"not finished: {why}")
            )
        self._put(
            msgspec.structs.replace(
                found, status=status, ended=self.now(), waiting=(), output=output, error=error,
                spent=ledger.spent,
            )
        )  # fmt: skip
        failed = RunFailed(f"{self}: run {run} {status}: {error}") if error else None
        self._home.answer(run, output, failed)
        if self.state.current == run:
            self.state.current = ""
            waiting = [each for each in self.state.runs.values() if each.status == "queued"]
            if waiting:
                self._begin_run(min(waiting, key=lambda each: each.first).id)

    # What the work beside the turns asks: one commit for each.

    def _model_begins(self, run: str, nth: int, name: str, request: object) -> Verdict:
        """Take down that a model is called."""
        ledger = self._ledger(run)
        refused = self._refused(run) or ledger.over(self._run(run).budget, MODEL)
        if refused:
            return Verdict(refused)
        attempt = ledger.attempts(MODEL, nth, "") + 1
        if attempt > 1 and not ledger.failed(MODEL, nth, ""):
            self._count(MODEL, name, Tally(doubts=1))
        steers = ledger.steers(nth)
        body = {"request": request, "steers": steers} if steers else {"request": request}
        self._add(Step("begun", run, self.now(), MODEL, nth, "", name, attempt, body))
        return Verdict(attempt=attempt, steers=tuple(steers))

    def _model_done(
        self, run: str, nth: int, name: str, payload: object, seconds: float, used: Spent
    ) -> None:
        if self._refused(run):
            return
        self._add(Step("done", run, self.now(), MODEL, nth, "", name, 1, payload, seconds))
        self._count(
            MODEL, name,
            Tally(1, 0, 0, seconds, used.tokens_in, used.tokens_out, used.cost),
        )  # fmt: skip

    def _tool_begins(self, run: str, nth: int, call: str, name: str, args: object) -> Verdict:
        """Take down that a tool is called, or that it may not be."""
        ledger = self._ledger(run)
        refused = self._refused(run)
        if refused:
            return Verdict(refused)
        tool = self._tools().get(name)
        what, result = ledger.decision(call)
        if what in ("done", "answer"):
            return Verdict(done=True, result=result)
        if what in ("skip", "deny"):
            told = "it was skipped" if what == "skip" else "it was not approved"
            return Verdict(done=True, result=f"not done: {told}. {result or ''}".strip())
        attempt = ledger.attempts(TOOL, nth, call) + 1
        if attempt == 1:
            over = ledger.over(self._run(run).budget, TOOL)
            if over:
                return Verdict(over)
            if tool is not None and tool.approve and what != "approve":
                return self._wait_for(run, "approval", nth, call, name, args)
        elif not ledger.failed(TOOL, nth, call):
            if what != "retry" and (tool is None or tool.effect == "once"):
                if tool is not None and tool.compensate is not None:
                    return Verdict(compensate=tool.compensate, attempt=attempt)
                return self._wait_for(run, "in doubt", nth, call, name, args)
            self._count(TOOL, name, Tally(doubts=1))
        self._add(Step("begun", run, self.now(), TOOL, nth, call, name, attempt))
        return Verdict(attempt=attempt, key=key_of(self.kind, self.key, run, nth, call))

    def _wait_for(
        self,
        run: str,
        why: Any,
        nth: int,
        call: str,
        name: str,
        args: object,
    ) -> Verdict:
        """Have a run wait for a decision; its work ends, and begins again behind that."""
        found = self._run(run)
        waiting = Waiting(why, call, name, args, self.now())
        self._add(Step("waits", run, self.now(), TOOL, nth, call, name, body=why))
        if why == "in doubt":
            self._count(TOOL, name, Tally(doubts=1))
        if all(each.call != call for each in found.waiting):
            self._put(
                msgspec.structs.replace(found, status="waiting", waiting=(*found.waiting, waiting))
            )
        return Verdict(f"it waits: {why}", suspend=True)

    def _tool_done(
        self, run: str, nth: int, call: str, name: str, payload: object, seconds: float
    ) -> None:
        if self._refused(run):
            return
        self._add(Step("done", run, self.now(), TOOL, nth, call, name, 1, payload, seconds))
        self._count(TOOL, name, Tally(1, 0, 0, seconds))

    def _failed(
        self, run: str, op: str, nth: int, call: str, name: str, error: str, seconds: float
    ) -> None:
        """Take down that a call has raised."""
        if self._refused(run):
            return
        self._add(Step("failed", run, self.now(), op, nth, call, name, 1, error, seconds))  # type: ignore[arg-type]
        self._count(op, name, Tally(1, 1, 0, seconds))

    def _run_ends(self, run: str, output: object, stored: object, tail: object, error: str) -> None:
        """Take down that a run has its answer, or why it has none."""
        if self._refused(run):
            return
        if tail:
            self._add(Step("ended", run, self.now(), body={"request": tail}))
        self._end_run(run, "failed" if error else "done", stored, error)

    def _tool_turn(self, run: str, nth: int, call: str, name: str, args: dict[str, Any]) -> Any:  # noqa: ANN401 - the tool's
        """Run a tool as a turn: what it changes, sends and returns is one commit."""
        from .engine import payload_of  # noqa: PLC0415 - as above

        begun = self.now()
        result = self._tools()[name].function(self, **args)

        def done(result: object) -> object:
            payload = payload_of(result)
            self._tool_done(run, nth, call, name, payload, self.now() - begun)
            return payload

        if isinstance(result, Coroutine):

            async def awaited() -> object:
                return done(await result)

            return awaited()
        return done(result)

    # Small things.

    def _run(self, run: str) -> Run:
        found = self.state.runs.get(run)
        if found is None:
            raise UnknownRun(f"{self}: there is no run {run!r}")
        return found

    def _refused(self, run: str) -> str:
        """Say why a run may take no step."""
        found = self.state.runs.get(run)
        if found is None or found.status != "running":
            return f"run {run} is {'not there' if found is None else found.status}"
        return ""

    def _answer_of(self, run: Run) -> Any:  # noqa: ANN401 - as ``output`` says
        if run.status not in ENDED:
            self._home.answer_later(run.id)
            return None
        if run.error:
            raise RunFailed(f"{self}: run {run.id} {run.status}: {run.error}")
        from .engine import engine_of  # noqa: PLC0415 - as above

        return engine_of(type(self)).restored(run.output)

    def _put(self, run: Run) -> None:
        self.state.runs[run.id] = run
        noted = Noted(run.status, run.asked, run.waiting)
        runs_of(self.system).note(self.kind, self.key, run.id, noted)

    def _add(self, step: Step) -> None:
        ledger = self._ledger(step.run)
        self.state.transcript.append(step)
        ledger.take(step)

    def _count(self, op: str, name: str, more: Tally) -> None:
        place = f"{op}/{name}"
        before = self.state.tallies.get(place, Tally())
        fields = msgspec.structs.astuple
        total = (a + b for a, b in zip(fields(before), fields(more), strict=True))
        self.state.tallies[place] = Tally(*total)

    def _ledger(self, run: str) -> Ledger:
        """Return what a run has done, read once for each activation; as the turn has left it."""
        known = cast("Ledger | None", self.__dict__.get("_known"))
        length = len(self.state.transcript)
        if known is None or known.run != run or known.length != length:
            found = self.state.runs.get(run)
            first = length if found is None else found.first
            known = Ledger(run, first)
            for step in self.state.transcript[first:]:
                known.take(step)
            self.__dict__["_known"] = known
        return known

    @classmethod
    def _tools(cls) -> dict[str, Tool]:
        found: dict[str, Tool] | None = cls.__dict__.get("_known_tools")
        if found is None:
            found = tools_of(cls, cls.tools)
            cls._known_tools = found  # type: ignore[attr-defined]
        return found


_OURS = frozenset(
    name for name, value in vars(ThinkingAgent).items()
    if callable(value) and not name.startswith("__") and name not in OWN_NAMES
)  # fmt: skip
