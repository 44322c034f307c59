"""Agents whose handlers are a script that is stored with them: versioned, compared, rolled back."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import ClassVar, Generic, TypeVar

import msgspec

from ..actors.agent.agent import Agent
from ..persistence.errors import ConfigurationError
from ..persistence.state.log import Log
from ..persistence.state.state import State
from .language import Language
from .script import Script
from .scripts import Scripts


class ScriptVersion(msgspec.Struct, frozen=True):
    """A script as an agent had it installed."""

    number: int
    """From 1 on."""
    language: str
    source: str
    note: str
    """Why it was installed."""
    made: float
    """Seconds since the epoch."""


class ScriptAgentState(State):
    """What a ScriptAgent keeps of its scripts; what they keep is in the agent's own scope."""

    current: int = 0
    """The version in force; 0: none."""
    versions: Log[ScriptVersion] = Log.field()


S = TypeVar("S", bound=ScriptAgentState)


class ScriptedAgent(Agent[S], Generic[S]):
    """Keep the versions of a script; the base of ScriptAgent and DurableScriptAgent."""

    script_methods: ClassVar[Collection[str]] = ("invoke",)

    def install(self, language: str, source: str, note: str = "") -> int:
        """Put a script in force; return its version.

        It runs once: one that fails is not installed.
        """
        number = len(self.state.versions) + 1
        version = ScriptVersion(number, Language.named(language).value, source, note, self.now())
        self._scripts().run(self._script(version))
        self.state.versions.append(version)
        self.state.current = number
        return number

    def version(self, number: int | None = None) -> ScriptVersion:
        """Return a version of the script; the one in force, unless ``number`` says which."""
        wanted, most = self.state.current if number is None else number, len(self.state.versions)
        if not most:
            raise ConfigurationError(f"{self} has no script yet; `install` gives it one")
        if not 1 <= wanted <= most:
            raise ConfigurationError(f"{self} has versions 1 to {most} of its script, not {wanted}")
        return self.state.versions[wanted - 1]

    def versions(self) -> Sequence[ScriptVersion]:
        """Return all versions, the oldest first."""
        return list(self.state.versions)

    def compare(self, first: int, second: int | None = None) -> str:
        """Return how two versions differ, line by line; the second is the one in force."""
        before, after = self.version(first), self.version(second)
        lines = difflib.unified_diff(
            before.source.splitlines(), after.source.splitlines(),
            f"version {before.number}", f"version {after.number}", lineterm="",
        )  # fmt: skip
        return "\n".join(lines)

    def roll_back(self, number: int) -> None:
        """Put a version in force again."""
        self.state.current = self.version(number).number

    def _scripts(self) -> Scripts:
        return Scripts.of(self.system)

    def _script(self, version: ScriptVersion) -> Script:
        name = f"{self.kind}/{self.key}#{version.number}"[:100]
        return Script(Language(version.language), version.source, name)


class ScriptAgent(ScriptedAgent[ScriptAgentState]):
    """Handle messages by a script: ``ref.call(ScriptAgent.invoke, "assign", "T-1")``.

    The functions of the script are the handlers. It runs as the agent, as a part of the turn: what
    it writes to its scope, ``me``, commits with it. Needs an open ``Scripts(system)``. Every
    version stays, in the state and so in the journal; each install, and each call that changes
    something, is a turn of the timeline. Who can send the agent messages can install: scripts
    can only ``invoke``.
    """

    def invoke(self, handler: str, *arguments: object) -> object:
        """Call a function of the script in force; return what it returns."""
        script = self._script(self.version())
        return self._scripts().run(script, entry=named(handler), arguments=arguments).value


def named(handler: str) -> str:
    """Return the name of a handler; ConfigurationError for none."""
    if not handler:
        raise ConfigurationError("'' is no function of a script that a message may call")
    return handler
