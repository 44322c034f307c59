"""Recorded turns run again in a system that is open: ``system.replay``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..actors.system.runtime import Runtime
from ..persistence.names.scope import Scope
from ..shared.ledger.desk import Handle
from ..shared.ledger.guard import Right, Use, recorded
from .replayer import Replayer
from .sandbox import OpenSandbox

REPLAY: Final = "(replay)"
"""The key under which all rights on an agent's scope allow to replay its turns."""


class Replays(Replayer, Handle):
    """Run recorded turns again; see Replayer. Each use is in the audit.

    The system may, an agent its own turns, and who was granted all rights on ``(replay)`` in the
    agent's scope: ``access.grant(who, Scope.agent(kind, key), Right.ALL, keys="(replay)")``.
    """

    def __init__(self, runtime: Runtime, open_sandbox: OpenSandbox) -> None:
        """Replay what a system has recorded."""
        Handle.__init__(self, runtime.desk)
        classes = list(runtime.catalogue.classes().values())
        Replayer.__init__(self, runtime.store, classes, open_sandbox)

    def _permit(self, agents: Iterable[tuple[str, str]]) -> None:
        desk = self._desk
        with desk.entry(REPLAY) as unit:
            for kind, key in sorted(agents):
                use = Use(Right.ALL, Scope.agent(kind, key), REPLAY, "replay")
                decision = desk.guard.check(unit.standing, *use[:3])
                if decision.allowed and not decision.audited:  # of its own: that is noted, too
                    unit.audit.append(recorded(desk.now(), unit.standing, use, decision))
                else:
                    desk.allow(unit, *use)
