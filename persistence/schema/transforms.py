"""Ready steps of migrations: each changes decoded values in place, and may know its way back.

What a step does not find it leaves alone: an agent stores what it was given, and no more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Data: TypeAlias = dict[str, Any]
"""The values of a state or a record by name, as JSON has them: dict, list, str, int, float, ..."""
Change: TypeAlias = Callable[[Data], Data | None]
"""Change values in place, or return others."""

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Transform:
    """A step of a migration."""

    label: str
    up: Change
    down: Change | None
    """The way back; None if there is none."""
    touches: frozenset[str]
    """The fields that it reads or writes."""


def _step(label: str, touches: Sequence[str], up: Change, down: Change | None) -> Transform:
    return Transform(label, up, down, frozenset(touches))


def add(name: str, value: object) -> Transform:
    """Add a field with a value, which each agent gets for itself; back, the field goes."""

    def up(data: Data) -> None:
        data.setdefault(name, copy.deepcopy(value))

    return _step(f"add {name}", [name], up, lambda data: _gone(data, name))


def remove(name: str, *, back: object = _ABSENT) -> Transform:
    """Remove a field; with ``back`` there is a way back, which gives it that value."""
    down = None if back is _ABSENT else add(name, back).up
    return _step(f"remove {name}", [name], lambda data: _gone(data, name), down)


def rename(old: str, new: str) -> Transform:
    """Give a field another name."""
    return _step(
        f"rename {old} to {new}",
        [old, new],
        lambda data: _moved(data, old, new),
        lambda data: _moved(data, new, old),
    )


def convert(
    name: str, up: Callable[[Any], object], down: Callable[[Any], object] | None = None
) -> Transform:
    """Make another value of a field's: ``convert("price", str, float)``."""

    def by(change: Callable[[Any], object]) -> Change:
        def run(data: Data) -> None:
            if name in data:
                data[name] = change(data[name])

        return run

    return _step(f"convert {name}", [name], by(up), None if down is None else by(down))


def split(
    name: str,
    into: Sequence[str],
    up: Callable[[Any], Sequence[object]],
    down: Callable[..., object] | None = None,
) -> Transform:
    """Make several fields of one: ``split("name", ("first", "last"), str.split, join)``.

    ``up`` gives a value for each; ``down`` takes them all and gives the one.
    """
    merging = None if down is None else _merging(into, name, down)
    return _step(f"split {name}", [name, *into], _splitting(name, into, up), merging)


def merge(
    names: Sequence[str],
    into: str,
    up: Callable[..., object],
    down: Callable[[Any], Sequence[object]] | None = None,
) -> Transform:
    """Make one field of several: the way back of ``split``."""
    splitting = None if down is None else _splitting(into, names, down)
    return _step(f"merge into {into}", [*names, into], _merging(names, into, up), splitting)


def nest(names: Sequence[str], into: str) -> Transform:
    """Put fields into a record: ``nest(("street", "city"), "address")``; back, they come out."""
    return _step(
        f"nest into {into}",
        [*names, into],
        lambda data: _nested(data, names, into),
        lambda data: _flat(data, names, into),
    )


def flatten(name: str, into: Sequence[str]) -> Transform:
    """Take members out of a record: the way back of ``nest``."""
    return _step(
        f"flatten {name}",
        [name, *into],
        lambda data: _flat(data, into, name),
        lambda data: _nested(data, into, name),
    )


def each(name: str, *steps: Transform) -> Transform:
    """Take steps in each record of a list, a ``Log``, a dictionary or a ``Map``."""
    inside = compose(*steps)

    def over(change: Change) -> Change:
        def run(data: Data) -> None:
            whole = data.get(name)
            if isinstance(whole, dict):
                data[name] = {key: _in(change, item) for key, item in whole.items()}
            elif isinstance(whole, list):
                data[name] = [_in(change, item) for item in whole]

        return run

    down = None if inside.down is None else over(inside.down)
    return _step(f"each of {name}: {inside.label}", [name], over(inside.up), down)


def within(name: str, *steps: Transform) -> Transform:
    """Take steps inside of one record: ``within("address", rename("zip", "code"))``."""
    inside = compose(*steps)

    def at(change: Change) -> Change:
        def run(data: Data) -> None:
            if isinstance(data.get(name), dict):
                data[name] = _in(change, data[name])

        return run

    down = None if inside.down is None else at(inside.down)
    return _step(f"within {name}: {inside.label}", [name], at(inside.up), down)


def compose(*steps: Transform) -> Transform:
    """Take steps one after the other; the way back takes the ways back of all, the last first."""

    def up(data: Data) -> Data:
        for step in steps:
            data = _in(step.up, data)
        return data

    def down(data: Data) -> Data:
        for step in reversed(steps):
            assert step.down is not None
            data = _in(step.down, data)
        return data

    label = ", ".join(step.label for step in steps)
    there = all(step.down is not None for step in steps)
    return _step(label, [*{n for s in steps for n in s.touches}], up, down if there else None)


def _in(change: Change, data: Any) -> Any:  # noqa: ANN401 - any JSON, where a record was expected
    if not isinstance(data, dict):
        return data
    made = change(data)
    return data if made is None else made


def _gone(data: Data, name: str) -> None:
    data.pop(name, None)


def _moved(data: Data, old: str, new: str) -> None:
    if old in data:
        data[new] = data.pop(old)


def _splitting(name: str, into: Sequence[str], up: Callable[[Any], Sequence[object]]) -> Change:
    def run(data: Data) -> None:
        if name in data:
            values = list(up(data.pop(name)))
            data.update(zip(into, values, strict=True))

    return run


def _merging(names: Sequence[str], into: str, up: Callable[..., object]) -> Change:
    def run(data: Data) -> None:
        if all(name in data for name in names):
            data[into] = up(*(data.pop(name) for name in names))

    return run


def _nested(data: Data, names: Sequence[str], into: str) -> None:
    found = {name: data.pop(name) for name in names if name in data}
    if found:
        data[into] = found


def _flat(data: Data, names: Sequence[str], into: str) -> None:
    inside = data.get(into)
    if isinstance(inside, dict):
        data.update({name: inside.pop(name) for name in names if name in inside})
        if not inside:
            del data[into]
