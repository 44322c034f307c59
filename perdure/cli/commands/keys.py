"""The keys that a command is given: ``--keys``."""

from __future__ import annotations

from ...persistence.secrets.keys import (
    EnvironmentKeys,
    FileKeys,
    KeyProvider,
    KeyringKeys,
    Keys,
)


def provider_of(keys: str) -> KeyProvider:
    """Return the provider that a word names: a file, ``env:VARIABLE`` or ``keyring:SERVICE``."""
    kind, colon, rest = keys.partition(":")
    if colon and kind == "env":
        return EnvironmentKeys(rest)
    if colon and kind == "keyring":
        return KeyringKeys(rest)
    return FileKeys(keys)


def keys_of(secrets: str | None) -> Keys:
    """Return the keys for values whose secrets are sealed with those that a word names."""
    return Keys() if secrets is None else Keys(secrets=provider_of(secrets))
