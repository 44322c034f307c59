"""What an agent may do without a grant: its boundary."""

from __future__ import annotations

import enum
from typing import Final, Protocol, TypeAlias, runtime_checkable

from ...persistence.errors import ConfigurationError
from ...persistence.names.scope import Principal, Scope
from ..ledger.guard import Right

SHARED_KINDS: Final = frozenset({"global", "workflow", "step", "tool", "custom"})
"""Scopes that belong to nobody in particular."""


class Boundary(enum.StrEnum):
    """What an agent may do without a grant in the scopes that the system owns.

    These are the global scope, workflows, steps, tools and custom scopes.
    """

    STRICT = "strict"
    """Nothing."""
    READ_SHARED = "read-shared"
    """Read and list."""
    SHARED = "shared"
    """Everything."""


@runtime_checkable
class CustomBoundary(Protocol):
    """Decide by your own rules; an instance is given as the class option ``boundary``.

    Asked about the scopes that the system owns, as a Boundary is, and about no others.
    Called on the caller's thread at each call and again when its turn ends: it must be fast, answer
    alike, and use no shared state itself. What it raises is a refusal.
    """

    def allows(self, who: Principal, right: Right, scope: Scope, key: str | None) -> bool | None:
        """Allow, refuse, or with None leave it to the grants; ``key`` is None for a list.

        Only the very value True allows; all but True and None refuses.
        """
        ...


AnyBoundary: TypeAlias = Boundary | CustomBoundary

RIGHTS: Final = {
    Boundary.STRICT: Right(0),
    Boundary.READ_SHARED: Right.READ | Right.LIST,
    Boundary.SHARED: Right.ALL,
}
"""What a boundary gives in shared scopes."""


def checked_boundary(name: str, boundary: object) -> None:
    """Refuse what is no boundary; ``name`` is that of the class that has it."""
    if not isinstance(boundary, Boundary | CustomBoundary) or isinstance(boundary, type):
        message = (
            f"{name}.boundary is {boundary!r}; give a Boundary, or an object with a method"
            " allows(who, right, scope, key)"
        )
        raise ConfigurationError(message)
