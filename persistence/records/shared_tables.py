"""The declared tables: scoped keys, access, audit, sessions, artifacts, deleted agents."""

from __future__ import annotations

from typing import Final

from .tables import Column, Index, Table


def _text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


_SCOPE: Final = _text("kind", "id", "part")
_WHO: Final = _text("who_kind", "who_id", "who_part")
_SEQUENCE: Final = Column("sequence", "integer")

SCOPED: Final = Table(
    "scoped",
    (
        *_SCOPE, Column("key"), Column("value", "json"), Column("version", "integer"), _SEQUENCE,
        Column("expires", "real", null=True),
    ),
    key=4,
    indexes=(Index(("expires",), where="expires IS NOT NULL"),),
    sequence="sequence",
)  # fmt: skip
"""One key of one scope: a value with its version."""

OWNERS: Final = Table("owners", (*_SCOPE, *_WHO, _SEQUENCE), key=3, sequence="sequence")
"""Who owns a scope, where that is not its natural owner."""

GRANTS: Final = Table(
    "grants",
    (
        Column("number", "integer"), *_WHO, *_SCOPE, Column("keys"), Column("rights", "integer"),
        Column("inherit", "integer"), Column("expires", "real", null=True),
        Column("uses", "integer", null=True), *_text("by_kind", "by_id", "by_part"),
        Column("made", "real"), _SEQUENCE,
    ),
    key=1,
    sequence="sequence",
)  # fmt: skip
"""A right that was granted."""

BOUNDARIES: Final = Table(
    "boundaries", (*_text("kind", "key", "boundary"), _SEQUENCE), key=2, sequence="sequence"
)
"""The boundary of one agent, where it is not its class's."""

ISOLATED: Final = Table(
    "isolated",
    (*_text("kind", "key", "reason"), Column("since", "real"), _SEQUENCE),
    key=2,
    sequence="sequence",
)
"""An agent that was cut off."""

AUDIT: Final = Table(
    "audit",
    (
        Column("number", "integer"), _SEQUENCE, Column("time", "real"), *_WHO, *_SCOPE,
        *_text("key", "operation", "outcome", "reason"), Column("times", "integer"),
        Column("correlation", "integer"), Column("hash"),
    ),
    key=1,
    indexes=(
        Index(("who_kind", "who_id", "who_part", "number")),
        Index(("kind", "id", "part", "number")),
        Index(("outcome", "number")),
        Index(("correlation", "number")),
    ),
    sequence="sequence",
    journaled=False,
    fixed=True,
)  # fmt: skip
"""A decision about access, chained to the one before by its hash."""

AUDIT_ANCHOR: Final = Table(
    "audit_anchor",
    (
        Column("only", "integer"), Column("number", "integer"), Column("hash"),
        Column("trimmed", "real"), Column("seal"),
    ),
    key=1,
    journaled=False,
)  # fmt: skip
"""The last decision that was trimmed away: where the kept chain begins."""

AUDIT_CAUSES: Final = Table(
    "audit_causes",
    (Column("sequence", "integer"), Column("cause", "integer")),
    key=1,
    journaled=False,
)
"""What led to decisions whose commit left nothing in the journal: those of an undone turn."""

SESSIONS: Final = Table(
    "sessions",
    (
        *_text("id", "parent", "name", "status"), *_WHO, Column("correlation", "integer"),
        Column("created", "real"), Column("changed", "real"), Column("ended", "real", null=True),
        Column("deadline", "real", null=True), Column("cleanup"), Column("limits", "json"),
        Column("meta", "json"), Column("note"), Column("first", "integer"), _SEQUENCE,
    ),
    key=1,
    indexes=(
        Index(("status", "changed")), Index(("parent",)), Index(("correlation",)),
        Index(("who_kind", "who_id", "who_part", "changed")), Index(("name",)),
        Index(("created",)), Index(("changed",)),
        Index(("deadline",), where="deadline IS NOT NULL"),
    ),
    sequence="sequence",
)  # fmt: skip
"""A session as it stands."""

ARTIFACTS: Final = Table(
    "artifacts",
    (
        Column("number", "integer"), *_SCOPE, Column("name"), Column("version", "integer"),
        Column("content"), Column("size", "integer"), *_text("type", "media"),
        *_text("agent_kind", "agent_key", "session"), Column("correlation", "integer"),
        Column("made", "real"), Column("meta", "json"), _SEQUENCE,
    ),
    key=1,
    indexes=(
        Index(("kind", "id", "part", "name", "version"), unique=True), Index(("content",)),
        Index(("session", "number")), Index(("agent_kind", "agent_key", "number")),
        Index(("made",)), Index(("correlation",)), Index(("type", "number")),
    ),
    sequence="sequence",
)  # fmt: skip
"""A version of a named artifact."""

ARTIFACT_NAMES: Final = Table(
    "artifact_names",
    (
        *_SCOPE, Column("name"), Column("last", "integer"), Column("count", "integer"),
        Column("size", "integer"), _SEQUENCE,
    ),
    key=4,
    sequence="sequence",
)  # fmt: skip
"""How many artifacts of which size a name has, and the last version it was given.

An empty name stands for its whole scope, an empty scope for the whole store; there ``last`` is the
highest number of an artifact.
"""

ARTIFACT_TAGS: Final = Table(
    "artifact_tags",
    (Column("tag"), Column("artifact", "integer")),
    key=2,
    indexes=(Index(("artifact",)),),
)

LINEAGE: Final = Table(
    "lineage",
    (Column("artifact", "integer"), Column("source", "integer")),
    key=2,
    indexes=(Index(("source",)),),
)
"""What an artifact was derived from."""

ARTIFACT_USES: Final = Table(
    "artifact_uses",
    (_SEQUENCE, Column("artifact", "integer")),
    key=2,
    indexes=(Index(("artifact",)),),
    sequence="sequence",
)
"""Which commit changed its agent's state from which artifact."""

CONTENTS: Final = Table(
    "contents",
    (Column("content"), Column("size", "integer"), Column("chunks", "integer")),
    key=1,
    journaled=False,
)
"""Bytes by their hash."""

CONTENT_PARTS: Final = Table(
    "content_parts",
    (Column("content"), Column("position", "integer"), Column("chunk")),
    key=2,
    indexes=(Index(("chunk",)),),
    journaled=False,
)

CHUNKS: Final = Table(
    "chunks",
    (
        Column("chunk"), Column("size", "integer"), Column("packed", "integer"),
        Column("data", "blob"),
    ),
    key=1,
    journaled=False,
)  # fmt: skip

PROGRESS: Final = Table(
    "progress", (Column("name"), Column("value", "json"), _SEQUENCE), key=1, sequence="sequence"
)
"""Where a long piece of work stands, so that the next process goes on from there; besides, what a
kind was called before (``kinds.py``)."""

TOMBSTONES: Final = Table(
    "tombstones",
    (
        Column("agent", "integer"), *_text("kind", "key"), Column("version", "integer"),
        Column("time", "real"), Column("erased", "integer"), _SEQUENCE,
    ),
    key=1,
    indexes=(Index(("kind", "key", "sequence")), Index(("sequence",))),
    sequence="sequence",
)  # fmt: skip
"""A deleted agent whose entries the journal still has: its last commit, and whether it was erased.

It goes with the last of those entries, so its number is free only when nothing of it is left. That
of an erased one stays, with a hash in the place of the name (``erasures.py``): backups may have it.
A negative number stands for a name that the kind of an erased one had before.
"""

_BLOCK: Final = (
    Column("first", "integer"), Column("last", "integer"), Column("since", "real"),
    Column("until", "real"), Column("count", "integer"), Column("size", "integer"),
    Column("weight", "integer"), Column("words", "blob"), Column("data", "blob"),
)  # fmt: skip
"""Executions of hooks: from which commit to which, when, and what may be found in them."""

HOOK_RUNS: Final = Table("hook_runs", _BLOCK, key=1, journaled=False, numbers="last")
"""The executions of hooks that one batch has left, until small ones are packed together."""

HOOK_QUEUE: Final = Table(
    "hook_queue",
    (
        _SEQUENCE, Column("position", "integer"), Column("time", "real"),
        *_text("hook", "point"), Column("details", "json"),
    ),
    key=2,
    sequence="sequence",
    journaled=False,
)  # fmt: skip
"""A call of a hook that is made later: stored with the commit that it is about."""

HOOK_SEGMENTS: Final = Table("hook_segments", _BLOCK, key=1, journaled=False, numbers="last")
"""Executions of hooks, compressed; all of them are older than those in ``HOOK_RUNS``."""

HOOK_PINS: Final = Table(
    "hook_pins",
    (Column("sequence", "integer"), Column("position", "integer"), Column("run", "json")),
    key=2,
    journaled=False,
)
"""Executions of hooks that no retention removes."""

TRACES: Final = Table(
    "traces",
    (Column("correlation", "integer"), Column("trace"), Column("made", "real"), _SEQUENCE),
    key=1,
    indexes=(Index(("sequence",)),),
    sequence="sequence",
    journaled=False,
)
"""The W3C trace context of a chain of messages."""

REPLAY_SCHEDULES: Final = Table(
    "replay_schedules", (Column("name"), Column("schedule", "json")), key=1, journaled=False
)
"""Which recorded turns are replayed when."""

REPLAY_RESULTS: Final = Table(
    "replay_results",
    (_SEQUENCE, Column("name"), Column("result", "json")),
    key=1,
    indexes=(Index(("name", "sequence")),),
    sequence="sequence",
    journaled=False,
)
"""What came of a scheduled replay: stored in the commit that moves its schedule on."""

ATTEMPTS: Final = Table(
    "attempts",
    (*_text("kind", "key", "what"), Column("number", "integer"), Column("times", "integer")),
    key=4,
    journaled=False,
)
"""How often something was begun that has not been brought to an end.

``what`` of an agent is "message" (``number`` is its id), or "timer" with its moment and name. Of no
agent are "hook" with the hook's place in its commit (``number`` is the commit), and "kills".
"""

LEFTOVERS: Final = Table(
    "leftovers",
    (
        Column("agent", "integer"), *_text("kind", "key"), Column("erase", "integer"),
        Column("upto", "integer"), Column("last", "integer"), Column("since", "real"),
    ),
    key=1,
    journaled=False,
)  # fmt: skip
"""What a store has still to remove of a deleted agent, and if ``erase`` out of the journal.

Its entries up to ``upto`` are done, those behind ``last`` are none of its. Written by the store
itself. Agent 0 stands for the file: since then gaps of its pages may hold copies of what was erased
or replaced. Those below zero stand for the mail and the keys of an agent (``sqlite/leaving.py``).
"""

FORMATS: Final = Table(
    "formats",
    (Column("format", "integer"), Column("sequence", "integer"), Column("made", "real")),
    key=1,
    journaled=False,
)
"""When a file of an earlier format was brought to a later one: behind which commit."""

SCHEMAS: Final = Table(
    "schemas",
    (
        Column("number", "integer"), *_text("kind", "family", "name", "version", "fingerprint"),
        Column("schema", "json"), Column("letter", "integer"), Column("made", "real"), _SEQUENCE,
    ),
    key=1,
    sequence="sequence",
    journaled=False,
)  # fmt: skip
"""A schema that was ever written with, of the state of a kind of agents or of its messages.

``letter`` is the first id of a message that may have been sent under it.
"""

POSTINGS: Final = Table(
    "postings",
    (_SEQUENCE, Column("first", "integer"), Column("data", "blob")),
    key=1,
    sequence="sequence",
    journaled=False,
)
"""What came and went with one batch of commits beside the journal (``postings.py``).

Up to the batch's last commit; ``first`` is the first one of which it has something. Written by the
store itself, and trimmed with the journal.
"""

BACKUP_SCHEDULES: Final = Table(
    "backup_schedules", (Column("folder"), Column("schedule", "json")), key=1, journaled=False
)
"""When backups are made where."""

SHARED_TABLES: Final = (
    SCOPED, OWNERS, GRANTS, BOUNDARIES, ISOLATED, AUDIT, AUDIT_ANCHOR, AUDIT_CAUSES, SESSIONS,
    ARTIFACTS, ARTIFACT_NAMES, ARTIFACT_TAGS, LINEAGE, ARTIFACT_USES, CONTENTS, CONTENT_PARTS,
    CHUNKS, PROGRESS, TOMBSTONES, HOOK_RUNS, HOOK_QUEUE, HOOK_SEGMENTS, HOOK_PINS, TRACES,
    REPLAY_SCHEDULES, REPLAY_RESULTS, ATTEMPTS, LEFTOVERS, FORMATS, SCHEMAS,
    POSTINGS, BACKUP_SCHEDULES,
)  # fmt: skip

NUMBERED: Final = tuple(table for table in SHARED_TABLES if table.numbers)
"""Those that may know of later commits than the journal: without them a next owner would give a
sequence again, and write over what belongs to it."""
