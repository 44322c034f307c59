"""An agent that is not in memory is brought to its class's schema, and nothing of it runs."""

from __future__ import annotations

from ...persistence.errors import StoreError
from ..pool.mailbox import Outcome
from ..talk.control import Control
from . import failure, loading, start
from .cell import AgentCell
from .settlement import release


def migrate(cell: AgentCell, control: Control) -> Outcome | None:
    """Migrate a dormant agent; whoever asked is told whether there was anything to do.

    One that is in memory was migrated when it woke up.
    """
    home = cell.home
    if cell.activation is None:
        if cell.last_sequence > home.supervisor.committer.durable:
            return start.wait_until_durable(cell)
        try:
            stored = home.store.load(cell.kind, cell.key)
            moved = None if stored is None else loading.moved(cell, stored)
        except StoreError as error:
            failure.reject(cell, control, error)
            return None
        if stored is not None and moved is not None:
            loading.rewrite(cell, stored.head, moved)
            release(cell, control, value=True)
            return None
    release(cell, control, value=False)
    return None
