"""At the opening of a system: agents that have mail from an earlier process are woken."""

from __future__ import annotations

import logging
from typing import Final, Protocol

from ...persistence.errors import StoreError
from ..agent.blueprint import Catalogue
from ..cell.cell import Surroundings
from ..talk.control import Control, Verb

logger = logging.getLogger("perdure.actors")

PAGE: Final = 256
"""Agents woken in one go."""


class RecoveryHome(Surroundings, Protocol):
    """Where the mail is recovered."""

    catalogue: Catalogue


class Recovery:
    """Wake a page of agents at each run, then go to the tail of the dispatcher's queue."""

    def __init__(self, home: RecoveryHome) -> None:
        """Begin with the first agent; ``home`` has begun this as work."""
        self._home = home
        self._after = ("", "")

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Wake one page, and see to the next."""
        home = self._home
        try:
            page = [] if home.closing else home.store.mailed(self._after, PAGE)
        except StoreError as error:
            logger.warning("reading old mail failed and is tried again: %s", error)
            what = f"old mail is read again after a second ({error})"
            home.agenda.when_the_store_may_be_back(lambda: home.dispatcher.submit(self), what)
            return True
        for kind, key in page:
            if kind not in home.catalogue.kinds():
                if home.catalogue.kinds():  # a tool has none, and is to wake nobody
                    logger.warning("mail waits for %s/%s, whose class is not there", kind, key)
                continue
            # Known until it is read: the cell may fail to read it, and be another by then.
            home.owed.add((kind, key))
            home.order(kind, key, Control(Verb.WAKE, edge=False))
        if page:
            self._after = page[-1]
            home.dispatcher.submit(self)
        else:
            home.recovering = False
            home.agenda.end(self)
        return True
