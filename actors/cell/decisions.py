"""Decisions about access that outlive what they were made for."""

from __future__ import annotations

import logging

from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import PerdureError
from ...persistence.records.chain import summed
from ...persistence.records.records import Commit
from ...shared.ledger.unit import Unit

logger = logging.getLogger("perdure.actors")


def keep(supervisor: PersistenceSupervisor, unit: Unit) -> None:
    """Undo a unit, and commit what it was refused, and what it was allowed in vain."""
    unit.undo()
    decisions, unit.audit = unit.audit, []
    if decisions:
        commit = Commit()
        commit.with_effects().audit = summed(decisions)
        try:
            supervisor.append(commit)
        except PerdureError as error:
            logger.warning("decisions about access are not kept: %s", error)
