"""All values of one agent read as its class declares them: the first that is none, and why."""

from __future__ import annotations

from collections.abc import Iterator

from ..persistence.codec.codec import Codec
from ..persistence.errors import CorruptState
from ..persistence.records.checksums import intact, of_field
from ..persistence.records.records import StoredAgent
from ..persistence.schema.rewrite import Rewritten
from ..persistence.state.state import Layout
from ..persistence.store.store import StoreReader


def unreadable(
    reader: StoreReader, stored: StoredAgent, layout: Layout, moved: Rewritten | None
) -> str:
    """Return what of an agent its class cannot read, with the path; "" if it reads all.

    What ``moved`` writes anew was proved when it was made, and is not looked at again.
    """
    try:
        for name, part, codec, text in _texts(reader, stored, layout, _written(moved)):
            where = f"{stored.head.kind}/{stored.head.key}, state.{name}"
            codec.load(text, where, part)
    except CorruptState as error:
        return str(error)
    return ""


def _written(moved: Rewritten | None) -> set[str]:
    """Return the fields that a migration writes."""
    if moved is None:
        return set()
    delta = moved.delta
    found = {*delta.fields, *delta.truncated, *(row.field for row in delta.items)}
    return found | {field for _, field, _ in delta.entries}


def _texts(
    reader: StoreReader, stored: StoredAgent, layout: Layout, written: set[str]
) -> Iterator[tuple[str, str | int | None, Codec[object], str]]:
    agent = stored.head.agent
    for plain in layout.plain:
        if plain.name in stored.fields and plain.name not in written:
            text, crc = stored.fields[plain.name]
            if not intact(of_field, agent, plain.name, text, crc):
                raise CorruptState(f"state.{plain.name}", "its checksum does not match")
            yield plain.name, None, plain.codec, text
    for log in layout.logs:
        length = stored.log_lengths.get(log.name, 0) if log.name not in written else 0
        for position, text in enumerate(reader.log_texts(agent, log.name, length)):
            yield log.name, position, log.codec, text
    for mapping in layout.maps:
        if mapping.name not in written:
            for key, text in reader.map_texts(agent, mapping.name):
                yield mapping.name, key, mapping.codec, text
