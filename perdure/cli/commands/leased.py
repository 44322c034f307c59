"""A store to which a command commits by itself, under its lease: no system runs on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from ...persistence.store.lease import Owner
from ...persistence.store.store import Store
from ...url import open_reader, open_store


@contextmanager
def leased(url: str) -> Iterator[tuple[Store, int]]:
    """Open a store that is there, and give the sequence of the commit that the block may make.

    StoreOwned while another has it.
    """
    open_reader(url).close()  # opening for writing would make a store where there is none
    with closing(open_store(url, sync="power")) as store:
        counters = store.acquire(Owner.this_process())
        yield store, counters.sequence + 1
