"""Emergency isolation: an agent is cut off from everything, in the middle of whatever it does.

Who decides how a turn ends, its runner or the isolation? Both write a flag and then look at the
other's, and whoever finds both raised goes on to ``Turn.decide``:

1. The runner sets ``turn.settling``, then looks whether anybody was ever isolated.
2. The isolation has the policy say so, then looks at ``turn.settling``.

So a system in which nobody was isolated pays for one flag a turn. A turn that is settling ends as
it began to, before the isolation in the order of commits, or is refused by its writer. The writer
is revoked before the isolation's commit is appended, and looked at where that is done, under the
same lock: no commit of the agent comes after it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Final

from blinker import Signal

from ...lifecycle import signals
from ...persistence.errors import UnknownAgent
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import ISOLATED
from ...persistence.records.tables import Row
from ...shared.access.grants import Isolation
from ...shared.ledger.guard import Decision, Right, Standing, Use, recorded
from ...shared.ledger.unit import Unit
from ..cell import settlement
from ..cell.cell import Surroundings
from ..cell.isolation import waiting
from ..cell.listeners import keep_runs
from ..cell.receiver import RunningCell
from ..pool.mailbox import MailHold
from ..talk.turn import Decider, Turn
from .cells import Keeper

logger = logging.getLogger("perdure.actors")

PATIENCE: Final = 1.0
"""Seconds in which the end of what is being settled is waited for."""
_LOOK: Final = 0.01


class Isolator:
    """Cut agents off and let them go on (access.Isolator)."""

    def __init__(self, home: Surroundings, keeper: Keeper) -> None:
        """Work on the cells of ``keeper``, which live in ``home``."""
        self._home = home
        self._keeper = keeper
        self._policy = home.policy
        self._one = threading.Lock()  # an isolation and a restore, one after the other

    def isolate(self, isolation: Isolation) -> None:
        """Cut an agent off; effective when this returns, and durable unless it raises."""
        who = isolation.agent
        row: Row = (who.id, who.part, isolation.reason, isolation.since, 0)
        with self._one:
            self._policy.cut_off(isolation)
            # Later ones look at the policy when they are made.
            cell = self._keeper.cells.get((who.id, who.part))
            turn = None
            if cell is not None:
                cell.hold(MailHold.ISOLATED)
                turn, settled = self._seize(cell)
                self._revoke(cell, settled=settled)
            sequence = self._commit(who, row, f"isolate: {isolation.reason}"[:200])
            if cell is not None:
                self._replace(cell, turn)
        logger.error("agent %s/%s is isolated: %s", who.id, who.part, isolation.reason)
        self._tell(signals.agent_isolated, who, isolation.reason)
        self._wait_for(sequence)

    def restore(self, agent: Principal) -> bool:
        """Let an agent go on with all its mail; tell whether it was cut off."""
        with self._one:
            if not self._policy.isolated(agent.id, agent.part):
                return False
            sequence = self._commit(agent, None, "restore")
            self._policy.let_go(agent)
            with contextlib.suppress(UnknownAgent):
                # Made if it is not there: one that is being made now may have seen the isolation.
                self._keeper.cell(agent.id, agent.part).unhold(MailHold.ISOLATED)
        self._tell(signals.agent_restored, agent, "")
        self._wait_for(sequence)
        return True

    def _seize(self, cell: RunningCell) -> tuple[Turn | None, bool]:
        """Return the turn under way, whose end is now ours to decide; None if there is none.

        Besides, whether nobody but us settles anything of the agent now.
        """
        until = time.monotonic() + PATIENCE
        if cell.mailbox.runner is threading.current_thread():
            return None, True  # told by what the agent itself has run into: its turn is over
        while time.monotonic() < until:
            turn = cell.turn
            if turn is not None and not turn.settling and turn.decide(Decider.ISOLATION):
                return turn, True
            if cell.mailbox.wait_until_rest(_LOOK):
                return None, True
        return None, False

    def _revoke(self, cell: RunningCell, *, settled: bool) -> None:
        """End the activation's right to commit; what its turns have done until now is saved.

        Not if its runner settles one for longer than our patience: half of that could be saved.
        What a SNAPSHOT agent did since its last save is lost then, as if the process had ended.
        """
        activation = cell.activation
        if activation is None:
            return
        if settled:
            settlement.save_and_revoke(cell, activation)
            return
        activation.writer.revoked = True
        if activation.dirty():
            logger.warning("%s hangs at the end of a turn; what it did before is not saved", cell)

    def _commit(self, who: Principal, row: Row | None, operation: str) -> int:
        home = self._home
        unit = Unit(Standing(Principal.SYSTEM), self._policy.epoch)
        use = Use(Right(0), Scope.agent(who.id, who.part), None, operation)
        decision = Decision(allowed=True, reason="the system")
        unit.audit.append(recorded(home.clock.now(), unit.standing, use, decision))
        place = (ISOLATED, (who.id, who.part))
        unit.replaced.add(place)  # whatever is there, also if it is damaged
        unit.change(place, lambda _row: row, checked=False)
        with home.ledger.ending(unit) as ending:
            name = "(isolate)" if row is not None else "(restore)"
            commit = Commit(time=home.clock.now(), name=name)
            ending.put_into(commit)
            sequence = home.supervisor.append(commit)
            home.ledger.publish(ending, sequence)
        return sequence

    def _replace(self, cell: RunningCell, turn: Turn | None) -> None:
        """Leave the cell to whatever still runs in it; a fresh one holds the mail."""
        letter = None
        if turn is not None:
            thread = cell.mailbox.runner
            if thread is not None:
                self._home.dispatcher.lend_for(thread)
            if turn.unit is not None:
                self._home.desk.forgo(turn.unit)
            if turn.notes is not None:  # they did run, and what they deferred is about that
                runs = [run for run in turn.notes.runs if not run.vain]
                keep_runs(self._home, runs, (turn.letter.id, turn.letter.cause))
            letter = waiting(cell, turn.letter)
        self._keeper.set_aside(cell, letter, MailHold.ISOLATED)
        if turn is not None and turn.cancel is not None:
            turn.cancel()

    def _wait_for(self, sequence: int) -> None:
        """Wait until it is durable; raise why it cannot be now."""
        refusal = self._home.supervisor.refusal()
        if refusal is not None:
            raise refusal
        with self._home.dispatcher.blocking():
            self._home.supervisor.committer.flush(sequence=sequence)

    def _tell(self, signal: Signal, who: Principal, reason: str) -> None:
        event = signals.AgentEvent(who.id, who.part, 0, "", self._home.clock.now(), reason)
        signals.fire(signal, self._home.facade, event, self._home.clock.monotonic)
