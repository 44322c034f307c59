"""The turns of an agent that thinks which take down the steps of its runs, one commit for each."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

import msgspec

from ..actors.agent.agent import Agent
from ..lifecycle.durability import Durability
from ..persistence.errors import CorruptState, Deadlock, RunFailed, UnknownRun
from ..persistence.records.records import StoredAgent
from ..persistence.store.store import StoreReader
from .ledger import RunLedger, key_of
from .news import News, RunEnds, StepBegins, StepEnds, StepVerdict, read_news, written
from .records import (
    FAILED,
    MODEL,
    TOOL,
    Budget,
    Run,
    RunRetention,
    RunStatus,
    RunStep,
    RunWait,
    StepPlace,
    Tally,
    ThinkingState,
    What,
    Why,
)
from .runs import runs_of
from .stored import stored_tallies
from .tools import Tool, tools_of

S = TypeVar("S", bound=ThinkingState)

_NOT_DONE = {"skip": "it was skipped", "deny": "it was not approved"}
_TAKEN_DOWN = StepVerdict()


class RunKeeper(Agent[S], Generic[S]):
    """Keep runs: how they stand, their steps, what they have used.

    Its methods are asked by the work that goes on beside the turns; nobody else needs them.
    """

    tools: ClassVar[Sequence[Callable[..., Any]]] = ()
    """Functions that the model may call, besides methods marked with ``tool``."""
    budget: ClassVar[Budget] = Budget()
    """What a run may use, unless it is given its own."""
    run_retention: ClassVar[RunRetention] = RunRetention()
    """Which runs that have ended are kept."""

    def needs_approval(self, tool: str, args: dict[str, Any]) -> bool:  # noqa: ARG002 - for classes that look at them
        """Tell whether a person has to agree to a call; by default as its tool was declared."""
        declared = self._tools().get(tool)
        return declared is not None and declared.approve

    def on_wait(self, run: str, waiting: RunWait) -> None:
        """Run in the turn with which a run begins to wait for somebody: tell that person."""

    # What the work beside the turns asks.

    def note_steps(self, news: str) -> str:
        """Take down what begins and ends, and say of each that begins whether it may.

        Both are texts: see ``llm/news.py``.
        """
        return written([self._note_news(each) for each in read_news(news)])

    def step_held(self, place: StepPlace, args: Any, reason: str, instead: str) -> None:  # noqa: ANN401 - JSON
        """Take down that a hook has stopped a call until a person agrees.

        Its beginning is taken back, unless what was stopped would be called ``instead`` of one that
        is in doubt: then that stays so.
        """
        if self._takes_steps(place.run):
            if not instead:
                self._note("held", place, reason)
            self._wait(self.state.runs[place.run], "approval", place, args, reason)

    def run_tool(self, place: StepPlace, args: Any) -> Any:  # noqa: ANN401 - by name; what the tool returns
        """Run a tool as a turn: what it changes, sends and returns is one commit."""
        from .engine import payload_of  # noqa: PLC0415 - pydantic-ai is loaded by the first run

        if not self._takes_steps(place.run):
            return None  # it was ended before this turn: nobody waits, and nothing is done
        begun = self.now()
        result = self._tools()[place.name].function(self, **args)

        def done(result: object) -> object:
            payload = payload_of(result)
            self._step_ends(StepEnds(place, "done", payload, self.now() - begun))
            return payload

        if isinstance(result, Coroutine):

            async def awaited() -> object:
                return done(await result)

            return awaited()
        return done(result)

    def run_overdue(self, run: str) -> None:
        """End a run whose time is over."""
        found = self.state.runs.get(run)
        if found is not None and not found.over:
            self._home.end_beside(run)
            limit = found.budget.seconds
            self._end_run(run, "failed", None, f"its budget of {limit:,} seconds is used up")

    def on_start(self) -> None:
        """Go on with the run at which the agent was; a subclass's own comes behind this."""
        current = self.state.current
        if not current:
            return
        if not runs_of(self.system).has(self.kind, self.key, current):
            self._leave_runs()
        elif self._goes_on(self.state.runs[current]):
            self._home.begin_beside(current, self._work(current), again=False)

    def _leave_runs(self) -> None:
        """End the runs that came with a state of another agent: that goes on with them."""
        why = "it goes on in the agent from which this one was forked"
        open_runs = [each.id for each in self.state.runs.values() if not each.over]
        for run in sorted(open_runs, key=lambda each: each == self.state.current):
            self._end_run(run, "cancelled", None, why)

    def go_on(self) -> None:
        """Be woken, so that ``on_start`` runs, where an earlier process was at a run."""

    def _compact(self, run: str, keeps: int, summary: str, *, own: int = 0) -> None:
        """Take down that a summary stands for what was said before the last messages."""
        body = {"summary": summary, "kept": keeps, "own": own}
        self._add(RunStep("compacted", run, self.now(), body=body))

    # Steps.

    def _note_news(self, news: News) -> StepVerdict:
        if isinstance(news, StepBegins):
            return self._step_begins(news.place, news.body)
        if isinstance(news, StepEnds):
            self._step_ends(news)
        else:
            self._run_ends(news)
        return _TAKEN_DOWN

    def _step_begins(self, place: StepPlace, body: Any) -> StepVerdict:  # noqa: ANN401 - JSON
        """Take down that a model or tool is called, or say that it may not be."""
        if not self._takes_steps(place.run):
            found = self.state.runs.get(place.run)
            how = "not there" if found is None else found.status
            return StepVerdict("stop", f"run {place.run} is {how}")
        begins = self._model_begins if place.op == MODEL else self._tool_begins
        return begins(self._run(place.run), place, body)

    def _step_ends(self, end: StepEnds) -> None:
        """Take down what a model or tool has answered, or that the call has raised."""
        place, used = end.place, end.used
        if self._takes_steps(place.run):
            self._note(end.what, place, end.body, end.seconds)
            self._put_waiting(place.run)
            failed = end.what == "failed" or (place.op == TOOL and end.body.get("kind") in FAILED)
            more = Tally(1, int(failed), 0, end.seconds, used.tokens_in, used.tokens_out, used.cost)
            self._count(place, more)

    def _run_ends(self, end: RunEnds) -> None:
        """Take down that a run has its answer, or why it has none."""
        run = end.run
        if self._takes_steps(run):
            if end.tail:
                self._add(RunStep("ended", run, self.now(), body={"request": end.tail}))
            keeps = self.state.runs[run].keeps
            if keeps is not None and not end.error:
                own = 2 * self._ledger(run).answers
                self._compact(run, keeps, str(end.output), own=own)
            self._end_run(run, "failed" if end.error else "done", end.output, end.error)

    def _model_begins(self, run: Run, place: StepPlace, said: Any) -> StepVerdict:  # noqa: ANN401 - JSON
        ledger = self._ledger(run.id)
        over = ledger.over(run.budget, MODEL)
        if over:
            return StepVerdict("over", over)
        attempt = ledger.attempts(MODEL, place.nth, "") + 1
        if attempt > 1 and not ledger.failed(MODEL, place.nth, ""):
            self._count(place, Tally(doubts=1))
        steers = ledger.steers(place.nth)
        body = {**said, "steers": steers} if steers else said
        self._note("begun", place, body, attempt=attempt)
        return StepVerdict(attempt=attempt, steers=tuple(steers))

    def _tool_begins(self, run: Run, place: StepPlace, args: Any) -> StepVerdict:  # noqa: ANN401 - JSON
        ledger = self._ledger(run.id)
        known = ledger.result(TOOL, place.nth, place.call)
        if known is not None:  # it ended when this work on the run was made already
            return StepVerdict("known", result=known.body)
        if any(each.call == place.call for each in run.waiting):  # another call was decided
            self._put(msgspec.structs.replace(run, status="waiting"))
            return StepVerdict("wait", "it waits for a decision")
        if ledger.attempts(TOOL, place.nth, place.call) == 0:
            held = self._first(run, place, args)
        elif ledger.held(TOOL, place.nth, place.call):
            held = self._decided(run, place)
        elif not ledger.failed(TOOL, place.nth, place.call):
            held = self._again(run, place, args)
        else:
            held = None
        if held is not None:
            return held
        attempt = ledger.attempts(TOOL, place.nth, place.call) + 1
        agreed = ledger.decision(place.nth, place.call)[0] == "approve"
        self._note("begun", place, attempt=attempt)
        self._put_waiting(run.id)
        key = key_of(run.kind or self.kind, self.key, place)
        return StepVerdict(attempt=attempt, key=key, agreed=agreed)

    def _first(self, run: Run, place: StepPlace, args: Any) -> StepVerdict | None:  # noqa: ANN401 - JSON
        """Say why a call may not begin that never has; None if it may."""
        ledger, tool = self._ledger(run.id), self._tools().get(place.name)
        over, decided = ledger.over(run.budget, TOOL), self._decided(run, place)
        if decided is not None:
            return decided
        if over:
            return StepVerdict("over", over)
        if tool is not None and tool.question:
            return self._wait(run, "question", place, args)
        approved = ledger.decision(place.nth, place.call)[0] == "approve"
        if not approved and self.needs_approval(place.name, args):
            return self._wait(run, "approval", place, args)
        return None

    def _again(self, run: Run, place: StepPlace, args: Any) -> StepVerdict | None:  # noqa: ANN401 - JSON
        """Say why a call in doubt may not run again; None if it may."""
        decided = self._decided(run, place)
        if decided is not None:
            return decided
        tool = self._tools().get(place.name)
        decision, _ = self._ledger(run.id).decision(place.nth, place.call)
        if decision == "retry":  # it was counted when it began to wait for that
            return None
        self._count(place, Tally(doubts=1))
        if tool is not None and tool.effect != "once":
            return None
        if tool is not None and tool.compensate is not None:
            key, agreed = key_of(run.kind or self.kind, self.key, place), decision == "approve"
            return StepVerdict(key=key, compensate=tool.compensate, agreed=agreed)
        return self._wait(run, "in doubt", place, args)

    def _decided(self, run: Run, place: StepPlace) -> StepVerdict | None:
        """Return the result that was decided about a call; None if none was."""
        ledger = self._ledger(run.id)
        what, result = ledger.decision(place.nth, place.call)
        if what in ("done", "answer"):
            return StepVerdict("done", result=result)
        if what in _NOT_DONE:
            doubt = what == "deny" and ledger.attempts(TOOL, place.nth, place.call)
            how = "not done again, and may have been done" if doubt else "not done"
            more = f": {result}" if result else ""
            return StepVerdict("done", result=f"[{how}: {_NOT_DONE[what]}{more}]")
        return None

    def _wait(
        self, run: Run, why: Why, place: StepPlace, args: Any, reason: str = "",  # noqa: ANN401 - JSON
    ) -> StepVerdict:  # fmt: skip
        """Have a run wait for a decision; its work ends, and begins again behind that."""
        waiting = RunWait(why, place.call, place.name, args, self.now(), reason)
        self._note("waits", place, why)
        self._put(msgspec.structs.replace(run, status="waiting", waiting=(*run.waiting, waiting)))
        self.on_wait(run.id, waiting)
        return StepVerdict("wait", f"it waits: {why}")

    # Runs.

    def _work(self, run: str) -> Callable[[], Coroutine[Any, Any, object]]:
        """Return what goes through a run beside the turns."""
        raise NotImplementedError

    def _begin_run(self, run: str) -> None:
        found = self._run(run)
        if found.start < 0:
            start = len(self.state.transcript)
            found = msgspec.structs.replace(found, begun=self.now(), start=start)
            if found.budget.seconds is not None:
                self.after(found.budget.seconds, "run_overdue", run, name=f"run {run}")
        self.state.current = run
        self._unqueue(found)
        self._put(msgspec.structs.replace(found, status="running"))
        self._home.begin_beside(run, self._work(run))

    def _end_run(self, run: str, status: RunStatus, output: Any, error: str) -> None:  # noqa: ANN401 - JSON
        """End a run: close what it leaves open, tell who waits, begin the next."""
        found, ledger = self._run(run), self._ledger(run)
        for nth, call, name in ledger.open():
            marker = f"cut off, and may have been done: {error or 'the run ended'}"
            place = StepPlace(run, TOOL, nth, call, name)
            self._note("closed", place, marker)
            if all(each.call != call for each in found.waiting):  # else it is counted
                self._count(place, Tally(doubts=1))
        self._put(
            msgspec.structs.replace(
                found, status=status, ended=self.now(), waiting=(), output=output, error=error,
                spent=ledger.spent,
            )
        )  # fmt: skip
        if found.budget.seconds is not None:
            self.cancel(f"run {run}")
        runs_of(self.system).tell(self.kind, self.key, run)
        failed = RunFailed(f"{self}: run {run} {status}: {error}") if error else None
        self._home.answer(run, None if failed else self._restored(found, output), failed)
        self._unqueue(found)
        self._retire(run)
        if self.state.current == run:
            self.state.current = ""
            if self.state.queued:
                self._begin_run(next(iter(self.state.queue.values())))

    def _queue(self, run: Run) -> None:
        """Have a run wait until those before it have ended."""
        if run.first not in self.state.queue:
            self.state.queue[run.first] = run.id
            self.state.queued += 1

    def _unqueue(self, run: Run) -> None:
        if self.state.queued and self.state.queue.pop(run.first, None) is not None:
            self.state.queued -= 1

    def _retire(self, run: str) -> None:
        """Take down that a run has ended, and let those go that are not kept any more."""
        state = self.state
        if state.ends:
            state.ends += 1
            state.ended[state.ends] = run
        else:
            self._adopt_runs()
        while self._goes(oldest := state.ends - len(state.ended) + 1):
            del state.runs[state.ended.pop(oldest)]

    def _goes(self, oldest: int) -> bool:
        most, seconds = self.run_retention.runs, self.run_retention.seconds
        if most is not None and len(self.state.ended) > most:
            return True
        if seconds is None or oldest == self.state.ends:  # the latest is looked at once more
            return False
        return self._run(self.state.ended[oldest]).ended < self.now() - seconds

    def _adopt_runs(self) -> None:
        """Put the runs in order that have ended or wait: an earlier release has left none."""
        state, runs = self.state, list(self.state.runs.values())
        ended = sorted((each for each in runs if each.over), key=lambda each: each.ended)
        for each in ended:
            state.ends += 1
            state.ended[state.ends] = each.id
        for each in runs:
            if each.status == "queued":
                self._queue(each)

    def _answer_of(self, run: Run) -> Any:  # noqa: ANN401 - as ``output`` says
        """Answer with a run: now if it has ended, else when it does."""
        if not run.over:
            self._refuse_itself(run.id)
            self._home.answer_later(run.id)
            return None
        if run.error:
            raise RunFailed(f"{self}: run {run.id} {run.status}: {run.error}")
        return self._restored(run, run.output)

    def _refuse_itself(self, run: str) -> None:
        """Raise Deadlock if the run at work waits, over whatever chain, for an answer of ``run``.

        One run is at work at a time, so that would wait for the end of its own asker.
        """
        current = self.state.current
        if current and self._home.asked_by_work(current):
            message = (
                f"{self}: run {current} waits in a tool for run {run}, which would begin behind it;"
                " use cast(), or ask an agent of another key"
            )
            raise Deadlock(message)

    def _restored(self, run: Run, output: Any) -> Any:  # noqa: ANN401 - as ``output`` says
        """Return a stored answer as the model's was; a summary is a text, whatever answers are."""
        from .engine import engine_of  # noqa: PLC0415 - as above

        if run.keeps is not None:
            return output
        return engine_of(type(self)).restored(output)

    def _run(self, run: str) -> Run:
        found = self.state.runs.get(run)
        if found is None:
            raise UnknownRun(f"{self}: there is no run {run!r}")
        return found

    def _takes_steps(self, run: str) -> bool:
        """Tell whether a run takes steps: what comes late for one that was ended is left out.

        One that waits does: of calls that were made together one may wait while others go on.
        """
        found = self.state.runs.get(run)
        return found is not None and found.status in ("running", "waiting")

    def _put_waiting(self, run: str) -> None:
        """Have the index know whether a run that waits goes on by itself, as that may change."""
        found = self._run(run)
        if found.status == "waiting":
            self._put(found)

    def _goes_on(self, run: Run) -> bool:
        """Tell whether there is work on a run: of one that waits, other calls may be under way."""
        if run.status != "waiting":
            return run.status == "running"
        waiting = {each.call for each in run.waiting}
        return any(call not in waiting for _, call, _ in self._ledger(run.id).open())

    # What is stored.

    def _put(self, run: Run) -> None:
        self.state.runs[run.id] = run
        if self.durability is Durability.VOLATILE:
            return  # what is in memory only, no other process goes on with
        goes_on = self._goes_on(run)
        runs_of(self.system).note(self.kind, self.key, run, goes_on=goes_on)

    def _note(
        self,
        what: What,
        place: StepPlace,
        body: Any = None,  # noqa: ANN401 - JSON
        seconds: float = 0.0,
        *,
        attempt: int = 1,
    ) -> None:
        step = RunStep(
            what, place.run, self.now(), place.op, place.nth, place.call, place.name, attempt,
            body, seconds,
        )  # fmt: skip
        self._add(step)

    def _add(self, step: RunStep) -> None:
        ledger = self._ledger(step.run)
        self.state.transcript.append(step)
        ledger.take(step)
        runs_of(self.system).tell(self.kind, self.key, step.run)

    def _count(self, place: StepPlace, more: Tally) -> None:
        name = f"{place.op}/{place.name}"
        before = self.state.tallies.get(name, Tally())
        fields = msgspec.structs.astuple
        total = (a + b for a, b in zip(fields(before), fields(more), strict=True))
        self.state.tallies[name] = Tally(*total)

    def _ledger(self, run: str) -> RunLedger:
        """Return what a run has done; read again where a turn that was undone has changed it."""
        known = cast("RunLedger | None", self.__dict__.get("_known"))
        length = len(self.state.transcript)
        if known is None or known.run != run or known.length != length:
            found = self.state.runs.get(run)
            first = length if found is None else found.first
            known = RunLedger(run, first)
            for step in self.state.transcript[first:]:
                known.take(step)
            vars(self)["_known"] = known
        return known

    @classmethod
    def _tallied(
        cls, store: StoreReader, load: Callable[[], StoredAgent | None]
    ) -> Mapping[str, Tally]:
        try:
            stored = load()
            return {} if stored is None else stored_tallies(store, stored.head.agent)
        except CorruptState:  # who looks for a fault is told the rest
            return {}

    @classmethod
    def _tools(cls) -> dict[str, Tool]:
        found: dict[str, Tool] | None = cls.__dict__.get("_known_tools")
        if found is None:
            found = tools_of(cls, cls.tools)
            cls._known_tools = found  # type: ignore[attr-defined]
        return found
