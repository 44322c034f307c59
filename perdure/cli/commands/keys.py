"""The keys that a command is given: ``--keys``."""

from __future__ import annotations

from ...persistence.secrets.keys import EnvironmentKeys, FileKeys, KeyProvider, KeyringKeys


def provider_of(keys: str) -> KeyProvider:
    """Return the provider that a word names: a file, ``env:VARIABLE`` or ``keyring:SERVICE``."""
    kind, colon, rest = keys.partition(":")
    if colon and kind == "env":
        return EnvironmentKeys(rest)
    if colon and kind == "keyring":
        return KeyringKeys(rest)
    return FileKeys(keys)
