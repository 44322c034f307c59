"""How the hooks of one point run, one after the other, and what comes of their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..persistence.errors import HookFailed
from ..persistence.names.scope import Principal
from .acting import apart
from .details import Details
from .hook import Hook, HookNeeds, HookRun
from .results import Cache, Fork, Hold, Replace, Result, Skip

D = TypeVar("D")


@dataclass(slots=True)
class Decision(Generic[D]):
    """What the hooks of one point have made of the work at hand."""

    details: D
    """As the last of them left it."""
    answer: Result | None = None
    """Cancel, Hold, Retry, Redirect or Skip, where one answered that; later ones did not run."""
    by: Hook | None = None
    """Who answered that."""
    forks: tuple[Fork, ...] = ()
    wanted: tuple[tuple[Hook, Cache], ...] = ()
    """Caches that wait for the result."""
    answers: tuple[tuple[Hook, Result], ...] = ()
    """What each of them has answered, in order; of a cache what it gave."""

    def keep(self, result: object, now: float) -> None:
        """Give the result to the caches that wait for it."""
        for hook, cache in self.wanted:
            hook.keep(cache, result, now)


def run_chain(  # noqa: PLR0917 - at every point, and keywords cost
    chain: tuple[Hook, ...],
    details: Any,  # noqa: ANN401 - the point's
    name: str,
    agent: object,
    around: HookNeeds,
    runs: list[HookRun] | None = None,
    who: Principal | None = None,
) -> Decision[Any] | None:
    """Run the hooks of a chain that listen to ``name``; None if all of them let it go on.

    Those of the system act as the system, apart from any turn; those of an agent class as ``who``,
    or if that is None as a part of the turn under way. ``runs`` takes what the history is to know
    of. HookFailed where one fails closed.
    """
    decision: Decision[Any] | None = None
    for hook in chain:
        if hook.on and name not in hook.on:
            continue
        told = details if decision is None else decision.details
        if hook.deferred and runs is not None:
            runs.append(later(hook, told, around))
            continue
        token = apart.set(Principal.SYSTEM if hook.systems else who)
        try:
            result = hook.run(told, agent, around, runs)
        except HookFailed as error:
            if not hook.method:
                error.hook, error.priority = hook.name, hook.options.priority
            raise
        finally:
            apart.reset(token)
        if result is not None:
            decision = decision or Decision(details)
            if not _goes_on(decision, hook, result, around):
                break
    return decision


def later(hook: Hook, told: Any, around: HookNeeds) -> HookRun:  # noqa: ANN401
    """Return the call of a hook that is to be made later."""
    context = around.context(told)
    return HookRun(hook, told, context, None, None, around.now(), 0.0, deferred=True)


def _goes_on(decision: Decision[Any], hook: Hook, result: Result, around: HookNeeds) -> bool:
    """Take an answer in; False if it decides, and no other hook is asked."""
    if isinstance(result, Replace):
        details = decision.details
        decision.details = (
            details.replaced(result.data) if isinstance(details, Details) else result.data
        )
    elif isinstance(result, Fork):
        decision.forks += (result,)
    elif isinstance(result, Cache):
        found = hook.cached(result, around.monotonic())
        if found is None:
            decision.wanted += ((hook, result),)
            return True
        result = Skip(found[0])
    decision.answers += ((hook, result),)
    agreed = isinstance(result, Hold) and decision.details.agreed
    if agreed or isinstance(result, Replace | Fork):
        return True
    decision.answer, decision.by = result, hook
    return False
