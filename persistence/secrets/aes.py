"""AES-256-GCM, which needs a package that is installed with an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def aes(key: bytes, what: str) -> AESGCM:
    """Return the cipher of a key; ConfigurationError says what needs the package if it is missing.

    ``what`` is in the plural, as "secrets".
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - an extra
            AESGCM,
        )
    except ImportError:
        message = f"{what} need the package cryptography; run pip install perdure[secrets]"
        raise ConfigurationError(message) from None
    return AESGCM(key)
