"""Texts sealed with AES-256-GCM for one place, and opened again there."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import CorruptState, KeyMissing
from . import tokens
from .aes import aes
from .keys import KeyProvider, key_of
from .place import Place, digest_of, shown
from .tokens import Token

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

    def is_latest(self, token: str) -> bool:
        """Tell whether a token is bound to a place and sealed with the current key."""
        return tokens.is_bound(token) and tokens.key_of(token) == self.current()

    def seal(self, text: Callable[[], str], where: str, place: Place) -> str:
        """Return the token of what ``text`` gives, which opens at ``place`` only.

        KeyMissing names ``where`` if there is no key. The text is asked for when all that may fail
        has been done: what reports errors with the variables of their frames finds none in ours.
        """
        return self._sealed(text, where, digest_of(place))

    def open(self, token: str, where: str, place: Place | None) -> str:
        """Return the text of a token that stands at ``place``; None is no place at all.

        KeyMissing names ``where`` and the key. CorruptState if the token was changed, was sealed
        for another place, or the key is another one of the same id.
        """
        parts = _whole(token, where)
        here = place is not None and hmac.compare_digest(digest_of(place), parts.place or b"")
        if not here and parts.place is not None:
            reason = (
                f"its secret was not sealed for {shown(place)}: it was copied there past perdure;"
                " put back what stood there, or assign a new one"
            )
            raise CorruptState(where, reason)
        return self._opened(parts, where)

    def check(self, token: str, where: str) -> None:
        """Raise what ``open`` raises for the key of a token, wherever that stands."""
        self._opened(_whole(token, where), where)

    def again(self, token: str, where: str, place: Place) -> str:
        """Return a token sealed with the current key, for the place that it is bound to.

        One that is bound to none is bound to ``place``. Raises what ``open`` raises, wherever the
        token stands.
        """
        parts = _whole(token, where)
        digest = digest_of(place) if parts.place is None else parts.place
        return self._sealed(lambda: self._opened(parts, where), where, digest)

    def _sealed(self, text: Callable[[], str], where: str, place: bytes) -> str:
        try:
            key_id = self.current()
            cipher = self._cipher(key_id)
        except KeyMissing as error:
            raise KeyMissing(f"{where} cannot be sealed: {error}", key_id=error.key_id) from None
        nonce, about = os.urandom(NONCE_BYTES), Token(key_id, place, b"").about
        return tokens.write(key_id, place, nonce + cipher.encrypt(nonce, text().encode(), about))

    def _opened(self, parts: Token, where: str) -> str:
        try:
            cipher = self._cipher(parts.key_id)
        except KeyMissing as error:
            message = f"{where} is sealed with key {parts.key_id!r}: {error}"
            raise KeyMissing(message, key_id=parts.key_id) from None
        nonce, rest = parts.data[:NONCE_BYTES], parts.data[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, rest, parts.about).decode()
        except Exception as error:  # noqa: BLE001 - InvalidTag; imported lazily, and nothing else is told
            kind = type(error).__name__
        reason = (
            f"its secret was changed, or key {parts.key_id!r} is not the one it was sealed with"
        )
        raise CorruptState(where, f"{reason} ({kind})")

    def _cipher(self, key_id: str) -> AESGCM:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            cipher = self._ciphers[key_id] = aes(key_of(self.provider, key_id), "secrets")
        return cipher


def _whole(token: str, where: str) -> Token:
    parts = tokens.read(token)
    if parts is None or len(parts.data) < NONCE_BYTES + TAG_BYTES:
        raise CorruptState(where, "its secret is not a whole token")
    return parts
