"""The audit as people read it: decisions in order, filtered, trimmed, verified."""

from __future__ import annotations

from dataclasses import dataclass

from ...persistence.errors import ConfigurationError
from ...persistence.secrets.keys import KeyProvider


@dataclass(frozen=True, slots=True)
class Audit:
    """Say what the audit keeps, and for how long."""

    reads: bool = True
    """Allowed reads and lists, too; refused ones always."""
    keep: int | None = 100_000
    """Decisions kept, about; older ones are trimmed. None for all."""
    key: KeyProvider | None = None
    """Chain by HMAC: whoever has the file, but not the key, can write no chain that verifies."""

    def __post_init__(self) -> None:
        """Refuse to keep nothing: the newest decision holds the end of the chain."""
        if self.keep is not None and self.keep < 1:
            message = f"Audit(keep={self.keep}) must keep at least one decision; None keeps all"
            raise ConfigurationError(message)
