"""The class people subclass."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Final,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    TypeVarTuple,
    overload,
)

from pykka import Actor

from ...lifecycle.durability import AutoSave, Durability, WhenUnsaved
from ...lifecycle.restart import RestartPolicy
from ...persistence.errors import ConfigurationError
from ...persistence.records.records import DeadLetter, StoredAgent
from ...persistence.state.state import State
from ...persistence.store.store import StoreReader
from ...shared.access.boundaries import AnyBoundary, Boundary
from ...shared.scopes.agent_scopes import AgentScopes
from ..pool.pooled import PooledActor
from ..talk.beside import Work
from ..talk.identity import Identified
from ..talk.reference import AgentRef
from ..talk.turn import TurnView
from .options import check_options
from .system_view import SystemView

S = TypeVar("S", bound=State)
P = ParamSpec("P")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Home(Protocol):
    """What an agent's activation can ask of the place where it lives."""

    def set_timer(
        self,
        seconds: float,
        interval: float | None,
        method: str,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        *,
        name: str | None,
        catch_up: str,
        spread: float = 0.0,
    ) -> str:
        """Set a timer as an effect of the current turn and return its name."""
        ...

    def cancel_timer(self, name: str) -> bool:
        """Cancel a timer as an effect of the current turn."""
        ...

    def begin_beside(self, name: str, work: Work, *, again: bool = True) -> None:
        """Begin work beside the turns, once the current turn is durable.

        With ``again`` behind work of that name which is under way, else not where there is any.
        """
        ...

    def end_beside(self, name: str) -> None:
        """Cancel such work when the current turn commits."""
        ...

    def pause_beside(self, name: str, seconds: float, what: str) -> Awaitable[None]:
        """Wait in work beside the turns, on the system's clock; ``what`` comes then."""
        ...

    def work_is_left(self, name: str) -> bool:
        """Tell whether the agent has stopped, and is to hear no more of a piece of its work."""
        ...

    def work_goes_on(self, name: str) -> bool:
        """Tell whether cancelled work is begun again: its agent stops, or the system closes."""
        ...

    def work_closes(self) -> bool:
        """Tell whether work beside the turns is to begin nothing more: the system closes."""
        ...

    def name_of_thought(self) -> str:
        """Return a name for what is asked of a mind: the same when the message comes again."""
        ...

    def asked_by_work(self, name: str) -> bool:
        """Tell whether a piece of the agent's work waits for the answer of the current turn."""
        ...

    def answer_later(self, name: str) -> None:
        """Have the asker of the current turn answered with a piece of work."""
        ...

    def answer(self, name: str, value: object, error: Exception | None) -> None:
        """Answer those who wait for a piece of work when the current turn commits."""
        ...

    def step(self, step: str) -> None:
        """Take a lifecycle step after the current turn."""
        ...

    def scopes(self) -> AgentScopes:
        """Return shared state as the agent sees it."""
        ...

    def reference(self) -> AgentRef[Any]:
        """Return a reference to the agent."""
        ...

    def turn(self) -> TurnView:
        """Return what the agent may know of the turn under way."""
        ...

    def now(self) -> float:
        """Return the time as the turn under way takes it."""
        ...

    def random(self) -> Random:
        """Return the randomness of the turn under way."""
        ...

    def outside(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return what a call outside gives."""
        ...


class Agent(Identified, Generic[S]):
    """Be an actor with an identity and a typed state that outlive the process.

    Subclass it with the class of its state, ``class Desk(Agent[DeskState])``, and write methods.
    One message is handled at a time. What a method changes in ``self.state`` and what it sends
    is kept if it returns, and undone if it raises. Methods may be ``async def``. Instances are
    made by a system, one per activation; other attributes than ``state`` last that long.
    """

    durability: ClassVar[Durability] = Durability.TURN
    when_unsaved: ClassVar[WhenUnsaved] = WhenUnsaved.PAUSE
    autosave: ClassVar[AutoSave | None] = None
    """When a changed ``SNAPSHOT`` agent is saved; None: as the system was opened with."""
    restarts: ClassVar[RestartPolicy] = RestartPolicy()
    unreadable: ClassVar[str] = "quarantine"
    """What becomes of an agent whose state is intact but no longer decodes, because its class
    changed: "quarantine" leaves the store alone until the class is mended, "rewind" goes back to
    the last version that decodes and loses the turns since."""
    mailbox_limit: ClassVar[int | None] = 100_000
    """Messages that may wait; a sender outside a turn waits for room, in one gets MailboxFull."""
    turn_limit: ClassVar[float | None] = None
    """Seconds a turn may take before it is abandoned and counted as failed."""
    record: ClassVar[bool] = False
    """Whether whole turns are recorded, so that they can be replayed."""
    boundary: ClassVar[AnyBoundary] = Boundary.STRICT
    """What its agents may do without a grant in the scopes that the system owns."""
    kind: ClassVar[str]
    """The name under which agents of this class are stored; the class's name unless given."""
    messages_version: ClassVar[str] = "1.0.0"
    """The version of the messages that the class takes: MAJOR.MINOR.PATCH."""
    aliases: ClassVar[Sequence[str]] = ()
    """Kinds that its agents had before: what is stored under them is carried over when a system
    is opened, with mail, timers and scopes. Not inherited."""

    mind: ClassVar[type[Agent[Any]] | None] = None
    """The class of agents that think for it where a handler says ``self.think(...)``."""

    key: str
    """The agent's own name among its kind."""
    state: S
    system: SystemView
    """The AgentSystem; ``self.system.agent(Cls, key)`` refers to other agents."""

    _home: Home

    def __init__(self) -> None:
        """Leave set-up to ``on_start``: state, key and system are not there yet."""

    def __repr__(self) -> str:
        key = getattr(self, "key", None)
        known = "not activated" if key is None else f"{self.kind}/{key}"
        return f"<{type(self).__name__} agent, {known}>"

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Name the kind after the class; refuse methods that would replace perdure's own."""
        super().__init_subclass__(**kwargs)
        taken = sorted(OWN_NAMES & cls.__dict__.keys())
        if taken:
            message = (
                f"{cls.__name__}.{taken[0]} would replace Agent.{taken[0]}; give it another name"
            )
            raise ConfigurationError(message)
        if "kind" not in cls.__dict__:
            cls.kind = cls.__name__
        if "aliases" not in cls.__dict__:
            cls.aliases = ()
        check_options(cls)
        _check_state_annotation(cls)

    @classmethod
    def start(cls, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse: agents are started by their system when the first message comes."""
        message = (
            f"{cls.__name__} is a durable agent; refer to it with system.agent({cls.__name__}, key)"
        )
        raise ConfigurationError(message)

    @property
    def actor_ref(self) -> AgentRef[Any]:
        """Return a reference to this agent that may be passed around."""
        return self._home.reference()

    def __str__(self) -> str:
        return f"{self.kind}/{self.key}"

    @classmethod
    def _tallied(
        cls,
        store: StoreReader,  # noqa: ARG003 - for agents that think
        load: Callable[[], StoredAgent | None],  # noqa: ARG003 - same
    ) -> Mapping[str, Any]:
        """Return what is told of an agent's calls where it is described."""
        return {}

    def on_start(self) -> None:
        """Run at the beginning of every activation, as a turn of its own.

        At least once: where a start is cut off behind its commit, the next start runs it again.
        """

    def on_pause(self) -> None:
        """Run before the agent is paused, as a turn of its own."""

    def on_resume(self) -> None:
        """Run when the agent is resumed, before its mail, as a turn of its own."""

    def on_stop(self) -> None:
        """Run before the agent stops, as a turn of its own."""

    def on_passivate(self) -> None:
        """Run before an idle activation leaves memory; give back what on_start took."""

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Run after a handler raised with nobody waiting for the reply; the turn is undone."""

    def on_dead(self, letter: DeadLetter) -> None:
        """Run when a message has gone to the dead letters: make up for what it should have done.

        A durable turn of its own, before the other mail: sent with the commit that buries the
        message, it survives a crash, is tried again as any message is, and may change the state
        and send. One that fails at every attempt becomes a dead letter itself, without another.
        """

    def think(self, prompt: str, *, run: str = "", budget: Any = None) -> Any:  # noqa: ANN401 - as ``mind`` answers
        """Have the agent's ``mind`` answer: ``answer = await self.think("...")``, a future of it.

        An agent of that class, of this one's name, makes the run, durable by itself. A message that
        is handled again asks by the same name, and gets the answer that there is.
        """
        if self.mind is None:
            message = (
                f"{self} has no mind; set mind = ..., a class of agents that think (perdure[llm])"
            )
            raise ConfigurationError(message)
        ref: AgentRef[Any] = self.system.agent(self.mind, f"{self.kind}/{self.key}")
        return ref.call(
            self.mind.think, prompt, run=run or self._home.name_of_thought(), budget=budget
        )

    @property
    def turn(self) -> TurnView:
        """What is known of the turn under way: the attempt, the message, the correlation."""
        return self._home.turn()

    def now(self) -> float:
        """Return seconds since the epoch, by the system's clock; a replay gives the same."""
        return self._home.now()

    @property
    def random(self) -> Random:
        """Randomness of this turn's own; a replay gives the same."""
        return self._home.random()

    def outside(self, name: str, call: Callable[[], R]) -> R:
        """Return what ``call()`` gives: a call of something outside, by a name for the recording.

        A replay gives what was recorded, as JSON has it, and makes no call. What an async call
        gives is awaited: ``await self.outside("rate", fetch)``.
        """
        return self._home.outside(name, call)  # type: ignore[no-any-return]

    @property
    def scopes(self) -> AgentScopes:
        """What agents share; ``self.scopes.own`` is the scope that belongs to this agent."""
        return self._home.scopes()

    # A bound method's arguments are checked, also named ones unless ``name`` is given: a callable's
    # own keywords and ours have no common type. Text and ``Desk.method`` are taken as they come.
    @overload
    def after(
        self, seconds: float, method: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> str: ...
    @overload
    def after(
        self,
        seconds: float,
        method: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
    ) -> str: ...
    @overload
    def after(
        self,
        seconds: float,
        method: str | Callable[Concatenate[Self, ...], object],
        *args: object,
        name: str | None = None,
        **kwargs: object,
    ) -> str: ...
    def after(  # type: ignore[misc]  # ``name`` is ours, whatever the method's keywords are
        self,
        seconds: float,
        method: str | Callable[..., object],
        *args: object,
        name: str | None = None,
        **kwargs: object,
    ) -> str:
        """Have ``method`` called once in ``seconds``, also if the process ends in between.

        The timer is set when the turn commits. With ``name`` it replaces the timer of that name.
        Returns the name, for ``cancel()``.
        """
        where = _method_name(self, method)
        return self._home.set_timer(seconds, None, where, args, kwargs, name=name, catch_up="one")

    @overload
    def every(
        self, seconds: float, method: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> str: ...
    @overload
    def every(
        self,
        seconds: float,
        method: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
        catch_up: str = "one",
        spread: float = 0.0,
    ) -> str: ...
    @overload
    def every(
        self,
        seconds: float,
        method: str | Callable[Concatenate[Self, ...], object],
        *args: object,
        name: str | None = None,
        catch_up: str = "one",
        spread: float = 0.0,
        **kwargs: object,
    ) -> str: ...
    def every(  # type: ignore[misc]  # as above
        self,
        seconds: float,
        method: str | Callable[..., object],
        *args: object,
        name: str | None = None,
        catch_up: str = "one",
        spread: float = 0.0,
        **kwargs: object,
    ) -> str:
        """Have ``method`` called every ``seconds``, for ever or until cancelled.

        A timer of that name (by default the method's) with the same interval goes on undisturbed,
        so this may stand in ``on_start``. Ticks missed while nothing ran: ``catch_up="one"`` makes
        up for them with one call, ``"all"`` with one each, ``"skip"`` with none. The first tick
        comes up to ``spread`` seconds early, at most ``seconds``, by an amount that is each agent's
        own: so that those who are started together do not tick together.
        """
        where = _method_name(self, method)
        return self._home.set_timer(
            seconds, seconds, where, args, kwargs, name=name or where, catch_up=catch_up,
            spread=spread,
        )  # fmt: skip

    def cancel(self, name: str) -> bool:
        """Cancel a timer when the turn commits; False if there is none of that name."""
        return self._home.cancel_timer(name)

    def pause(self) -> None:
        """Pause this agent once the current turn is over."""
        self._home.step("pause")

    def stop(self) -> None:
        """Stop this agent once the current turn and the mail before this call are done."""
        self._home.step("stop")

    def delete_self(self) -> None:
        """Delete this agent, as ``ref.delete()`` does, once the current turn is over.

        Nothing runs behind that turn: mail that waits is deleted, too.
        """
        self._home.step("delete")


_OPEN: Final = frozenset(
    {
        "on_start", "on_pause", "on_resume", "on_stop", "on_passivate", "on_failure", "on_receive",
        "on_dead",
        "durability", "when_unsaved", "autosave", "restarts", "mailbox_limit", "turn_limit", "kind",
        "unreadable", "boundary", "record", "aliases",
        "messages_version", "mind", "think", "_tallied",
    }
)  # fmt: skip
OWN_NAMES: Final = frozenset(
    name
    for base in (Agent, Identified, PooledActor, Actor)
    for name in (*base.__dict__, *inspect.get_annotations(base))
    if not name.startswith("__") and name not in _OPEN
)
"""What a subclass may not define: it would silently replace a method or attribute of ours."""


def state_class_of(agent_class: type[Agent[Any]]) -> type[State]:
    """Return the state class an agent class was declared with."""
    for base in agent_class.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            origin = typing.get_origin(generic)
            if isinstance(origin, type) and issubclass(origin, Agent):
                (argument,) = typing.get_args(generic)
                if isinstance(argument, type) and issubclass(argument, State):
                    return argument
                if not isinstance(argument, TypeVar):
                    raise ConfigurationError(_why_no_state(agent_class, argument))
    message = (
        f"{agent_class.__name__} does not say what its state is; "
        f"declare class {agent_class.__name__}(Agent[SomeState])"
    )
    raise ConfigurationError(message)


def _why_no_state(agent_class: type[Agent[Any]], argument: object) -> str:
    name, origin = agent_class.__name__, typing.get_origin(argument)
    if isinstance(origin, type) and issubclass(origin, State):
        return (
            f"the state of {name} is {argument}, which is no class of its own to be stored by;"
            f" declare class {name}State({argument}) and {name}(Agent[{name}State])"
        )
    shown = argument.__qualname__ if isinstance(argument, type) else repr(argument)
    return (
        f"the state of {name} is {shown}, which is not a subclass of perdure.State, so its changes"
        f" could not be stored; derive it from State"
    )


def _method_name(agent: Agent[Any], method: str | Callable[..., object]) -> str:
    """Return the name under which a timer's method is stored."""
    if isinstance(method, str):
        return method
    name = getattr(method, "__name__", "")
    owner = getattr(method, "__self__", agent)
    if owner is not agent or not callable(getattr(type(agent), name, None)):
        message = (
            f"{agent}: a timer cannot call {method!r}; it is stored by the name of a method of"
            f" {type(agent).__name__}, so give one, as in self.after(1, self.method)"
        )
        raise ConfigurationError(message)
    return name


def _check_state_annotation(agent_class: type[Agent[Any]]) -> None:
    """Refuse ``state: Other`` in a class body: it changes what a checker sees, not the state."""
    declared = inspect.get_annotations(agent_class).get("state")
    if declared is None or agent_class.__dict__.get("__parameters__"):
        return  # a base for several states says ``state: S``
    state_class = state_class_of(agent_class)
    if declared not in (state_class, state_class.__name__, state_class.__qualname__):
        name, shown = agent_class.__name__, getattr(declared, "__name__", declared)
        message = (
            f"{name} declares state: {shown}, but its state is {state_class.__name__}, as in its"
            f" base; let the base be Agent[S] with a TypeVar S, and declare {name}(Base[{shown}])"
        )
        raise ConfigurationError(message)
