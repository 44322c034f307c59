"""The one way by which texts that are no agent's state get into a store: past the detector."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from ..errors import SecretFound, told
from .detector import SecretWatch
from .keys import NoKeys
from .moving import moved
from .place import Place
from .sealer import Sealer

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


class Plain:
    """Say what is stored of a plain text; without a watch all of it is. Thread-safe.

    ``place`` is how a warning names it, and how ``Detector.allow`` does.
    """

    __slots__ = ("_sealer", "_watch", "value")

    def __init__(self, watch: SecretWatch | None = None, sealer: Sealer | None = None) -> None:
        """Look with ``watch``; ``sealer`` seals the secrets of what goes to another place."""
        self._sealer = Sealer(NoKeys()) if sealer is None else sealer
        self._watch = watch
        self.value: Callable[..., str] = _as_it_is if watch is None else watch.examine
        """``value(text, place, name="")`` returns JSON as the policy has it, or SecretFound.

        ``name`` is the name it stands under, if secrets do. Not a call more: it is on every write.
        """

    def moved(self, text: str, source: Place, target: Place, where: str) -> str:
        """Return stored JSON as it may stand at another place; KeyMissing names ``where``."""
        return moved(text, self._sealer, source, target, where)

    def words(self, text: str, place: str) -> str:
        """Return a text for people (a note, a label, a tag), or refuse it, as ``value``."""
        watch = self._watch
        if watch is None or not watch.worth_a_look(text):
            return text
        before = _encode(text)
        after = watch.examine(before, place)
        return text if after == before else str(json.loads(after))

    def name(self, text: str, place: str) -> str:
        """Return a name by which something is found again.

        SecretFound where the policy replaces secrets as well: two names could become one.
        """
        watch = self._watch
        if watch is not None and watch.worth_a_look(text):
            found = watch.found(_encode(text), place)
            if found and watch.detector.policy != "warn":
                raise SecretFound(place, found[0])
        return text

    def reason(self, text: str, place: str) -> str:
        """Return why something failed, with ``***`` for its secrets where the policy refuses them.

        A reason is never refused: what it tells of has happened.
        """
        watch = self._watch
        if watch is None or not watch.worth_a_look(text):
            return text
        before = _encode(text)
        if not watch.found(before, place) or watch.detector.policy == "warn":
            return text
        return str(json.loads(watch.detector.redacted(before)))

    def record(self, text: str) -> str:
        """Return JSON with ``***`` for what looks like a secret, whatever the policy."""
        watch = self._watch
        return watch.detector.redacted(text) if watch and watch.worth_a_look(text) else text

    def told(self, error: BaseException, place: str) -> str:
        """Return an error as text that can be stored, as ``reason``."""
        return told(error, self._reason_at(place))

    def _reason_at(self, place: str) -> Callable[[str], str]:
        return lambda text: self.reason(text, place)


def _as_it_is(text: str, _place: str, _name: str = "") -> str:
    return text
