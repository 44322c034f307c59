"""Find artifacts and read them; in turns also what they have just made."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Final, TypedDict, Unpack, cast

from ...persistence.errors import StateError, UnknownArtifact
from ...persistence.names.keys import checked_key, checked_name
from ...persistence.names.named import checked_scope
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.page import LIMIT, Page, checked_limit, page_of, walk
from ...persistence.records.shared_tables import ARTIFACT_NAMES, ARTIFACT_USES, ARTIFACTS, CONTENTS
from ...persistence.records.tables import Order, Row
from ..ledger.desk import Desk, Handle
from ..ledger.guard import Right
from ..ledger.unit import Unit
from ..scopes.schemas import Schemas
from . import lineage
from .catalogue import BY_NAME, ArtifactFilter, by_name, by_number, find, tags
from .content import chunks
from .records import KIND, META, NAME, SIZE, Artifact, ArtifactType, from_row
from .rights import EVERYTHING, own_scope, shown
from .source import Source
from .tally import usage
from .traffic import Hold
from .upload import Uploads

LARGEST: Final = 2**63
"""What is stored as a number is below it."""


class ArtifactSelection(TypedDict, total=False):
    """Which artifacts: what ``list``, ``each`` and ``count`` take."""

    scope: Scope | None
    name: str | None
    session: str | None
    agent: tuple[str, str] | None
    tag: str | None
    type: str | None
    content: str | None
    correlation: int | None
    since: float | None
    until: float | None


class ArtifactReader(Handle):
    """Find artifacts, where they came from and what became of them; read their bytes."""

    def __init__(self, desk: Desk, uploads: Uploads, metadata: Schemas) -> None:
        """Read by ``desk``; wait for ``uploads`` that are on their way.

        ``metadata`` knows the types that metadata have by the names of artifacts.
        """
        super().__init__(desk)
        self._uploads = uploads
        self._metadata = metadata

    def get(self, name: str, *, scope: Scope | None = None, version: int | None = None) -> Artifact:
        """Return the newest version of a name, or the one asked for; needs READ.

        UnknownArtifact if there is none.
        """
        scope = own_scope(self._desk) if scope is None else checked_scope(scope)
        name = checked_key(name)
        if version is not None and not isinstance(version, int):
            raise StateError("version", f"{version!r:.40} is no number of a version")
        unit = self._reading(Right.READ, scope, name, "read")
        # No store holds a number beyond that.
        there = version is None or 0 < version < LARGEST
        row = by_name(self._desk, unit, scope, name, version) if there else None
        if row is None:
            which = "" if version is None else f" version {version}"
            message = f"{scope} has no artifact {name!r}{which}; `list` shows those it has"
            raise UnknownArtifact(message)
        return self._artifact(row)

    def list(
        self,
        *,
        scope: Scope | None = None,
        name: str | None = None,
        session: str | None = None,
        agent: tuple[str, str] | None = None,
        tag: str | None = None,
        type: str | None = None,  # noqa: A002 - the word for it
        content: str | None = None,
        correlation: int | None = None,
        since: float | None = None,
        until: float | None = None,
        after: Artifact | int | None = None,
        limit: int = LIMIT,
        newest: bool = False,
    ) -> Page[Artifact]:
        """Return a page of the artifacts that fit all that is given, in the order they were made.

        Args:
            scope: whose they are; needs LIST on it. Without it, those of all scopes are found that
                the caller may list.
            name: of this name, all versions.
            session: made in it.
            agent: made by the agent of this kind and key.
            tag: that have it.
            type: of this type.
            content: with these bytes, by their SHA-256.
            correlation: made in this chain of messages.
            since: not made before, in seconds since the epoch.
            until: made before.
            after: the one before, or its number.
            limit: how many at most.
            newest: the one made last first.
        """
        wanted = self._filter(
            scope=scope, name=name, session=session, agent=agent, tag=tag, type=type,
            content=content, correlation=correlation, since=since, until=until,
        )  # fmt: skip
        unit, found = self._found(wanted, after, newest=newest)
        listed = page_of(found, limit, attrgetter("number"))
        self._learnt(unit)
        if scope is None:
            self._listed(listed)
        return listed

    def each(
        self,
        *,
        after: Artifact | int | None = None,
        newest: bool = False,
        **wanted: Unpack[ArtifactSelection],
    ) -> Iterator[Artifact]:
        """Iterate over all artifacts in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(after=place, newest=newest, **wanted), after)

    def count(self, **wanted: Unpack[ArtifactSelection]) -> int:
        """Return how many artifacts fit; takes what ``list`` takes.

        The store counts, outside of turns, for one of these at the most: a scope (and a name in
        it), a session, an agent, a type, a content, a correlation. Without a scope for the system
        alone, and only while reading is not audited. Else it takes the time of a list.
        """
        chosen = self._filter(**wanted)
        order, scope = chosen.counted(), chosen.scope
        if order is None or self._desk.unit() is not None or not self._all_shown(scope):
            return sum(1 for _ in self.each(**wanted))
        if scope is not None:
            self._reading(Right.LIST, scope, None, "list")
        return self._desk.ledger.store.count(ARTIFACTS, order)

    def _all_shown(self, scope: Scope | None) -> bool:
        """Tell whether the caller may list all artifacts of a scope, or of all; asked of nobody."""
        if scope is not None:
            return shown(self._desk, scope) is EVERYTHING
        system = self._desk.standing().principal == Principal.SYSTEM
        return system and not self._desk.guard.reads

    @staticmethod
    def _filter(
        *,
        scope: Scope | None = None,
        name: str | None = None,
        session: str | None = None,
        agent: tuple[str, str] | None = None,
        tag: str | None = None,
        type: str | None = None,  # noqa: A002 - the word for it
        content: str | None = None,
        correlation: int | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> ArtifactFilter:
        return ArtifactFilter(
            scope=None if scope is None else checked_scope(scope),
            name=None if name is None else checked_key(name),
            session=session,
            agent=agent,
            tag=None if tag is None else checked_name(tag, "tag"),
            type=None if type is None else checked_type(type),
            content=content,
            correlation=correlation,
            since=since,
            until=until,
        )

    def tags(self, artifact: Artifact) -> builtins.list[str]:
        """Return an artifact's tags; needs READ."""
        checked_artifact(artifact)
        unit = self._reading(Right.READ, artifact.scope, artifact.name, "read")
        self._row(unit, artifact)
        return tags(self._desk, unit, artifact.number)

    def sources(self, artifact: Artifact, *, deep: bool = False) -> builtins.list[Artifact]:
        """Return what it was made from; with ``deep`` also what that was made from, and so on.

        Needs READ; those the caller may not list are left out, and those that are gone.
        """
        checked_artifact(artifact)
        unit = self._reading(Right.READ, artifact.scope, artifact.name, "read")
        self._row(unit, artifact)
        walk = lineage.ancestors if deep else lineage.sources
        return self._shown(unit, walk(self._desk, unit, artifact.number))

    def results(self, artifact: Artifact) -> builtins.list[Artifact]:
        """Return what was made directly from it; otherwise as ``sources``."""
        unit = self._reading(Right.READ, artifact.scope, artifact.name, "read")
        self._row(unit, artifact)
        return self._shown(unit, lineage.results(self._desk, unit, artifact.number))

    def usage(self, scope: Scope) -> tuple[int, int]:
        """Return how many artifacts a scope has and their bytes, of those that may be listed.

        Needs LIST. Kept as a tally, and counted where only some may be listed.
        """
        visible = shown(self._desk, checked_scope(scope))
        unit = self._reading(Right.LIST, scope, None, "list")
        if visible is not EVERYTHING:
            rows = self._desk.rows(unit, ARTIFACTS, Order(BY_NAME, scope.columns))
            sizes = [int(str(row[SIZE])) for row in rows if visible(scope, str(row[NAME]))]
            return len(sizes), sum(sizes)
        place = (ARTIFACT_NAMES, (*scope.columns, ""))
        return usage(self._desk.glance(unit, place))

    def open(self, artifact: Artifact) -> Source:
        """Return a source to read its bytes from; needs READ.

        UnknownArtifact if it was deleted. Reading raises CorruptState, naming the chunk, where the
        bytes are not those that were saved.
        """
        unit = self._reading(Right.READ, artifact.scope, artifact.name, "read")
        hold = Hold()
        # Held before it is looked up: from then on it cannot be swept.
        self._uploads.traffic.hold(hold, (CONTENTS, artifact.content))
        self._row(unit, artifact)
        self._uploads.settle(artifact.content)
        data = chunks(self._desk.ledger.store, artifact.content, str(artifact))
        return Source(artifact, data, partial(self._uploads.traffic.release, hold))

    def read(self, artifact: Artifact) -> bytes:
        """Return all of its bytes; otherwise as ``open``."""
        with self.open(artifact) as source:
            return source.read()

    def uses(
        self, artifact: Artifact, *, after: int | None = None, limit: int = LIMIT
    ) -> Page[int]:
        """Return a page of the sequences of the turns that named it in ``came_from``; needs READ.

        Those that are durable, oldest first; ``after`` is the sequence before.
        """
        checked_artifact(artifact)
        unit = self._reading(Right.READ, artifact.scope, artifact.name, "read")
        self._row(unit, artifact)  # its scope and name are those that the right is for
        order = Order(("artifact",), (artifact.number,))
        most = checked_limit(limit) + 1
        found = self._desk.ledger.page(ARTIFACT_USES, order, (after or 0,), most)
        return page_of((int(str(sequence)) for sequence, _ in found), limit, int)

    def used_in(self, sequence: int) -> builtins.list[Artifact]:
        """Return what the turn of that sequence named in ``came_from``.

        Those the caller may list, and that are not gone.
        """
        order = Order(("sequence", "artifact"), (sequence,))
        numbers = (int(str(row[1])) for row in self._desk.rows(None, ARTIFACT_USES, order))
        return self._shown(None, numbers)

    # Underneath.

    def _found(
        self, wanted: ArtifactFilter, after: Artifact | int | None, *, newest: bool
    ) -> tuple[Unit | None, Iterator[Artifact]]:
        visible = shown(self._desk, wanted.scope)
        unit = self._desk.unit()
        if wanted.scope is not None:
            self._reading(Right.LIST, wanted.scope, None, "list")
        start = after.number if isinstance(after, Artifact) else after
        rows = find(self._desk, unit, wanted, start, newest=newest)
        found = (self._artifact(row) for row in rows)
        return unit, (each for each in found if visible(each.scope, each.name))

    def _artifact(self, row: Row) -> Artifact:
        """Return a row as an artifact, its metadata as their type of today has them."""
        if self._metadata.aged and row[META] != "{}":
            kind, name, text = str(row[KIND]), str(row[NAME]), str(row[META])
            where = f"meta of artifact {name!r}"
            made = self._metadata.fresh(kind, name, text, cast("int", row[META + 1]), where)
            row = (*row[:META], made, *row[META + 1 :])
        return from_row(row)

    def _reading(self, right: Right, scope: Scope, name: str | None, operation: str) -> Unit | None:
        unit = self._desk.unit()
        self._desk.allow(unit, right, scope, name, operation)
        self._learnt(unit)
        return unit

    def _learnt(self, unit: Unit | None) -> None:
        if unit is not None:
            self._desk.learnt()

    def _row(self, unit: Unit | None, artifact: Artifact) -> Row:
        """Return an artifact's row; it must be the one the rights were asked for."""
        return present(by_number(self._desk, unit, artifact.number), artifact)

    def _shown(self, unit: Unit | None, numbers: Iterator[int]) -> builtins.list[Artifact]:
        found = (by_number(self._desk, unit, number) for number in numbers)
        visible = shown(self._desk, None)
        artifacts = [self._artifact(row) for row in found if row is not None]
        listed = [artifact for artifact in artifacts if visible(artifact.scope, artifact.name)]
        self._listed(listed)
        return listed

    def _listed(self, artifacts: Sequence[Artifact]) -> None:
        """Use the right to list each scope of which something is shown, where none was named."""
        unit = self._desk.unit()
        for scope in dict.fromkeys(artifact.scope for artifact in artifacts):
            if unit is None or not unit.begins(scope):
                self._desk.allow(unit, Right.LIST, scope, None, "list")


def present(row: Row | None, artifact: Artifact) -> Row:
    """Return an artifact's row; UnknownArtifact if it is gone, or another's."""
    # Compared: the rights that were asked for are those of the scope and name in the artifact.
    if (
        row is None
        or row[1:5] != (*artifact.scope.columns, artifact.name)
        or row[6] != artifact.content
    ):
        message = f"{artifact} is not in this store: it was deleted, or is another store's"
        raise UnknownArtifact(message)
    return row


def checked_artifact(artifact: object) -> Artifact:
    """Return an artifact; StateError for what is none."""
    if isinstance(artifact, Artifact):
        return artifact
    raise StateError("artifact", f"{artifact!r:.100} is none; get() and list() give artifacts")


def checked_type(name: str) -> ArtifactType:
    """Return the type of that name; StateError if there is none."""
    try:
        return ArtifactType(name)
    except ValueError:
        known = ", ".join(ArtifactType)
        raise StateError("type", f"{name!r} is no type of artifact; use {known}") from None
