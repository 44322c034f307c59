"""In whose name code acts that is no part of the turn in whose context it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from ..persistence.names.scope import Principal

apart: Final[ContextVar[Principal | None]] = ContextVar("perdure_apart", default=None)
"""Who acts here apart from a turn: the system, or an agent by a hook that runs beside its turns.

None: whoever's turn it is acts, as a part of that. Compared by identity: the same object, the same
stretch of work.
"""


@contextmanager
def in_name_of(who: Principal) -> Iterator[None]:
    """Run a block in the name of ``who``, and as no part of a turn."""
    token = apart.set(who)
    try:
        yield
    finally:
        apart.reset(token)
