"""What one turn, one transaction or one call wants to change of what agents share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol, Self, TypeAlias

from ...hooks.history.record import HookRecord
from ...persistence.errors import TransactionEnded
from ...persistence.names.scope import Scope
from ...persistence.records.chain import AuditRecord
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import OWNERS
from ...persistence.records.tables import Change, Key, Row, Table
from .guard import Decision, Guard, Standing, Use

Place: TypeAlias = tuple[Table, Key]
Step: TypeAlias = Callable[[Row | None], Row | None]
"""Make the next row from the one before; for both, None stands for "no such row"."""

_innermost: Final[ContextVar[object]] = ContextVar("perdure_savepoint", default=None)
"""The savepoint whose block runs in this context; threads and tasks begun in it belong to it."""
_LASTING: Final = "lasting"
"""In the place of a savepoint: no block undoes that step."""


class Witness(Protocol):
    """Take note of what a recorded turn sees of what is shared, and what it may."""

    def saw(self, table: Table, key: Key, row: Row | None) -> None:
        """Take note of a row that was looked at."""
        ...

    def judged(self, right: int, scope: tuple[str, str, str], key: str | None, ok: bool) -> None:  # noqa: FBT001 - as the guard says it
        """Take note of a decision about access."""
        ...


class Unit:
    """Collect reads and changes without a lock; the ledger ends it under one.

    A change is a *step*, applied to what is newest: once when it is made, to see what it gives, and
    again when the unit ends.

    Several threads of one turn may use it: each holds it (``with unit:``) from its look at what is
    there until its change is in. It ends once, with its turn, its transaction or its call, and
    refuses everything afterwards (TransactionEnded). Whoever ends it holds it as well, so a change
    is either part of what is committed or refused, and never lost in between.
    """

    __slots__ = (
        "_lock", "_made", "_order", "audit", "cause", "checked", "contents", "edge", "ended",
        "epoch", "history", "mail", "origin", "overlapped", "owner", "reads", "replaced",
        "serializable", "standing", "steps", "undone", "used", "witness",
    )  # fmt: skip

    def __init__(
        self, standing: Standing, epoch: int, owner: object = None, *, edge: bool = False
    ) -> None:
        """Begin with nothing, in the name of ``standing``.

        ``owner`` is whoever runs one unit after the other and may reserve places for the next.
        One at the ``edge`` belongs to no turn, and must not see what is not durable yet (G1).
        """
        self.standing = standing
        self.cause: int | None = None
        """What led to the turn whose unit it is, as in the journal; None for that of no turn."""
        self.owner = owner
        self.edge = edge
        self.ended = False
        """Nothing is taken any more: what still writes has missed it."""
        self.origin: object = None
        """The turn, under way or over, in which a transaction was begun; None outside of turns."""
        self.mail: list[object] = []
        """What leaves with the commit of one that is no turn's; known to the context alone."""
        self.contents: list[Change] = []
        """Rows of contents that go along; they are looked for in the store alone."""
        self.history: list[HookRecord] = []
        """What the history keeps with its commit, where that changes anything."""
        self.overlapped = False
        """What a savepoint undid had been seen by somebody beside it: only a new run is right."""
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
        self.witness: Witness | None = None
        """Who takes note of what it sees and may, where its turn is recorded."""
        self.audit: list[AuditRecord] = []
        self.undone: set[Place] = set()
        """What it awaited before it was undone: its owner may want that again."""
        self._lock = threading.RLock()
        # The steps in their order, each with its savepoint, for what is undone.
        self._order: list[tuple[Place, Step, object]] = []
        # By place: a row, of how many steps, what they made of it. Without it, a thousand additions
        # to one key would run half a million steps.
        self._made: dict[Place, tuple[Row | None, int, Row | None]] = {}

    def __enter__(self) -> Self:
        """Hold it for one call, against the other threads of its turn and against its end."""
        self._lock.acquire()
        if self.ended:
            self._lock.release()
            raise _over()
        return self

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def end_idle(self, epoch: int) -> bool:
        """End it if there is nothing to commit and no right to look at again; tell whether."""
        with self._lock:
            if self.audit or any(self.steps.values()) or (self.used and self.epoch != epoch):
                return False
            self.ended = True
            return True

    def change(
        self,
        place: Place,
        step: Step,
        *,
        checked: bool = False,
        blind: bool = False,
        lasting: bool = False,
    ) -> None:
        """Add a step; ``checked`` if it holds only for what was read.

        A ``blind`` one is made from nothing, so that it replaces what cannot be read any more. A
        ``lasting`` one stays when the savepoint it was made in is undone.
        """
        if self.ended:
            raise _over()
        steps = self.steps.get(place)
        if steps is None:
            if blind:
                self.replaced.add(place)
            steps = self.steps[place] = []
        steps.append(step)
        self._order.append((place, step, _LASTING if lasting else _innermost.get()))
        if checked or (self.reads and place in self.reads):
            self.checked.add(place)

    def change_blindly(self, steps: Sequence[tuple[Place, Step]]) -> None:
        """Add many blind steps."""
        if self.ended:
            raise _over()
        innermost, order, here = _innermost.get(), self._order, self.steps
        for place, step in steps:
            known = here.get(place)
            if known is None:
                here[place] = [step]
                self.replaced.add(place)
            else:
                known.append(step)
            order.append((place, step, innermost))
        self.checked.update(place for place, _ in steps if self.reads and place in self.reads)

    def read(self, place: Place, newest: Row | None) -> Row | None:
        """Remember what was newest when it was read first; return what this unit made of it."""
        if self.ended:
            raise _over()
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

    def withdraw(self, place: Place) -> None:
        """Take the latest step of a place back; the caller has held the unit since it was made."""
        self.steps[place].pop()
        self._made.pop(place, None)
        for at in range(len(self._order) - 1, -1, -1):
            if self._order[at][0] == place:
                del self._order[at]
                return

    def ask(self, guard: Guard, use: Use) -> Decision:
        """Return what a guard says of a use; what this unit itself begins belongs to it already."""
        decision = guard.check(self.standing, use.right, use.scope, use.key)
        if self.witness is not None:
            self.witness.judged(use.right, use.scope.columns, use.key, decision.allowed)
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
        return {place for place, _, _ in self._order[mark:]}

    def until(self, mark: int) -> set[Place]:
        """Return the places that were changed before a mark."""
        return {place for place, _, _ in self._order[:mark]}

    def idle(self) -> bool:
        """Tell whether there is nothing to commit."""
        return not self.audit and not any(self.steps.values())

    def awaited(self) -> Iterator[Place]:
        """Iterate over the places whose newest row must be the one that was read."""
        return iter(self.reads if self.serializable else self.checked & self.reads.keys())

    def lasting(self) -> list[tuple[Place, Step]]:
        """Return the steps that outlive what they were made in."""
        return [(place, step) for place, step, owner in self._order if owner is _LASTING]

    def undo(self) -> None:
        """End it and forget everything but the decisions: what was allowed was undone."""
        with self._lock:
            self.ended = True
            self.undone.update(self.awaited())
            self.steps.clear()
            self._order.clear()
            self._made.clear()
            self.reads.clear()
            self.checked.clear()
            self.used.clear()
            self.mail.clear()
            self.history.clear()
            self.audit = [
                record._replace(outcome="undone") if record.outcome == "allowed" else record
                for record in self.audit
            ]

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block has changed if it raises, with the threads and tasks it has begun.

        What it has read stays, and so does what is lasting: whoever catches the error may act on
        it. What others changed meanwhile, beside the block, stays as well; where that was made from
        what is undone, the unit is overtaken by itself and must begin again.
        """
        mine = (_innermost.get(),)  # a new object each time, and a link to the one around it
        token = _innermost.set(mine)
        try:
            yield
        except BaseException:
            with self._lock:
                self._roll_back(mine)
            raise
        finally:
            _innermost.reset(token)

    def _roll_back(self, savepoint: object) -> None:
        kept: list[tuple[Place, Step, object]] = []
        gone: set[Place] = set()
        for entry in self._order:
            place, _, owner = entry
            if _inside(owner, savepoint):
                gone.add(place)
            else:
                kept.append(entry)
                self.overlapped = self.overlapped or place in gone
        self._order = kept
        for place in gone:
            self.steps[place] = []
            self._made.pop(place, None)
        for place, step, _ in kept:
            if place in gone:
                self.steps[place].append(step)


def _inside(owner: object, savepoint: object) -> bool:
    """Tell whether a step's savepoint is ``savepoint`` or nested in it."""
    while isinstance(owner, tuple):
        if owner is savepoint:
            return True
        owner = owner[0]
    return False


def _over() -> TransactionEnded:
    return TransactionEnded(
        "the turn or transaction that this call belongs to has ended; call again outside of it"
    )


class EndingUnit:
    """A unit that was found good, about to be appended; the ledger's lock is held."""

    __slots__ = ("audit", "changes", "commit", "contents", "history", "published", "scope")

    def __init__(
        self,
        changes: list[Change],
        audit: list[AuditRecord],
        contents: Sequence[Change] = (),
        history: Sequence[HookRecord] = (),
    ) -> None:
        """Hold what goes into the commit."""
        self.changes = changes
        self.audit = audit
        self.contents = contents
        self.history = history
        self.commit: Commit | None = None
        """What it was put into."""
        self.scope: Key | None = None
        """The columns of a scope that ends with it, with keys that are too many to be named."""
        self.published = False

    def put_into(self, commit: Commit) -> None:
        """Make it part of a commit."""
        effects = commit.effects or commit.with_effects()
        effects.rows, effects.audit = self.changes, self.audit
        if self.contents:
            effects.rows = [*self.changes, *self.contents]
        commit.history = self.history
        self.commit = commit
