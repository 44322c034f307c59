"""What is different between two JSON values, by path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


class _Missing:
    """Stands where nothing is: JSON has None for a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two values differ; ``MISSING`` where one of them has nothing."""

    path: Path
    before: Any
    after: Any


def differences(before: object, after: object, path: Path = ()) -> Iterator[Difference]:
    """Iterate over the places where two JSON values differ, as deep as both have the same form.

    Objects are compared by name, arrays by position. 1, 1.0 and true are different.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from differences(
                before.get(name, MISSING), after.get(name, MISSING), (*path, name)
            )
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            yield from differences(_at(before, place), _at(after, place), (*path, place))
    elif type(before) is not type(after) or before != after:
        yield Difference(path, before, after)


def _at(items: list[object], place: int) -> object:
    return items[place] if place < len(items) else MISSING
