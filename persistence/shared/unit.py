"""What one turn, one transaction or one call wants to change of what agents share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from ..chain import AuditRecord
from ..tables import Change, Key, Row, Table
from .guard import Standing, Use

Place: TypeAlias = tuple[Table, Key]
Step: TypeAlias = Callable[[Row | None], Row | None]
"""Make the next row from the one before; for both, None stands for "no such row"."""


class Unit:
    """Collect reads and changes without a lock; the ledger ends it under one.

    A change is a *step*, applied to what is newest: once when it is made, to see what it gives, and
    again when the unit ends. Used by one thread at a time.
    """

    __slots__ = (
        "audit", "checked", "epoch", "owner", "reads", "serializable", "standing", "steps", "used",
    )  # fmt: skip

    def __init__(self, standing: Standing, epoch: int, owner: object = None) -> None:
        """Begin with nothing, in the name of ``standing``.

        ``owner`` is whoever runs one unit after the other and may reserve places for the next.
        """
        self.standing = standing
        self.owner = owner
        self.epoch = epoch
        self.reads: dict[Place, Row | None] = {}
        """What was newest when it was read."""
        self.steps: dict[Place, list[Step]] = {}
        self.checked: set[Place] = set()
        """Places whose change was made from what was read: that must still be the newest."""
        self.serializable = False
        """Whatever was read must still be the newest, also where nothing is written."""
        self.used: list[Use] = []
        self.audit: list[AuditRecord] = []

    def change(self, place: Place, step: Step, *, checked: bool) -> None:
        """Add a step; ``checked`` if it holds only for what was read."""
        self.steps.setdefault(place, []).append(step)
        if checked or place in self.reads:
            self.checked.add(place)

    def seen(self, place: Place, row: Row | None) -> Row | None:
        """Return what this unit has made of a row so far."""
        for step in self.steps.get(place, ()):
            row = step(row)
        return row

    def idle(self) -> bool:
        """Tell whether there is nothing to commit."""
        return not self.steps and not self.audit

    def awaited(self) -> Iterator[Place]:
        """Iterate over the places whose newest row must be the one that was read."""
        return iter(self.reads if self.serializable else self.checked & self.reads.keys())

    def undo(self) -> None:
        """Forget everything but the decisions: what was allowed was undone."""
        self.steps.clear()
        self.reads.clear()
        self.checked.clear()
        self.used.clear()
        self.audit = [
            record._replace(outcome="undone") if record.outcome == "allowed" else record
            for record in self.audit
        ]

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block has changed if it raises."""
        steps = {place: list(steps) for place, steps in self.steps.items()}
        reads, checked = dict(self.reads), set(self.checked)
        try:
            yield
        except BaseException:
            self.steps, self.reads, self.checked = steps, reads, checked
            raise


class Ending:
    """A unit that was found good, about to be appended; the ledger's lock is held."""

    __slots__ = ("audit", "changes")

    def __init__(self, changes: list[Change], audit: list[AuditRecord]) -> None:
        """Hold what goes into the commit."""
        self.changes = changes
        self.audit = audit
