"""What one system seals, signs and looks for."""

from __future__ import annotations

from .detector import Detector, Watch
from .keys import KeyProvider, NoKeys, checked_provider
from .sealer import Sealer
from .signer import Signer


class Vault:
    """Hold a system's sealer, and its signer and its watch if it was opened with them."""

    __slots__ = ("sealer", "signer", "watch")

    def __init__(
        self,
        secrets: KeyProvider | None = None,
        pickles: KeyProvider | None = None,
        detector: Detector | None = None,
    ) -> None:
        """Without ``secrets`` nothing can be sealed or revealed, and everything else works."""
        for option, provider in (("secrets", secrets), ("pickles", pickles)):
            if provider is not None:
                checked_provider(provider, option)
        self.sealer = Sealer(NoKeys() if secrets is None else secrets)
        self.signer = None if pickles is None else Signer(pickles)
        self.watch = None if detector is None else Watch(detector)
