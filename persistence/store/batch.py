"""Many commits as one transaction: later values replace earlier ones, brief messages vanish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from ..records.chain import START, Chain
from ..records.checksums import of_field, of_record
from ..records.postings import KEPT
from ..records.records import (
    AgentRow,
    Commit,
    DeadLetter,
    Deletion,
    Effects,
    EntryRow,
    FieldRow,
    ItemRow,
    JournalRow,
    Message,
    QuarantineRow,
    Renaming,
    Timer,
)
from ..records.shared_tables import ATTEMPTS, AUDIT, AUDIT_CAUSES, HOOK_RUNS, SCOPED
from ..records.tables import Key, Row
from ..records.texts import Replacement
from .batch_rows import Rows, fold_rows, joined

_Effective: TypeAlias = list[tuple[Commit, Effects]]
"""The commits that have effects, with them."""
Bind: TypeAlias = Callable[[Sequence[Commit]], Sequence[Row]]
"""Makes rows of ``HOOK_RUNS`` of what commits have for the history of hooks; must not raise."""
_RUNS: Final = "active"
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long


def nothing_to_bind(_commits: Sequence[Commit]) -> Sequence[Row]:
    """Stand for whoever binds, where nobody keeps a history."""
    raise AssertionError("commits have something for the history, and nobody binds it")


class Batch:
    """Hold the rows of consecutive commits, ready to be written in a handful of statements.

    Elision: a message sent and consumed inside the batch appears in neither list, because the
    batch is atomic and leaving both rows out is the same. What goes (``mail_gone``, ``truncated``,
    ...) goes before what comes: a dead letter put back may be sent again under its old id.
    """

    __slots__ = (
        "agents", "chain", "commits", "dead", "deleted", "entries", "fields", "items", "journal",
        "last", "mail", "mail_gone", "passing", "quarantined", "removed", "renamed", "replaced",
        "revived", "shapes", "tables", "timers", "timers_gone", "truncated",
    )  # fmt: skip

    def __init__(
        self, commits: Sequence[Commit], chain: Chain = START, bind: Bind = nothing_to_bind
    ) -> None:
        """Fold ``commits``, which are in sequence order and not empty.

        ``chain`` is the audit's newest link so far; the batch's own is ``self.chain``.
        """
        # A step is a pass over all commits, not a call for each: the call would cost more than
        # most commits give it to do.
        self.commits = commits
        self.last = commits[-1].sequence
        effective = [(c, c.effects) for c in commits if c.effects is not None]
        shared = self._fold_shared(effective, chain)
        remembered: list[Commit] = []
        for commit in commits:  # no comprehension, which is a call
            if commit.history:
                remembered.append(commit)  # noqa: PERF401
        if remembered:
            places = self.tables.setdefault(HOOK_RUNS, {})
            places |= {row[:1]: row for row in bind(remembered)}
        turns = [c for c in commits if c.agent or c.sequence in shared]
        self.deleted: list[Deletion] = []
        """Agents that end. What the batch itself holds of them is left out already."""
        self.agents = _heads(turns)
        self._fold_state(turns)
        self.journal = _journal(turns, shared)
        self._fold_effects(effective)
        if self.deleted:
            self._leave_out({deletion.agent for deletion in self.deleted})
            self._forget_attempts({deletion[1:3] for deletion in self.deleted})
            self._end_scopes({("agent", *gone[1:3]): gone.sequence for gone in self.deleted})

    def _fold_shared(self, effective: _Effective, chain: Chain) -> dict[int, str]:
        """Take rows of declared tables, and decisions; return by sequence what is journaled."""
        self.tables: Rows = {}
        shared: dict[int, str] = {}
        for commit, effects in effective:
            if effects.audit:
                chain, rows = chain.linked(commit.sequence, effects.audit)
                places = self.tables.setdefault(AUDIT, {})
                for row in rows:
                    places[row[: AUDIT.key]] = row
            if effects.rows and (text := fold_rows(self.tables, commit)):
                shared[commit.sequence] = text
            if effects.audit and commit.cause and not (commit.agent or commit.sequence in shared):
                place = (commit.sequence,)  # the journal does not have it
                self.tables.setdefault(AUDIT_CAUSES, {})[place] = (*place, commit.cause)
        self.chain = chain
        return shared

    def _fold_state(self, turns: list[Commit]) -> None:
        """Take what changed in agents' states; of a field or an entry the last value counts."""
        self.items: list[ItemRow] = []
        self.truncated: dict[tuple[int, str], int] = {}
        self.shapes: dict[int, str] = {}
        """Of the agents whose shape is new."""
        fields: dict[tuple[int, str], str] = {}
        entries: dict[tuple[int, str, str | int], EntryRow | None] = {}
        for commit in turns:
            agent, delta = commit.agent, commit.delta
            if commit.version == 1:
                self.shapes[agent] = "{}"
            if delta is None:
                continue
            for name, value in delta.fields.items():
                fields[agent, name] = value
            if not delta.plain:
                if delta.truncated:
                    self._truncate(agent, delta.truncated)
                self.items += delta.items
                entries |= delta.entries
            if delta.shape is not None:
                self.shapes[agent] = delta.shape
        self.fields: list[FieldRow] = []
        for (agent, name), value in fields.items():
            field = (agent, name, value, of_field(agent, name, value))
            self.fields.append(_new(FieldRow, field))
        self.entries: list[EntryRow] = []
        self.removed: list[tuple[int, str, str | int]] = []
        if entries:
            self.entries += [row for row in entries.values() if row is not None]
            self.removed += [place for place, row in entries.items() if row is None]

    def _fold_effects(self, effective: _Effective) -> None:
        """Take what commits do besides changing states; most do little of it."""
        self.renamed: list[Renaming] = []
        self.quarantined: list[QuarantineRow] = []
        self.replaced: list[Replacement] = []
        self.mail: list[Message] = []
        self.mail_gone: list[int] = []
        self.dead: list[DeadLetter] = []
        self.revived: list[int] = []
        self.timers: list[Timer] = []
        self.timers_gone: list[tuple[str, str, str]] = []
        mailed = died = timed = False
        for commit, effects in effective:
            self.quarantined += effects.quarantined
            self.replaced += effects.replaced
            mailed = mailed or bool(effects.sends or effects.consumed)
            died = died or bool(effects.dead or effects.revived)
            timed = timed or bool(effects.timers or effects.cancelled)
            if effects.deleted is not None:
                self.deleted.append(effects.deleted._replace(sequence=commit.sequence))
            if effects.renamed is not None:
                self.renamed.append(effects.renamed)
        if mailed:
            self._fold_mail(effective)
        if died:
            self._fold_dead(effective)
        if timed:
            self._fold_timers(effective)
        self.passing = (
            mailed or died or timed or bool(self.quarantined or self.deleted)
            or not self.tables.keys().isdisjoint(KEPT)
        )  # fmt: skip
        """Something comes or goes that the journal has nothing of (``records/postings.py``)."""

    def _fold_mail(self, effective: _Effective) -> None:
        """Take messages sent and consumed; those that are both vanish."""
        mail: dict[int, Message] = {}
        senders: dict[int, int] = {}
        gone: dict[int, None] = {}
        for commit, effects in effective:
            for message in effects.sends:
                mail[message.id] = message
                senders[message.id] = commit.sequence if commit.agent else 0
            if effects.deleted is not None:
                mail = {i: m for i, m in mail.items() if m[1:3] != effects.deleted[1:3]}
            for consumed in effects.consumed:
                if mail.pop(consumed, None) is None:
                    gone[consumed] = None
        # A message's cause is the sequence of the commit that sends it, known only here.
        for m in mail.values():
            self.mail.append(m if m.cause else _new(Message, (*m[:5], senders[m.id], *m[6:])))
        self.mail_gone += gone

    def _fold_dead(self, effective: _Effective) -> None:
        """Take dead letters, and those that were put back or discarded."""
        dead: dict[int, DeadLetter | None] = {}
        for _, effects in effective:
            if effects.dead:
                dead.update((letter.id, letter) for letter in effects.dead)
            if effects.revived:
                dead.update(dict.fromkeys(effects.revived))
            if effects.deleted is not None:
                gone = effects.deleted[1:3]
                dead = {i: d for i, d in dead.items() if d is None or d[1:3] != gone}
        for letter_id, letter in dead.items():
            if letter is None:
                self.revived.append(letter_id)
            else:
                self.dead.append(letter)

    def _fold_timers(self, effective: _Effective) -> None:
        """Take timers set and cancelled."""
        timers: dict[tuple[str, str, str], Timer | None] = {}
        for commit, effects in effective:
            for timer in effects.timers:
                known = timer.cause or not commit.agent
                timers[timer[:3]] = timer if known else timer._replace(cause=commit.sequence)
            for place in effects.cancelled:
                timers[place] = None
            if effects.deleted is not None:
                gone = effects.deleted[1:3]
                timers = {place: t for place, t in timers.items() if place[:2] != gone}
        for place, latest in timers.items():
            if latest is None:
                self.timers_gone.append(place)
            else:
                self.timers.append(latest)

    def _leave_out(self, deleted: set[int]) -> None:
        """Drop what the batch holds of agents that end in it; their numbers never come again."""
        self.agents = [head for head in self.agents if head.agent not in deleted]
        self.fields = [row for row in self.fields if row.agent not in deleted]
        self.items = [row for row in self.items if row.agent not in deleted]
        self.entries = [row for row in self.entries if row.agent not in deleted]
        self.removed = [place for place in self.removed if place[0] not in deleted]
        self.truncated = {p: n for p, n in self.truncated.items() if p[0] not in deleted}
        self.shapes = {agent: s for agent, s in self.shapes.items() if agent not in deleted}
        self.quarantined = [row for row in self.quarantined if row.agent not in deleted]

    def _forget_attempts(self, names: set[tuple[str, str]]) -> None:
        """Drop counts of agents that end: at worst one of a new life is lost."""
        places = self.tables.get(ATTEMPTS, {})
        for place in [place for place in places if place[:2] in names]:
            del places[place]

    def _end_scopes(self, ended: Mapping[Key, int]) -> None:
        """Have keys of agents that end be gone, but those that were set behind it."""
        places = self.tables.get(SCOPED, {})
        for key, row in places.items():
            if row is not None and _set_by(row) < ended.get(key[:3], 0):
                places[key] = None

    def _truncate(self, agent: int, cut: Mapping[str, int]) -> None:
        """Drop what the batch itself appended beyond the cut; the store drops the rest."""
        self.items = [
            row for row in self.items
            if row.agent != agent or row.position < cut.get(row.field, 2**63)
        ]  # fmt: skip
        for field, length in cut.items():
            place = (agent, field)
            self.truncated[place] = min(length, self.truncated.get(place, length))

    def __bool__(self) -> bool:
        """Tell whether anything has to be written at all."""
        return bool(
            self.journal or self.mail or self.mail_gone or self.timers or self.timers_gone
            or self.dead or self.revived or self.quarantined or self.tables or self.replaced
            or self.deleted
        )  # fmt: skip


def _set_by(row: Row) -> int:
    """Return the commit that set a key."""
    return int(str(row[SCOPED.names.index("sequence")]))


def _heads(turns: list[Commit]) -> list[AgentRow]:
    """Return the agents' heads after their latest commits."""
    latest: dict[int, Commit] = {}
    for commit in turns:
        if commit.agent:
            latest[commit.agent] = commit
    heads: list[AgentRow] = []
    for agent, c in latest.items():
        head = (agent, c.kind, c.key, c.version, c.sequence, c.status, c.reason)
        heads.append(_new(AgentRow, head))
    return heads


def _journal(turns: list[Commit], shared: Mapping[int, str]) -> list[JournalRow]:
    """Return a row for each turn; ``shared`` has what it changed of what agents share."""
    rows: list[JournalRow] = []
    for commit in turns:
        text = "{}" if commit.delta is None else commit.delta.text()
        if commit.sequence in shared:
            text = joined(text, shared[commit.sequence])
        if commit.status != _RUNS:
            text = joined(text, _status(commit))
        if commit.effects is not None and commit.effects.renamed is not None:
            text = joined(text, _kinds(commit.effects.renamed))
        if commit.delta is not None and commit.delta.schemas is not None:
            text = joined(text, _schemas(commit.delta.schemas))
        row = (
            commit.sequence, commit.agent, commit.version, commit.previous, commit.time,
            commit.name, commit.message, commit.cause, commit.correlation, text,
        )  # fmt: skip
        rows.append(_new(JournalRow, (*row, of_record(row))))
    return rows


def _status(commit: Commit) -> str:
    """Return what the journal says of a status: a recovery to a moment needs it."""
    return f'"status":{msgspec.json.encode((commit.status, commit.reason)).decode()}'


def _kinds(renamed: Renaming) -> str:
    """Return what the journal says of another kind: the names of agents are those of today."""
    return f'"kinds":{msgspec.json.encode((renamed.kind, renamed.becomes)).decode()}'


def _schemas(moved: tuple[int, int]) -> str:
    """Return what the journal says of another schema: the shapes of agents are those of today."""
    return f'"schemas":{msgspec.json.encode(moved).decode()}'
