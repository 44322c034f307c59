"""A field whose class declares another kind than is stored: converted where that loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from ..codec.codec import Codec
from ..errors import CorruptState
from ..records.checksums import intact, of_entry, of_field, of_item
from ..records.records import Delta, EntryRow, ItemRow, StoredAgent, map_mark
from ..secrets.place import in_state
from ..state.state import Layout, LogField, MapField
from ..state.tracker import shape_text
from .repair import Repair

T = TypeVar("T")

CONVERT: Final = "(convert)"
"""The name in the journal of a commit that converts a field."""
_MENDING: Final = (
    "declare it as it is stored, or give the new kind another name and move the values in a handler"
)


def convert(stored: StoredAgent, layout: Layout) -> Repair | None:
    """Return what must be committed so that an agent's fields are of the kinds its class declares.

    None if they are. The natural growth is converted: a list that became a ``Log``, a dict that
    became a ``Map``. CorruptState for every other change of kind, with what is stored, what is
    declared and what to do; the store is left alone, so the class that wrote it still reads it.
    """
    if not stored.shape:
        return None
    for plain in layout.plain:
        if stored.shape.get(plain.name) is not None:
            raise _refusal(stored, plain.name, "a plain field")
    delta = Delta(stored.head.agent)
    kinds = _logs(stored, layout, delta) | _maps(stored, layout, delta)
    if not kinds:
        return None
    # What was the plain field's row says nothing any more; rows of fields are never deleted.
    delta.fields = dict.fromkeys(kinds, "null")
    delta.shape = shape_text({**stored.shape, **kinds})
    return Repair(CONVERT, stored.head.version, delta, ())


def _logs(stored: StoredAgent, layout: Layout, delta: Delta) -> dict[str, int]:
    """Convert lists that are declared logs; return their lengths."""
    lengths: dict[str, int] = {}
    for log in layout.logs:
        there = stored.shape.get(log.name, 0)
        if there is None:
            lengths[log.name] = _to_log(stored, log, delta)
        elif there < 0:
            raise _refusal(stored, log.name, "a Log")
    return lengths


def _maps(stored: StoredAgent, layout: Layout, delta: Delta) -> dict[str, int]:
    """Convert dicts that are declared maps; return their marks."""
    marks: dict[str, int] = {}
    for mapping in layout.maps:
        mark = map_mark(mapping.key_type)
        there = stored.shape.get(mapping.name, mark)
        if there is None:
            _to_map(stored, mapping, delta)
            marks[mapping.name] = mark
        elif there != mark:
            raise _refusal(stored, mapping.name, f"a Map with {mapping.key_type.__name__} keys")
    return marks


def _to_log(stored: StoredAgent, field: LogField, delta: Delta) -> int:
    agent, name = stored.head.agent, field.name
    texts = _parts(stored, name, list[msgspec.Raw], "a Log")
    items = [
        _proven(stored, name, field.codec, bytes(text).decode(), None, position)
        for position, text in enumerate(texts)
    ]
    delta.items = [
        *delta.items,
        *(
            ItemRow(agent, name, position, text, of_item(agent, name, position, text))
            for position, text in enumerate(items)
        ),
    ]
    return len(items)


def _to_map(stored: StoredAgent, field: MapField, delta: Delta) -> None:
    agent, name = stored.head.agent, field.name
    key_of: Callable[[str], str | int] = int if field.key_type is int else str
    for written, raw in _parts(stored, name, dict[str, msgspec.Raw], "a Map").items():
        try:
            key = key_of(written)
        except ValueError:
            raise _refusal(stored, name, "a Map with int keys") from None
        text = _proven(stored, name, field.codec, bytes(raw).decode(), written, key)
        crc = of_entry(agent, name, key, text)
        delta.entries[agent, name, key] = EntryRow(agent, name, key, text, crc)


def _parts(stored: StoredAgent, name: str, form: type[T], declared: str) -> T:
    text, crc = stored.fields.get(name, ("", 0))
    if not intact(of_field, stored.head.agent, name, text, crc):
        where = f"{stored.head.kind}/{stored.head.key}, state.{name}"
        problem = f"is damaged, and declared {declared}: open it once with the class that wrote it"
        raise CorruptState(where, problem)
    try:
        return msgspec.json.decode(text, type=form)
    except ValueError:
        raise _refusal(stored, name, declared) from None


def _proven(  # noqa: PLR0917 - from where, to where
    stored: StoredAgent,
    name: str,
    codec: Codec[object],
    text: str,
    source: str | None,
    part: str | int,
) -> str:
    """Return the text of a part of a plain field as it may stand in the collection."""
    head = stored.head
    where = f"{head.kind}/{head.key}, state.{name}[{part!r}]"
    here = codec.at(*in_state(head.kind, head.key, name))
    text = here.moved(text, source, part, where)
    try:
        proven = here.encode(here.decode(text, part), name, part)
    except ValueError as error:
        raise CorruptState(where, f"{error}; {_MENDING}") from None
    return codec.over(text, proven, proven)


def _refusal(stored: StoredAgent, name: str, declared: str) -> CorruptState:
    kind = stored.shape[name]
    there = "a plain field" if kind is None else "a Log" if kind >= 0 else "a Map"
    if kind is not None and kind < 0:
        there = f"a Map with {'int' if kind == map_mark(int) else 'str'} keys"
    where = f"{stored.head.kind}/{stored.head.key}, state.{name}"
    return CorruptState(where, f"is stored as {there} and declared as {declared}; {_MENDING}")
