"""How parts of a backup are packed: compressed, sealed where there is a key, and their digest."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import BackupDamaged, KeyMissing
from ..options import Options
from ..records.zstd import zstd
from ..secrets.aes import aes
from ..secrets.keys import KeyProvider, key_of
from .levels import DEFAULT_LEVEL, LEVELS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

COMPRESSION: Final = "zstd"
ENCRYPTION: Final = "aes-256-gcm"
SALT_BYTES: Final = 32
TAG_BYTES: Final = 16
_INFO: Final = b"perdure backup 1"
_MANIFEST: Final = 2**64 - 1
"""The number under which the manifest is sealed: no part has it."""


def digest_of(data: bytes | bytearray) -> str:
    """Return the digest of a part, or of a manifest, as it is stored."""
    return hashlib.sha256(data).hexdigest()


class BackupSeal:
    """Encrypt the parts of one backup, each for its place, and open them again.

    The key is made from the one that the provider has and from a salt (HKDF with SHA-256), so that
    no two backups share one, and the number of a part can be its nonce.
    """

    def __init__(self, key: bytes, salt: bytes) -> None:
        """Make the key of one backup."""
        start = hmac.digest(salt, key, "sha256")
        self._cipher: AESGCM = aes(hmac.digest(start, _INFO + b"\x01", "sha256"), "such backups")

    def close(self, number: int, data: bytes | bytearray) -> bytes:
        """Return a part encrypted; a number is used once."""
        return self._cipher.encrypt(_nonce(number), data, None)

    def open(self, number: int, data: bytes) -> bytes | None:
        """Return a part as it was, None if it is another one or was changed."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        try:
            return self._cipher.decrypt(_nonce(number), data, None)
        except InvalidTag:
            return None

    def mark(self, manifest: bytes) -> bytes:
        """Return what proves that a manifest was written by somebody who has the key."""
        return self._cipher.encrypt(_nonce(_MANIFEST), b"", manifest)


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def new_seal(keys: KeyProvider) -> tuple[BackupSeal, str, bytes]:
    """Return a seal with the current key, the id of that and the salt; KeyMissing if there is none.

    ConfigurationError if the package that encrypts is not installed.
    """
    key_id, salt = keys.current(), os.urandom(SALT_BYTES)
    return BackupSeal(key_of(keys, key_id), salt), key_id, salt


def seal_of(name: str, keys: KeyProvider | None, key_id: str, salt: bytes) -> BackupSeal:
    """Return the seal of a backup; KeyMissing names the key that is not there."""
    if keys is None:
        message = (
            f"the backup {name} is encrypted with the key {key_id!r}, and no keys were given;"
            " give those that it was made with"
        )
        raise KeyMissing(message, key_id=key_id)
    try:
        key = key_of(keys, key_id)
    except KeyMissing as error:
        message = f"the backup {name} is encrypted with the key {key_id!r}: {error}"
        raise KeyMissing(message, key_id=key_id) from None
    return BackupSeal(key, salt)


def check_level(options: Options, level: object) -> None:
    """Raise ConfigurationError for what is no level of compression."""
    if not isinstance(level, int) or isinstance(level, bool) or level not in LEVELS:
        raise options.wrong("level", f"a whole number, 0 (no compression) to {LEVELS[-1]}")


@dataclass(frozen=True, slots=True)
class Packing:
    """How the parts of one backup are packed."""

    level: int = DEFAULT_LEVEL
    """Of compression; 0 is none."""
    seal: BackupSeal | None = None

    @property
    def compression(self) -> str:
        """What the manifest says of it."""
        return COMPRESSION if self.level else ""

    def pack(self, number: int, data: bytes | bytearray) -> bytes | bytearray:
        """Return a part as it is stored."""
        if self.level:
            data = zstd().compress(data, options=_parameters(self.level))
        return data if self.seal is None else self.seal.close(number, data)


@functools.cache
def _parameters(level: int) -> dict[Any, int]:
    name = zstd().CompressionParameter
    if level != DEFAULT_LEVEL:
        return {name.compression_level: level}
    # Rows are short and alike. A search in a few places that goes on for a better match two bytes
    # further saves more than level 6, in less time; zstd's own level 5 saves as little as 3.
    return {
        name.compression_level: level, name.strategy: zstd().Strategy.lazy2,
        name.min_match: 6, name.search_log: 2, name.hash_log: 18, name.chain_log: 18,
        name.window_log: 23,
    }  # fmt: skip


def unpack(  # noqa: PLR0917 - what a part is
    name: str, number: int, data: bytes, seal: BackupSeal | None, compression: str, size: int
) -> bytes:
    """Return a part of ``size`` bytes as it was; BackupDamaged if it is not that any more."""
    if seal is not None:
        opened = seal.open(number, data)
        if opened is None:
            problem = f"part {number} was changed, or is sealed with other bytes than the key has"
            raise BackupDamaged(name, problem)
        data = opened
    try:
        if compression:
            data = zstd().ZstdDecompressor().decompress(data, max_length=size + 1)
    except zstd().ZstdError as error:
        raise BackupDamaged(name, f"part {number} does not decompress: {error}") from error
    if len(data) != size:
        raise BackupDamaged(name, f"part {number} is not of the {size:,} bytes it should have")
    return data
