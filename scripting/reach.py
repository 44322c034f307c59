"""What one run reaches of its system: handles that act as its principal, agents, the rest."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import msgspec
from pykka.messages import ProxyCall

from ..actors.agent.agent import Agent
from ..actors.talk.identity import Identified
from ..actors.talk.reference import AgentRef
from ..actors.talk.turn import under_way
from ..persistence.errors import ConfigurationError, Denied
from ..persistence.names.named import checked_principal
from ..persistence.names.scope import Principal
from ..shared.artifacts.artifacts import Artifacts
from ..shared.ledger.unit import Unit
from ..shared.scopes.state import ScopedState
from .calls import plain
from .options import ScriptRights

A = TypeVar("A", bound=Identified)
H = TypeVar("H", bound="ActsAs")


class ActsAs(Protocol):
    """A handle of the system."""

    def acting_as(self, principal: Principal) -> Self:
        """Return a handle that acts as somebody."""
        ...


class ReplaysTurns(ActsAs, Protocol):
    """What replays recorded turns."""

    def turn(self, run_id: str) -> msgspec.Struct:
        """Replay a turn."""
        ...


class BacksUp(ActsAs, Protocol):
    """What makes backups."""

    def create(self, folder: str | Path, *, note: str = "") -> object:
        """Make one."""
        ...


class Host(Protocol):
    """What of a system scripts need: AgentSystem."""

    @property
    def state(self) -> ScopedState:
        """What agents share."""
        ...

    @property
    def artifacts(self) -> Artifacts:
        """Named bytes."""
        ...

    @property
    def replay(self) -> Any:  # noqa: ANN401 - ReplaysTurns, of a floor above
        """Recorded turns run again."""
        ...

    @property
    def backup(self) -> Any:  # noqa: ANN401 - BacksUp, same
        """Backups of the store."""
        ...

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent."""
        ...

    def blocking(self) -> AbstractContextManager[None]:
        """Say that a block waits for something outside."""
        ...


class SystemReach:
    """Reach a system in the name of a principal, as far as the rights of scripts go."""

    def __init__(self, system: Host, rights: ScriptRights, principal: Principal | None) -> None:
        """Act as ``principal``; in a turn as its agent, and then there is none to give."""
        turn = under_way()
        self.in_turn = turn is not None
        self.deadline: float | None = None
        """Until when it may run, by the monotonic clock; None before it has begun."""
        self._system = system
        self._rights = rights
        self._classes = {agent.kind: agent for agent in rights.agents}
        self._principal = principal
        if not self.in_turn and principal is None:
            message = "a script acts as somebody: give run(script, principal=Principal.user(...))"
            raise ConfigurationError(message)
        if self.in_turn and principal is not None:
            raise ConfigurationError("in a handler a script acts as its agent; give no principal")
        if principal is not None and checked_principal(principal).kind == "agents":
            raise ConfigurationError(f"{principal} stands for many; a script acts as one of them")
        who = principal if turn is None else Principal.agent(turn.cell.kind, turn.cell.key)
        self.me = str(who)
        self.state: ScopedState = self._acting(system.state)
        self.artifacts: Artifacts = self._acting(system.artifacts)

    def _acting(self, handle: H) -> H:
        return handle if self._principal is None else handle.acting_as(self._principal)

    def left(self) -> float | None:
        """Return the seconds that are left."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def agent(self, kind: str, key: str) -> AgentRef[Agent[Any]]:
        """Return a reference to an agent of a class that scripts may talk to."""
        agent_class = self._classes.get(kind)
        if agent_class is None:
            raise Denied(f"this script may not talk to agents of kind {kind!r:.80}")
        return self._system.agent(agent_class, key)

    def ask(self, ref: AgentRef[Agent[Any]], message: ProxyCall) -> object:
        """Send a message at once, and return the reply."""
        future = self._apart(partial(ref.ask, message, block=False))
        return plain(future.get(timeout=self.left()), f"the reply of {ref}")

    def tell(self, ref: AgentRef[Agent[Any]], message: ProxyCall) -> None:
        """Send a message with the commit of what the script writes, or of the turn."""
        if self.in_turn:
            ref.tell(message)
        else:
            post: Any = ref._post  # noqa: SLF001 - it leaves with the commit of our own handle
            post.enclose(ref, message, self._unit(), once=False)

    def _unit(self) -> Unit:
        unit = self.state._desk.unit()  # noqa: SLF001 - the desk of our own handle
        assert unit is not None, "a script runs in a transaction"
        return unit

    def replay(self, turn: str) -> Mapping[str, object]:
        """Replay a recorded turn."""
        if not self._rights.replay:
            raise Denied("this script may not replay turns: ScriptRights(replay=True)")
        replays: ReplaysTurns = self._acting(self._system.replay)
        found: dict[str, object] = msgspec.to_builtins(self._apart(replays.turn, turn))
        return found

    def back_up(self, note: str) -> Mapping[str, object]:
        """Make a backup of what is durable."""
        folder = self._rights.backups
        if folder is None:
            raise Denied("this script may not make backups: ScriptRights(backups=FOLDER)")
        backups: BacksUp = self._acting(self._system.backup)

        def made() -> object:
            return backups.create(folder, note=note)

        backup: Any = self._apart(made)
        return {"name": backup.name, "bytes": backup.bytes}

    def _apart(self, function: Any, *given: object) -> Any:  # noqa: ANN401 - whatever it returns
        """Call what is no part of the script's transaction: it has commits of its own."""
        return function(*given) if self.in_turn else contextvars.Context().run(function, *given)
