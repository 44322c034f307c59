"""Signatures over bytes that would run code: made by us, or refused unread."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final, NamedTuple

from ..errors import KeyMissing, SignatureInvalid
from .keys import KeyProvider, key_of
from .tokens import KEY_ID

PREFIX: Final = "perdure:pickle:1:"
SIGNED: Final = re.compile(
    rf"{PREFIX}({KEY_ID}):([\w.<>]{{1,500}}):([0-9a-f]{{64}}):([A-Za-z0-9+/]+={{0,2}})"
)
"""A signed payload anywhere in a text."""


class Signed(NamedTuple):
    """A signed payload taken apart, not checked yet."""

    key_id: str
    name: str
    signature: str
    data: str
    """The payload in base64."""


def read(text: str) -> Signed | None:
    """Take the stored form apart; None if ``text`` is not one."""
    found = SIGNED.fullmatch(text)
    return None if found is None else Signed(*found.groups())


class Signer:
    """Sign payloads with the current key and check them with the one they name. Thread-safe."""

    def __init__(self, provider: KeyProvider) -> None:
        self.provider: Final = provider
        self._current: str | None = None

    def current(self) -> str:
        """Return the id of the key in use; KeyMissing if there is none."""
        if self._current is None:
            self._current = self.provider.current()
        return self._current

    def refresh(self) -> None:
        """Ask the provider again for its current key."""
        self._current = None

    def is_latest(self, text: str) -> bool:
        """Tell whether a stored form is signed with the current key."""
        return key_of_signed(text) == self.current()

    def sign(self, name: str, payload: bytes, where: str) -> str:
        """Return the stored form of ``payload``, which holds an object of type ``name``."""
        return self._signed(name, base64.b64encode(payload).decode(), where)

    def again(self, text: str, where: str) -> str:
        """Return a stored form with a signature of the current key; raises what ``check`` raises.

        The payload is the same: nothing is unpickled.
        """
        self.check(text, where)
        signed = read(text)
        assert signed is not None, "it was checked"
        return self._signed(signed.name, signed.data, where)

    def _signed(self, name: str, data: str, where: str) -> str:
        try:
            key_id = self.current()
            signature = _signature(key_of(self.provider, key_id), key_id, name, data)
        except KeyMissing as error:
            raise KeyMissing(f"{where} cannot be signed: {error}", key_id=error.key_id) from None
        return f"{PREFIX}{key_id}:{name}:{signature}:{data}"

    def check(self, text: str, where: str) -> bytes:
        """Return the payload; SignatureInvalid unless every character of ``text`` is as signed."""
        signed = read(text)
        if signed is None:
            raise SignatureInvalid(f"{where} is not a whole signed payload; it was not unpickled")
        try:
            key = key_of(self.provider, signed.key_id)
        except KeyMissing as error:
            message = f"{where} is signed with key {signed.key_id!r}: {error}"
            raise KeyMissing(message, key_id=signed.key_id) from None
        expected = _signature(key, signed.key_id, signed.name, signed.data)
        if not hmac.compare_digest(expected, signed.signature):
            message = (
                f"{where} was changed, or key {signed.key_id!r} is not the one it was signed with;"
                " it was not unpickled"
            )
            raise SignatureInvalid(message)
        try:
            return base64.b64decode(signed.data, validate=True)
        except binascii.Error:
            raise SignatureInvalid(f"{where} is not base64; it was not unpickled") from None


def key_of_signed(text: str) -> str:
    """Return the id of the key that a stored form was signed with."""
    return text[len(PREFIX) :].partition(":")[0]


def _signature(key: bytes, key_id: str, name: str, data: str) -> str:
    # A key of its own, made of the given one: the same file may serve secrets as well.
    own = hmac.digest(key, b"perdure/pickle/1", hashlib.sha256)
    # None of the parts holds a NUL, so different parts never make the same message.
    message = f"{key_id}\0{name}\0{data}".encode()
    return hmac.new(own, message, hashlib.sha256).hexdigest()
