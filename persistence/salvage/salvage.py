"""Salvage a damaged store: everything of it that is whole goes into a new one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from ..backup.progress import Progress, silent
from ..backup.restore import drafted, publish, refuse_taken
from ..errors import SalvageFailed, StoreOwned, durable
from ..records.journal import read_shape
from ..records.shared_tables import SHARED_TABLES
from ..sqlite.place import beside, identified
from ..sqlite.reader import SqliteReader
from ..sqlite.witness import SUFFIX, Witness
from ..store.lease import LeaseRecord, Owner
from ..upkeep.doctor import examine
from .draft import Draft, drawn
from .forest import Forest, FoundRow, LostPage
from .forms import Row, forms, index_forms
from .heads import OF_AGENTS, Heads
from .held import held
from .image import Fault, Image
from .losses import LOST, PARTED, UNKNOWN, Count, Losses, Salvaged
from .sharing import Shared, name_of, word
from .states import Gaps, Whole

Place = tuple[str, str, str]
"""Kind, key and name, as far as they are known."""


def salvage(path: Path, target: Path, tell: Progress = silent) -> Salvaged:
    """Make a new store of what is whole in a damaged one, which is not written to.

    The new one is there as a whole or not at all: it gets its name when the doctor has found
    nothing in it.

    Raises:
        ConfigurationError: there is something at ``target`` already.
        StoreOwned, StoreUnavailable: somebody has it open, or it cannot be read or written.
        SalvageFailed: nothing in it can be read as a store.
    """
    refuse_taken(target)
    with held(path) as file, Image(path, file) as image, drafted(target) as draft:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        found = _Work(image, path, tell).run(draft, str(target))
        publish(draft, target)
    return found


@dataclass(slots=True)
class _Work:
    """One salvage."""

    image: Image
    path: Path
    tell: Progress
    losses: Losses = field(default_factory=Losses)
    bad: list[FoundRow] = field(default_factory=list)
    journal: int = 0
    twice: int = 0
    """Rows whose place was taken by others."""

    def run(self, path: Path, location: str) -> Salvaged:
        """Fill a draft, make it whole, and examine it."""
        forest = Forest(self.image)
        with drawn(path, location) as draft:
            with draft.together():
                self._fill(forest, draft)
            if not self._anything(draft) and not {row.name for row in forest.schema} & {*forms()}:
                raise SalvageFailed(f"{self.path} holds no row of a store; restore a backup")
            self._mend(forest, draft, path)
            rows = sum(_count(draft, name) for name in forms())
            last = int(draft.one("SELECT coalesce(max(sequence), 0) FROM journal"))
            missing = self._missing(self._newest(draft))
            if self.losses.counts or forest.lost:
                draft.run("VACUUM")
        self._examine(path)
        return replace(self._told(forest, location, rows, last), missing=missing)

    def _fill(self, forest: Forest, draft: Draft) -> None:
        """Put in every row that proves itself."""
        page = 0

        def taken(table: str, row: Row) -> None:
            self.twice += 1
            if table == "agents":
                self._newer(draft, row)

        for at, found in enumerate(forest.rows()):
            if found.good:
                draft.put(found.table, found.row, dropped=taken)
            else:
                self.bad.append(found)
            if not at % 1000:
                page = max(page, found.pages[0])
                self.tell("reading pages", min(page, self.image.pages), self.image.pages)
        draft.flush(taken)
        self._refuse_owned(forest.lease)
        draft.lease(forest.lease)

    def _newer(self, draft: Draft, row: Row) -> None:
        """Of two heads of one agent the later one counts."""
        sequence = draft.one("SELECT sequence FROM agents WHERE agent = ?", row[:1])
        if sequence is not None and sequence < row[4]:
            draft.run("DELETE FROM agents WHERE agent = ?", row[:1])
            marks = ", ".join("?" * len(row))
            draft.run(f"INSERT OR IGNORE INTO agents VALUES ({marks})", row)  # noqa: S608

    def _refuse_owned(self, lease: list[Row]) -> None:
        """Refuse a store that an owner elsewhere may have open, where no lock tells of it."""
        for row in lease:
            try:
                _, token, host, pid, started, realm, incarnation, renewed, released, _ = row
                who = Owner(host, pid, started, realm, incarnation)
                record = LeaseRecord(token, who, float(renewed), bool(released))
                alive = record.holder_alive(Owner.this_process(), time.time())
            except (TypeError, ValueError, OSError, OverflowError):
                continue  # the row is damaged, and has no checksum
            if alive:
                raise StoreOwned(str(self.path), host=host, pid=pid, started=started)

    @staticmethod
    def _anything(draft: Draft) -> bool:
        return any(draft.one(f"SELECT 1 FROM {name} LIMIT 1") for name in forms())  # noqa: S608

    def _mend(self, forest: Forest, draft: Draft, path: Path) -> None:
        hurt = self._hurt(forest)
        if "journal" not in hurt:
            self.journal = int(draft.one("SELECT coalesce(max(sequence), 0) FROM journal"))
        with closing(SqliteReader(path)) as reader:
            names = self._names(forest)
            with draft.together():
                heads = Heads(draft, self.losses)
                heads.mend((b.row for b in self.bad if b.table == "agents"), names)
            states = Whole(draft, reader, self.losses)
            states.go_on()
            gaps = self._gaps(forest, draft)
            for number, name, key in states.unseen():
                gaps[number].entries.add((name, key))
            for number in heads.made:
                gaps[number].unsure = "journal" in hurt
            with draft.together():
                states.forget_base(self._baseless(forest, draft, hurt))
            for number, each in sorted(gaps.items()):
                states.mend(number, each)
            with draft.together():
                if "journal" in hurt:
                    states.number_behind(self._newest(draft))
                self._mend_shared(forest, draft, hurt)
                self._history(draft)

    def _hurt(self, forest: Forest) -> set[str]:
        """Return the tables that have lost something, or may have."""
        hurt = {each.belongs_to for each in forest.lost} | {found.table for found in self.bad}
        if self.image.torn or self.twice:
            hurt |= forms().keys()
        return hurt & forms().keys()

    def _names(self, forest: Forest) -> dict[int, tuple[str, str]]:
        """Return the names of agents by number, from the index that finds them by name."""
        found: dict[int, tuple[str, str]] = {}
        for values in forest.entries("sqlite_autoindex_agents_1"):
            match values:
                case (str() as kind, str() as key, int() as number):
                    found[number] = (kind, key)
                case _:
                    pass
        return found

    def _gaps(self, forest: Forest, draft: Draft) -> defaultdict[int, Gaps]:
        """Return what agents may lack, by their numbers."""
        gaps: defaultdict[int, Gaps] = defaultdict(Gaps)
        for found in self.bad:
            if found.table in OF_AGENTS[:3] and len(found.row) == len(forms()[found.table].columns):
                agent, name, *place, _, crc = found.row
                key = place[0] if place else None
                if isinstance(name, str) and isinstance(crc, int) and self._known(draft, agent):
                    gaps[agent].bad[found.table, name, key] = crc
        for number in _incomplete(draft):
            gaps.setdefault(number, Gaps())
        for lost in forest.lost:
            if lost.belongs_to == "map_entries":
                for number in self._in_gap(draft, lost):
                    gaps[number].maps = True
        return gaps

    @staticmethod
    def _known(draft: Draft, agent: object) -> bool:
        return draft.one("SELECT 1 FROM agents WHERE agent = ?", (agent,)) is not None

    @staticmethod
    def _in_gap(draft: Draft, lost: LostPage) -> Iterable[int]:
        low = lost.after[0] if lost.after else -(2**63)
        high = lost.before[0] if lost.before else 2**63 - 1
        query = "SELECT agent FROM agents WHERE agent BETWEEN ? AND ?"
        return [number for (number,) in draft.all(query, (low, high))]

    def _baseless(self, forest: Forest, draft: Draft, hurt: set[str]) -> set[int]:
        """Return agents of whose base a value is lost, or may be."""
        if "base_fields" not in hurt:
            return set()
        found = {b.row[0] for b in self.bad if b.table == "base_fields"}
        for lost in forest.lost:
            if lost.belongs_to == "base_fields":
                found |= {*self._in_gap(draft, lost)}
        begun = {number for (number,) in draft.all("SELECT agent FROM journal WHERE version = 1")}
        return {n for n in found - begun if isinstance(n, int) and self._known(draft, n)}

    @staticmethod
    def _newest(draft: Draft) -> int:
        """Return the newest commit that anything knows of."""
        columns = [("agents", "sequence")]
        columns += [(table.name, table.sequence) for table in SHARED_TABLES if table.sequence]
        query = "SELECT coalesce(max({1}), 0) FROM {0}"
        return max(int(draft.one(query.format(*each))) for each in columns)

    def _mend_shared(self, forest: Forest, draft: Draft, hurt: set[str]) -> None:
        shared = Shared(draft, self.losses)
        bad: dict[str, set[Row]] = defaultdict(set)
        for found in self.bad:
            bad[found.table].add(self._key(found))
        absent = self._absent(forest, draft, hurt)

        def may_be_lost(table: str, key: tuple[Any, ...]) -> bool:
            if self.image.torn or key in bad[table] or key in absent.get(table, ()):
                return True
            return any(p.covers(key) for p in forest.lost if p.belongs_to == table)

        if self.image.torn or absent or hurt - {*OF_AGENTS, "agents", "journal"}:
            behind = (
                p.before[0] if p.before else inf for p in forest.lost if p.belongs_to == "journal"
            )
            shared.from_journal(may_be_lost, inf if self.image.torn else max(behind, default=0))
        shared.artifacts(count=bool(hurt & {"artifacts", "artifact_names"}))
        shared.audit()
        self._note_bad(draft)
        for table, keys in absent.items():
            for key, place in keys.items():
                if key not in bad[table] and not draft.has(table, key):
                    why = "the page that it was on is lost"
                    self.losses.add(word(table), LOST, *place, why=why)
        self._note_unknown(forest, draft, hurt)

    @staticmethod
    def _key(found: FoundRow) -> Row:
        return tuple(found.row[at] for at in forms()[found.table].key if at < len(found.row))

    def _note_bad(self, draft: Draft) -> None:
        """Say of each damaged row that has not come back what it was, and keep what is left."""
        for found in self.bad:
            form = forms()[found.table]
            if found.table in {"agents", "quarantine"}:
                continue
            key = self._key(found)
            reason = "its checksum does not match"
            agent = found.row[0] if found.table in (*OF_AGENTS, "journal") else 0
            draft.quarantine(agent if isinstance(agent, int) else 0, found.table, found.row, reason)
            if found.table in OF_AGENTS:
                continue  # noted with its agent
            if len(found.row) != len(form.columns) or not draft.has(found.table, key):
                place = name_of(found.table, form.columns, found.row)
                self.losses.add(word(found.table), PARTED, *place, why=reason)

    @staticmethod
    def _absent(forest: Forest, draft: Draft, hurt: set[str]) -> dict[str, dict[Row, Place]]:
        """Return the rows that an index leads to and that are nowhere, with their names.

        An index has no checksums. One that has no more entries than its table has rows, where that
        seems whole, is what is damaged.
        """
        found: dict[str, dict[Row, Place]] = defaultdict(dict)
        for form in index_forms().values():
            if form.table in {"agents", "journal"} or not form.complete:
                continue
            count, absent = 0, dict[Row, Place]()
            for values in forest.entries(form.name):
                count += 1
                named = dict(zip(form.columns, values, strict=False))
                key = tuple(named.get(name) for name in forms()[form.table].key_names)
                if len(values) == len(form.columns) and not draft.has(form.table, key):
                    absent[key] = name_of(form.table, tuple(named), tuple(named.values()))
            if absent and (form.table in hurt or count > _count(draft, form.table)):
                found[form.table] |= absent
        return found

    def _note_unknown(self, forest: Forest, draft: Draft, hurt: set[str]) -> None:
        """Name the lost pages of which nothing says what was on them."""
        from_start = "journal" not in hurt and draft.one("SELECT min(sequence) FROM journal") == 1
        known = {"lease", "free pages", "the schema", "fields", "log_items", "map_entries"}
        known |= index_forms().keys() | forest.indexed()
        known |= {table.name for table in SHARED_TABLES if table.journaled and from_start}
        for lost in forest.lost:
            if lost.belongs_to not in known and not lost.rows:
                what = word(lost.belongs_to) if lost.belongs_to else "rows of a page"
                self.losses.add(what, UNKNOWN, why=_between(lost))
        if self.image.lost_frames:
            why = f"{self.image.lost_frames} pages of its log cannot be used"
            self.losses.add("commits", UNKNOWN, why=why)
        for name in forest.of_others():
            why = "it is not perdure's: copy it from the damaged file, or from a backup"
            self.losses.add("table", LOST, "", name, why=why)

    def _history(self, draft: Draft) -> None:
        """Say of which agents entries of the journal are lost."""
        for kind, key, latest, first, last, count in draft.all(
            "SELECT kind, key, a.version, min(j.version), max(j.version), count(*)"
            " FROM agents a JOIN journal j ON j.agent = a.agent GROUP BY a.agent"
        ):
            lost = max(latest, last) - first + 1 - count
            if lost:
                self.losses.add("history", LOST, kind, key, f"{lost} versions")

    def _missing(self, last: int) -> int:
        """Return how many turns are missing at the end, as the witness beside the file knows."""
        told = Witness(beside(self.path, SUFFIX)).read(identified(self.path))
        missing = 0 if told is None else max(0, told.seen.sequence - last)
        if told is not None and missing:
            why = durable(told.seen.sequence, told.seen.time)
            self.losses.add("turns at the end", LOST, name=f"{missing:,} or more", why=why)
        return missing

    def _examine(self, path: Path) -> None:
        self.tell("examining", 0, 1)
        with closing(SqliteReader(path)) as reader:
            report = examine(reader)
        if not report.healthy:
            found = report.faults[:3]
            message = f"the doctor finds fault with what was made of {self.path}: {found}"
            raise SalvageFailed(message)
        self.tell("examining", 1, 1)

    def _told(self, forest: Forest, location: str, rows: int, last: int) -> Salvaged:
        faults = [*self.image.faults]
        faults += (Fault(f"page {p.number:,}", f"{p.belongs_to}: {p.what}") for p in forest.lost)
        counts = [Count(*place, n) for place, n in sorted(self.losses.counts.items())]
        return Salvaged(
            str(self.path), location, self.image.pages, tuple(faults), rows, tuple(counts),
            tuple(self.losses.named), last, self.journal,
        )  # fmt: skip


def _count(draft: Draft, table: str) -> int:
    return int(draft.one(f"SELECT count(*) FROM {table}"))  # noqa: S608 - our own names


def _between(lost: LostPage) -> str:
    ends = ("/".join(map(str, key)) if key else "" for key in (lost.after, lost.before))
    after, before = ends
    return f"page {lost.number:,}, between {after or 'the first'} and {before or 'the last'}"


def _incomplete(draft: Draft) -> list[int]:
    """Return the agents that lack a plain field or an item of a log."""
    found: list[int] = []
    after = -(2**63)
    query = "SELECT agent, shape FROM agents WHERE agent > ? ORDER BY agent LIMIT 1000"
    while page := draft.all(query, (after,)):
        ends = (page[0][0], page[-1][0])
        plain = {*draft.all("SELECT agent, field FROM fields WHERE agent BETWEEN ? AND ?", ends)}
        logs = {(agent, name): count for agent, name, count in draft.all(
            "SELECT agent, field, count(*) FROM log_items WHERE agent BETWEEN ? AND ?"
            " GROUP BY agent, field", ends,
        )}  # fmt: skip
        for agent, shape in page:
            for name, length in read_shape(shape or "{}")[0].items():
                lacks = (
                    (agent, name) not in plain
                    if length is None
                    else length > 0 and logs.get((agent, name), 0) < length
                )
                if lacks:
                    found.append(agent)
                    break
        after = page[-1][0]
    return found
