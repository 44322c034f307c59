"""What a run has done so far, found by step: made of the steps in the transcript."""

from __future__ import annotations

import copy
from typing import Any, Self

import msgspec

from .records import MODEL, TOOL, Budget, RunStep, StepPlace, Usage


def key_of(kind: str, key: str, place: StepPlace) -> str:
    """Return the idempotency key of a tool's call."""
    return f"{kind}/{key}/{place.run}/{place.nth}/{place.call}"


class RunLedger:
    """The steps of one run."""

    def __init__(self, run: str, first: int) -> None:
        """Begin where the run begins in the transcript."""
        self.run = run
        self.length = first
        """How far the transcript is known."""
        self.spent = Usage()
        self.context = 0
        """Tokens of the latest answer and what it was made from."""
        self._begun: dict[tuple[str, int, str], int] = {}
        self._ended: dict[tuple[str, int, str], RunStep] = {}
        self._failures: dict[tuple[str, int, str], int] = {}
        self._waits: dict[str, int] = {}
        """Which model call has made a call that waits: the next may use its id again."""
        self._decided: dict[tuple[int, str], tuple[str, Any]] = {}
        self._calls: dict[tuple[int, str], str] = {}
        """Tool calls that the model has made, by model call and id: their names."""
        self._held: set[tuple[str, int, str]] = set()
        """Calls that a hook has stopped behind their beginning, until a person agrees."""
        self._steers: list[str] = []
        self.answers = 0
        """Model calls that are done."""
        self._dearest = 0.0
        """What the dearest answer has cost: the next may cost as much."""
        self._given: dict[int, list[str]] = {}

    def copy(self) -> Self:
        """Return it as it is now."""
        twin = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | list | set):  # of steps and texts, which do not change
                setattr(twin, name, value.copy())
        return twin

    def take(self, step: RunStep) -> None:
        """Go on by one step of the transcript."""
        self.length += 1
        if step.run != self.run:
            return
        place = (step.op, step.nth, step.call)
        if step.what == "begun":
            self._take_beginning(step, place)
        elif step.what in ("done", "failed", "closed"):
            self._ended[place] = step
            self._failures[place] = self._failures.get(place, 0) + (step.what == "failed")
            if step.what == "done" and step.op == MODEL:
                self._take_response(step)
            elif step.what == "done" and isinstance(step.body, dict) and "spent" in step.body:
                self.spent = self.spent.plus(msgspec.convert(step.body["spent"], Usage))
        elif step.what == "held":
            self._take_back(place)
        elif step.what == "waits":
            self._waits[step.call] = step.nth
        elif step.what == "decided":
            what, result = step.body
            self._decided[self._waits[step.call], step.call] = (what, result)
        elif step.what == "steered":
            self._steers.append(step.body)

    def _take_beginning(self, step: RunStep, place: tuple[str, int, str]) -> None:
        self._begun[place] = step.attempt
        self._held.discard(place)
        self._ended.pop(place, None)
        if self.decision(step.nth, step.call)[0] == "retry":  # it is good for one attempt
            del self._decided[step.nth, step.call]
        if step.op == MODEL:
            self._given[step.nth] = step.body.get("steers", [])
        self.spent = self.spent.plus(
            Usage(models=1) if step.op == MODEL else Usage(tools=int(step.attempt == 1))
        )

    def _take_back(self, place: tuple[str, int, str]) -> None:
        """Forget an attempt that a hook has stopped: nothing of it was done."""
        earlier = self._begun.pop(place, 1) - 1
        if earlier:
            self._begun[place] = earlier
        else:
            self.spent = self.spent.plus(Usage(tools=-1))
        self._held.add(place)

    def _take_response(self, step: RunStep) -> None:
        for part in step.body.get("parts", ()):
            if part.get("part_kind") == "tool-call":
                self._calls[step.nth, part["tool_call_id"]] = part["tool_name"]
        self.answers += 1
        used = Usage.of(step.body)
        self.spent = self.spent.plus(used)
        self.context = used.tokens
        self._dearest = max(self._dearest, used.cost)

    def result(self, op: str, nth: int, call: str) -> RunStep | None:
        """Return the end of a step that is done; None if it is not."""
        step = self._ended.get((op, nth, call))
        return step if step is not None and step.what == "done" else None

    def attempts(self, op: str, nth: int, call: str) -> int:
        """Return how often a step was begun."""
        return self._begun.get((op, nth, call), 0)

    def failed(self, op: str, nth: int, call: str) -> bool:
        """Tell whether its last attempt has raised, and so is not in doubt."""
        step = self._ended.get((op, nth, call))
        return step is not None and step.what == "failed"

    def failures(self, op: str, nth: int, call: str) -> int:
        """Return how many of its attempts have raised."""
        return self._failures.get((op, nth, call), 0)

    def held(self, op: str, nth: int, call: str) -> bool:
        """Tell whether a hook has stopped it since, so that its last attempt is not in doubt."""
        return (op, nth, call) in self._held

    def decision(self, nth: int, call: str) -> tuple[str, Any]:
        """Return what was decided about a call; nothing if nobody has."""
        return self._decided.get((nth, call), ("", None))

    def steers(self, nth: int) -> list[str]:
        """Return what was said since the model was called before the ``nth`` time."""
        before = sum(len(texts) for at, texts in self._given.items() if at < nth)
        return self._steers[before:]

    def given(self, nth: int) -> list[str]:
        """Return what the ``nth`` call of the model was given of that."""
        return self._given.get(nth, [])

    def open(self) -> list[tuple[int, str, str]]:
        """Return the tool calls that have no result: which model call made it, id, name."""
        return [
            (nth, call, name)
            for (nth, call), name in self._calls.items()
            if (TOOL, nth, call) not in self._ended and (TOOL, nth, call) in self._begun
        ]

    def over(self, budget: Budget, op: str) -> str:
        """Say which budget the next step would exceed; nothing if none."""
        spent = self.spent
        limits: tuple[tuple[str, float, float | None], ...] = (
            ("tools", spent.tools + 1, budget.tools),
        )
        if op == MODEL:
            limits = (
                ("steps", spent.models + 1, budget.steps),
                ("tokens", spent.tokens + self.context + 1, budget.tokens),
                ("cost", spent.cost + self._dearest, budget.cost),
            )
        for what, used, limit in limits:
            if limit is not None and used > limit:
                return f"its budget of {limit:,} {what} is used up"
        return ""
