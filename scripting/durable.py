"""An agent whose script in Python may rest at a question, for days and over restarts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import metadata
from typing import ClassVar

import msgspec

from ..persistence.errors import ConfigurationError, CorruptState
from ..persistence.secrets.pickled import Pickled
from ..persistence.state.map import Map
from .agent import ScriptAgentState, ScriptedAgent, named
from .script import ScriptResult


class SuspendedScript(msgspec.Struct, frozen=True):
    """A call of a handler that rests at a question."""

    id: str
    handler: str
    question: object
    version: int
    """The version of the script, which it goes on with whatever is in force."""
    since: float
    """Seconds since the epoch."""
    engine: str
    """The release of the engine; another one cannot go on with it."""


class DurableScriptState(ScriptAgentState):
    """What a DurableScriptAgent keeps beside its scripts."""

    begun: int = 0
    """How many calls of handlers rested so far."""
    suspended: Map[str, SuspendedScript] = Map.field()
    dumps: Map[str, Pickled[tuple[str, str, str, int, bytes]]] = Map.field()
    """What the engine was, by the id of the call, with the agent's kind and key, that id and the
    version of the script. Signed: one that is not is never loaded."""


class DurableScriptAgent(ScriptedAgent[DurableScriptState]):
    """Be a ScriptAgent whose scripts in Python may ask, and wait for the answer over restarts.

    ``answer = suspend(question)`` in the script commits what it wrote with the turn; the caller
    of ``invoke`` gets a SuspendedScript. ``answer(id, value)`` goes on behind that line, in
    another process, with all that the script had in its variables. Needs
    ``AgentSystem.open(keys=Keys(pickles=...))``, which signs what is stored of the engine.
    """

    script_methods: ClassVar[Collection[str]] = ("invoke", "answer")

    def invoke(self, handler: str, *arguments: object) -> object:
        """Call a function of the script in force; return what it returns, or where it rests."""
        version = self.version()
        result = self._scripts().run_durably(
            self._script(version), entry=named(handler), arguments=arguments
        )
        if result.dump is None:
            return result.value
        self.state.begun += 1
        return self._rests(f"{self.state.begun}", handler, version.number, result)

    def answer(self, call: str, value: object) -> object:
        """Answer the question at which a call rests; return what it returns, or where it rests.

        ConfigurationError if there is no such call, or another release of the engine has made it.
        """
        waits = self.state.suspended.get(call)
        if waits is None:
            raise ConfigurationError(f"{self} has no call {call!r:.40} that rests at a question")
        if waits.engine != _release():
            message = (
                f"{self}: call {call} rests since Monty {waits.engine}, and Monty {_release()}"
                " cannot go on with it; install that one, or `forget` the call"
            )
            raise ConfigurationError(message)
        dump = self._dump(waits)
        self.forget(call)
        result = self._scripts().run_durably(
            self._script(self.version(waits.version)), arguments=[value], dump=dump
        )
        if result.dump is None:
            return result.value
        return self._rests(call, waits.handler, waits.version, result)

    def _dump(self, waits: SuspendedScript) -> bytes:
        """Return what the engine was; CorruptState if that is of another agent, call or version.

        A signature says that this store's keys have made it, and not for whom.
        """
        kinds, what = (self.kind, *self.aliases), "of another form"
        stored: object = self.state.dumps[waits.id].load()
        match stored:
            case (kind, self.key, waits.id, waits.version, bytes(dump)) if kind in kinds:
                return dump
            case (kind, key, call, version, bytes()):
                what = f"that of {kind}/{key} at call {call} of version {version}"
        problem = f"what the engine was at call {waits.id} of version {waits.version} is {what}"
        raise CorruptState(str(self), f"{problem}; `forget` the call")

    def suspended(self) -> Sequence[SuspendedScript]:
        """Return the calls that rest at a question."""
        return list(self.state.suspended.values())

    def forget(self, call: str) -> None:
        """Give up a call that rests; nothing of it runs any more."""
        self.state.suspended.pop(call, None)
        self.state.dumps.pop(call, None)

    def _rests(
        self, call: str, handler: str, version: int, result: ScriptResult
    ) -> SuspendedScript:
        assert result.dump is not None, "it rests"
        waits = SuspendedScript(call, handler, result.value, version, self.now(), _release())
        self.state.suspended[call] = waits
        self.state.dumps[call] = Pickled((self.kind, self.key, call, version, result.dump))
        return waits


def _release() -> str:
    return metadata.version("pydantic-monty")
