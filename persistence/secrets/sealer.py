"""Texts sealed with AES-256-GCM, and opened again."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, CorruptState, KeyMissing
from . import tokens
from .keys import KeyProvider, key_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class Sealer:
    """Seal texts with the current key and open them with the one they name. Thread-safe.

    The random nonces of one key may not repeat: seal at most 2**32 values with a key (NIST SP
    800-38D), then take a new one and rotate.
    """

    def __init__(self, provider: KeyProvider) -> None:
        self.provider: Final = provider
        self._current: str | None = None
        self._ciphers: dict[str, AESGCM] = {}

    def current(self) -> str:
        """Return the id of the key in use; KeyMissing if there is none."""
        if self._current is None:
            self._current = self.provider.current()
        return self._current

    def refresh(self) -> None:
        """Ask the provider again: for its current key, and for each key when it is needed."""
        self._current = None
        self._ciphers = {}

    def seal(self, text: Callable[[], str], where: str) -> str:
        """Return the token of what ``text`` gives; KeyMissing names ``where`` if there is no key.

        The text is asked for when all that may fail has been done: what reports errors with the
        variables of their frames finds none in ours.
        """
        try:
            key_id = self.current()
            cipher = self._cipher(key_id)
        except KeyMissing as error:
            raise KeyMissing(f"{where} cannot be sealed: {error}", key_id=error.key_id) from None
        nonce, about = os.urandom(NONCE_BYTES), _about(key_id)
        return tokens.write(key_id, nonce + cipher.encrypt(nonce, text().encode(), about))

    def open(self, token: str, where: str) -> str:
        """Return the text of a token.

        KeyMissing names ``where`` and the key. CorruptState if the token was changed, or the key
        is another one of the same id.
        """
        parts = tokens.read(token)
        if parts is None or len(parts.data) < NONCE_BYTES + TAG_BYTES:
            raise CorruptState(where, "its secret is not a whole token")
        try:
            cipher = self._cipher(parts.key_id)
        except KeyMissing as error:
            message = f"{where} is sealed with key {parts.key_id!r}: {error}"
            raise KeyMissing(message, key_id=parts.key_id) from None
        nonce, rest = parts.data[:NONCE_BYTES], parts.data[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, rest, _about(parts.key_id)).decode()
        except Exception as error:  # noqa: BLE001 - InvalidTag; imported lazily, and nothing else is told
            kind = type(error).__name__
        reason = (
            f"its secret was changed, or key {parts.key_id!r} is not the one it was sealed with"
        )
        raise CorruptState(where, f"{reason} ({kind})")

    def _cipher(self, key_id: str) -> AESGCM:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            cipher = self._ciphers[key_id] = _aes(key_of(self.provider, key_id))
        return cipher


def _about(key_id: str) -> bytes:
    return f"perdure/secret/1/{key_id}".encode()


def _aes(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - an extra
            AESGCM,
        )
    except ImportError:
        message = "secrets need the package cryptography; run pip install perdure[secrets]"
        raise ConfigurationError(message) from None
    return AESGCM(key)
