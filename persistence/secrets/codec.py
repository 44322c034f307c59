"""Codecs of types that hold secrets or pickled objects; all others keep the plain one."""

from __future__ import annotations

import copy
import dataclasses
import os
import re
import threading
import typing
from collections.abc import Iterator
from typing import ClassVar, Final, TypeVar

import msgspec

from ..codec.codec import Codec, check_storable, codec_of
from ..codec.explain import name_of
from ..errors import ConfigurationError, CorruptState, KeyMissing, SignatureInvalid
from . import tokens
from .moving import moved
from .pickled import Pickled, Signature
from .place import Place, texts_in
from .secret import Seal, Secret
from .signer import read as read_signed
from .vault import Vault

T = TypeVar("T")


_Sealed: typing.TypeAlias = dict[tuple[int, Place], tuple[Secret[object], str]]
"""Tokens by identity and place of a secret; it is kept, so that its identity stays its own."""

_MARK: Final = f"perdure:here:{os.urandom(12).hex()}:"
"""What stands for a secret while its text is made: its place is known when all of that is there."""
_MARKED: Final = re.compile(rb'"' + _MARK.encode() + rb'(\d+)"')


class _Work(threading.local):
    """What this thread encodes or decodes at the moment: msgspec's hooks get no other context."""

    def __init__(self) -> None:
        self.path = ""
        """Where it stands, as errors name it."""
        self.place: Place = ()
        self.places: dict[str, Place | None] = {}
        """Where each token stands in it; None for one that stands in several places."""
        self.met: list[Secret[object]] = []
        """The secrets that were met while a text is made."""
        self.sealed: dict[str, Secret[object]] | None = None
        """While a value is proved: its secrets by token."""
        self.tokens: _Sealed = {}
        """Those tokens: one that stands twice in one place is sealed once."""
        self.signed: dict[str, Pickled[object]] | None = None
        """The same for pickled objects, by their stored form."""


_work: Final = _Work()


class SecretCodec(Codec[T]):
    """Encode and decode values in which secrets stand as tokens. Thread-safe.

    A token is bound to where it stands: to the place that ``at`` gives, and on from there. A secret
    that is met in another place than it was sealed for is opened and sealed anew, which takes its
    key; one that stays where it is need not be opened.
    """

    __slots__ = ("_before", "_inner", "_levels", "_place", "_vault", "_where")

    bound: ClassVar[bool] = True

    def __init__(self, declared: object, vault: Vault, where: str, *, levels: int = 0) -> None:
        """Build the codec of ``declared``; ``where`` names the field that it is for.

        In the first ``levels`` of its values positions in lists are different places.
        """
        super().__init__(declared)
        self._vault = vault
        self._where = where
        self._levels = levels
        self._place: Place = ()
        # What the last encoding has sealed. An object that stands in several places of live state
        # has one token for each, and remembers but one of them itself.
        self._before: _Sealed = {}
        self._inner: dict[object, Codec[object]] = {}
        for found in _special(declared, set()):
            self._prepare(found)
        self._encode = msgspec.json.Encoder(enc_hook=self._close).encode
        self._decoder = msgspec.json.Decoder(declared, dec_hook=self._restore)

    def at(self, *place: str) -> SecretCodec[T]:
        """Return the codec of the values at a place; for one thread at a time."""
        here: SecretCodec[T] = copy.copy(self)
        here._place, here._before = place, {}
        return here

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

    def encode(self, value: T, path: str, part: str | int | None = None) -> str:
        """Return the JSON text of ``value``; KeyMissing if a key to seal with is missing."""
        return self.encode_copy(value, path, part)[0]

    def encode_copy(self, value: T, path: str, part: str | int | None = None) -> tuple[str, T]:
        """Return the JSON text of ``value``, and what a load would make of it."""
        self._stand(path, part)
        _work.places, _work.sealed, _work.tokens, _work.signed = {}, {}, {}, {}
        try:
            found = super().encode_copy(value, path, part)
            self._before = _work.tokens
        finally:
            _work.sealed = _work.signed = None
            _work.tokens, _work.met = {}, []
        return found

    def decode(self, text: str, part: str | int | None = None) -> T:
        """Return the value that ``text`` holds; its secrets stay closed."""
        self._look(text, self._where, part)
        return super().decode(text, part)

    def load(self, text: str, path: str, part: str | int | None = None) -> T:
        """Decode what the store holds at ``path``; its secrets stay closed."""
        try:
            self._look(text, path, part)
        except (ValueError, RecursionError):
            _work.places = {}  # it does not decode below either, which says so
        return super().load(text, path, part)

    def as_loaded(self, value: T, text: str) -> T:
        """Return ``value`` if a load of its ``text`` gives the same, else what the load gives."""
        self._look(text, self._where, None)
        return super().as_loaded(value, text)

    def moved(self, text: str, source: str | None, part: str | int, where: str) -> str:
        """Return a text that stood at the place, under ``source`` there, as it may stand at a part.

        KeyMissing if the key of one of its secrets is not there.
        """
        here = self._place if source is None else (*self._place, source)
        return moved(text, self._vault.sealer, here, (*self._place, str(part)), where)

    def _stand(self, path: str, part: str | int | None) -> None:
        _work.path = path if part is None else f"{path}[{part!r}]"
        _work.place = self._place if part is None else (*self._place, str(part))

    def _look(self, text: str, path: str, part: str | int | None) -> None:
        """Find where in a text its tokens stand."""
        self._stand(path, part)
        places: dict[str, Place | None] = {}
        _work.places = places
        if tokens.PREFIX in text:
            for place, found in texts_in(msgspec.json.decode(text), _work.place, self._levels):
                if found.startswith(tokens.PREFIX):
                    places[found] = place if places.get(found, place) == place else None

    def _text(self, value: object) -> bytes:
        _work.met = []
        encoded = super()._text(value)
        if not _work.met:
            return encoded
        put: dict[bytes, bytes] = {}
        for place, text in texts_in(msgspec.json.decode(encoded), _work.place, self._levels):
            if text.startswith(_MARK):
                number = text[len(_MARK) :]
                put[number.encode()] = self._seal(_work.met[int(number)], place).encode()
        return _MARKED.sub(lambda found: b'"' + put[found[1]] + b'"', encoded)

    def _close(self, value: object) -> str:
        """Return what stands in a text for a secret or a pickled object."""
        if isinstance(value, Secret):
            _work.met.append(value)
            return f"{_MARK}{len(_work.met) - 1}"
        if isinstance(value, Pickled):
            return self._sign(value)
        message = f"there is no JSON form of {type(value).__name__}"
        raise TypeError(message)

    def _seal(self, secret: Secret[object], place: Place) -> str:
        """Return the token of a secret at a place."""
        assert _work.sealed is not None, "only encode_copy() encodes"
        sealer, known = self._vault.sealer, (id(secret), place)
        token = _work.tokens[known][1] if known in _work.tokens else self._sealed(secret, place)
        try:
            if not sealer.is_latest(token):
                token = sealer.seal(secret.text, _work.path, place)
        except (KeyMissing, CorruptState):
            pass  # it stays as it is: who only carries a secret need not open it
        _work.sealed[token] = secret
        _work.tokens[known] = secret, token
        again = _work.places.get(token, place)
        _work.places[token] = place if again == place else None
        return token

    def _sealed(self, secret: Secret[object], place: Place) -> str:
        """Return the token that a secret has at a place already, or a new one."""
        sealer, seal = self._vault.sealer, secret.seal
        before = self._before.get((id(secret), place))
        if before is not None:
            return before[1]
        # What was found in several places at once opens nowhere, and so is carried as it is.
        if seal is not None and seal.sealer is sealer and seal.place in (place, None):
            return seal.token
        return sealer.seal(lambda: _text(secret), _work.path, place)

    def _sign(self, pickled: Pickled[object]) -> str:
        signer, signature = self._vault.signer, pickled.signature
        assert signer is not None, "_prepare() refuses Pickled without a signer"
        if signature is not None and signature.signer is signer:
            text = signature.text
            try:
                if not signer.is_latest(text):
                    text = signer.again(text, _work.path)
            except (KeyMissing, SignatureInvalid):
                pass  # it stays as it is: who only carries an object need not check it
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
        place = _work.places.get(token)
        seal: Seal[object] = Seal(token, self._vault.sealer, inner, _work.path, place)
        if source is not None:
            own = source.seal
            if own is None or own.inner is not inner:
                _prove(source, inner)
            if own is None or own.sealer is not seal.sealer:
                source.sealed_as(seal)
            elif own.place == place and own.token != token:
                source.sealed_as(seal)  # with the current key
            source.proven_as(token)
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
        own = None if source is None else source.signature
        if source is not None and own is not None and own.signer is signer and own.text != text:
            source.signed_as(signature)  # by the current key
        if source is not None and own is None:
            expected = signature.expected
            if source.kind and isinstance(expected, type) and not issubclass(source.kind, expected):
                raise ValueError(f"holds a {source.name}, not a {expected.__name__}")
            source.signed_as(signature)
        return Pickled.stored(signature)


def _text(secret: Secret[object]) -> str:
    """Return the text to seal; the error of a value that has none does not show the value."""
    try:
        return secret.text()
    except (KeyMissing, CorruptState):
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
