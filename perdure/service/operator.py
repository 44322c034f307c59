"""Does what is asked of the owner of a store, as the system: checked, audited, durable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from typing import Final

import msgspec
from pykka import Timeout

from ..actors.system.dead_letters import DeadLetters
from ..actors.system.runtime import Runtime
from ..actors.talk.control import Verb
from ..hooks.history.queue import calls_in
from ..persistence.errors import ConfigurationError, StoreUnavailable
from ..persistence.names.scope import Principal
from ..persistence.records.records import DeadLetter
from ..replay.replays import Replays, note_replays
from ..replay.schedule import ReplaySchedule
from .protocol import (
    Decide,
    DeferredWish,
    Flush,
    ForkWish,
    HooksWish,
    Isolate,
    Letters,
    LifecycleWish,
    NoteReplays,
    OperatorWish,
    PutSchedule,
    Restore,
    ScheduleWish,
)

PATIENCE: Final = 60.0
"""Seconds that a step waits for the turn under way."""
_PAGE: Final = 1000
_VERBS: Final = frozenset(
    {Verb.PAUSE, Verb.RESUME, Verb.STOP, Verb.RESTART, Verb.DELETE, Verb.ERASE}
)

Done = dict[str, object]


class Operator:
    """Operate one system; every method returns what was done, or raises why not."""

    def __init__(self, runtime: Runtime, dead_letters: DeadLetters, replays: Replays) -> None:
        """Operate what runs in ``runtime``."""
        self._runtime = runtime
        self._dead_letters = dead_letters
        self._replays = replays

    def do(self, wish: OperatorWish) -> Iterator[Done]:
        """Do what is wished; yields each thing that was done."""
        match wish:
            case LifecycleWish():
                yield self._step(wish)
            case ForkWish():
                with _patience(wish.kind, wish.target):
                    self._runtime.fork(wish.kind, wish.key, wish.target, wish.version, PATIENCE)
                yield {
                    "action": "fork", "kind": wish.kind, "key": wish.key, "done": True,
                    "as": wish.target, "version": wish.version,
                }  # fmt: skip
            case Isolate() | Restore():
                yield self._isolation(wish)
            case Letters():
                yield from self._letters(wish)
            case HooksWish():
                hooks = self._runtime.hooks.registry.list()
                yield from (asdict(hook.statistics()) for hook in hooks)
            case DeferredWish():
                deferred = self._runtime.deferred
                calls = calls_in(self._runtime.store, deferred.reason, wish.after)
                yield from map(msgspec.to_builtins, calls)
            case PutSchedule() | ScheduleWish() | NoteReplays():
                yield self._replay(wish)
            case Decide():
                yield self._decide(wish)
            case Flush():
                committer = self._runtime.supervisor.committer
                yield {"action": "flush", "done": committer.flush(wish.timeout)}

    def _isolation(self, wish: Isolate | Restore) -> Done:
        who, access, done = Principal.agent(wish.kind, wish.key), self._runtime.access, True
        if isinstance(wish, Isolate):
            access.isolate(who, wish.reason)
        else:
            done = access.restore(who)
        action = "isolate" if isinstance(wish, Isolate) else "restore"
        return {"action": action, "kind": wish.kind, "key": wish.key, "done": done}

    def _decide(self, wish: Decide) -> Done:
        agent = self._runtime.reference(wish.kind, wish.key)
        if not hasattr(agent.actor_class, "decide"):
            raise ConfigurationError(f"agents of kind {wish.kind} do not think, and have no runs")
        result = msgspec.json.decode(wish.result)
        with _patience(wish.kind, wish.key):
            agent.proxy().decide(wish.run, wish.call, wish.what, result).get(timeout=PATIENCE)
        names = ("kind", "key", "run", "call", "what")
        return {name: getattr(wish, name) for name in names}

    def _step(self, wish: LifecycleWish) -> Done:
        verb = Verb(wish.verb) if wish.verb in set(Verb) else None
        if verb not in _VERBS:
            raise ConfigurationError(f"{wish.verb!r} is nothing that can be done to an agent")
        with _patience(wish.kind, wish.key):
            done = self._runtime.step(wish.kind, wish.key, verb, timeout=PATIENCE)
        return {"action": str(verb), "kind": wish.kind, "key": wish.key, "done": done}

    def _replay(self, wish: PutSchedule | ScheduleWish | NoteReplays) -> Done:
        match wish:
            case PutSchedule():
                return self._schedule(wish.schedule)
            case ScheduleWish(run=True):
                result: Done = msgspec.to_builtins(self._replays.run(wish.name))
                return result
            case ScheduleWish():
                self._replays.schedules.remove(wish.name)
                return {"action": "removed", "name": wish.name}
            case NoteReplays():
                note_replays(self._runtime.desk, wish.agents)
                return {"action": "noted", "agents": len(wish.agents)}

    def _schedule(self, asked: ReplaySchedule) -> Done:
        given = {name: getattr(asked, name) for name in asked.__struct_fields__}
        which = given.pop("which")
        del given["made"], given["due"]
        made: Done = msgspec.to_builtins(self._replays.schedule(**given, **which))
        return made

    def _letters(self, wish: Letters) -> Iterator[Done]:
        letters = self._all(wish.kind) if wish.every else map(self._dead_letters.get, wish.ids)
        if not wish.every:
            letters = iter(list(letters))  # nothing changes if one of them is not there
        for letter in letters:
            if wish.back:
                self._dead_letters.requeue(letter.id)
            else:
                self._dead_letters.discard(letter.id)
            action = "requeued" if wish.back else "discarded"
            yield {"action": action, "letter": letter._asdict()}
        if not self._runtime.supervisor.committer.flush(PATIENCE):
            raise StoreUnavailable("what was done is not durable yet; it will be saved later")

    def _all(self, kind: str | None) -> Iterator[DeadLetter]:
        """Iterate over the letters there are now; those that die meanwhile stay."""
        last = self._runtime.next_letter()
        pages = self._pages()
        return (x for x in chain(*pages) if x.id < last and kind in (None, x.kind))

    def _pages(self) -> Iterator[list[DeadLetter]]:
        after = 0
        while page := list(self._dead_letters.list(after=after, limit=_PAGE)):
            yield page
            after = page[-1].id


@contextmanager
def _patience(kind: str, key: str) -> Iterator[None]:
    """Say of an agent that has not come to what is asked of it that it will."""
    try:
        yield
    except Timeout:
        message = (
            f"{kind}/{key} has not come to it within {PATIENCE:g} seconds: its turn under way, or"
            " mail before it, goes on; it is done when that has ended, and `perdure isolate` cuts"
            " the agent off at once"
        )
        raise TimeoutError(message) from None
