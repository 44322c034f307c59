"""What one turn, one transaction or one call wants to change of what agents share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from ...persistence.names.scope import Scope
from ...persistence.records.chain import AuditRecord
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import OWNERS
from ...persistence.records.tables import Change, Key, Row, Table
from .guard import Decision, Guard, Standing, Use

Place: TypeAlias = tuple[Table, Key]
Step: TypeAlias = Callable[[Row | None], Row | None]
"""Make the next row from the one before; for both, None stands for "no such row"."""


class Unit:
    """Collect reads and changes without a lock; the ledger ends it under one.

    A change is a *step*, applied to what is newest: once when it is made, to see what it gives, and
    again when the unit ends. Used by one thread at a time.
    """

    __slots__ = (
        "_made", "_order", "audit", "checked", "edge", "ended", "epoch", "owner", "reads",
        "replaced", "serializable", "standing", "steps", "undone", "used",
    )  # fmt: skip

    def __init__(
        self, standing: Standing, epoch: int, owner: object = None, *, edge: bool = False
    ) -> None:
        """Begin with nothing, in the name of ``standing``.

        ``owner`` is whoever runs one unit after the other and may reserve places for the next.
        One at the ``edge`` belongs to no turn, and must not see what is not durable yet (G1).
        """
        self.standing = standing
        self.owner = owner
        self.edge = edge
        self.ended = False
        """Nothing is taken any more: what still writes has missed it."""
        self.epoch = epoch
        self.reads: dict[Place, Row | None] = {}
        """What was newest when it was read."""
        self.steps: dict[Place, list[Step]] = {}
        self.checked: set[Place] = set()
        """Places whose change was made from what was read: that must still be the newest."""
        self.replaced: set[Place] = set()
        """Places that are written whatever is there, even if it cannot be read."""
        self.serializable = False
        """Whatever was read must still be the newest, also where nothing is written."""
        self.used: list[Use] = []
        self.audit: list[AuditRecord] = []
        self.undone: set[Place] = set()
        """What it awaited before it was undone: its owner may want that again."""
        self._order: list[Place] = []  # of the steps, for what is undone
        # By place: a row, of how many steps, what they made of it. Without it, a thousand additions
        # to one key would run half a million steps.
        self._made: dict[Place, tuple[Row | None, int, Row | None]] = {}

    def change(self, place: Place, step: Step, *, checked: bool) -> None:
        """Add a step; ``checked`` if it holds only for what was read."""
        self.steps.setdefault(place, []).append(step)
        self._order.append(place)
        if checked or place in self.reads:
            self.checked.add(place)

    def read(self, place: Place, newest: Row | None) -> Row | None:
        """Remember what was newest when it was read first; return what this unit made of it."""
        self.reads.setdefault(place, newest)
        if place in self.steps:
            self.checked.add(place)  # what was made of it is known now: it must come out as seen
        return self.seen(place, self.base(place, newest))

    def base(self, place: Place, newest: Row | None) -> Row | None:
        """Return the row that this unit's steps at a place begin with, before it ends.

        In a transaction that is the row it read first. A key that is made and deleted again while
        it runs would be seen in between, and be what it was when the transaction is looked at.
        """
        return self.reads.get(place, newest) if self.serializable else newest

    def seen(self, place: Place, row: Row | None) -> Row | None:
        """Return what this unit has made of a row so far."""
        steps = self.steps.get(place)
        if not steps:
            return row
        before, done, result = self._made.get(place, (None, 0, None))
        if before is not row or done > len(steps):
            done = 0
        if done == 0:
            result = row
        for step in steps[done:]:
            result = step(result)
        self._made[place] = (row, len(steps), result)
        return result

    def final(self, place: Place, newest: Row | None) -> Row | None:
        """Run all steps of a place, whatever they gave before; under the ledger's lock."""
        row = newest
        for step in self.steps.get(place, ()):
            row = step(row)
        return row

    def withdraw(self, place: Place) -> None:
        """Take the latest step of a place back."""
        self.steps[place].pop()
        self._made.pop(place, None)
        del self._order[len(self._order) - 1 - self._order[::-1].index(place)]

    def ask(self, guard: Guard, use: Use) -> Decision:
        """Return what a guard says of a use; what this unit itself begins belongs to it already."""
        decision = guard.check(self.standing, use.right, use.scope, use.key)
        if decision.allowed or decision.isolated or not self.begins(use.scope):
            return decision
        return Decision(allowed=True, reason="owner")

    def begins(self, scope: Scope) -> bool:
        """Tell whether this unit makes who it runs for the owner of a scope."""
        place: Place = (OWNERS, scope.columns)
        if not self.steps.get(place):
            return False
        row = self.seen(place, None)
        return row is not None and row[3:6] == self.standing.principal.columns

    def mark(self) -> int:
        """Return where the changes stand, for ``since``."""
        return len(self._order)

    def since(self, mark: int) -> set[Place]:
        """Return the places that were changed behind a mark."""
        return set(self._order[mark:])

    def until(self, mark: int) -> set[Place]:
        """Return the places that were changed before a mark."""
        return set(self._order[:mark])

    def idle(self) -> bool:
        """Tell whether there is nothing to commit."""
        return not self.audit and not any(self.steps.values())

    def awaited(self) -> Iterator[Place]:
        """Iterate over the places whose newest row must be the one that was read."""
        return iter(self.reads if self.serializable else self.checked & self.reads.keys())

    def undo(self) -> None:
        """Forget everything but the decisions: what was allowed was undone."""
        self.undone.update(self.awaited())
        self.steps.clear()
        self._order.clear()
        self._made.clear()
        self.reads.clear()
        self.checked.clear()
        self.used.clear()
        self.audit = [
            record._replace(outcome="undone") if record.outcome == "allowed" else record
            for record in self.audit
        ]

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block has changed if it raises.

        What it has read stays: whoever catches the error may act on it.
        """
        mark = len(self._order)
        try:
            yield
        except BaseException:
            for place in self._order[mark:]:
                self.steps[place].pop()
                self._made.pop(place, None)
            del self._order[mark:]
            raise


class Ending:
    """A unit that was found good, about to be appended; the ledger's lock is held."""

    __slots__ = ("audit", "changes", "commit", "published")

    def __init__(self, changes: list[Change], audit: list[AuditRecord]) -> None:
        """Hold what goes into the commit."""
        self.changes = changes
        self.audit = audit
        self.commit: Commit | None = None
        """What it was put into."""
        self.published = False

    def put_into(self, commit: Commit) -> None:
        """Make it part of a commit."""
        effects = commit.with_effects()
        effects.rows, effects.audit = self.changes, self.audit
        self.commit = commit
