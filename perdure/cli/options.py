"""The options that commands share, and the words they take."""

from __future__ import annotations

import enum
from contextvars import ContextVar
from typing import Annotated, Final, TypeAlias

import typer

WIDE: Final = ContextVar("WIDE", default=False)
"""Whether tables are as wide as their values, whatever the terminal is."""
LARGEST: Final = 2**63 - 1
"""What a store can count to."""


class Sync(enum.StrEnum):
    """What a durable commit survives."""

    POWER = "power"
    PROCESS = "process"


class Level(enum.StrEnum):
    """The least of what is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Action(enum.StrEnum):
    """What to do with dead letters."""

    LIST = "list"
    SHOW = "show"
    REQUEUE = "requeue"
    DISCARD = "discard"


class AgentsAction(enum.StrEnum):
    """What to do with agents."""

    LIST = "list"
    PAUSE = "pause"
    RESUME = "resume"
    RESTART = "restart"
    STOP = "stop"
    DELETE = "delete"


class AuditAction(enum.StrEnum):
    """What to do with the audit."""

    LIST = "list"
    VERIFY = "verify"
    HEAD = "head"
    SEAL = "seal"


class ArtifactsAction(enum.StrEnum):
    """What to do with artifacts."""

    LIST = "list"
    SHOW = "show"
    GET = "get"
    PUT = "put"
    DELETE = "delete"
    SOURCES = "sources"


class StateAction(enum.StrEnum):
    """What to do with shared keys."""

    GET = "get"
    SET = "set"
    LIST = "list"
    DELETE = "delete"
    CLEAR = "clear"
    EXPORT = "export"
    IMPORT = "import"


class SessionsAction(enum.StrEnum):
    """What to do with sessions."""

    LIST = "list"
    SHOW = "show"
    HISTORY = "history"
    EXPORT = "export"
    IMPORT = "import"
    ARCHIVE = "archive"


class TimelineFormat(enum.StrEnum):
    """How a timeline is written for other programs."""

    JSON = "json"
    MERMAID = "mermaid"
    CHROME = "chrome"
    HTML = "html"


class SecretsAction(enum.StrEnum):
    """What to do about secrets."""

    STATUS = "status"
    ROTATE = "rotate"
    SCAN = "scan"


def widen(wide: bool) -> None:  # noqa: FBT001 - as the command line has it
    """Have the screens of this command cut no values, if that is wanted."""
    WIDE.set(wide)


def name(value: str | None) -> str | None:
    """Refuse a kind or key no store can hold."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("it is not UTF-8; kinds and keys are text") from None
    return value


def text(value: str) -> str:
    """Refuse what is no text."""
    name(value)
    return value


def names(values: list[str] | None) -> list[str] | None:
    """Refuse words that are no text."""
    for value in values or ():
        name(value)
    return values


def positive(value: int) -> int:
    """Refuse a limit that shows nothing, and one no store can count to."""
    return _within(value, 1, LARGEST - 1)


def number(value: int | None) -> int | None:
    """Refuse what can be no number of a commit."""
    return None if value is None else _within(value, 0, LARGEST)


def numbers(values: list[int] | None) -> list[int] | None:
    """Refuse what can be no number of a letter."""
    return None if values is None else [_within(value, 0, LARGEST) for value in values]


def _within(value: int, low: int, high: int) -> int:
    # A callback and not typer's min and max: help would print a range of nineteen digits.
    if not low <= value <= high:
        raise typer.BadParameter(f"{value} is not between {low} and {high}")
    return value


Store: TypeAlias = Annotated[
    str,
    typer.Option(
        "--store", "-s", metavar="URL", envvar="PERDURE_STORE", show_default=False,
        help="The store: a path or sqlite:///PATH.",
    ),
]  # fmt: skip
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit: TypeAlias = Annotated[
    int,
    typer.Option(
        "--limit", "-n", metavar="N", callback=positive, help="Show at most N, from 1 up."
    ),
]  # fmt: skip
Newest: TypeAlias = Annotated[
    bool, typer.Option("--newest/--oldest", help="Which come first.", show_default="as said above")
]
Wide: TypeAlias = Annotated[bool, typer.Option("--wide", "-w", help="Cut no values.")]
Kind: TypeAlias = Annotated[
    str, typer.Argument(metavar="KIND", callback=name, help="The agent's kind.")
]
Key: TypeAlias = Annotated[
    str, typer.Argument(metavar="KEY", callback=name, help="The agent's key.")
]
AnyKind: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="KIND", callback=name, help="Only agents of this kind.")
]
AnyKey: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="KEY", callback=name, help="Only the agent of this key.")
]
