"""Agents whose class this system was opened without: changed as they are stored, nothing runs."""

from __future__ import annotations

import threading
from typing import Final

from ...lifecycle.status import Status, Step, after, stored_status
from ...persistence.errors import UnknownAgent
from ...persistence.names.scope import Principal
from ...persistence.records.records import AgentRow, Commit, Deletion, StoredAgent
from ...persistence.upkeep.states import StateCopy
from ..cell.cell import Surroundings
from ..cell.deletion import enter, stored_of, traces
from ..cell.forking import begun, exists
from ..talk.control import Verb

STEPS: Final = {
    Verb.PAUSE: Step.PAUSE, Verb.RESUME: Step.RESUME, Verb.STOP: Step.STOP,
    Verb.RESTART: Step.RESTART,
}  # fmt: skip


class Strangers:
    """Take lifecycle steps for agents of unknown classes, in their rows; durable on return.

    No cell can be made for them, so nobody else commits for them; here it is one after the other.
    """

    def __init__(self, home: Surroundings) -> None:
        """Work on the store of ``home``."""
        self._home = home
        self._one = threading.Lock()

    def take(self, kind: str, key: str, verb: Verb) -> bool:
        """Take a step; False if there was nothing to do. UnknownAgent, InvalidTransition."""
        committer = self._home.supervisor.committer
        with self._one:
            committer.flush()  # the agent's latest commit must be in the store
            if verb in (Verb.DELETE, Verb.ERASE):
                stored = stored_of(self._home, kind, key)
                sequence = self._delete(kind, key, stored, erase=verb is Verb.ERASE)
            else:
                sequence = self._step(kind, key, self._home.store.load(kind, key), verb)
            if sequence:
                committer.flush(sequence=sequence)
            if verb is Verb.ERASE:
                self._home.leftovers.finish()
        return bool(sequence)

    def fork(self, kind: str, key: str, copy: StateCopy) -> None:
        """Have an agent begin with a state; durable on return. AgentExists if there is one."""
        home, committer = self._home, self._home.supervisor.committer
        with self._one:
            committer.flush()
            if stored_of(home, kind, key) is not None:
                raise exists(kind, key)
            head = AgentRow(home.next_agent(), kind, key, 0, 0, Status.ACTIVE, "")
            commit = Commit(kind, key, head.status, "", home.clock.now(), "(fork)")
            writer = home.supervisor.writer(head)
            committer.flush(sequence=writer.submit(begun(home, commit, head, copy)))

    def _delete(self, kind: str, key: str, stored: StoredAgent | None, *, erase: bool) -> int:
        home = self._home
        if stored is None and not traces(home, kind, key):
            return 0
        new = AgentRow(0, kind, key, 0, 0, Status.ACTIVE, "")
        head = stored.head if stored is not None else new._replace(agent=home.next_agent())
        writer = home.supervisor.writer(head)
        commit = Commit(kind, key, head.status, head.reason, home.clock.now(), "(delete)")
        deletion = Deletion(head.agent, kind, key, erase)
        who, version = Principal.SYSTEM, head.version + 1
        sequence = enter(home, commit, who, deletion, version=version, append=writer.submit)
        home.graves.add(kind, key, sequence)
        return sequence

    def _step(self, kind: str, key: str, stored: StoredAgent | None, verb: Verb) -> int:
        if stored is None:
            message = f"there is no agent {kind}/{key}; `perdure agents` lists those there are"
            raise UnknownAgent(message)
        head, home = stored.head, self._home
        before = stored_status(f"{kind}/{key}", head.status)
        if verb is Verb.STOP and before is Status.STOPPED:
            return 0
        status = after(f"{kind}/{key}", before, STEPS[verb])
        if verb is Verb.RESTART and status is before:
            return 0  # it begins again wherever its class is
        commit = Commit(kind, key, status, "", home.clock.now(), f"({verb})")
        return home.supervisor.writer(head).submit(commit)
