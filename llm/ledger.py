"""What a run has done so far, found by step: made of the steps in the transcript."""

from __future__ import annotations

import copy
from typing import Any, Self

import msgspec

from .records import MODEL, TOOL, Budget, Spent, Step


class Verdict(msgspec.Struct, frozen=True):
    """What a turn says of a step that wants to begin."""

    refused: str = ""
    suspend: bool = False
    """The run waits for somebody; its work ends without a word."""
    done: bool = False
    """There is a result already."""
    result: Any = None
    attempt: int = 1
    key: str = ""
    compensate: str = ""
    """What is called instead of the tool."""
    steers: tuple[str, ...] = ()


def key_of(kind: str, key: str, run: str, nth: int, call: str) -> str:
    """Return the idempotency key of a tool's call."""
    return f"{kind}/{key}/{run}/{nth}/{call}"


class Ledger:
    """The steps of one run."""

    def __init__(self, run: str, first: int) -> None:
        """Begin where the run begins in the transcript."""
        self.run = run
        self.length = first
        """How far the transcript is known."""
        self.spent = Spent()
        self._begun: dict[tuple[str, int, str], int] = {}
        self._ended: dict[tuple[str, int, str], Step] = {}
        self._decided: dict[str, tuple[str, Any]] = {}
        self._calls: dict[tuple[int, str], str] = {}
        """Tool calls that the model has made, by model call and id: their names."""
        self._steers: list[str] = []
        self._given: dict[int, list[str]] = {}

    def copy(self) -> Self:
        """Return it as it is now."""
        return copy.deepcopy(self)

    def take(self, step: Step) -> None:
        """Go on by one step of the transcript."""
        self.length += 1
        if step.run != self.run:
            return
        place = (step.op, step.nth, step.call)
        if step.what == "begun":
            self._begun[place] = step.attempt
            self._ended.pop(place, None)
            if step.op == MODEL:
                self._given[step.nth] = step.body.get("steers", [])
            self.spent = self.spent.plus(
                Spent(models=1) if step.op == MODEL else Spent(tools=int(step.attempt == 1))
            )
        elif step.what in ("done", "failed", "closed"):
            self._ended[place] = step
            if step.what == "done" and step.op == MODEL:
                self._take_response(step)
        elif step.what == "decided":
            what, result = step.body
            self._decided[step.call] = (what, result)
        elif step.what == "steered":
            self._steers.append(step.body)

    def _take_response(self, step: Step) -> None:
        for part in step.body.get("parts", ()):
            if part.get("part_kind") == "tool-call":
                self._calls[step.nth, part["tool_call_id"]] = part["tool_name"]
        usage = step.body.get("usage", {})
        self.spent = self.spent.plus(
            Spent(
                tokens_in=usage.get("input_tokens", 0),
                tokens_out=usage.get("output_tokens", 0),
                cost=step.body.get("cost", 0.0),
            )
        )

    def result(self, op: str, nth: int, call: str) -> Step | None:
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

    def decision(self, call: str) -> tuple[str, Any]:
        """Return what was decided about a call; nothing if nobody has."""
        return self._decided.get(call, ("", None))

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
        """Say which budget the next step would exceed."""
        spent = self.spent
        if op == MODEL:
            limits = (
                ("steps", spent.models + 1, budget.steps),
                ("tokens", spent.tokens + 1, budget.tokens),
                ("cost", spent.cost, budget.cost),
            )
        else:
            limits = (("tools", spent.tools + 1, budget.tools),)
        for what, used, limit in limits:
            if limit is not None and used > limit:
                return f"its budget of {limit:,} {what} is used up"
        return ""
