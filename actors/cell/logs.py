"""Log records that say in whose turn they were made, for which message, in which chain."""

from __future__ import annotations

import logging
from typing import cast

from ..talk.turn import current
from .cell import AgentCell
from .chains import identified


class TurnFilter(logging.Filter):
    """Put ``agent``, ``message_id`` and ``correlation`` on each record; it lets all of them pass.

    Empty and 0 outside of turns. Works in handlers, also ``async`` ones, in tasks they begin, and
    in threads that were started with ``system.carry``. Give it to a handler of ``logging``, so
    that it sees the records of every logger::

        handler.addFilter(TurnFilter())
        handler.setFormatter(logging.Formatter("%(agent)s %(correlation)s %(message)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete a record."""
        turn = current.get()
        record.agent, record.message_id, record.correlation = "", 0, 0
        if turn is not None:
            cell = cast("AgentCell", turn.cell)
            letter = identified(cell.home, turn.letter)
            record.agent = str(cell)
            record.message_id, record.correlation = letter.id, letter.correlation
        return True
