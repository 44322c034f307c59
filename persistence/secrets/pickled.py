"""An object that no schema describes, stored by cloudpickle behind a signature."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from typing import Final, Generic, NoReturn, TypeVar

from ..errors import CorruptState, StateError
from .signer import Signer

T = TypeVar("T")

_STRANGE: Final = re.compile(r"[^\w.<>]")


@dataclass(frozen=True, slots=True)
class Signature:
    """A pickled object as it is stored, and what checks it."""

    name: str
    text: str
    signer: Signer
    expected: object
    """The declared type."""
    where: str


class Pickled(Generic[T]):
    """Hold an object of any class: ``fit: Pickled[Model] | None = None``.

    Takes what the object is now: later changes of it are not stored; assign a new one. Needs
    ``AgentSystem.open(keys=Keys(pickles=...))``, whose key signs it when it is stored. ``load()``
    checks that signature before a byte is unpickled. A person with the key can make objects that
    run code.
    """

    __slots__ = ("_name", "_payload", "_signature", "kind")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: T) -> None:
        """Pickle ``value``; StateError if it cannot be."""
        self._payload: bytes | None = None
        self._signature: Signature | None = None
        self.kind: type | None = None
        """The class of the object; None while it is not unpickled."""
        if isinstance(value, Signature):  # what stored() gives
            self._name, self._signature = value.name, value
            return
        import cloudpickle  # noqa: PLC0415 - for those who use it

        self.kind = kind = type(value)
        self._name = _STRANGE.sub("_", f"{kind.__module__}.{kind.__qualname__}")[:500]
        try:
            self._payload = cloudpickle.dumps(value)
        except Exception as error:  # any class's own __reduce__ may raise anything
            raise StateError(self._name, f"cannot be pickled: {error}") from error

    @classmethod
    def stored(cls, signature: Signature) -> Pickled[T]:
        """Return a stored object, unchecked and not unpickled."""
        return cls(signature)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """The class of the object, as its signature covers it."""
        return self._name

    def load(self) -> T:
        """Return the object, a new one each time.

        Raises:
            SignatureInvalid: it was changed since it was signed; nothing of it was unpickled.
            KeyMissing: the key that signed it is not there.
            CorruptState: it holds something else than the declared type, or its class is gone.
        """
        signature = self._signature
        where = self.name if signature is None else signature.where
        payload = self._checked()
        try:
            value: T = pickle.loads(payload)  # noqa: S301 - ours: signed, or made in this process
        except Exception as error:
            raise CorruptState(where, f"it cannot be unpickled: {error}") from error
        expected = object if signature is None else signature.expected
        if isinstance(expected, type) and not isinstance(value, expected):
            reason = f"it holds a {type(value).__name__}, not a {expected.__name__}"
            raise CorruptState(where, reason)
        return value

    @property
    def signature(self) -> Signature | None:
        """How it is stored; None while it was never stored."""
        return self._signature

    def signed_as(self, signature: Signature) -> None:
        """Remember how it is stored, so that it is encoded alike the next time."""
        self._signature = signature

    def sign(self, signer: Signer, where: str) -> str:
        """Return the stored form, signed by ``signer``."""
        return signer.sign(self.name, self._checked(), where)

    def _checked(self) -> bytes:
        if self._payload is not None:
            return self._payload
        signature = self._signature
        assert signature is not None, "a pickled object has a payload or a signature"
        return signature.signer.check(signature.text, signature.where)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pickled):
            return NotImplemented
        mine, theirs = self._signature, other._signature
        if mine is not None and theirs is not None and mine.text == theirs.text:
            return True
        return self._checked() == other._checked()

    def __repr__(self) -> str:
        return f"<pickled {self.name}>"

    def __copy__(self) -> Pickled[T]:
        return self

    def __deepcopy__(self, _memo: object) -> Pickled[T]:
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        message = "a Pickled cannot be pickled again; load() it first"
        raise TypeError(message)
