"""Names under which secrets stand: ``api_key``, but not ``keyboard`` or ``max_tokens``."""

from __future__ import annotations

import functools
import itertools
import re
from typing import Final

from .signer import PREFIX as PICKLED
from .tokens import PREFIX as SEALED

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

SINGLE: Final = frozenset(
    {
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "secret",
        "credential",
        "credentials",
        "bearer",
        "apikey",
        "secretkey",
        "privatekey",
        "accesstoken",
        "authtoken",
    }
)
PAIRS: Final = frozenset(
    tuple(pair.split())
    for pair in (
        "api key", "private key", "access key", "secret key", "signing key", "encryption key",
        "auth token", "access token", "refresh token", "bearer token", "api token", "auth key",
    )
)  # fmt: skip
ABOUT: Final = frozenset(
    {
        "hint",
        "policy",
        "length",
        "min",
        "max",
        "count",
        "expires",
        "expiry",
        "expired",
        "at",
        "on",
        "changed",
        "id",
        "ids",
        "url",
        "uri",
        "link",
        "name",
        "type",
        "kind",
        "strength",
        "label",
        "field",
        "reset",
        "required",
        "version",
        "age",
        "attempts",
        "status",
        "enabled",
        "rotated",
        "rotation",
        "file",
        "path",
        "ref",
        "hash",
        "digest",
        "fingerprint",
        "prompt",
        "message",
        "error",
        "title",
        "santa",
        "public",
        "page",
        "days",
        "date",
        "valid",
        "validity",
        "format",
        "rules",
        "scope",
        "scopes",
        "used",
        "limit",
        "manager",
    }
)
"""A name that ends in one of these tells something about a secret, and is none."""
PLACES: Final = frozenset(
    {
        "next",
        "page",
        "continuation",
        "sync",
        "stop",
        "pad",
        "eos",
        "bos",
        "unk",
        "mask",
        "start",
        "end",
    }
)
"""Before ``token``: a place in a list, or a word of a language model."""

LEAST: Final = 4
"""Characters a text under the name of a secret has; shorter ones say yes, no, n/a."""
LEAST_TOKEN: Final = 12
"""Characters below which a text under the name ``token`` is a word."""

_PLACEHOLDER: Final = re.compile(
    r"\*+|x{3,}|<.*>|\$.*|%.*|\{.*\}|\.{2,}|-+|(?:redacted|none|null|todo|changeme|unset|missing|"
    r"required|optional|true|false|unknown|hidden|masked|default|disabled|enabled|empty|undefined)"
    r"|(?:env|vault|file|secret|keyring)://?.*|os\.environ.*",
    re.IGNORECASE,
)


@functools.lru_cache(maxsize=4096)
def least_length(name: str) -> int:
    """Return the least length of a secret under ``name``; 0 if none stands there."""
    words: list[str] = _WORDS.findall(name)
    if not name.islower():
        words = [word.lower() for word in words]
    if not words or words[-1] in ABOUT:
        return 0
    if not SINGLE.isdisjoint(words) or not PAIRS.isdisjoint(itertools.pairwise(words)):
        return LEAST
    if words[-1] == "token" and (len(words) == 1 or words[-2] not in PLACES):
        return LEAST_TOKEN
    return 0


def is_secret(value: str, least: int) -> bool:
    """Tell whether a text under a name of that ``least_length`` is one."""
    if len(value) < least or _PLACEHOLDER.fullmatch(value):
        return False
    if value.startswith((SEALED, PICKLED)):
        return False
    return least < LEAST_TOKEN or " " not in value
