"""Codecs of types that hold secrets or pickled objects; all others keep the plain one."""

from __future__ import annotations

import dataclasses
import threading
import typing
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from ..codec.codec import Codec, check_storable, codec_of
from ..codec.explain import name_of
from ..errors import ConfigurationError, CorruptState, KeyMissing
from . import tokens
from .pickled import Pickled, Signature
from .secret import Seal, Secret
from .signer import read as read_signed
from .vault import Vault

T = TypeVar("T")


class _Work(threading.local):
    """What this thread encodes or decodes at the moment: msgspec's hooks get no other context."""

    path = ""
    """Where it stands, as errors name it."""
    sealed: dict[str, Secret[object]] | None = None
    """While a value is proved: its secrets by token."""
    tokens: dict[int, str] | None = None
    """Their tokens by identity: one that stands in two places is sealed once."""
    signed: dict[str, Pickled[object]] | None = None
    """The same for pickled objects, by their stored form."""


_work: Final = _Work()


class SecretCodec(Codec[T]):
    """Encode and decode values in which secrets stand as tokens. Thread-safe."""

    __slots__ = ("_inner", "_vault", "_where")

    def __init__(self, declared: object, vault: Vault, where: str) -> None:
        """Build the codec of ``declared``; ``where`` names the field that it is for."""
        super().__init__(declared)
        self._vault = vault
        self._where = where
        self._inner: dict[object, Codec[object]] = {}
        for found in _special(declared, set()):
            self._prepare(found)
        self._encode = msgspec.json.Encoder(enc_hook=self._close).encode
        self._decoder = msgspec.json.Decoder(declared, dec_hook=self._restore)

    def _prepare(self, declared: object) -> None:
        kind = typing.get_origin(declared) or declared
        (of,) = typing.get_args(declared) or (object,)
        if kind is Pickled:
            if self._vault.signer is None:
                message = (
                    f"{self._where} is a Pickled: open the system with"
                    " keys=Keys(pickles=FileKeys(...)), whose key signs it"
                )
                raise ConfigurationError(message)
            return
        if next(_special(of, set()), None) is not None:
            raise ConfigurationError(f"{self._where} is a Secret with a Secret or Pickled inside")
        check_storable(of, f"the secret {self._where}")
        self._inner[declared] = codec_of(of)

    def _inner_of(self, declared: object) -> Codec[object]:
        inner = self._inner.get(declared)
        if inner is None:  # a form that msgspec makes of a generic class
            self._prepare(declared)
            inner = self._inner[declared]
        return inner

    def encode(self, value: T, path: str) -> str:
        """Return the JSON text of ``value``; KeyMissing if a key to seal with is missing."""
        return self.encode_copy(value, path)[0]

    def encode_copy(self, value: T, path: str) -> tuple[str, T]:
        """Return the JSON text of ``value``, and what a load would make of it."""
        _work.path, _work.sealed, _work.tokens, _work.signed = path, {}, {}, {}
        try:
            return super().encode_copy(value, path)
        finally:
            _work.sealed = _work.tokens = _work.signed = None

    def decode(self, text: str) -> T:
        """Return the value that ``text`` holds; its secrets stay closed."""
        _work.path = self._where
        return super().decode(text)

    def load(self, text: str, path: str, position: int | None = None) -> T:
        """Decode what the store holds at ``path``; its secrets stay closed."""
        _work.path = path if position is None else f"{path}[{position}]"
        return super().load(text, path, position)

    def _close(self, value: object) -> str:
        """Return what is stored for a secret or a pickled object."""
        if isinstance(value, Secret):
            return self._seal(value)
        if isinstance(value, Pickled):
            return self._sign(value)
        message = f"there is no JSON form of {type(value).__name__}"
        raise TypeError(message)

    def _seal(self, secret: Secret[object]) -> str:
        sealer, seal = self._vault.sealer, secret.seal
        assert _work.sealed is not None, "only encode_copy() encodes"
        assert _work.tokens is not None, "only encode_copy() encodes"
        token = _work.tokens.get(id(secret))
        if token is not None:
            return token
        if seal is not None and seal.sealer is sealer:
            token = seal.token
            try:
                if tokens.key_of(token) != sealer.current():
                    token = sealer.seal(secret.text, _work.path)
            except (KeyMissing, CorruptState):
                pass  # it stays as it is: who only carries a secret need not open it
        if token is None:
            token = sealer.seal(lambda: _text(secret), _work.path)
        _work.sealed[token] = secret
        _work.tokens[id(secret)] = token
        return token

    def _sign(self, pickled: Pickled[object]) -> str:
        signer, signature = self._vault.signer, pickled.signature
        assert signer is not None, "_prepare() refuses Pickled without a signer"
        if signature is not None and signature.signer is signer:
            text = signature.text
        else:
            text = pickled.sign(signer, _work.path)
        assert _work.signed is not None, "only encode_copy() encodes"
        _work.signed[text] = pickled
        return text

    def _restore(self, declared: type, stored: object) -> object:
        """Return the closed secret or the unread object; ValueError if none is stored there."""
        kind = typing.get_origin(declared) or declared
        if kind is Secret:
            return self._closed(declared, stored)
        if kind is Pickled:
            return self._unread(declared, stored)
        message = f"there is no JSON form of {name_of(declared)}"
        raise TypeError(message)

    def _closed(self, declared: type, token: object) -> Secret[object]:
        inner = self._inner_of(declared)
        source = None
        if _work.sealed is not None:
            source = _work.sealed.get(token) if isinstance(token, str) else None
            if source is None:
                raise ValueError("holds something else than a Secret; write Secret(...)")
        if not isinstance(token, str) or tokens.read(token) is None:
            raise ValueError("what is stored there is not a sealed secret")
        seal: Seal[object] = Seal(token, self._vault.sealer, inner, _work.path)
        if source is not None:
            if source.seal is None or source.seal.inner is not inner:
                _prove(source, inner)
            if source.seal is None or source.seal.token != token:
                source.sealed_as(seal)
        return Secret.stored(seal)

    def _unread(self, declared: type, text: object) -> Pickled[object]:
        signer = self._vault.signer
        assert signer is not None, "_prepare() refuses Pickled without a signer"
        if _work.signed is not None and not (isinstance(text, str) and text in _work.signed):
            raise ValueError("holds something else than a Pickled; write Pickled(...)")
        signed = read_signed(text) if isinstance(text, str) else None
        if signed is None or not isinstance(text, str):
            raise ValueError("what is stored there is not a signed payload")
        (of,) = typing.get_args(declared) or (object,)
        signature = Signature(signed.name, text, signer, typing.get_origin(of) or of, _work.path)
        source = None if _work.signed is None else _work.signed.get(text)
        if source is not None and source.signature is None:
            expected = signature.expected
            if source.kind and isinstance(expected, type) and not issubclass(source.kind, expected):
                raise ValueError(f"holds a {source.name}, not a {expected.__name__}")
            source.signed_as(signature)
        return Pickled.stored(signature)


def _text(secret: Secret[object]) -> str:
    """Return the text to seal; the error of a value that has none does not show the value."""
    try:
        return secret.text()
    except KeyMissing:
        raise
    except Exception as error:  # noqa: BLE001 - its text would show the value
        kind = type(error).__name__
    # Outside of `except`: so the new error has no context in which the value stands.
    raise ValueError(f"a secret holds a value that JSON cannot hold ({kind})")


def _prove(secret: Secret[object], inner: Codec[object]) -> None:
    """Refuse a secret whose value is not what is declared, without showing the value."""
    try:
        inner.encode(secret.reveal(), "the value")
    except KeyMissing:
        raise
    except Exception:  # noqa: BLE001 - its text would show the value
        declared = name_of(inner.declared)
    else:
        return
    raise ValueError(f"the value of a secret cannot be stored exactly as {declared}")


SPECIAL: Final[frozenset[object]] = frozenset({object, Secret, Pickled})
"""Classes that a stored type may hold although JSON has no form of them."""


def codec_for(declared: object, vault: Vault, where: str) -> Codec[object]:
    """Return the codec of a declared type; ``where`` names its field in errors.

    The plain, shared one unless there is a Secret or Pickled in the type.
    """
    return SecretCodec(declared, vault, where) if holds_secrets(declared) else codec_of(declared)


def holds_secrets(declared: object) -> bool:
    """Tell whether a declared type has a Secret or Pickled anywhere in it."""
    return next(_special(declared, set()), None) is not None


def _special(declared: object, seen: set[object]) -> Iterator[object]:
    """Find every ``Secret[...]`` and ``Pickled[...]`` in a declared type, also in its classes."""
    kind = typing.get_origin(declared) or declared
    if kind is Secret or kind is Pickled:
        yield declared
        return
    arguments = typing.get_args(declared)
    if typing.get_origin(declared) is not typing.Literal:
        for argument in arguments:
            for part in argument if isinstance(argument, list) else (argument,):
                yield from _special(part, seen)
    if isinstance(kind, type) and kind not in seen:
        seen.add(kind)
        for annotation in _annotations(kind):
            yield from _special(annotation, seen)


def _annotations(kind: type) -> list[object]:
    """Return the types of the fields of a record class."""
    record = issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind)
    if not (record or typing.is_typeddict(kind) or hasattr(kind, "_fields")):
        return []
    try:
        return list(typing.get_type_hints(kind).values())
    except (NameError, TypeError, AttributeError):
        return []  # the plain codec says what is wrong with it
