"""References to agents: what one holds to talk to an agent, live or not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar, overload

from pykka import ActorRef
from pykka.messages import ProxyCall, ProxyGetAttr

from ...hooks.timeline.why import Provenance
from ...persistence.errors import ConfigurationError
from ...persistence.records.page import LIMIT, Page
from ...persistence.records.records import JournalEntry
from ...persistence.state.state import State
from ..pool.cell import Cell
from ..pool.future import Future
from .control import Verb
from .description import AgentDescription
from .identity import Identified

A = TypeVar("A", bound=Identified)
P = ParamSpec("P")
R = TypeVar("R")

_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long
# One object for all calls without keywords: what waits in a mailbox burdens the garbage collector.
_NO_KEYWORDS: Final[dict[str, Any]] = {}
_NOTHING: Final = object()


class Post(Protocol):
    """Carry messages to agents."""

    def tell(self, ref: AgentRef[Any], message: object) -> None:
        """Send a message; inside a turn it is sent when the turn commits."""
        ...

    def ask(self, ref: AgentRef[Any], message: object) -> Future[Any]:
        """Send a message at once and return the reply's future."""
        ...

    def control(self, ref: AgentRef[Any], verb: Verb) -> Future[Any]:
        """Have a lifecycle step taken and return its future."""
        ...

    def stream(self, ref: AgentRef[Any], run: str, after: int) -> AsyncIterator[Any]:
        """Iterate over the events of a run."""
        ...

    def describe(self, ref: AgentRef[Any]) -> AgentDescription:
        """Return how an agent stands."""
        ...

    def why(self, ref: AgentRef[Any], field: str, path: tuple[str | int, ...]) -> Provenance:
        """Return why a value of an agent's state is what it is."""
        ...

    def history(
        self, ref: AgentRef[Any], *, after: int | None, limit: int, newest: bool
    ) -> Page[JournalEntry]:
        """Return a page of an agent's commits."""
        ...

    def state_at(self, ref: AgentRef[Any], version: int) -> State:
        """Return what an agent's state was."""
        ...

    def alive(self) -> bool:
        """Tell whether the system takes messages."""
        ...


class AgentRef(ActorRef[A], Generic[A]):
    """Refer to one agent; may be kept, passed around, compared and used as a key.

    Nothing is loaded before the first message. Messages from one sender arrive in order.
    """

    def __init__(self, post: Post, agent_class: type[A], key: str) -> None:
        """Refer to the agent ``key`` of ``agent_class``."""
        self._post = post
        self.actor_class = agent_class
        self.kind = agent_class.kind
        self.key = key
        self.cell: Cell | None = None
        """Where the last message went; a shortcut for the post."""

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """A name for logs; the identity itself is ``(kind, key)``."""
        return f"urn:perdure:{self.kind}:{self.key}"

    def __repr__(self) -> str:
        return f"<AgentRef {self.kind}/{self.key}>"

    def __str__(self) -> str:
        return f"{self.kind}/{self.key}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AgentRef):
            return NotImplemented
        return (self._post, self.kind, self.key) == (other._post, other.kind, other.key)

    def __hash__(self) -> int:
        return hash((self.kind, self.key))

    def is_alive(self) -> bool:
        """Tell whether messages can be sent: an agent is always there, its system may not be."""
        return self._post.alive()

    def tell(self, message: object) -> None:
        """Send a message to ``on_receive`` without waiting for a reply.

        In a handler the message is sent when the turn commits, and not at all if it fails; then
        it is handled exactly once in effect. From outside it is durable soon after the call;
        ``system.flush()`` waits for that. What is told from outside to a ``SNAPSHOT`` agent is as
        durable as the agent: in memory until it is paused or the system closes. TypeError if the
        agent has no ``on_receive``. Blocks while the mailbox is full, up to the system's
        ``mailbox_wait``; MailboxFull after that, and at once in a handler.
        """
        self._post.tell(self, message)

    def ask(self, message: object, *, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401 - as pykka
        """Send a message to ``on_receive`` and return its reply, or with ``block=False`` a future.

        An ask is sent at once, also in a handler: it is not part of the asking turn and not
        undone with it. The reply arrives when the turn that made it is durable.
        """
        future = self._post.ask(self, message)
        return future.get(timeout=timeout) if block else future

    @overload
    def call(
        self,
        method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[R]: ...
    @overload
    def call(
        self, method: Callable[Concatenate[A, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    def call(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Ask by method, typed: ``ref.call(Desk.assign, "T-1", "mira")`` gives ``Future[int]``.

        Every keyword goes to the method, whatever its name is. ConfigurationError for what is no
        method of the agent's class.
        """
        message = ProxyCall((self._name(method),), args, kwargs)
        return self._post.ask(self, message)

    def cast(
        self, method: Callable[Concatenate[A, P], Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Tell by method, typed: ``ref.cast(Desk.assign, "T-1", "mira")``.

        As ``tell``, and with keywords as ``call`` takes them.
        """
        self._post.tell(self, ProxyCall((self._name(method),), args, kwargs))

    def _name(self, method: Callable[..., Any]) -> str:
        name: str = getattr(method, "__name__", "")
        # What nearly every call gives is found at once.
        if getattr(self.actor_class, name, _NOTHING) is method:
            return name
        return _name_in(self.actor_class, method, self)

    def proxy(self) -> AgentProxy[A]:  # type: ignore[override]
        """Return an object whose methods send messages."""
        return AgentProxy(self)

    def stream(self, run: str, *, after: int = 0) -> AsyncIterator[Any]:
        """Iterate over the events of a run of an agent that thinks, behind number ``after``.

        ``async for event in helper.stream("r1")`` gives each ``RunEvent`` to the end of the run.
        """
        return self._post.stream(self, run, after)

    def describe(self) -> AgentDescription:
        """Return how the agent stands, without waking it; StoreUnavailable if that is unknown.

        A handler that may not direct the agent learns neither its error nor its reason.
        """
        return self._post.describe(self)

    def why(self, field: str, *path: str | int) -> Provenance:
        """Return why a field of its state is what it is: the turn that set it, and what led there.

        ``path`` leads into it: an entry of a map, a position in a log, members of the value. Reads
        what is durable. Denied to an agent that was not granted ``Right.READ`` on its scope.
        """
        return self._post.why(self, field, path)

    def history(
        self, *, after: int | None = None, limit: int = LIMIT, newest: bool = False
    ) -> Page[JournalEntry]:
        """Return a page of its durable commits, oldest first, as far back as the journal goes.

        ``after`` is the sequence of the one before; ``version`` of an entry is what ``state_at``
        and ``system.fork`` take. Secrets stand in it as ``***``. Denied to other agents.
        """
        return self._post.history(self, after=after, limit=limit, newest=newest)

    def state_at(self, version: int) -> State:
        """Return its state as it was behind its commit of that version; 0 is before the first.

        A copy, built from the journal: of the agent's state class, it belongs to nobody, and what
        is changed in it goes nowhere. StateUnknown if the journal does not reach that far or does
        not decode, ConfigurationError for a version it never had. Denied to other agents.
        """
        return self._post.state_at(self, version)

    def pause(self, *, timeout: float | None = None) -> None:
        """Let the agent finish its turn and then keep its mail, also over a restart.

        Returns when that is durable. InvalidTransition if it is paused or stopped already.
        """
        self._post.control(self, Verb.PAUSE).get(timeout=timeout)

    def resume(self, *, timeout: float | None = None) -> None:
        """Let a paused agent take its mail again; returns when that is durable."""
        self._post.control(self, Verb.RESUME).get(timeout=timeout)

    def restart(self, *, timeout: float | None = None) -> None:
        """Have the agent begin again from its last committed state.

        Also puts a stopped, paused or quarantined agent back to work.
        """
        self._post.control(self, Verb.RESTART).get(timeout=timeout)

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401 - as pykka
        """Have the agent handle the mail before this call, run on_stop, save and leave memory.

        Returns True when that is durable, False if it had stopped already; with ``block=False``
        a future of that. A later message starts it again.
        """
        future = self._post.control(self, Verb.STOP)
        return future.get(timeout=timeout) if block else future

    def delete(
        self, *, erase: bool = False, block: bool = True, timeout: float | None = None
    ) -> Any:  # noqa: ANN401 - as stop
        """Have the agent end for good after its turn: state, mail, timers, dead letters, own keys.

        Returns True when that is durable, False if there was nothing of it; with ``block=False`` a
        future of that. It is one commit: after a crash the agent is there as it was, or gone. No
        method of the agent runs. Asks that waited get AgentDeleted; what is sent afterwards makes
        a new agent of that name, with versions from 1, which no letter and no timer of the old one
        reaches. The journal keeps what it has until its retention takes it; with ``erase`` that is
        taken out as well, and the bytes in the file are overwritten. Artifacts and sessions stay:
        they end by their own rules. Denied to handlers; an agent may end itself, with
        ``self.delete_self()``.
        """
        future = self._post.control(self, Verb.ERASE if erase else Verb.DELETE)
        return future.get(timeout=timeout) if block else future


class AgentProxy(Generic[A]):
    """Send messages by calling methods.

    ``proxy.assign(...)`` asks, ``proxy.assign.defer(...)`` tells.
    An attribute of the agent that is no method gives a future of a copy of its value.
    """

    _ref: AgentRef[A]

    def __init__(self, ref: AgentRef[A]) -> None:
        """Speak for ``ref``."""
        object.__setattr__(self, "_ref", ref)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method or a future
        """Return a callable for a method, a future for another attribute."""
        ref = self._ref
        if name.startswith("_"):
            message = f"{ref}: {name!r} is private"
            raise AttributeError(message)
        member = getattr(ref.actor_class, name, None)
        if callable(member):
            method = MethodProxy(ref, name)
            object.__setattr__(self, name, method)  # the next time it is found at once
            return method
        if member is None and not _is_annotated(ref.actor_class, name):
            message = f"{ref.actor_class.__name__} has no attribute {name!r}"
            raise AttributeError(message)
        return ref._post.ask(ref, ProxyGetAttr((name,)))  # noqa: SLF001

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse it: only an agent's own handlers change what it is and does."""
        kind = self._ref.actor_class.__name__
        message = (
            f"{self._ref}: {name!r} cannot be set from outside; call a method of {kind} for it"
        )
        raise AttributeError(message)

    def __repr__(self) -> str:
        return f"<AgentProxy {self._ref}>"


class MethodProxy:
    """One method of an agent, to be asked or told."""

    __slots__ = ("_path", "_ref")

    def __init__(self, ref: AgentRef[Any], name: str) -> None:
        """Speak for a method of ``ref``."""
        self._ref = ref
        self._path = _path(name)

    def __repr__(self) -> str:
        name = ".".join(self._path)
        return f"<MethodProxy {self._ref}.{name}: call it to ask; .defer(...) to tell>"

    def __call__(self, /, *args: object, **kwargs: object) -> Future[Any]:
        """Ask: send now, return the future of the method's result."""
        ref = self._ref
        message = _new(ProxyCall, (self._path, args, kwargs or _NO_KEYWORDS))
        return ref._post.ask(ref, message)  # noqa: SLF001

    def defer(self, /, *args: object, **kwargs: object) -> None:
        """Tell: in a handler, sent when the turn commits."""
        ref = self._ref
        message = _new(ProxyCall, (self._path, args, kwargs or _NO_KEYWORDS))
        ref._post.tell(ref, message)  # noqa: SLF001


def _name_in(agent_class: type, method: object, ref: AgentRef[Any]) -> str:
    """Return the name under which an agent class has ``method``; ConfigurationError if it has not.

    Methods of its bases count, also those it overrides: the agent's own is called.
    """
    function = getattr(method, "__func__", method)
    name = getattr(method, "__name__", "")
    for base in agent_class.__mro__:
        own = vars(base).get(name)
        if own is not None and getattr(own, "__func__", own) is function:
            return name
    if callable(method):  # a decorator may have changed what the function calls itself
        for name in dir(agent_class):
            if getattr(agent_class, name, _NOTHING) is method:
                return name
    raise ConfigurationError(_why_no_method(agent_class, method, ref))


def _why_no_method(agent_class: type, method: object, ref: AgentRef[Any]) -> str:
    kind = agent_class.__name__
    if not callable(method) or not hasattr(method, "__name__"):
        return (
            f"{ref}: {method!r} is not a method; give one of {kind}'s, as in"
            f" call({kind}.method, ...), or use proxy() to call by name"
        )
    shown = getattr(method, "__qualname__", method.__name__)
    return (
        f"{ref}: {shown} is not a method of {agent_class.__qualname__}; give one of {kind}'s, as in"
        f" call({kind}.method, ...)"
    )


@functools.lru_cache(maxsize=4096)
def _path(name: str) -> tuple[str]:
    return (name,)


def _is_annotated(agent_class: type, name: str) -> bool:
    return any(name in inspect.get_annotations(base) for base in agent_class.__mro__)
