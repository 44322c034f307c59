"""Where keys come from. A provider knows several: new secrets take the current one."""

from __future__ import annotations

import base64
import binascii
import importlib
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

from ..errors import ConfigurationError, KeyMissing
from ..options import Options
from .tokens import is_key_id

KEY_BYTES: Final = 32
"""Bytes a key has: AES-256 takes no other."""


class KeyProvider(Protocol):
    """Give keys by their ids. Asked again whenever a key is needed that was not seen before."""

    def current(self) -> str:
        """Return the id of the key that new secrets are sealed with; KeyMissing if none is."""
        ...

    def key(self, key_id: str) -> bytes:
        """Return the 32 bytes of a key; KeyMissing if it is not there."""
        ...


def new_key() -> bytes:
    """Return 32 random bytes, fit to be a key."""
    return secrets.token_bytes(KEY_BYTES)


def key_text(key: bytes) -> str:
    """Return a key as files and environment variables hold it: base64."""
    return base64.b64encode(key).decode()


class StaticKeys:
    """Hold keys in memory, the first is the current one. For tests, and for keys from elsewhere."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Check ``keys``, bytes by id; ConfigurationError names the id that is wrong."""
        self._keys = dict(keys)
        for key_id, key in self._keys.items():
            _check(key_id, key, "StaticKeys")

    def current(self) -> str:
        """Return the id of the first key."""
        return _first(self._keys, self)

    def key(self, key_id: str) -> bytes:
        """Return the bytes of a key."""
        return _found(self._keys, key_id, self)

    def __repr__(self) -> str:
        return f"StaticKeys({', '.join(self._keys)})"


class FileKeys:
    """Read keys from a file of lines ``ID BASE64``; the first is the current one.

    Empty lines and lines that begin with ``#`` do not count. The file is read again for each key
    that was not asked for before and when a rotation begins, so a running system takes a new line.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the file; ConfigurationError if it is malformed or others may read it."""
        _named(str(path), "a key file")
        self._path = Path(path)
        self._file = self._path.absolute()  # the program may change its directory
        self._read()

    def current(self) -> str:
        """Return the id of the first line."""
        return _first(self._read(), self)

    def key(self, key_id: str) -> bytes:
        """Return the key of a line."""
        return _found(self._read(), key_id, self)

    def __repr__(self) -> str:
        return str(self._path)

    def _read(self) -> dict[str, bytes]:
        try:
            with self._file.open(encoding="utf-8") as file:
                # Of the open file, not of the path: nobody can exchange it in between.
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    raise ConfigurationError(f"{self._path} is not a key file, nor any plain file")
                lines = file.read().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            message = f"the key file {self._path} cannot be read: {_reason(error)}"
            raise ConfigurationError(message) from None
        entries = [
            (number, line.split())
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
        found = [(f"line {number} of {self._path}", entry) for number, entry in entries]
        if not stat.S_IMODE(mode) & 0o077:
            return _parsed(found)
        # Only of a key file: nobody is to take rights from a file that is something else.
        try:
            _parsed(found)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._path} is not a key file: {error}") from None
        raise ConfigurationError(f"{self._path} can be read by others; run chmod 600 {self._path}")


class EnvironmentKeys:
    """Read keys from an environment variable: ``ID:BASE64,ID:BASE64``, the first is current."""

    def __init__(self, variable: str = "PERDURE_KEYS") -> None:
        """Read the variable; ConfigurationError if it is missing or malformed."""
        _named(variable, "an environment variable that holds keys")
        self._variable = variable
        self._read()

    def current(self) -> str:
        """Return the id of the first key."""
        return _first(self._read(), self)

    def key(self, key_id: str) -> bytes:
        """Return the bytes of a key."""
        return _found(self._read(), key_id, self)

    def __repr__(self) -> str:
        return f"${self._variable}"

    def _read(self) -> dict[str, bytes]:
        text = os.environ.get(self._variable)
        if text is None:
            message = f"the environment variable {self._variable} is not set; it holds the keys"
            raise ConfigurationError(message)
        entries = [entry.strip().split(":") for entry in text.split(",") if entry.strip()]
        return _parsed(
            (f"key {number} of ${self._variable}", entry) for number, entry in enumerate(entries, 1)
        )


class KeyringKeys:
    """Read keys from the keyring of the operating system; needs ``pip install perdure[keyring]``.

    Each key is a password of ``service`` under its id, in base64; the password under ``current``
    is the id of the current one.
    """

    def __init__(self, service: str = "perdure") -> None:
        """Look for the keyring; ConfigurationError if the package is missing."""
        _named(service, "a service of the keyring")
        self._service = service
        self._keyring = _keyring()

    def current(self) -> str:
        """Return the id that stands under ``current``."""
        found: str | None = self._keyring.get_password(self._service, "current")
        if not found:
            raise KeyMissing(f"{self} names no current key", key_id="")
        return found

    def key(self, key_id: str) -> bytes:
        """Return the key that stands under its id."""
        text: str | None = self._keyring.get_password(self._service, key_id)
        if text is None:
            return _found({}, key_id, self)
        return _parsed([(f"key {key_id} of {self}", [key_id, text])])[key_id]

    def __repr__(self) -> str:
        return f"the keyring service {self._service!r}"


class NoKeys:
    """Stand for the keys of a system that was opened without any."""

    def current(self) -> str:
        """Raise KeyMissing."""
        raise KeyMissing(f"there is no key: {self}", key_id="")

    def key(self, key_id: str) -> bytes:
        """Raise KeyMissing."""
        return _found({}, key_id, self)

    def __repr__(self) -> str:
        return "a system opened without Keys(secrets=...)"


def _named(name: str, what: str) -> None:
    if not name:
        raise ConfigurationError(f"the name of {what} is empty; give one")


def _keyring() -> ModuleType:
    try:
        return importlib.import_module("keyring")
    except ImportError:
        message = "KeyringKeys needs the package keyring; run pip install perdure[keyring]"
        raise ConfigurationError(message) from None


def _parsed(entries: Iterable[tuple[str, list[str]]]) -> dict[str, bytes]:
    """Return the keys of ``(where, [id, base64])``; no error shows what stands there."""
    keys: dict[str, bytes] = {}
    for where, entry in entries:
        if len(entry) != 2:  # noqa: PLR2004 - an id and a key
            raise ConfigurationError(f"{where} is not an id and a key in base64")
        key_id, text = entry
        try:
            key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        _check(key_id, key, where)
        if key_id in keys:
            raise ConfigurationError(f"{where} has the id {key_id!r} of a key before it")
        keys[key_id] = key
    return keys


def _check(key_id: object, key: object, where: str) -> None:
    if not isinstance(key_id, str) or is_key_id(key_id) is None:
        # The id is not shown: the two parts of an entry are easily exchanged.
        message = f"{where}: the id of a key is 1 to 64 letters, digits, dots, dashes, underscores"
        raise ConfigurationError(message)
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        message = f"{where}: a key has {KEY_BYTES} bytes; make one with perdure.new_key()"
        raise ConfigurationError(message)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a system seals and signs with."""

    secrets: KeyProvider | None = None
    """The keys that ``Secret`` values are sealed with; without them secrets stay closed."""
    pickles: KeyProvider | None = None
    """The keys that ``Pickled`` objects are signed with; without them a class that holds such
    objects is refused."""
    backups: KeyProvider | None = None
    """The keys that ``system.backup`` encrypts with; without them backups are not encrypted."""

    def __post_init__(self) -> None:
        """Refuse what is no provider of keys."""
        for name in ("secrets", "pickles", "backups"):
            if getattr(self, name) is not None:
                form = f"a provider of keys, as in {name}=FileKeys(path)"
                Options(self).methods(name, ("current", "key"), form)


def key_of(provider: KeyProvider, key_id: str) -> bytes:
    """Return a provider's key; ConfigurationError if it could not be one."""
    key = provider.key(key_id)
    _check(key_id, key, f"{provider!r}, key {key_id!r}")
    return key


def _first(keys: Mapping[str, bytes], provider: KeyProvider) -> str:
    for key_id in keys:
        return key_id
    raise KeyMissing(f"{provider!r} has no key", key_id="")


def _found(keys: Mapping[str, bytes], key_id: str, provider: KeyProvider) -> bytes:
    try:
        return keys[key_id]
    except KeyError:
        raise KeyMissing(f"{provider!r} has no key {key_id!r}", key_id=key_id) from None


def _reason(error: Exception) -> str:
    return error.strerror or "it fails" if isinstance(error, OSError) else "it is not UTF-8 text"
