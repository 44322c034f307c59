"""What one system seals, signs and looks for."""

from __future__ import annotations

from .detector import Detector, SecretWatch
from .keys import Keys, NoKeys
from .plain import Plain
from .sealer import Sealer
from .signer import Signer


class Vault:
    """Hold a system's sealer, and its signer and its watch if it was opened with them."""

    __slots__ = ("plain", "sealer", "signer", "watch")

    def __init__(self, keys: Keys | None = None, detector: Detector | None = None) -> None:
        """Without keys for secrets nothing can be sealed or revealed; everything else works."""
        keys = keys or Keys()
        self.sealer = Sealer(NoKeys() if keys.secrets is None else keys.secrets)
        self.signer = None if keys.pickles is None else Signer(keys.pickles)
        self.watch = None if detector is None else SecretWatch(detector)
        self.plain = Plain(self.watch, self.sealer)
