"""Tokens in stored texts: where each of them stands, and texts that go to another place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from ..errors import CorruptState
from .place import Place, texts_in
from .sealer import Sealer
from .tokens import PREFIX, TOKEN

Texts: TypeAlias = Callable[[object], Iterable[tuple[Place, str]]]
"""Give the texts in decoded JSON with their places."""

_MARK: Final = f"perdure:at:{os.urandom(12).hex()}:"


def standing(text: str, texts: Texts) -> list[tuple[str, Place | None]]:
    """Return the tokens in JSON, in order, each with its place.

    None is the place of one that is not all of a text, or of none that ``texts`` gives.
    """
    found = [each[0] for each in TOKEN.finditer(text)]
    numbers = iter(range(len(found)))
    marked = TOKEN.sub(lambda _: f"{_MARK}{next(numbers)}", text)
    places = {name: place for place, name in texts(msgspec.json.decode(marked))}
    return [(token, places.get(f"{_MARK}{n}")) for n, token in enumerate(found)]


def replaced(text: str, tokens: Sequence[str]) -> str:
    """Return a text with others in the place of its tokens, in order."""
    left: Iterator[str] = iter(tokens)
    return TOKEN.sub(lambda _: next(left), text)


def moved(
    text: str, sealer: Sealer, source: Place, target: Place, where: str, *, levels: int = 0
) -> str:
    """Return JSON that stands at ``source`` as it may stand at ``target``; nothing else changes.

    KeyMissing names ``where`` if the key of a secret is not there. What does not open where it
    stands stays as it is, and opens nowhere. In the first ``levels`` positions in lists count.
    """
    if source == target or PREFIX not in text:
        return text
    return replaced(text, [
        token if way is None else _moved(token, sealer, (*source, *way), (*target, *way), where)
        for token, way in standing(text, lambda value: texts_in(value, (), levels))
    ])  # fmt: skip


def _moved(token: str, sealer: Sealer, source: Place, target: Place, where: str) -> str:
    try:
        inside = sealer.open(token, where, source)
    except CorruptState:
        return token
    return sealer.seal(lambda: inside, where, target)
