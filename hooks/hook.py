"""A hook: a function that may intervene at a point, how it is declared, and how it does."""

from __future__ import annotations

import asyncio
import enum
import hashlib
import inspect
import logging
import math
import threading
import types
import typing
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar, cast

from ..persistence.errors import ConfigurationError, HookFailed, told
from ..persistence.options import Options
from .breaker import Breaker, BreakerState, Circuit
from .details import Details
from .points import UNDONE, Point, point_of
from .results import Cache, Continue, Replace, Result

logger = logging.getLogger("perdure.hooks")

F = TypeVar("F", bound=Callable[..., Any])

_BREAKER: Final = Breaker(failures=5, reset_after=30.0)
_SUMMED: Final = 1000
_FAILURES: Final = (Exception, SystemExit, asyncio.CancelledError, BaseExceptionGroup)
"""What a hook raises by itself; anything else strikes the thread in it, as Ctrl-C does."""
DECLARED: Final = "__perdure_hook__"
"""The attribute by which a method of an agent class is found to be a hook."""


class OnFailure(enum.StrEnum):
    """What becomes of the work when a hook that guards it fails."""

    CLOSED = "closed"
    """It is not done: the caller gets HookFailed."""
    OPEN = "open"
    """It is done as if the hook did not exist."""


@dataclass(frozen=True, slots=True)
class HookOptions:
    """How a hook runs.

    Args:
        on: names of methods (or steps, or shared keys) at which it runs; empty: at all.
        priority: the lower, the earlier; those of the same priority as they were registered.
        budget: seconds it may take. An async hook is cancelled then; a plain one cannot be, and
            counts as failed for its breaker when it returns. None: no limit.
        on_failure: of a hook that guards: "closed" or "open". What guards nothing harms nothing.
        breaker: when to leave a failing hook alone, and for how long.
        deferred: store the call with the turn's commit, and make it later, outside of turns; of a
            hook that guards nothing and answers nothing.
        record: keep every run in the history.
        version: of its code; by default a digest of that.
    """

    on: str | tuple[str, ...] = ()
    priority: int = 100
    budget: float | None = 1.0
    on_failure: OnFailure = OnFailure.CLOSED
    breaker: Breaker = _BREAKER
    deferred: bool = False
    record: bool = True
    version: str = ""

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        options = Options(self)
        options.seconds("budget", none="no limit")
        if isinstance(self.on, str):
            object.__setattr__(self, "on", (self.on,) if self.on else ())
        names: object = self.on
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise options.wrong("on", 'a name, or a tuple of names, as in ("open", "close")')
        if self.priority.__class__ is not int:
            raise options.wrong("priority", "a whole number")
        options.flag("deferred")
        options.flag("record")
        options.kind("version", str, '"2"')
        try:
            object.__setattr__(self, "on_failure", OnFailure(self.on_failure))
        except ValueError:
            raise options.wrong("on_failure", '"closed" or "open"') from None
        if not isinstance(self.breaker, Breaker):
            raise options.wrong("breaker", "a Breaker")


def options_of(given: Mapping[str, Any]) -> HookOptions:
    """Return options by their names; ConfigurationError for one that there is not."""
    known = [each.name for each in fields(HookOptions)]
    unknown = [name for name in given if name not in known]
    if unknown:
        message = f"a hook has no option {', '.join(unknown)}; it has {', '.join(known)}"
        raise ConfigurationError(message)
    return HookOptions(**given)


def check_called(name: str, function: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called as ``function(details)``; ConfigurationError."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # of some that are written in C nobody can tell
    try:
        signature.bind(None)
    except TypeError as error:
        message = f"hook {name}: it is called with the details alone, which does not fit: {error}"
        raise ConfigurationError(message) from None


@dataclass(frozen=True, slots=True)
class Declared:
    """A hook that is not registered yet."""

    point: Point[Any]
    function: Callable[..., Any]
    options: HookOptions
    name: str

    @classmethod
    def at(
        cls, point: Point[Any] | str, function: Callable[..., Any], name: str, **options: object
    ) -> Self:
        """Return one at a point or what is named so; ``options`` are those of HookOptions."""
        return cls(point_of(point), function, options_of(options), name)

    def __post_init__(self) -> None:
        """Refuse what is no function, answers that the point does not take, deferring guards."""
        function: object = self.function
        name: object = self.name
        if not callable(function) or not isinstance(name, str):
            message = (
                f"hook {self.name!r} at {self.point}: give a function that is called with details,"
                f" and a name that is a text, not {self.function!r}"
            )
            raise ConfigurationError(message)
        if self.options.deferred and self.point.guards:
            message = f"hook {self.name}: {self.point} guards, so it cannot be deferred"
            raise ConfigurationError(message)
        given = answers(self.name, self.function)
        if self.options.deferred and not given <= {Continue}:
            message = f"hook {self.name}: it is deferred, and answers too late; declare -> None"
            raise ConfigurationError(message)
        wrong = given - self.point.results
        if wrong:
            allowed = ", ".join(sorted(kind.__name__ for kind in self.point.results))
            names = ", ".join(sorted(kind.__name__ for kind in wrong))
            message = f"hook {self.name}: {self.point} takes no {names}; it takes {allowed}"
            raise ConfigurationError(message)


def hook(
    point: Point[Any] | str,
    **options: Any,  # noqa: ANN401 - HookOptions'
) -> Callable[[F], F]:
    """Declare a method of an agent class to be a hook of its agents, called as ``(details)``.

    It runs in their turns, acts in their name, and says by its annotation what it may answer.
    Its name is ``Kind.method``; ``options`` are those of HookOptions.
    """
    found = point_of(point)

    def declare(function: F) -> F:
        declared = Declared(found, function, options_of(options), function.__qualname__)
        setattr(function, DECLARED, declared)
        return function

    return declare


def answers(name: str, function: Callable[..., Any]) -> frozenset[type]:
    """Return the classes a hook says it may answer, by its annotation; ConfigurationError."""
    try:
        said = typing.get_type_hints(called_of(function)).get("return", inspect.Signature.empty)
    except Exception as error:  # noqa: BLE001 - names in annotations may be anything
        message = f"hook {name}: its annotations cannot be read: {error}"
        raise ConfigurationError(message) from None
    if said is inspect.Signature.empty:
        message = f"hook {name}: say what it may answer, as in -> Cancel | None"
        raise ConfigurationError(message)
    union = typing.get_origin(said) in (typing.Union, types.UnionType)
    parts: Iterable[Any] = typing.get_args(said) if union else (said,)
    found = {Continue if part is type(None) else part for part in parts}
    strange = [part for part in found if part not in typing.get_args(Result)]
    if strange:
        message = f"hook {name}: {strange[0]} is no answer of a hook; see perdure.hooks.results"
        raise ConfigurationError(message)
    return frozenset(found)


def called_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function whose code runs when a callable is called."""
    inner = _inner(function)
    return inner if inspect.isroutine(inner) else type(inner).__call__


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a partial function calls, whose annotations and code are meant."""
    while isinstance(function, partial):
        function = function.func
    return function


def code_version(function: Callable[..., Any]) -> str:
    """Return a digest of a function's code: another text, another version."""
    called = inspect.unwrap(_inner(function))
    code = getattr(called, "__code__", None) or getattr(type(called).__call__, "__code__", None)
    digest = hashlib.sha256()
    codes = [code] if code is not None else []
    while codes:
        one = codes.pop()
        digest.update(one.co_code)
        digest.update(repr(one.co_names).encode())
        for constant in one.co_consts:
            if isinstance(constant, types.CodeType):
                codes.append(constant)
            else:
                # The order of a set is another in each process.
                same = sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
                digest.update(repr(same).encode())
    return digest.hexdigest()[:12]


class HookNeeds(Protocol):
    """What a hook needs where it runs."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return the seconds by which breakers wait."""
        ...

    def context(self, details: object, /) -> str:
        """Return details as JSON, as they are now."""
        ...

    def wait(self, coroutine: Coroutine[Any, Any, Any], budget: float | None) -> object:
        """Return what a coroutine returns; TimeoutError if it takes longer than ``budget``."""
        ...


class HookRun(NamedTuple):
    """One execution of a hook."""

    hook: Hook
    details: Any
    context: str
    """What it was told, as it was then: JSON."""
    result: Result | None
    error: BaseException | None
    time: float
    """Seconds since the epoch."""
    seconds: float
    deferred: bool = False
    """Whether it is still to be made."""

    @property
    def vain(self) -> bool:
        """Whether it is a call that is not made when its turn is undone."""
        return self.deferred and self.hook.point in UNDONE

    @property
    def outcome(self) -> str:
        """Return ``continue``, ``replace``, ..., or ``failed``."""
        if self.error is not None:
            return "failed"
        return "continue" if self.result is None else type(self.result).__name__.lower()


@dataclass(frozen=True, slots=True)
class HookStatistics:
    """What a hook did since it was registered."""

    name: str
    point: str
    owner: str
    """Who registered it: "system", or an agent class."""
    agents: str
    """At whose work it runs: "all", a kind, or an agent."""
    priority: int
    enabled: bool
    breaker: str
    version: str
    runs: int
    failures: int
    slow: int
    """Runs over the budget."""
    passed: int
    """Times it was left alone: its breaker was open."""
    outcomes: dict[str, int]
    seconds: float
    """All runs together."""
    longest: float


class Hook:
    """A hook that is registered. Thread-safe."""

    __slots__ = (
        "_lock", "agents", "allowed", "breaks", "circuit", "declared", "deferred", "enabled",
        "failures", "function", "is_async", "kept", "key", "kind", "limit", "longest", "method",
        "number", "on", "options", "outcomes", "owner", "passed", "point", "record", "runs",
        "seconds", "slow", "systems", "times", "tried", "version",
    )  # fmt: skip

    def __init__(
        self, declared: Declared, number: int, *, owner: str = "", kind: str = "",
        key: str = "", method: bool = False,
    ) -> None:  # fmt: skip
        """Run for agents of ``kind``, for the one of ``key``, or for all.

        ``owner`` is the kind of the agent class whose hook it is; empty for one of the system.
        """
        options = declared.options
        self.declared = declared
        self.number = number
        self.owner = owner
        self.kind, self.key = kind, key
        self.agents = f"{kind}/{key}" if key else kind or "all"
        self.point = declared.point
        self.options = options
        self.on = frozenset(options.on)
        self.record = options.record
        self.deferred = options.deferred
        self.function = declared.function
        self.method = method
        """Whether it is a method of the agent class: called with the agent."""
        self.systems = not owner
        """Whether it acts in the system's name; else in that of the agent at whose work it runs."""
        self.allowed = answers(declared.name, declared.function) | {Continue, type(None)}
        self.is_async = inspect.iscoroutinefunction(called_of(declared.function))
        self.version = options.version or code_version(declared.function)
        self.enabled = True
        self.circuit = Circuit(options.breaker)
        self.breaks = False
        """Whether it has failed since it succeeded, so that its breaker counts or is not closed:
        looked at before every run."""
        self.tried = 0.0
        self.runs = self.failures = self.slow = self.passed = 0
        self.outcomes: Counter[str] = Counter()
        self.seconds = self.longest = 0.0
        self.times: deque[float] = deque()
        """How long runs took that went on, and are not summed yet."""
        self.limit = math.inf if options.budget is None else options.budget
        self.kept: OrderedDict[str, tuple[float, object]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Its name among the system's hooks."""
        return self.declared.name

    def runs_for(self, kind: str, key: str) -> bool:
        """Tell whether it runs at the work of an agent; with an empty kind at work of none."""
        return self.enabled and self.kind in ("", kind) and self.key in ("", key)

    def run(
        self,
        details: Any,  # noqa: ANN401 - the point's
        agent: object,
        around: HookNeeds,
        runs: list[HookRun] | None,
        *,
        strict: bool = False,
    ) -> Result | None:
        """Run once; return its answer, None to continue. HookFailed if it fails closed.

        ``strict``: HookFailed whatever the point; without a cause where its breaker is open.
        """
        if self.breaks and not self._may_try(around.monotonic()):
            self._passed(strict=strict)
            return None
        context = around.context(details) if runs is not None and self.record else None
        started = perf_counter()
        try:
            given = self.function(agent, details) if self.method else self.function(details)
            if given is not None:
                if self.is_async:
                    given = around.wait(given, self.options.budget)
                if given.__class__ is Replace or given.__class__ not in self.allowed:
                    self._check(given, details)
        except _FAILURES as error:
            took = perf_counter() - started
            if runs is not None and context is not None:
                runs.append(HookRun(self, details, context, None, error, around.now(), took))
            self._failed(error, took, around, strict=strict)
            return None
        took = perf_counter() - started
        goes_on = given is None or given.__class__ is Continue
        result = None if goes_on else cast("Result", given)
        if result is None and took <= self.limit and not self.breaks:
            times = self.times
            times.append(took)  # in one step, without the lock; summed when somebody looks
            if len(times) >= _SUMMED:
                self._sum()
        else:
            self._ended(result, took, around)
        if context is not None and runs is not None:
            runs.append(HookRun(self, details, context, result, None, around.now(), took))
        return result

    def _check(self, result: object, details: object) -> None:
        """Raise TypeError for what it may not answer, or in a form that the point does not take."""
        if result.__class__ not in self.allowed:
            message = f"it answered {result!r}, which it does not declare"
            raise TypeError(message)
        if isinstance(result, Replace) and isinstance(details, Details):
            details.replaced(result.data)

    def _sum(self) -> None:
        with self._lock:
            take = self.times.popleft
            taken = [take() for _ in range(len(self.times))]
            if taken:
                self.runs += len(taken)
                self.seconds += sum(taken)
                self.longest = max(self.longest, *taken)

    def _ended(self, result: Result | None, took: float, around: HookNeeds) -> None:
        with self._lock:
            self.runs += 1
            self.seconds += took
            self.longest = max(self.longest, took)
            if result is not None:
                self.outcomes[type(result).__name__.lower()] += 1
        budget = self.options.budget
        if budget is not None and took > budget:
            logger.warning("hook %s took %.3f s, and may take %g s", self.name, took, budget)
            with self._lock:
                self.slow += 1
            self._count_failure(around.monotonic())
        elif self.breaks:
            with self._lock:
                self.circuit.succeeded()
                self.breaks = False

    def _failed(
        self, error: BaseException, took: float, around: HookNeeds, *, strict: bool
    ) -> None:
        with self._lock:
            self.runs += 1
            self.failures += 1
            self.seconds += took
            self.longest = max(self.longest, took)
        self._count_failure(around.monotonic())
        what = told(error)  # its repr could raise, or hold those of all it came from
        logger.warning("hook %s at %s failed: %s", self.name, self.point, what, exc_info=error)
        if strict or (self.point.guards and self.options.on_failure is OnFailure.CLOSED):
            message = f"hook {self.name} at {self.point} failed, so it was not done: {what}"
            raise HookFailed(message) from error

    def _count_failure(self, now: float) -> None:
        with self._lock:
            self.breaks = True
            if self.circuit.failed():
                self.tried = now
                logger.warning("hook %s is left alone: it failed too often", self.name)

    def _may_try(self, now: float) -> bool:
        """Tell whether an open breaker lets this run through, as the one that tries."""
        with self._lock:
            if self.circuit.state is BreakerState.CLOSED:
                return True
            due = now - self.tried >= self.options.breaker.reset_after
            return due and self.circuit.half_open()

    def _passed(self, *, strict: bool) -> None:
        with self._lock:
            self.passed += 1
        if strict or (self.point.guards and self.options.on_failure is OnFailure.CLOSED):
            message = (
                f"hook {self.name} at {self.point} is left alone for a while: it failed too often"
            )
            raise HookFailed(message)

    def cached(self, cache: Cache, now: float) -> tuple[object] | None:
        """Return the result that is kept under a cache's key, if it is young enough."""
        with self._lock:
            found = self.kept.get(cache.key)
            if found is None or not 0 <= now - found[0] <= cache.seconds:
                return None
            self.kept.move_to_end(cache.key)
            return (found[1],)

    def keep(self, cache: Cache, result: object, now: float) -> None:
        """Keep a result under a cache's key."""
        with self._lock:
            self.kept[cache.key] = (now, result)
            self.kept.move_to_end(cache.key)
            while len(self.kept) > cache.most:
                self.kept.popitem(last=False)

    def statistics(self) -> HookStatistics:
        """Return what it did so far."""
        self._sum()
        with self._lock:
            outcomes = {"continue": self.runs - self.failures - self.outcomes.total()}
            return HookStatistics(
                self.name, self.point.name, self.owner or "system", self.agents,
                self.options.priority, self.enabled, self.circuit.state.value, self.version,
                self.runs, self.failures, self.slow, self.passed,
                {**outcomes, **self.outcomes}, self.seconds, self.longest,
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Hook {self.name} at {self.point}>"
