"""A value that is sealed wherever it is stored and shown as ``***`` wherever it is shown."""

from __future__ import annotations

import copy
import hmac
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, NoReturn, Protocol, TypeVar

import msgspec

from ..codec.explain import DeclaredOnly
from ..errors import CorruptState
from .place import Place
from .sealer import Sealer

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MASK: Final = "***"
"""What stands for a secret in every view."""

_ABSENT: Final = object()
_ATOMS: Final = frozenset({str, int, float, bool, bytes, type(None)})


class Inner(Protocol[T_co]):
    """Make values of the texts inside of secrets: the codec of ``T``."""

    def load(self, text: str, path: str) -> T_co:
        """Return the value of a text; CorruptState names ``path`` if it is of another type."""
        ...


@dataclass(frozen=True, slots=True)
class Seal(Generic[T]):
    """A secret as it is stored, and how to open it."""

    token: str
    sealer: Sealer
    inner: Inner[T]
    where: str
    """How an error names it."""
    place: Place | None
    """Where it stands; None if it stands in several places of one value, where nothing opens it."""

    def open(self) -> str:
        """Return the JSON text of the value."""
        return self.sealer.open(self.token, self.where, self.place)


class Secret(DeclaredOnly, Generic[T]):
    """Hold a value of type ``T`` that is encrypted at rest: ``token: Secret[str] | None = None``.

    Immutable: to change it, assign a new one. ``repr``, ``str`` and ``format`` give ``***``; it
    cannot be pickled. Two secrets are equal when their values are; comparing two that were sealed
    apart opens both. A system seals it when it is stored or sent, with the current key of
    ``AgentSystem.open(keys=Keys(secrets=...))``; nothing opens it but ``reveal()``.
    """

    __slots__ = ("_known", "_seal", "_value")
    why: ClassVar[str] = "a Secret is stored only where Secret[...] is declared"
    __hash__ = None  # type: ignore[assignment]  # equal ones may have different tokens

    def __init__(self, value: T) -> None:
        """Copy ``value``; whether it is of the declared type is seen when it is stored."""
        self._value: object = _copied(value)
        self._seal: Seal[T] | None = None
        self._known = ""

    @classmethod
    def stored(cls, seal: Seal[T]) -> Secret[T]:
        """Return the secret of a token, closed."""
        secret = cls(_ABSENT)  # type: ignore[arg-type]
        secret.sealed_as(seal)
        return secret

    def reveal(self) -> T:
        """Return the value, a new copy each time.

        Raises:
            KeyMissing: the key it was sealed with is not there; names the field and the key.
            CorruptState: the token was changed, or opens to something else than a ``T``.
        """
        if self._value is not _ABSENT:
            value: T = _copied(self._value)  # type: ignore[assignment]
            return value
        seal = self._seal
        assert seal is not None, "a secret has a value or a seal"
        try:
            return seal.inner.load(seal.open(), seal.where)
        except CorruptState as error:
            where, reason = error.where, error.reason
        # Outside of `except`: the error of the codec has the text in the variables of its frames.
        raise CorruptState(where, reason)

    # What the codec calls.

    @property
    def seal(self) -> Seal[T] | None:
        """How it is stored; None while it was never stored."""
        return self._seal

    def sealed_as(self, seal: Seal[T]) -> None:
        """Remember how it is stored, so that it is encoded alike the next time."""
        self._seal = seal  # one assignment: readers on other threads see the old seal or the new

    def proven_as(self, token: str) -> None:
        """Remember the last token of this value, whatever its place: it equals what has that."""
        self._known = token

    def text(self) -> str:
        """Return the JSON text of the value; for perdure itself, which seals it."""
        seal = self._seal
        if self._value is _ABSENT and seal is not None:
            return seal.open()
        return msgspec.json.encode(self._value).decode()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if self is other:
            return True
        mine, theirs = self._seal, other._seal
        if theirs is not None and theirs.token == self._known:
            return True
        if mine is not None and theirs is not None and mine.token == theirs.token:
            return True
        return hmac.compare_digest(self.text().encode(), other.text().encode())

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, _specification: str) -> str:
        return MASK

    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, _memo: object) -> Secret[T]:
        return self

    def __getstate__(self) -> NoReturn:
        self.__reduce_ex__(0)

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        message = "a Secret cannot be pickled; send it in a message or store it in a field"
        raise TypeError(message)


def _copied(value: object) -> object:
    return value if value.__class__ in _ATOMS or value is _ABSENT else copy.deepcopy(value)
