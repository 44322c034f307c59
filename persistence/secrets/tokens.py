"""The stored form of a secret: ``perdure:secret:1:KEY:DATA``, a JSON string without escapes."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

PREFIX: Final = "perdure:secret:1:"
KEY_ID: Final = r"[A-Za-z0-9._-]{1,64}"
"""What an id of a key may look like: it stands in tokens, in key files and in error texts."""
TOKEN: Final = re.compile(rf"{PREFIX}({KEY_ID}):([A-Za-z0-9_-]+)")
"""A token anywhere in a text."""

is_key_id: Final = re.compile(KEY_ID).fullmatch


class Token(NamedTuple):
    """A token taken apart."""

    key_id: str
    data: bytes
    """Nonce, ciphertext and tag."""


def write(key_id: str, data: bytes) -> str:
    """Return the token of sealed ``data``."""
    return f"{PREFIX}{key_id}:{base64.urlsafe_b64encode(data).rstrip(b'=').decode()}"


def read(text: str) -> Token | None:
    """Take a token apart; None if ``text`` is not exactly one."""
    found = TOKEN.fullmatch(text)
    if found is None:
        return None
    try:
        data = base64.b64decode(found[2] + "=" * (-len(found[2]) % 4), b"-_", validate=True)
    except binascii.Error:
        return None
    return Token(found[1], data)


def key_of(token: str) -> str:
    """Return the id of the key that a token was sealed with."""
    return token[len(PREFIX) :].partition(":")[0]
