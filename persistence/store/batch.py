"""Many commits as one transaction: later values replace earlier ones, brief messages vanish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..records.chain import START, Chain
from ..records.checksums import of_field, of_record
from ..records.records import (
    AgentRow,
    Commit,
    DeadLetter,
    Effects,
    EntryRow,
    FieldRow,
    ItemRow,
    JournalRow,
    Message,
    QuarantineRow,
    Timer,
)
from ..records.shared_tables import AUDIT
from ..records.texts import Replacement
from .batch_rows import Rows, fold_rows, joined


class Batch:
    """Hold the rows of consecutive commits, ready to be written in a handful of statements.

    Elision: a message sent and consumed inside the batch appears in neither list, because the
    batch is atomic and leaving both rows out is the same. What goes (``mail_gone``, ``truncated``,
    ...) goes before what comes: a dead letter put back may be sent again under its old id.
    """

    __slots__ = (
        "agents", "chain", "commits", "dead", "entries", "fields", "items", "journal", "last",
        "mail", "mail_gone", "quarantined", "removed", "replaced", "revived", "shapes", "tables",
        "timers", "timers_gone", "truncated",
    )  # fmt: skip

    # One loop: a call or two for each commit would cost more than they would explain.
    def __init__(  # noqa: C901, PLR0912, PLR0915
        self, commits: Sequence[Commit], chain: Chain = START
    ) -> None:
        """Fold ``commits``, which are in sequence order and not empty.

        ``chain`` is the audit's newest link so far; the batch's own is ``self.chain``.
        """
        self.commits = commits
        self.chain = chain
        self.tables: Rows = {}
        self.last = commits[-1].sequence
        self.journal: list[JournalRow] = []
        self.items: list[ItemRow] = []
        self.truncated: dict[tuple[int, str], int] = {}
        self.quarantined: list[QuarantineRow] = []
        self.replaced: list[Replacement] = []
        self.shapes: dict[int, str] = {}
        """Of the agents whose shape is new."""
        heads: dict[int, Commit] = {}
        fields: dict[tuple[int, str], str] = {}
        entries: dict[tuple[int, str, str | int], EntryRow | None] = {}
        mail: dict[int, Message] = {}
        senders: dict[int, int] = {}
        gone: dict[int, None] = {}
        dead: dict[int, DeadLetter | None] = {}
        timers: dict[tuple[str, str, str], Timer | None] = {}
        new = tuple.__new__  # a named tuple's own constructor takes twice as long
        for commit in commits:
            agent = commit.agent
            effects = commit.effects
            shared = "" if effects is None else self._fold_shared(commit, effects)
            if agent or shared:
                delta = commit.delta
                if agent:
                    heads[agent] = commit
                if commit.version == 1:
                    self.shapes[agent] = "{}"
                if delta is None:
                    text = "{}"
                else:
                    text = delta.text()
                    for name, value in delta.fields.items():
                        fields[agent, name] = value
                    if not delta.plain:
                        if delta.truncated:
                            self._truncate(agent, delta.truncated)
                        self.items += delta.items
                        entries |= delta.entries
                    if delta.shape is not None:
                        self.shapes[agent] = delta.shape
                if shared:
                    text = joined(text, shared)
                row = (
                    commit.sequence,
                    agent,
                    commit.version,
                    commit.previous,
                    commit.time,
                    commit.name,
                    commit.message,
                    commit.cause,
                    commit.correlation,
                    text,
                )
                self.journal.append(new(JournalRow, (*row, of_record(row))))
            if effects is None:
                continue
            for message in effects.sends:
                mail[message.id] = message
                senders[message.id] = commit.sequence if agent else 0
            for consumed in effects.consumed:
                if mail.pop(consumed, None) is None:
                    gone[consumed] = None
            for timer in effects.timers:
                timers[timer[:3]] = timer
            for timer_id in effects.cancelled:
                timers[timer_id] = None
            if effects.dead:
                dead.update((letter.id, letter) for letter in effects.dead)
            if effects.revived:
                dead.update(dict.fromkeys(effects.revived))
            if effects.quarantined:
                self.quarantined += effects.quarantined
            if effects.replaced:
                self.replaced += effects.replaced
        self.agents = [
            new(AgentRow, (agent, c.kind, c.key, c.version, c.sequence, c.status, c.reason))
            for agent, c in heads.items()
        ]
        self.fields = [
            new(FieldRow, (agent, name, value, of_field(agent, name, value)))
            for (agent, name), value in fields.items()
        ]
        self.entries = [row for row in entries.values() if row is not None]
        self.removed = [place for place, row in entries.items() if row is None]
        # A message's cause is the sequence of the commit that sends it, known only here.
        self.mail = [
            m if m.cause else new(Message, (*m[:5], senders[m.id], *m[6:])) for m in mail.values()
        ]
        self.mail_gone = list(gone)
        self.dead = [letter for letter in dead.values() if letter is not None]
        self.revived = [letter_id for letter_id, letter in dead.items() if letter is None]
        self.timers = [timer for timer in timers.values() if timer is not None]
        self.timers_gone = [place for place, timer in timers.items() if timer is None]

    def _fold_shared(self, commit: Commit, effects: Effects) -> str:
        """Take a commit's rows and decisions; return what of them the journal tells."""
        self.chain, rows = self.chain.linked(commit.sequence, effects.audit)
        for row in rows:
            self.tables.setdefault(AUDIT, {})[AUDIT.place(row)] = row
        return fold_rows(self.tables, commit) if effects.rows else ""

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
        )  # fmt: skip
