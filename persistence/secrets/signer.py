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
_SIGNED: Final = re.compile(
    rf"{PREFIX}({KEY_ID}):([\w.<>]{{1,500}}):([0-9a-f]{{64}}):([A-Za-z0-9+/]+={{0,2}})"
)


class Signed(NamedTuple):
    """A signed payload taken apart, not checked yet."""

    key_id: str
    name: str
    signature: str
    data: str
    """The payload in base64."""


def read(text: str) -> Signed | None:
    """Take the stored form apart; None if ``text`` is not one."""
    found = _SIGNED.fullmatch(text)
    return None if found is None else Signed(*found.groups())


class Signer:
    """Sign payloads with the current key and check them with the one they name. Thread-safe."""

    def __init__(self, provider: KeyProvider) -> None:
        self.provider: Final = provider

    def sign(self, name: str, payload: bytes, where: str) -> str:
        """Return the stored form of ``payload``, which holds an object of type ``name``."""
        data = base64.b64encode(payload).decode()
        try:
            key_id = self.provider.current()
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


def _signature(key: bytes, key_id: str, name: str, data: str) -> str:
    # A key of its own, made of the given one: the same file may serve secrets as well.
    own = hmac.digest(key, b"perdure/pickle/1", hashlib.sha256)
    # None of the parts holds a NUL, so different parts never make the same message.
    message = f"{key_id}\0{name}\0{data}".encode()
    return hmac.new(own, message, hashlib.sha256).hexdigest()
