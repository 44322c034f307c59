"""The options that commands share, and the words they take."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Annotated, Final, TypeAlias, get_type_hints

import typer

from ...persistence.errors import ConfigurationError

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
    FORK = "fork"


class RunsAction(enum.StrEnum):
    """What to do with runs of agents that think."""

    LIST = "list"
    SHOW = "show"
    STATS = "stats"
    REPLAY = "replay"
    RETRY = "retry"
    DONE = "done"
    SKIP = "skip"
    FAIL = "fail"
    APPROVE = "approve"
    DENY = "deny"
    ANSWER = "answer"


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


class HooksAction(enum.StrEnum):
    """What to show of hooks."""

    LIST = "list"
    RUNS = "runs"
    SHOW = "show"
    WAITING = "waiting"


class SchemaAction(enum.StrEnum):
    """What to show of schemas."""

    LIST = "list"
    SHOW = "show"
    DIFF = "diff"


class ScheduleAction(enum.StrEnum):
    """What to do with scheduled replays."""

    LIST = "list"
    ADD = "add"
    REMOVE = "remove"
    RUN = "run"
    RESULTS = "results"
    SHOW = "show"


class TimelineFormat(enum.StrEnum):
    """How a timeline is written for other programs."""

    JSON = "json"
    MERMAID = "mermaid"
    CHROME = "chrome"
    HTML = "html"


class GrowthAction(enum.StrEnum):
    """What to show of what uses the space."""

    REPORT = "report"
    FIELDS = "fields"
    AGENTS = "agents"


class DoctorAction(enum.StrEnum):
    """What to show of what was found."""

    REPORT = "report"
    FINDINGS = "findings"


class BackupAction(enum.StrEnum):
    """What to do about backups."""

    CREATE = "create"
    LIST = "list"
    INFO = "info"
    VERIFY = "verify"
    RESTORE = "restore"
    PRUNE = "prune"
    PIN = "pin"
    UNPIN = "unpin"
    RATE = "rate"
    SCHEDULE = "schedule"
    UNSCHEDULE = "unschedule"
    REWRITE = "rewrite"


class ScriptAction(enum.StrEnum):
    """What to do with scripts."""

    RUN = "run"
    REPL = "repl"


class SecretsAction(enum.StrEnum):
    """What to do about secrets."""

    STATUS = "status"
    ROTATE = "rotate"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class Listing:
    """Which part of a list is shown, and how: the same options on every command that lists."""

    after: After = None
    """The place of the row before, as a page names it; each list has its own kind of place."""
    newest: Newest = None
    """None: in the order that is usual for the list."""
    limit: Limit = 50
    wide: Wide = False
    json: AsJson = False

    def number(self, least: int = 0) -> int | None:
        """Return the place in a list whose places are numbers."""
        if self.after is None:
            return None
        try:
            place = int(self.after)
        except ValueError:
            place = least - 1
        if not least <= place <= LARGEST:
            message = f"--after {self.after!r:.40}: here it takes a number that a page has named"
            raise ConfigurationError(message)
        return place


@dataclass(frozen=True, slots=True)
class Printing:
    """How one thing is shown that may be larger than the screen."""

    wide: Wide = False
    json: AsJson = False


Groups: TypeAlias = dict[str, type[Listing | Printing]]
"""Parameters of a command that stand for several options."""


def spread(function: Callable[..., object]) -> tuple[inspect.Signature, Groups]:
    """Return a command's signature with the options of each group in its place, and the groups."""
    signature = inspect.signature(function, eval_str=True)
    found: list[inspect.Parameter] = []
    groups: Groups = {}
    for parameter in signature.parameters.values():
        if parameter.annotation in (Listing, Printing):
            groups[parameter.name] = parameter.annotation
            found += _options(parameter.annotation)
        else:
            found.append(parameter)
    return signature.replace(parameters=found), groups


def gather(groups: Groups, given: dict[str, object]) -> dict[str, object]:
    """Return the values of such a signature as the command takes them; ``wide`` takes effect."""
    WIDE.set(bool(given.get("wide")))
    for parameter, group in groups.items():
        values = {field.name: given.pop(field.name) for field in fields(group)}
        given[parameter] = group(**values)  # type: ignore[arg-type]
    return given


def _options(group: type[Listing | Printing]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]  # fmt: skip


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
After: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--after", metavar="PLACE", callback=name, help="Only those behind this one.",
        show_default=False,
    ),
]  # fmt: skip
Newest: TypeAlias = Annotated[
    bool | None,
    typer.Option("--newest/--oldest", help="Which come first.", show_default="as said above"),
]
Wide: TypeAlias = Annotated[bool, typer.Option("--wide", "-w", help="Cut no values.")]
Kind: TypeAlias = Annotated[
    str, typer.Argument(metavar="KIND", callback=name, help="The agent's kind.")
]
Key: TypeAlias = Annotated[
    str, typer.Argument(metavar="KEY", callback=name, help="The agent's key.")
]
OfKind: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--kind", metavar="KIND", callback=name, help="Only of agents of this kind.",
        show_default=False,
    ),
]  # fmt: skip
OfChain: TypeAlias = Annotated[
    int | None, typer.Option("--correlation", metavar="ID", help="Only of a chain of messages.")
]
OfSession: TypeAlias = Annotated[
    str | None,
    typer.Option("--session", metavar="ID", callback=name, help="Only of a session."),
]
FirstTurn: TypeAlias = Annotated[
    str | None,
    typer.Option("--first", metavar="ID", help="From this turn on.", show_default=False),
]
LastTurn: TypeAlias = Annotated[
    str | None,
    typer.Option("--last", metavar="ID", help="Up to this turn.", show_default=False),
]
MostTurns: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--most", metavar="N", callback=number, help="At most so many turns.", show_default="all"
    ),
]  # fmt: skip
Workers: TypeAlias = Annotated[
    int, typer.Option("--workers", metavar="N", callback=positive, help="How many run at once.")
]
Ignored: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore", metavar="PATH", callback=names, show_default=False,
        help="What does not count, as delta.set.updated or sends*; may be repeated.",
    ),
]  # fmt: skip
AnyOrder: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--any-order", metavar="PATH", callback=names, show_default=False,
        help="An array whose order does not count; may be repeated.",
    ),
]  # fmt: skip
Tolerance: TypeAlias = Annotated[
    float,
    typer.Option(
        "--tolerance", min=0, max=1, metavar="SHARE", help="By how much numbers may differ."
    ),
]  # fmt: skip
OfKey: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", callback=name, help="Only of the agents of this key.",
        show_default=False,
    ),
]  # fmt: skip
SecretKeys: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--keys", metavar="WHERE", show_default=False,
        help="The keys of secrets: a file, env:VARIABLE or keyring:SERVICE.",
    ),
]  # fmt: skip
Sealed: TypeAlias = Annotated[
    bool,
    typer.Option("--sealed", help="Export secrets, too, as encrypted as they are stored."),
]
JUnitFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--junit", metavar="FILE", callback=text, help="Write JUnit XML.", show_default=False
    ),
]  # fmt: skip
