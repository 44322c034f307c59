"""What one system seals and signs with."""

from __future__ import annotations

from .keys import KeyProvider, NoKeys
from .sealer import Sealer
from .signer import Signer


class Vault:
    """Hold a system's sealer, and its signer if it was opened with one."""

    __slots__ = ("sealer", "signer")

    def __init__(
        self, secrets: KeyProvider | None = None, pickles: KeyProvider | None = None
    ) -> None:
        """Without ``secrets`` nothing can be sealed or revealed, and everything else works."""
        self.sealer = Sealer(NoKeys() if secrets is None else secrets)
        self.signer = None if pickles is None else Signer(pickles)
