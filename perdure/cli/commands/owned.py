"""A store that a command opens to change something in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...system import AgentSystem
from ...url import open_reader


@contextmanager
def owned(url: str) -> Iterator[AgentSystem]:
    """Open a store that is there for the duration of a block; StoreOwned while another has it."""
    open_reader(url).close()  # opening for writing would make a store where there is none
    with AgentSystem.open(url, agents=[], service=False) as system:
        yield system
