"""What commits have for the history, made rows of when their batch is folded."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ...persistence.records.records import Commit
from ...persistence.records.tables import Row
from .record import LONGEST, HookRecord, Redact, as_json, limited
from .recording import POINT, Recording, recorded
from .segments import LEAST, SEGMENT, pack, put_at

logger = logging.getLogger("perdure.hooks")

LARGEST: Final = 4_000_000
"""Characters of contexts behind which the next row begins."""
_recording_in: Final = msgspec.json.Decoder(Recording).decode


def bound(redact: Redact, commits: Sequence[Commit]) -> list[Row]:
    """Return rows of what numbered commits have for the history, with ``***`` for secrets.

    Here and not in the turns: what is done once for many costs each of them a fraction.
    """
    rows: list[Row] = []
    for records in _parts(commits):
        try:
            rows.append(pack(_shown(records, redact), whole=len(records) >= LEAST))
        except Exception:  # nobody could save anything any more
            logger.exception("what hooks did in %d executions is not kept", len(records))
    return rows


def _parts(commits: Sequence[Commit]) -> Iterator[list[HookRecord]]:
    """Iterate over the records of some commits at a time, each with its place."""
    records: list[HookRecord] = []
    size = 0
    for commit in commits:
        if len(records) >= SEGMENT or size >= LARGEST:
            yield records
            records, size = [], 0
        for position, record in enumerate(commit.history):
            put_at(record, commit.sequence, position)
            size += len(record.context)
            records.append(record)
    yield records


def _shown(records: list[HookRecord], redact: Redact) -> list[HookRecord]:
    """Return records as they may be stored; all are looked at together, as mostly nothing is."""
    texts = [record.context for record in records]
    texts += [record.result for record in records if record.result]
    together = f"[{','.join(texts)}]"
    try:
        suspicious = len(together) > LONGEST or redact(together) != together
    except Exception:  # noqa: BLE001 - not JSON, or nested too deeply: each by itself
        suspicious = True
    return [_redacted(record, redact) for record in records] if suspicious else records


def _redacted(record: HookRecord, redact: Redact) -> HookRecord:
    try:
        context, result = redact(record.context), redact(record.result)
        if context != record.context and record.point == POINT:
            # What it was given is not known as it was.
            inexact = msgspec.structs.replace(_recording_in(record.context), exact=False)
            context = redact(recorded(inexact))
    except Exception as error:  # noqa: BLE001 - never at the cost of the commit
        context, result = as_json(f"not kept: {type(error).__name__}"), ""
    return msgspec.structs.replace(record, context=limited(context), result=limited(result))
