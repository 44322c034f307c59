"""Recorded turns run again in a system that is open: ``system.replay``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Unpack

import msgspec

from ..actors.agent.program import load_program
from ..actors.system.runtime import Runtime
from ..hooks.hook import Hook
from ..persistence.errors import ConfigurationError
from ..persistence.names.keys import checked_name
from ..persistence.names.scope import Scope
from ..shared.ledger.desk import Desk, Handle
from ..shared.ledger.guard import Right, Use, recorded
from .comparison import ReplayRules
from .replayer import SAME, Replayer
from .results import ReplayResult, ReplayResults, refuse_others
from .sandbox import OpenSandbox
from .schedule import CALL, KEEP, ReplaySchedule
from .schedules import (
    REPLAY,
    SCHEDULING,
    ReplaySchedules,
    permit,
    put_schedule,
    row_of,
    schedule_in,
)
from .selection import TurnSelection, selected
from .sweep import ReplaySweep


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
        self._registry = runtime.hooks.registry
        self._sweep = ReplaySweep(
            runtime.desk, runtime.store, self, runtime.dispatcher.blocking,
            runtime.hooks.redact,
        )  # fmt: skip
        if classes:  # else a tool has it open, and they wait for who has the classes
            runtime.attend(self._sweep)

    @property
    def schedules(self) -> ReplaySchedules:
        """Which replays are scheduled: ``list()``, ``get(name)``, ``remove(name)``."""
        return ReplaySchedules(self._desk, self._store)

    @property
    def results(self) -> ReplayResults:
        """What came of scheduled replays: ``list(name)``, ``get(id)``."""
        return ReplayResults(self._desk, self._store)

    def schedule(
        self,
        name: str,
        *,
        at: float | None = None,
        every: float | None = None,
        cron: str | None = None,
        zone: str = "UTC",
        against: str | None = None,
        workers: int = 2,
        keep: int = KEEP,
        rules: ReplayRules = SAME,
        **which: Unpack[TurnSelection],
    ) -> ReplaySchedule:
        """Have turns replayed once at a moment, every so often, or by cron, and the results stored.

        It is kept in the store, and runs while a system is open on that. Moments that were missed
        meanwhile are made up for by one run. A run that fails is stored as such, and the schedule
        goes on. What a process that is killed has begun, the next one runs again: a run that
        falls due happens at least once, and leaves one result unless its schedule was removed.

        Only the system may (Denied), and the runs are its own. ConfigurationError for what makes no
        sense, a name that is taken, or a cron expression without its library
        (``pip install "perdure[cron]"``); then nothing was stored.

        Args:
            name: what it is called.
            at: the moment, in seconds since the epoch; one that has passed is due at once.
            every: seconds between two runs; the first is due after that time.
            cron: minute, hour, day, month and weekday: ``"0 3 * * *"``.
            zone: the time zone of ``cron``.
            against: ``MODULE:NAME`` of the classes turns run under, as they are imported in this
                process; None for the classes of the system.
            workers: how many run at once.
            keep: how many results are kept; older ones are removed.
            rules: how turns are compared.
            which: see TurnSelection.
        """
        permit(self._desk, CALL, SCHEDULING)
        called = checked_name(name, "name of a schedule")
        selected(self._store, which)
        schedule = ReplaySchedule(
            name=called, at=at, every=every, cron=cron, zone=zone, against=against, which=which,
            rules=rules, workers=workers, keep=keep, made=self._desk.now(),
        )  # fmt: skip
        schedule.check()
        if against is not None:
            self._classes(load_program(against).agents)
        due = schedule.following(schedule.made)
        schedule = msgspec.structs.replace(schedule, due=due)
        try:
            schedule_in(row_of(schedule))
        except msgspec.ValidationError as error:
            message = f"{CALL}({called!r}): these are no turns: {error}"
            raise ConfigurationError(message) from error
        put_schedule(self._desk, schedule)
        self._sweep.due(max(0.0, (due or 0.0) - schedule.made))
        return schedule

    def run(self, name: str) -> ReplayResult:
        """Run a schedule now, beside its moments; store and return what came of it.

        Only the system may (Denied). UnknownReplay if there is none of that name, or it is removed
        meanwhile.
        """
        permit(self._desk, "replay.run", SCHEDULING)
        return self._sweep.once(self.schedules.get(name))

    def _known(self, name: str) -> Hook | None:
        """Return a hook of the system; Denied to all but that: they act in its name."""
        found = next((hook for hook in self._registry.list() if hook.name == name), None)
        if found is not None and found.systems:
            refuse_others(self._desk, f"have the hook {name} of the system run again")
        return found

    def _permit(self, agents: Collection[tuple[str, str]]) -> None:
        note_replays(self._desk, agents)


def note_replays(desk: Desk, agents: Collection[tuple[str, str]]) -> None:
    """Put into the audit that agents are replayed, by name; Denied to who may not replay them."""
    if ("", "") in agents:
        permit(desk, "replay", "replay what hooks did at nobody's work")
    with desk.entry(REPLAY) as unit:
        for kind, key in sorted(agents):
            scope = Scope.agent(kind, key) if kind else Scope.GLOBAL
            use = Use(Right.ALL, scope, REPLAY, "replay")
            decision = desk.guard.check(unit.standing, *use[:3])
            if decision.allowed and not decision.audited:  # of its own: that is noted, too
                unit.audit.append(recorded(desk.now(), unit.standing, use, decision))
            else:
                desk.allow(unit, *use)
