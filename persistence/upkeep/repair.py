"""What to do about stored values that are bad: take the journal's copy, or go back in time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from ..errors import CorruptState
from ..records.checksums import intact, of_field
from ..records.journal import Walk, shape_text
from ..records.records import Delta, QuarantineRow, StoredAgent
from ..state.state import Layout, PlainField
from ..store.store import StoreReader
from .rewind import rewind, undecodable

UNREADABLE: Final = ("quarantine", "rewind")
"""What may be done about a value that is intact but does not decode as its declared type."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What must be committed before an agent with bad values can be loaded."""

    name: str
    """What the journal calls it: "(restore)" if nothing is lost, else "(rewind)"."""
    version: int
    """The version whose state the agent has afterwards."""
    delta: Delta
    quarantined: tuple[QuarantineRow, ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    """What became of one field: a good text (None if there is none), and what was bad."""

    text: str | None
    bad: QuarantineRow | None = None


def examine(
    reader: StoreReader, stored: StoredAgent, layout: Layout, unreadable: str = "quarantine"
) -> dict[str, str] | Repair:
    """Return the plain fields of an agent, verified and known to decode, or how to repair them.

    A value that fails its checksum is replaced by the journal's copy of the same version, so
    nothing is lost; without such a copy the agent goes back to its last good version. A value
    that is intact but does not decode (its class changed) is left alone with CorruptState, unless
    ``unreadable="rewind"``. CorruptState also when nothing helps. Changes nothing itself.
    """
    findings = {
        field.name: _judge(reader, stored, field, unreadable)
        for field in layout.plain
        if field.name in stored.fields or stored.shape.get(field.name, 0) is None
    }
    found = tuple(finding.bad for finding in findings.values() if finding.bad is not None)
    bad = stored.damaged + found
    head = stored.head
    good = {name: finding.text for name, finding in findings.items() if finding.text is not None}
    if not bad:
        return good
    if len(good) < len(findings):
        sound = {name: text for name, text in good.items() if findings[name].bad is None}
        version, delta = rewind(reader, stored, layout, sound)
        return Repair("(rewind)", version, delta, bad)
    delta = Delta(head.agent)
    delta.fields = {name: text for name, text in good.items() if findings[name].bad is not None}
    if stored.damaged:
        delta.shape = shape_text(stored.shape, stored.schema)
    return Repair("(restore)", head.version, delta, bad)


def _judge(
    reader: StoreReader, stored: StoredAgent, field: PlainField, unreadable: str
) -> _Finding:
    head, name = stored.head, field.name
    text, crc = stored.fields.get(name, ("", None))
    bad: QuarantineRow | None = None
    if not intact(of_field, head.agent, name, text, crc):
        reason = "its row is missing" if crc is None else "its checksum does not match"
        bad = QuarantineRow(head.agent, name, str(text), reason, time.time())
        copy = _copy(reader, stored, name, crc)
        if copy is None:
            return _Finding(None, bad)
        text = copy
    problem = undecodable(field, text)
    if problem is None:
        return _Finding(text, bad)
    if unreadable == "quarantine":
        where = f"{head.kind}/{head.key}, state.{name}"
        advice = "mend the class, or set unreadable = 'rewind' to lose the turns since it decoded"
        raise CorruptState(where, f"{problem}; {advice}")
    return _Finding(None, bad or QuarantineRow(head.agent, name, text, problem, time.time()))


def sound_text(stored: StoredAgent, name: str) -> str:
    """Return a plain field's text; CorruptState if it is damaged.

    When used: it is to be rewritten for another class. What is damaged is mended by the class that
    wrote it, or a good copy would not be told from one that the class cannot read.
    """
    text, crc = stored.fields.get(name, ("", 0))
    if not intact(of_field, stored.head.agent, name, text, crc):
        where = f"{stored.head.kind}/{stored.head.key}, state.{name}"
        problem = "is damaged, and declared otherwise: open it once with the class that wrote it"
        raise CorruptState(where, problem)
    return text


def _copy(reader: StoreReader, stored: StoredAgent, field: str, crc: int | None) -> str | None:
    """Return the journal's copy of a field's latest value, or None if there is none for sure."""
    agent, version = stored.head.agent, stored.head.version
    history = Walk(agent, reader.history(agent, version + 1), version)
    for _, delta in history:
        if field in delta.set:
            text = bytes(delta.set[field]).decode()
            return text if history.complete or of_field(agent, field, text) == crc else None
    base = reader.base_fields(agent).fields.get(field)
    if base is not None and (history.complete or of_field(agent, field, base) == crc):
        return base
    return None
