"""In whose name code acts that is no part of the turn in whose context it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from ..persistence.errors import NotRecorded
from ..persistence.names.scope import Principal

apart: Final[ContextVar[Principal | None]] = ContextVar("perdure_apart", default=None)
"""Who acts here apart from a turn: the system, or an agent by a hook that runs beside its turns.

None: whoever's turn it is acts, as a part of that. Compared by identity: the same object, the same
stretch of work.
"""

_wanted: Final[ContextVar[list[str] | None]] = ContextVar("perdure_replayed", default=None)
"""Where a hook that is replayed has it taken down what it wants of a system; else None."""


def refuse_replayed(what: str) -> None:
    """Raise NotRecorded where a hook is replayed apart from turns: it may use no system.

    Asked on the ways of what acts apart from turns alone, so others pay nothing for it.
    """
    wanted = _wanted.get()
    if wanted is not None:
        wanted.append(what)
        message = f"nobody recorded what this hook gets by {what}, and a replay uses no system"
        raise NotRecorded(message)


@contextmanager
def replayed() -> Iterator[list[str]]:
    """Run a block as a replay of what the system did apart from turns; gives what it wanted."""
    wanted: list[str] = []
    tokens = apart.set(Principal.SYSTEM), _wanted.set(wanted)
    try:
        yield wanted
    finally:
        apart.reset(tokens[0])
        _wanted.reset(tokens[1])


@contextmanager
def in_name_of(who: Principal) -> Iterator[None]:
    """Run a block in the name of ``who``, and as no part of a turn."""
    token = apart.set(who)
    try:
        yield
    finally:
        apart.reset(token)
