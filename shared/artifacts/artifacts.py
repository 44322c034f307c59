"""Artifacts: save, find, read, delete; in and outside turns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from ...hooks.details import ArtifactDetails
from ...hooks.points import ARTIFACT_AFTER, ARTIFACT_BEFORE
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.codec.codec import codec_of
from ...persistence.errors import CorruptState, Denied, StateError
from ...persistence.names.keys import checked_key, checked_name
from ...persistence.names.named import checked_scope
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.shared_tables import (
    ARTIFACT_NAMES,
    ARTIFACT_TAGS,
    ARTIFACT_USES,
    ARTIFACTS,
    CONTENTS,
    LINEAGE,
)
from ...persistence.records.tables import Row
from ..ledger.desk import Desk
from ..ledger.guard import Right, Standing
from ..ledger.ledger import Ledger
from ..ledger.unit import Place, Step, Unit
from ..scopes.entries import gone
from ..scopes.schemas import Schemas
from . import lineage
from .chunking import Block, Readable, blocks
from .reader import ArtifactReader, checked_artifact, checked_type, present
from .records import Artifact, ArtifactLimits, ArtifactType
from .recount import last_number, mend
from .rights import own_scope
from .sink import Draft, Sink
from .sweep import ArtifactSweep, Swept
from .tally import TOTAL, added, removed, usage
from .traffic import Hold
from .upload import SMALL, Uploads

_META: Final = codec_of(object)


class Artifacts(ArtifactReader):
    """Keep bytes under names, with where they came from. Thread-safe.

    Permissions are those of the scope, with the artifact's name as key. In a turn, calls run in
    the name of its agent; what is saved or deleted is so when the turn commits, and not at all if
    it raises. Outside, each call is a commit of its own and returns when it is durable. The scope
    of what names none is the session's, else the agent's own; outside of both ``Scope.GLOBAL``.
    Bytes are written and read on the calling thread: in an ``async def`` handler use
    ``await asyncio.to_thread(...)`` for large ones.
    """

    def __init__(
        self,
        desk: Desk,
        supervisor: PersistenceSupervisor,
        *,
        largest: int,
        limits: ArtifactLimits,
        metadata: Schemas,
    ) -> None:
        """Save what ``limits`` allow; metadata take ``largest`` characters at most."""
        super().__init__(desk, Uploads(desk.ledger, supervisor), metadata)
        self._limits = limits
        self._largest = largest
        self.sweeper = ArtifactSweep(desk, self._uploads, lambda: mend(desk.ledger, supervisor))
        self._numbers = itertools.count(_last(desk.ledger) + 1)

    def register(self, pattern: str, type: object) -> None:  # noqa: A002 - as state.register()
        """Have the metadata of artifacts of these names be of a type, while the system is open.

        ``pattern`` is a name, or a prefix and ``*``; the longest that fits counts. Metadata of
        another form are a StateError with its path. They are read as before, as plain values, and
        those of an earlier version of the type are migrated. IncompatibleSchema if what is stored
        cannot be read by it. Denied to agents.
        """
        who = self._desk.standing().principal
        if who != Principal.SYSTEM:
            raise Denied(f"{who} may not register types; the program does, outside")
        self._metadata.register(pattern, type)

    def brought(self, scope: Scope, name: str, meta: str, version: str) -> str:
        """Return the metadata of an artifact of another store as they are to be here."""
        where = f"artifact, {scope} {name!r}"
        return self._metadata.brought(scope.kind, name, meta, version, where)

    # Saving.

    def save(
        self,
        name: str,
        data: Block | Readable | Iterable[Block],
        *,
        scope: Scope | None = None,
        type: str = ArtifactType.CUSTOM,  # noqa: A002 - the word for it
        media: str = "",
        tags: Iterable[str] = (),
        sources: Sequence[Artifact] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Save bytes, an open file or an iterable of pieces as a new version; needs WRITE.

        Args:
            name: as a key: up to 256 bytes, no control characters, no forms of paths.
            data: read piece by piece: its size does not matter to the memory.
            scope: whose it is.
            type: agent-output, tool-result, user-input, system or custom.
            media: such as ``text/csv``.
            tags: for ``find``.
            sources: what it was made from; needs READ for each.
            meta: JSON-like values.

        Raises:
            Denied: without the right, whatever is stored.
            QuotaExceeded: the scope would hold more than its ``ArtifactLimits``.
            UnknownArtifact: a source is gone.
        """
        with self.create(
            name, scope=scope, type=type, media=media, tags=tags, sources=sources, meta=meta
        ) as sink:
            for block in blocks(data):
                sink.write(block)
        return sink.artifact

    def create(
        self,
        name: str,
        *,
        scope: Scope | None = None,
        type: str = ArtifactType.CUSTOM,  # noqa: A002 - the word for it
        media: str = "",
        tags: Iterable[str] = (),
        sources: Sequence[Artifact] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> Sink:
        """Return a sink to ``write`` bytes to, in a ``with`` block; otherwise as ``save``.

        The artifact is made when the block ends; ``sink.artifact`` is it. If the block raises,
        nothing is.
        """
        if isinstance(tags, str):
            raise StateError("tags", f"is text; give a list of tags, such as [{tags!r:.40}]")
        plain = self._desk.plain
        draft = Draft(
            own_scope(self._desk) if scope is None else checked_scope(scope),
            checked_key(name),
            checked_type(type),
            plain.words(checked_name(media, "media type"), "a media type") if media else "",
            tuple(dict.fromkeys(map(self._tag, tags))),
            tuple(map(checked_artifact, sources)),
            self._meta(checked_key(name), meta),
        )
        if self._desk.listeners.shared:
            it = ("save", str(draft.scope), draft.name, 0, 0)
            self._desk.tell(ARTIFACT_BEFORE, "save", ArtifactDetails, *it)
        unit = self._desk.unit()
        begun = self._desk.begin() if unit is None else unit
        self._desk.allow(begun, Right.WRITE, draft.scope, draft.name, "write")
        self._uploads.check()
        return Sink(
            draft, begun, self._uploads, self._finish, self._give_up,
            largest=self._limits.largest, most=self._most(begun, draft.scope), alone=unit is None,
        )  # fmt: skip

    def link(self, artifact: Artifact, *sources: Artifact) -> None:
        """Note more sources of an artifact; needs WRITE for it and READ for them.

        LineageCircle if one of them was itself made from it, directly or not.
        """
        with self._heard("link", artifact), self._desk.entry() as unit:
            self._exists(unit, artifact, Right.WRITE, "write")
            for source in sources:
                self._exists(unit, source, Right.READ, "read")
                key = (artifact.number, source.number)
                self._change(unit, (LINEAGE, key), lineage.linked_later(self._desk, unit, *key))

    def tag(self, artifact: Artifact, *tags: str) -> None:
        """Add tags; needs WRITE."""
        with self._heard("tag", artifact), self._desk.entry() as unit:
            self._exists(unit, artifact, Right.WRITE, "write")
            for tag in tags:
                key = (self._tag(tag), artifact.number)
                unit.change((ARTIFACT_TAGS, key), _there(key), checked=False)

    def untag(self, artifact: Artifact, *tags: str) -> None:
        """Remove tags; those it has not are passed over. Needs WRITE."""
        with self._heard("untag", artifact), self._desk.entry() as unit:
            self._exists(unit, artifact, Right.WRITE, "write")
            for tag in tags:
                key = (checked_name(tag, "tag"), artifact.number)
                unit.change((ARTIFACT_TAGS, key), gone, checked=False)

    def delete(self, artifact: Artifact) -> None:
        """Delete a version; needs DELETE. UnknownArtifact if it is gone already.

        Its bytes are freed some seconds later unless another artifact has the same. What was made
        from it stays, without this source.
        """
        # Held until it is known whether this unit comes to be: only then it can be swept.
        hold = Hold()

        def step(before: Row | None) -> None:
            assert hold.names
            present(before, artifact)

        with self._heard("delete", artifact), self._desk.entry() as unit:
            row = self._existing(unit, artifact, Right.DELETE, "delete")
            self._uploads.traffic.hold(hold, (CONTENTS, artifact.content))
            unit.change((ARTIFACTS, (artifact.number,)), step, checked=False)
            for place, change in removed(artifact.scope, artifact.name, int(str(row[7]))):
                unit.change(place, change, checked=False)
        self.sweeper.suspect(contents=[artifact.content], notes=True)

    def came_from(self, *artifacts: Artifact) -> None:
        """Say that this turn changes the agent's state because of these; needs READ.

        Kept with the turn's commit: see ``uses`` and ``used_in``. StateError outside of turns.
        """
        if self._desk.unit() is None:
            problem = "belongs into a turn: there is no change of state it could speak of here"
            raise StateError("came_from()", problem)
        with self._desk.entry() as unit:
            for artifact in artifacts:
                self._exists(unit, artifact, Right.READ, "read")
                # The sequence is filled in when the turn commits.
                key = (0, artifact.number)
                unit.change((ARTIFACT_USES, key), _there(key), checked=False)

    def sweep(self) -> Swept:
        """Free at once what nothing refers to any more, everywhere; return when that is durable.

        It is done by itself soon after a deletion; this looks at everything.
        """
        return self.sweeper.sweep(everything=True)

    # Underneath.

    @contextmanager
    def _heard(self, operation: str, artifact: Artifact) -> Iterator[None]:
        """Ask who listens whether the block may run, and tell them that it has."""
        if not self._desk.listeners.shared:
            yield
            return
        checked_artifact(artifact)
        it = (operation, str(artifact.scope), artifact.name, artifact.number, artifact.size)
        self._desk.tell(ARTIFACT_BEFORE, operation, ArtifactDetails, *it)
        yield
        self._desk.tell(ARTIFACT_AFTER, operation, ArtifactDetails, *it)

    def _finish(self, sink: Sink, rest: bytes) -> Artifact:
        unit = self._desk.unit()
        if unit is not None:
            self._bring(sink, rest)  # nobody waits for the disk
            with unit:
                self._save(sink, unit, within=True)
                # The turn may yet be undone.
                self.sweeper.suspect(contents=[sink.content])
                row = unit.seen((ARTIFACTS, (sink.number,)), None)
        else:
            self._finish_alone(sink, rest)
            row = self._desk.behold(None, (ARTIFACTS, (sink.number,)))
        assert row is not None
        made = self._artifact(row)
        if self._desk.listeners.shared:
            it = ("save", str(made.scope), made.name, made.number, made.size)
            self._desk.tell(ARTIFACT_AFTER, "save", ArtifactDetails, *it)
        return made

    def _bring(self, sink: Sink, rest: bytes) -> None:
        """Have stored what is left of the bytes, and the content they are."""
        if rest:
            sink.chunks.append(self._uploads.chunk(sink.hold, rest))
        self._uploads.content(sink.hold, sink.content, sink.size, sink.chunks)

    def _finish_alone(self, sink: Sink, rest: bytes) -> None:
        # The unit is the sink's own, unless that was of a turn which has ended meanwhile.
        unit = sink.unit if sink.alone else self._desk.begin()
        if sink.size <= SMALL:
            unit.contents = self._uploads.small(sink.hold, sink.content, rest)
            self._save(sink, unit, within=False)
            self._desk.commit(unit)
            return
        with self._uploads.together():
            self._bring(sink, rest)
            self._save(sink, unit, within=False)
            self._desk.commit(unit)

    def _save(self, sink: Sink, unit: Unit, *, within: bool) -> None:
        """Add the steps that make an artifact; ``within`` a turn or transaction."""
        draft, desk = sink.draft, self._desk
        if unit is not sink.unit:
            desk.allow(unit, Right.WRITE, draft.scope, draft.name, "write")
        for source in draft.sources:
            self._exists(unit, source, Right.READ, "read")
        number = sink.number = self._desk.number(lambda: next(self._numbers))
        desk.ledger.no_row(ARTIFACTS, (number,))
        told: list[int] = []
        with unit.savepoint() if within else nullcontext():
            limit = self._limits.of(draft.scope)
            for tally, step in added(draft, number, sink.size, limit, told):
                exact = within and bool(tally[1][3])
                if exact:  # the version is told to a handler, and must be what becomes of it
                    desk.look(unit, tally)
                unit.change(tally, step, checked=exact)
                before = desk.behold(unit, tally)  # read here rather than under the ledger's lock
                if within:
                    unit.seen(tally, before)
            made = self._made(sink, unit.standing, told)
            unit.change((ARTIFACTS, (number,)), made, checked=False)
            for tag in draft.tags:
                unit.change((ARTIFACT_TAGS, (tag, number)), _there((tag, number)), checked=False)
            for source in draft.sources:
                key = (number, source.number)
                unit.change((LINEAGE, key), lineage.linked(*key), checked=False)

    def _made(self, sink: Sink, standing: Standing, told: list[int]) -> Step:
        """Return the step that makes an artifact's row; it holds the bytes until it is taken."""
        draft, hold, number = sink.draft, sink.hold, sink.number
        who = standing.principal
        agent = (who.id, who.part) if who.kind == "agent" else ("", "")
        made = self._desk.now()
        content, size = sink.content, sink.size

        def step(_row: Row | None) -> Row:
            assert hold is not None
            return (
                number, *draft.scope.columns, draft.name, told[0], content, size, draft.type.value,
                draft.media, *agent, standing.session, standing.correlation, made, draft.meta, 0,
            )  # fmt: skip

        return step

    def _give_up(self, sink: Sink) -> None:
        self.sweeper.suspect(contents=[sink.content], chunks=sink.chunks)

    def _most(self, unit: Unit, scope: Scope) -> int | None:
        """Return how many bytes are left to a scope, as things stand."""
        limit = self._limits.of(scope)
        if limit is None:
            return None
        place = (ARTIFACT_NAMES, (*scope.columns, ""))
        _, used = usage(self._desk.glance(unit, place))
        return max(0, limit - used)

    def _meta(self, name: str, meta: Mapping[str, Any] | None) -> str:
        if not meta:
            return "{}"  # nothing is said of it, whatever its type
        path = f"meta of artifact {name!r}"
        text = _META.encode(dict(meta), path)
        text = self._desk.plain.value(text, "meta of an artifact")
        if len(text) > self._largest:
            problem = f"takes {len(text):,} characters, more than {self._largest:,}"
            raise StateError(path, problem)
        self._metadata.check(Scope.GLOBAL, name, text, path)
        return text

    def _tag(self, tag: str) -> str:
        return self._desk.plain.words(checked_name(tag, "tag"), "a tag of an artifact")

    def _existing(self, unit: Unit, artifact: Artifact, right: Right, operation: str) -> Row:
        checked_artifact(artifact)
        self._desk.allow(unit, right, artifact.scope, artifact.name, operation)
        return self._row(unit, artifact)

    def _exists(self, unit: Unit, artifact: Artifact, right: Right, operation: str) -> None:
        """Have a unit end only if an artifact is still there."""
        self._existing(unit, artifact, right, operation)

        def step(row: Row | None) -> Row:
            return present(row, artifact)

        unit.change((ARTIFACTS, (artifact.number,)), step, checked=False)

    def _change(self, unit: Unit, place: Place, step: Step) -> None:
        """Add a step that may refuse, and have it refuse at once."""
        with unit.savepoint():
            unit.change(place, step, checked=False)
            unit.seen(place, self._desk.behold(unit, place))


def _last(ledger: Ledger) -> int:
    """Return the highest number that was given to an artifact."""
    try:
        row = ledger.durable(ARTIFACT_NAMES, TOTAL)
    except CorruptState:  # counted again by the first sweep
        return last_number(ledger)
    return 0 if row is None else int(str(row[4]))


def _there(row: Row) -> Step:
    def step(_row: Row | None) -> Row:
        return row

    return step
