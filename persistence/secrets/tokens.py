"""The stored form of a secret: ``perdure:secret:2:KEY:DATA``, a JSON string without escapes.

The number says what DATA is. Tokens of version 1, which earlier releases have made, are bound to no
place; those of version 2 begin with the digest of theirs.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

from .place import DIGEST_BYTES

PREFIX: Final = "perdure:secret:"
KEY_ID: Final = r"[A-Za-z0-9._-]{1,64}"
"""What an id of a key may look like: it stands in tokens, in key files and in error texts."""
TOKEN: Final = re.compile(rf"{PREFIX}([12]):({KEY_ID}):([A-Za-z0-9_-]+)")
"""A token anywhere in a text."""

is_key_id: Final = re.compile(KEY_ID).fullmatch


class Token(NamedTuple):
    """A token taken apart."""

    key_id: str
    place: bytes | None
    """The digest of the place it was sealed for; None if it is bound to none."""
    data: bytes
    """Nonce, ciphertext and tag."""

    @property
    def about(self) -> bytes:
        """What its tag covers besides the ciphertext."""
        if self.place is None:
            return f"perdure/secret/1/{self.key_id}".encode()
        return f"perdure/secret/2/{self.key_id}/".encode() + self.place


def write(key_id: str, place: bytes, data: bytes) -> str:
    """Return the token of ``data``, sealed for the place of a digest."""
    coded = base64.urlsafe_b64encode(place + data).rstrip(b"=").decode()
    return f"{PREFIX}2:{key_id}:{coded}"


def read(text: str) -> Token | None:
    """Take a token apart; None if ``text`` is not exactly one."""
    found = TOKEN.fullmatch(text)
    if found is None:
        return None
    version, key_id, coded = found.groups()
    try:
        data = base64.b64decode(coded + "=" * (-len(coded) % 4), b"-_", validate=True)
    except binascii.Error:
        return None
    if version == "1":
        return Token(key_id, None, data)
    return Token(key_id, data[:DIGEST_BYTES], data[DIGEST_BYTES:])


def key_of(token: str) -> str:
    """Return the id of the key that a token was sealed with."""
    return token[len(PREFIX) + 2 :].partition(":")[0]


def is_bound(token: str) -> bool:
    """Tell whether a token is bound to a place."""
    return token.startswith(f"{PREFIX}2:")
