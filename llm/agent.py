"""The class of agents that think: what callers ask of them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from types import FunctionType, new_class
from typing import Any, ClassVar, Final, Generic, TypeVar, get_args

import msgspec

from ..actors.agent.agent import OWN_NAMES
from ..lifecycle.backoff import Backoff
from ..persistence.errors import ConfigurationError, UnknownRun
from ..persistence.options import Options, by_class
from .job import Job
from .keeping import RunKeeper
from .open_runs import DECISIONS
from .records import TOOL, Budget, Run, RunEvent, RunRetention, RunStep, ThinkingState
from .tools import tools_of

S = TypeVar("S", bound=ThinkingState)

INSTALL: Final = 'agents that think need pydantic-ai: pip install "perdure[llm]"'
_OPEN: Final = frozenset({"tools", "budget", "needs_approval", "on_wait", "on_start"})


class ThinkingAgent(RunKeeper[S], Generic[S]):
    """Be an agent whose runs of a language model are durable, step by step.

    Subclass it with the class of its state, which derives from ``ThinkingState``; say which model
    it uses, and mark methods as tools. A run goes on beside its turns: meanwhile the agent takes
    other messages, and each step that begins or ends is a short turn of its own.
    """

    model: ClassVar[Any] = None
    """What pydantic-ai takes: ``"openai:gpt-5-mini"``, or a Model."""
    fallbacks: ClassVar[Sequence[Any]] = ()
    """Models that are asked in turn where the one before fails."""
    instructions: ClassVar[str] = ""
    toolsets: ClassVar[Sequence[Any]] = ()
    """Toolsets of pydantic-ai, each with an ``id``; their tools are as those of "once"."""
    output: ClassVar[Any] = str
    """What a run returns: a type, which the model's answer is held to."""
    settings: ClassVar[Any] = None
    """Settings of the model, as pydantic-ai takes them."""
    streams: ClassVar[bool] = False
    """Whether answers are streamed by the provider, so that readers see them grow."""
    prices: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """By the name of a model, what a million tokens in and out cost; else as genai-prices says."""
    summarise: ClassVar[str] = (
        "Sum up this conversation for one who carries it on: what was asked, what was found and"
        " done, what is open, with all names and numbers that matter. Answer with the summary."
    )
    """What the model is asked for ``compact``."""
    step_limit: ClassVar[float | None] = 600.0
    """Seconds that one model call may take."""
    script_methods: ClassVar[Collection[str]] = ("think", "run_status", "steer", "cancel_run")
    """What scripts may call: no tools, and no decisions on them."""
    attempts: ClassVar[int] = 4
    """How often a model is called that its provider fails to answer for, restarts included."""
    backoff: ClassVar[Backoff] = Backoff(1.0, 3.0, 60.0)
    """How long to wait between them."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Refuse a class that could not think."""
        if importlib.util.find_spec("pydantic_ai") is None:
            raise ConfigurationError(f"{cls.__name__}: {INSTALL}")
        super().__init_subclass__(**kwargs)
        taken = sorted(_OURS & cls.__dict__.keys())
        if taken:
            name = f"{cls.__name__}.{taken[0]}"
            message = f"{name} would replace ThinkingAgent.{taken[0]}; give it another name"
            raise ConfigurationError(message)
        options = Options(cls, by_class(cls.__name__))
        options.kind("run_retention", RunRetention, "RunRetention(runs=1000)")
        options.kind("budget", Budget, "Budget(steps=100)")
        _check_state(cls)
        tools_of(cls, cls.tools)
        own = cls.__dict__.get("on_start")
        if own is not None:
            cls.on_start = _behind(own)  # type: ignore[method-assign]  # it is the class's own

    def think(self, prompt: str, *, run: str = "", budget: Budget | None = None) -> Any:  # noqa: ANN401 - as ``output`` says
        """Have the model answer; the reply comes when the run has ended, which may take days.

        With the name of a ``run`` that is there already its answer is returned, and nothing is
        asked again. One run is at work at a time, the next ones wait. RunFailed says why there is
        no answer; Deadlock refuses a tool of the run at work, which would wait for itself.
        """
        known = self.state.runs.get(run) if run else None
        if known is not None:
            return self._answer_of(known)
        run = run or self._free_name("run")
        self._refuse_blank(prompt, f"run {run} is new, so say what it asks")
        self._ask_for(run, prompt, budget or self.budget)
        return None

    def run_status(self, run: str = "") -> Run:
        """Return a run as it stands, by default the one at work; UnknownRun if there is none.

        What it has spent is that of this moment.
        """
        if not run and not self.state.current:
            raise UnknownRun(f"{self}: no run is at work; name one, as list_runs() has them")
        found = self._run(run or self.state.current)
        if found.over:
            return found
        return msgspec.structs.replace(found, spent=self._ledger(found.id).spent)

    def list_runs(self) -> list[Run]:
        """Return all runs that are kept, the oldest first: see ``run_retention``."""
        return sorted(self.state.runs.values(), key=lambda run: run.first)

    def cancel_run(self, run: str = "", reason: str = "") -> bool:
        """End a run now, by default the one at work; False if there is none or it has ended.

        Calls under way are told to stop; what they have done is not undone. The transcript says
        that they were cut off.
        """
        found = self.state.runs.get(run or self.state.current)
        if found is None or found.over:
            return False
        self._home.end_beside(found.id)
        self._end_run(found.id, "cancelled", None, reason or "it was cancelled")
        return True

    def steer(self, text: str, run: str = "") -> bool:
        """Give a run more input, which the model sees with its next call; False if it has ended."""
        self._refuse_blank(text, "say what the model is to see")
        found = self.state.runs.get(run or self.state.current)
        if found is None or found.over:
            return False
        self._add(RunStep("steered", found.id, self.now(), body=text))
        return True

    def decide(self, run: str, call: str, what: str, result: Any = None) -> None:  # noqa: ANN401 - JSON
        """Say what becomes of a call that a run waits for.

        Args:
            run: the run.
            call: the id of the call: see ``run_status(run).waiting``.
            what: of a call in doubt, ``"retry"`` runs it again, ``"done"`` takes ``result`` for its
                result, ``"skip"`` has the model go on without one. One that needs approval takes
                ``"approve"`` or ``"deny"``, a question ``"answer"`` or ``"skip"``. ``"fail"`` ends
                the run, as a cancel does.
            result: the result, the answer, or why it is denied or skipped.
        """
        found = self._run(run)
        waiting = [each for each in found.waiting if each.call == call]
        if not waiting:
            raise UnknownRun(f"{self}: run {run} does not wait for a call {call!r}")
        why = waiting[0].why
        if what not in DECISIONS[why]:
            takes = ", ".join(DECISIONS[why])
            raise ConfigurationError(f"{self}: call {call} ({why}) takes {takes}, not {what!r}")
        self._add(RunStep("decided", run, self.now(), TOOL, call=call, body=[what, result]))
        if what == "fail":
            self._home.end_beside(run)  # calls of the same answer may be under way
            self._end_run(run, "failed", None, f"call {call} of {waiting[0].name} was given up")
            return
        left = tuple(each for each in found.waiting if each.call != call)
        self._put(msgspec.structs.replace(found, waiting=left))
        self._begin_run(run)

    def approve(self, run: str, call: str) -> None:
        """Agree to a call that waits for it."""
        self.decide(run, call, "approve")

    def deny(self, run: str, call: str, reason: str = "") -> None:
        """Refuse a call that waits for approval; the model is told so."""
        self.decide(run, call, "deny", reason)

    def answer(self, run: str, call: str, text: str) -> None:
        """Answer a question."""
        self.decide(run, call, "answer", text)

    def run_events(self, run: str, after: int = 0) -> list[RunEvent]:
        """Return the events of a run behind a number, as ``stream`` gives them."""
        self._refuse_broken("after", after)
        found = self._run(run)
        start, steps = max(after, found.first), self.state.transcript
        events = [
            RunEvent(number, step.what, step.op, step.name, step.call, step.body)
            for number, step in enumerate(steps[start:], start + 1)
            if step.run == run and step.what != "compacted"
        ]
        if found.over:
            last = RunEvent(len(steps), "end", body=found.output, error=found.error)
            events.append(last)
        return events

    def edit_transcript(self, step: int, text: str | None) -> None:
        """Have a text stand for what a step says, for the runs to come; None takes that back.

        The step itself stays as it is, and one is added that says which was edited. What was asked,
        steered or summed up, and what a tool returned, is the text then; of an answer its calls of
        tools stay. ConfigurationError while a run is at work, and for a step that the model is not
        told of.

        Args:
            step: its place in the transcript, from 0, as ``perdure runs show`` has it.
            text: what the model is told instead.
        """
        from .engine import engine_of  # noqa: PLC0415 - pydantic-ai is loaded by the first run

        if self.state.current:
            message = f"{self}: run {self.state.current} is at work; edit when it has ended"
            raise ConfigurationError(message)
        if text is not None:
            self._refuse_blank(text, f"say what stands for step {step!r:.20}, as '[removed]'")
        steps = list(self.state.transcript)
        if type(step) is not int or not 0 <= step < len(steps):
            message = f"{self}: there is no step {step!r:.20}; it has {len(steps)}, from 0 on"
            raise ConfigurationError(message)
        edited = RunStep("edited", steps[step].run, self.now(), body={"step": step, "text": text})
        if text is not None and not engine_of(type(self)).tells_edit([*steps, edited], step):
            raise ConfigurationError(f"{self}: the model is told nothing of a step {step} any more")
        self._add(edited)

    def compact(
        self, keep: int = 20, *, tokens: int | None = None, summary: str | None = None
    ) -> Any:  # noqa: ANN401 - a text, later
        """Have a summary stand for what was said before the last messages; return it.

        The model is given the summary from then on; the steps themselves stay in the transcript.
        What is kept begins with something that was asked, so it may be less than ``keep``.

        Args:
            keep: messages to keep at the most.
            tokens: about how many tokens these may be at the most.
            summary: the summary; None has the model sum up, in a run of its own.
        """
        from .engine import engine_of  # noqa: PLC0415 - pydantic-ai is loaded by the first run

        if self.state.current:
            message = f"{self}: run {self.state.current} is at work; compact when it has ended"
            raise ConfigurationError(message)
        self._refuse_broken("keep", keep)
        if tokens is not None:
            self._refuse_broken("tokens", tokens)
        if summary is not None:
            self._refuse_blank(summary, "say what stands for what was said")
        kept = engine_of(type(self)).tail(self, keep, tokens)
        if summary is not None:
            self._compact("", kept, summary)
            return summary
        self._ask_for(self._free_name("summary"), self.summarise, self.budget, keeps=kept)
        return None

    @classmethod
    def define(
        cls,
        name: str,
        *,
        model: Any,  # noqa: ANN401 - as pydantic-ai takes it
        instructions: str = "",
        tools: Sequence[Callable[..., Any]] = (),
        toolsets: Sequence[Any] = (),
        output: Any = str,  # noqa: ANN401 - a type, as pydantic-ai takes it
        budget: Budget | None = None,
        settings: Any = None,  # noqa: ANN401 - same
        state: type[ThinkingState] = ThinkingState,
        **more: object,
    ) -> type[ThinkingAgent[Any]]:
        """Return a class of agents that think, of the kind ``name``, without a class statement.

        ``more`` are further attributes of the class: ``fallbacks``, ``prices``, ``attempts``.
        """
        strange = [word for word in more if not hasattr(cls, word)]
        if strange:
            message = f"define({name!r}, {strange[0]}=...): agents that think have no {strange[0]}"
            raise ConfigurationError(message)
        body = {
            "__module__": cls.__module__, "__doc__": f"Agents of kind {name}.", "kind": name,
            "model": model, "instructions": instructions, "tools": tuple(tools),
            "toolsets": tuple(toolsets), "output": output, "settings": settings,
            "budget": budget or cls.budget, **more,
        }  # fmt: skip
        generic: Any = cls
        base = generic[state] if vars(cls).get("__parameters__") else cls
        made: type[ThinkingAgent[Any]] = new_class(
            name, (base,), {}, lambda space: space.update(body)
        )
        return made

    def _refuse_blank(self, text: object, what: str) -> None:
        """Refuse what no model can be told: the transcript would be of no use any more."""
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f"{self}: {what}, not {text!r:.40}")

    def _refuse_broken(self, name: str, number: object) -> None:
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            message = f"{self}: {name}={number!r:.40} makes no sense; give a whole number from 0 on"
            raise ConfigurationError(message)

    def _free_name(self, word: str) -> str:
        """Return a name that no run has."""
        number = len(self.state.transcript)
        while f"{word}{number}" in self.state.runs:
            number += 1
        return f"{word}{number}"

    def _ask_for(self, run: str, prompt: str, budget: Budget, *, keeps: int | None = None) -> None:
        """Take a new run down; its answer is that of the turn under way."""
        self._refuse_itself(run)
        given: object = budget
        if not isinstance(given, Budget):
            message = f"{self}: {budget!r:.40} is no budget; write budget=Budget(steps=5)"
            raise ConfigurationError(message)
        first = len(self.state.transcript)
        made = Run(run, "queued", self.now(), first, keeps=keeps, budget=budget, kind=self.kind)
        self._put(made)
        self._add(RunStep("asked", run, self.now(), body=prompt))
        if self.state.current:
            self._queue(made)
        else:
            self._begin_run(run)
        self._home.answer_later(run)

    def _work(self, run: str) -> Callable[[], Coroutine[Any, Any, object]]:
        from .engine import engine_of  # noqa: PLC0415 - pydantic-ai is loaded by the first run

        engine, found, ledger = engine_of(type(self)), self._run(run), self._ledger(run).copy()
        before = engine.before(self, found)
        prompt = str(self.state.transcript[found.first].body)
        return partial(engine.drive, Job(self, found, prompt, ledger, before))


def _check_state(cls: type) -> None:
    """Refuse a state without a transcript."""
    for base in getattr(cls, "__orig_bases__", ()):
        for state in get_args(base):
            if isinstance(state, type) and not issubclass(state, ThinkingState):
                message = (
                    f"{cls.__name__}: its state {state.__name__} has no transcript; derive it from"
                    " ThinkingState"
                )
                raise ConfigurationError(message)


def _behind(own: Callable[..., Any]) -> Callable[..., Any]:
    """Return an ``on_start`` that goes on with a run before it does what a class says."""

    @functools.wraps(own)
    def on_start(self: RunKeeper[Any]) -> Any:  # noqa: ANN401 - may be async
        RunKeeper.on_start(self)
        return own(self)

    return on_start


_OURS: Final = frozenset(
    name
    for base in (RunKeeper, ThinkingAgent)
    for name, value in vars(base).items()
    if isinstance(value, FunctionType | classmethod)
    and not name.startswith("__")
    and name not in OWN_NAMES | _OPEN
)
"""What a subclass may not define: it would silently replace a method of ours."""
