"""What the work on a run tells its agent, which takes it down: several pieces in one turn."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from .records import StepPlace, Usage


class StepBegins(msgspec.Struct, frozen=True, tag=True):
    """A model or tool is about to be called."""

    place: StepPlace
    body: Any
    """What is said to the model, or the arguments of the tool: JSON."""


class StepEnds(msgspec.Struct, frozen=True, tag=True):
    """A call has ended."""

    place: StepPlace
    what: Literal["done", "failed"]
    body: Any
    """What it has answered: JSON; or the error that it has raised."""
    seconds: float
    used: Usage = Usage()


class RunEnds(msgspec.Struct, frozen=True, tag=True):
    """A run has its answer, or none."""

    run: str
    output: Any
    tail: Any
    """What is said behind the last answer of the model: JSON."""
    error: str = ""


News = StepBegins | StepEnds | RunEnds


class StepVerdict(msgspec.Struct, frozen=True):
    """What a turn says of a step that wants to begin."""

    answer: Literal["go", "stop", "over", "wait", "done", "known"] = "go"
    """"stop": the run has ended; "over": a budget is used up; "wait": its work ends until somebody
    has decided; "done": its result was decided; "known": it has ended, as it is stored."""
    why: str = ""
    result: Any = None
    attempt: int = 1
    key: str = ""
    compensate: str = ""
    """What is called instead of the tool."""
    agreed: bool = False
    """Whether a person has agreed to it."""
    steers: tuple[str, ...] = ()


def written(said: list[News] | list[StepVerdict]) -> str:
    """Return what is said as a text: objects are copied on their way, part by part, twice.

    By ``json``: it changes nothing that the state would refuse, as NaN.
    """
    return json.dumps(msgspec.to_builtins(said))


def read_news(text: str) -> list[News]:
    """Return the news of a text."""
    return msgspec.convert(json.loads(text), list[News])


def read_verdicts(text: str) -> list[StepVerdict]:
    """Return the verdicts of a text."""
    return msgspec.convert(json.loads(text), list[StepVerdict])
