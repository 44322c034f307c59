"""What deleted agents have left beside what a later agent of the name has: nobody reads it."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..records.records import Deletion
from ..records.shared_tables import SCOPED
from ..records.tables import Table

KEYS: Final = -(1 << 62)
"""Rows of ``leftovers`` below it are for keys, those between it and 0 for mail."""
LIVING_MAIL: Final = (
    f"(NOT EXISTS (SELECT 1 FROM leftovers WHERE agent > {KEYS} AND agent < 0)"  # noqa: S608 - ours
    f" OR id > coalesce((SELECT max(upto) FROM leftovers WHERE agent > {KEYS} AND agent < 0"
    " AND leftovers.kind = mailbox.kind AND leftovers.key = mailbox.key), -1))"
)
NUMBERS: Final = (
    f"SELECT iif(agent < {KEYS}, {KEYS} - 1 - agent, iif(agent < 0, -1 - agent, agent))"  # noqa: S608
    " FROM leftovers"
)
"""The numbers of agents of which something is left."""
_LIVING_KEYS: Final = (
    f"(NOT EXISTS (SELECT 1 FROM leftovers WHERE agent < {KEYS})"  # noqa: S608 - ours
    " OR scoped.kind <> 'agent' OR scoped.sequence >= coalesce((SELECT max(upto) FROM leftovers"
    f" WHERE agent < {KEYS} AND leftovers.kind = scoped.id AND leftovers.key = scoped.part), -1))"
)


class Old(NamedTuple):
    """A row of ``leftovers`` for what a deleted agent had beside its state."""

    agent: int
    kind: str
    key: str
    erase: int
    upto: int
    """The highest id of the old life's mail, or the commit that ended it."""

    @property
    def table(self) -> str:
        """Where it is."""
        return "scoped" if self.agent < KEYS else "mailbox"

    @property
    def whose(self) -> str:
        """The condition for its rows, of kind, key and ``upto``."""
        if self.agent < KEYS:
            return "kind = 'agent' AND id = ? AND part = ? AND sequence < ?"
        return "kind = ? AND key = ? AND id <= ?"

    @property
    def columns(self) -> tuple[str, str]:
        """The column by which its rows are told apart, and that of what they hold."""
        return ("key", "value") if self.agent < KEYS else ("id", "body")


def mail_of(deletion: Deletion, highest: int) -> Old:
    """Return the row for the mail of a deleted agent."""
    number = -1 - deletion.agent
    return Old(number, deletion.kind, deletion.key, int(deletion.erase), highest)


def keys_of(deletion: Deletion) -> Old:
    """Return the row for the keys of a deleted agent's own scope."""
    number = KEYS - 1 - deletion.agent
    return Old(number, deletion.kind, deletion.key, int(deletion.erase), deletion.sequence)


def living(table: Table) -> str:
    """Return a condition for rows that nobody has left; "" where it needs none."""
    return f" AND {_LIVING_KEYS}" if table is SCOPED else ""
