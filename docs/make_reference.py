"""Make the pages of docs/reference/ from the docstrings: ``python -m docs.make_reference``."""  # noqa: INP001

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

import perdure
from perdure import Agent, AgentSystem, errors, signals, testing

FOLDER: Final = Path(__file__).resolve().parent / "reference"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the reference: what it is about, and the public names on it, in order."""

    name: str
    title: str
    about: str
    names: tuple[str, ...]
    guides: tuple[str, ...] = ()
    """The pages of docs/ that say when to use what."""


PAGES: Final = (
    Page(
        "agents",
        "Agents and messages",
        "The class you write, and what you hold to talk to its agents.",
        (
            *("Agent", "AgentRef", "Future", "AgentDescription", "SystemView"),
            "TurnView",
            *("AgentProxy", "MethodProxy"),
        ),
        ("guides/messages.md", "guides/lifecycle.md", "guides/timers.md", "guides/pykka.md"),
    ),
    Page(
        "system",
        "The system",
        "What opens a store, runs the agents and closes again, with its options.",
        (
            *("AgentSystem", "SystemStatistics", "SaveStatistics", "Limits", "Resources"),
            *("Page", "Agents", "Journal", "Mail", "Timers"),
            *("open_async", "Rim"),
            *("Passivation", "Retention"),
            *("Clock", "VirtualClock", "DueCall"),
        ),
        ("guides/operations.md", "guides/testing.md"),
    ),
    Page(
        "state",
        "State",
        "The typed state of an agent.",
        ("State", "Log", "Map"),
        ("guides/state.md",),
    ),
    Page(
        "durability",
        "Durability and supervision",
        "When changes are saved, and what happens after a failure.",
        (
            *("Durability", "WhenUnsaved", "Saving", "AutoSave", "Backoff", "Breaker"),
            "RestartPolicy",
            *("Strategy", "GroupDescription", "Status", "DeadLetters", "DeadLetter"),
        ),
        ("guides/durability.md", "guides/supervision.md", "tasks/job-queue.md"),
    ),
    Page(
        "timeline",
        "Timelines",
        "What happened, what caused what, and why a value is what it is.",
        (
            *("Timelines", "Timeline", "Event", "EventKind", "Tree", "Span", "Gap"),
            *("Provenance", "TurnFilter"),
        ),
        ("guides/timeline.md",),
    ),
    Page(
        "hooks",
        "Hooks",
        "Code that intervenes, what it is told, what it may answer, and the history of it.",
        (
            *("Hooks", "hook", "HookOptions", "OnFailure", "HookSet", "Declared"),
            *("hooked", "HookHost", "Spanned", "TraceContext", "HookStatistics", "Point"),
            *("Continue", "Replace", "Cancel", "Hold", "Retry", "Redirect", "Skip", "Fork"),
            "Cache",
            *("Details", "MessageDetails", "OutcomeDetails", "ErrorDetails", "StateDetails"),
            *("SaveDetails", "LoadDetails", "LifecycleDetails", "CallDetails", "CallErrorDetails"),
            *("ScopeDetails", "SessionDetails", "ArtifactDetails"),
            *("HookHistory", "HookRecord", "RunSelection", "HistoryRetention"),
            *("DeferredCalls", "DeferredCall"),
            *("Recording", "OutsideCall", "HookAnswer"),
            *("Validation", "Auditing", "PrometheusMetrics", "OpenTelemetryMetrics"),
            *("OpenTelemetrySpans", "Logging"),
            *("Caching", "RateLimit", "Retrying", "CostBudget", "Spent", "Redaction", "Breakpoint"),
        ),
        (),
    ),
    Page(
        "thinking",
        "Agents that think",
        "Agents with a language model: their runs, their tools, what runs cost and wait for.",
        (
            *("ThinkingAgent", "ThinkingState", "tool", "tool_call", "ToolCall", "agent_tool"),
            *("ask_person", "Budget", "Usage", "Tally"),
            *("Run", "RunStep", "RunWait", "RunEvent", "RunRetention"),
            *("Runs", "OpenRun"),
            *("replay_run", "RunReplay", "PromptDifference"),
        ),
        ("guides/thinking.md", "guides/tools.md", "guides/people.md"),
    ),
    Page(
        "replay",
        "Replay",
        "Recorded turns run again: as they were, changed, or under other code.",
        (
            *("Replays", "Replayer", "TurnSelection", "Replay", "ReplayFinding", "ReplayRules"),
            *("ReplayBatch", "ReplayReport", "ReplaySchedule", "ReplaySchedules"),
            *("ReplayResult", "ReplayResults"),
        ),
        ("guides/replay.md",),
    ),
    Page(
        "scripts",
        "Scripts",
        "Texts in Lua, JavaScript and Python that call their host, and what they may.",
        (
            *("Scripts", "Script", "ScriptResult", "ScriptLimits", "ScriptRights"),
            *("Confinement", "Language", "ScriptSession"),
            *("ScriptAgent", "ScriptVersion", "DurableScriptAgent", "SuspendedScript"),
        ),
        ("guides/scripts.md",),
    ),
    Page(
        "shared-state",
        "Shared state",
        "Keys and values that several agents use.",
        ("Scope", "Principal", "ScopedState", "AgentScopes", "Entry", "ABSENT"),
        ("guides/shared-state.md",),
    ),
    Page(
        "permissions",
        "Permissions and audit",
        "Who may do what with shared state, and the record of every decision.",
        (
            *(
                "Right",
                "Access",
                "Grant",
                "Grants",
                "Boundary",
                "CustomBoundary",
                "Isolation",
                "Isolations",
                "Decision",
            ),
            *("Audit", "AuditTrail", "DecisionSelection", "AuditEntry", "AuditReport", "Fault"),
        ),
        ("guides/permissions.md", "guides/audit.md"),
    ),
    Page(
        "sharing",
        "Sharing patterns",
        "Topics, pipelines, requests, documents and families of agents.",
        (
            *("Sharing", "Quota", "Topic", "Item", "Pipeline", "Work", "Dropped", "DroppedItems"),
            *("Requests", "Request", "Answered", "TimedOut", "Waiting"),
            *("Document", "Version", "Merged", "Conflicted", "Family"),
        ),
        ("guides/sharing.md", "tasks/crew.md"),
    ),
    Page(
        "artifacts",
        "Artifacts",
        "Bytes with a name, a version and an origin.",
        (
            *(
                "Artifacts",
                "ArtifactReader",
                "ArtifactSelection",
                "Artifact",
                "ArtifactType",
                "ArtifactLimits",
            ),
            *("Sink", "Source", "Swept"),
        ),
        ("guides/artifacts.md",),
    ),
    Page(
        "sessions",
        "Sessions",
        "Pieces of work with a beginning, a history and an end.",
        (
            *("Sessions", "Session", "SessionHandle", "History", "SessionInfo", "SessionStatus"),
            *("SessionLimits", "SessionSelection", "Cleanup", "ExportReport"),
        ),
        ("guides/sessions.md",),
    ),
    Page(
        "secrets",
        "Secrets",
        "Encrypted fields, their keys, and signed pickles.",
        (
            *("Secret", "Keys", "KeyProvider", "StaticKeys", "EnvironmentKeys", "FileKeys"),
            "KeyringKeys",
            *("new_key", "Pickled", "Detector", "Rule", "SecretsOffice", "Rotation"),
        ),
        ("guides/secrets.md",),
    ),
    Page(
        "backup",
        "Backup",
        "Copies of a store, verified, and brought back.",
        (
            "Backups",
            "Backup",
            "Verified",
            "SystemBackups",
            "BackupRetention",
            "BackupSchedule",
            "BackupResult",
            "BackupVerdict",
            "Recovered",
            "BroughtBack",
            "PartCounts",
            "Destination",
            "BackupDraft",
            "S3Bucket",
            "RewrittenBackup",
        ),
        ("guides/backup.md",),
    ),
    Page(
        "store",
        "Stores and what they hold",
        "What is durable, and how to read it while another process owns it.",
        (
            *("open_reader", "StoreReader", "AgentRow", "JournalEntry", "Message", "Timer"),
            *("QuarantineRow", "Growth", "Store", "MemoryStore"),
        ),
        ("guides/operations.md",),
    ),
    Page(
        "migrations",
        "Schemas and migrations",
        "How what is stored goes on when classes change.",
        (
            *("migration", "DeclaredMigration", "transforms", "Transform"),
            *("MigrationReport", "MigrationFailure", "MigrationSample"),
        ),
        ("guides/upgrade.md",),
    ),
    Page(
        "testing",
        "The test kit",
        "Time that skips, stand-ins, faults, crashes, simulation and models, for lifecycle tests.",
        (
            *("Kit", "SkippingClock", "FaultyStore", "LeftBehind", "LeakWatch"),
            *("ProbeAgent", "StandIn", "Received", "Outside", "MadeCall"),
            *("AgentWatch", "LoggedTurn", "LoggedSignal"),
            *("assert_durable", "assert_restores", "assert_exactly_once"),
            *("assert_no_dead_letters", "stored_state", "live_state"),
            *("assert_snapshot", "snapshot", "Snapshots"),
            *("simulate", "Simulation", "SimulationFailed", "Struck"),
            *("AgentMachine", "arguments", "states"),
            *("assert_migrates", "assert_round_trip", "stored_schemas", "Golden"),
        ),
        ("guides/lifecycle-tests.md", "guides/simulation.md", "guides/testing.md"),
    ),
    Page(
        "errors",
        "Errors",
        "What perdure raises on purpose.",
        ("errors", "PerdureError"),
    ),
    Page(
        "signals",
        "Signals",
        "What perdure tells those who listen, and the records it tells it with.",
        ("signals",),
        ("guides/lifecycle.md",),
    ),
)
"""Every public name stands on exactly one page; tests/test_docs.py compares them."""

_PLUMBING: Final = ("Identified", "PooledActor", "State")
"""Bases whose methods are called by perdure alone, or explained with the base itself."""
INNER: Final = {
    "Future": (
        "helper", "target", "asker", "settled", "path", "passes", "answer", "fail", "prepare",
    ),
    "BackupSchedule": ("check_moments", "next_after", "put_off"),
    "ReplaySchedule": ("check_moments", "next_after"),
    "SkippingClock": ("moved_in", "moved_out", "steers", "steer"),
    "FaultyStore": ("serves", "kill", "bury", "meet", "damaged", "before", "wait", "after"),
    "StandIn": ("end",),
    "Outside": ("make",),
    "LoggedTurn": ("of", "said"),
    "LoggedSignal": ("said",),
    "AgentMachine": (
        "restart", "crash", "time_passes", "pause", "agents_come_back", "teardown",
    ),
}  # fmt: skip
"""What modules of perdure use of a public class, and nobody else."""
_NOTE: Final = "<!-- made by `python -m docs.make_reference` -->\n"


def render() -> dict[str, str]:
    """Return the text of every file of the folder, by its name."""
    pages = {f"{page.name}.md": _tidy(_page(page)) for page in PAGES}
    return {"index.md": _tidy(_index()), **pages}


def topics() -> dict[str, list[str]]:
    """Return what the pages must name, by topic."""
    kinds = {name: _named(name) for name in (*perdure.__all__, *testing.__all__)}
    return {
        "public names": [*perdure.__all__, *testing.__all__],
        "signals": list(signals.SIGNALS),
        "errors": [kind.__name__ for kind in _error_classes()],
        "options of Agent": _options(Agent),
        "options of AgentSystem.open": [*inspect.signature(AgentSystem.open).parameters],
        **{
            f"methods of {name}": methods
            for name, kind in kinds.items()
            if inspect.isclass(kind) and (methods := [f"{name}.{m}" for m in _own_methods(kind)])
        },
    }


def main() -> None:
    """Write the pages, and delete those that are no more."""
    made = render()
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _index() -> str:
    parts = [
        f"{_NOTE}\n# Reference\n",
        "Every public name, made from the docstrings. They come from `perdure`, as in",
        "`from perdure import Agent`; those of the test kit come from `perdure.testing`. The",
        "[guides](../index.md) say when to use what.\n",
    ]
    for page in PAGES:
        parts += [f"## [{page.title}]({page.name}.md)\n", f"{page.about}\n"]
        parts += [", ".join(f"[`{n}`]({page.name}.md#{_anchor(n)})" for n in page.names) + "\n"]
    return "\n".join(parts)


def _page(page: Page) -> str:
    parts = [f"{_NOTE}\n# {page.title}\n", f"{page.about} [All of the reference](index.md).\n"]
    if page.guides:
        parts.append(f"When to use what: {', '.join(map(_guide, page.guides))}.\n")
    if len(page.names) > 1:
        parts += [f"- [`{name}`](#{_anchor(name)}): {_first_line(name)}" for name in page.names]
        parts.append("")
    return "\n".join([*parts, *(_public(name) for name in page.names)])


def _guide(path: str) -> str:
    title = (FOLDER.parent / path).read_text(encoding="utf-8").partition("\n")[0]
    return f"[{title.removeprefix('# ')}](../{path})"


def _named(name: str) -> Any:  # noqa: ANN401 - whatever stands under it
    return getattr(testing if name in testing.__all__ else perdure, name)


def _anchor(name: str) -> str:
    return name.lower()  # as GitHub makes it of a heading that is a name in backquotes


def _first_line(name: str) -> str:
    value = _named(name)
    named = inspect.isclass(value) or inspect.ismodule(value) or inspect.isfunction(value)
    return _inline((inspect.getdoc(value if named else type(value)) or "").partition("\n")[0])


def _public(name: str) -> str:
    value = _named(name)
    if value is errors:
        return _errors()
    if value is signals:
        return _signals()
    if inspect.ismodule(value):
        return _functions(name, value)
    if inspect.isclass(value):
        return _class(name, value)
    if not callable(value):  # a constant: what its class says
        return f"## `{name}`\n\n{_prose(type(value))}"
    return f"## `{name}`\n\n`{name}{_signature(value)}`\n\n{_prose(value)}"


def _functions(name: str, module: ModuleType) -> str:
    """Return what a module of functions offers."""
    made = [value for value in vars(module).values() if inspect.isfunction(value)]
    own = [each for each in made if each.__module__ == module.__name__]
    public = [each for each in own if not each.__name__.startswith("_")]
    parts = [f"## `{name}`\n", _prose(module)]
    parts += [_method(f"{name}.{each.__name__}", each) for each in public]
    return "\n".join(parts)


def _class(name: str, kind: type) -> str:
    public = (b.__name__ for b in kind.__bases__ if _is_public(b))
    parts = [f"## `{name}`\n", *(f"A kind of `{base}`.\n" for base in public), _prose(kind)]
    parts += [*_inherited(kind), *_fields(kind)]
    for member in _own_methods(kind):
        value = inspect.getattr_static(kind, member)
        parts.append(_method(f"{name}.{member}", value))
    return "\n".join(parts)


def _is_public(kind: type) -> bool:
    return any(getattr(module, kind.__name__, None) is kind for module in (perdure, testing))


def _inherited(kind: type) -> list[str]:
    """Name once what a class has from pykka, and does not explain itself."""
    base = next((b for b in kind.__mro__ if b.__module__.startswith("pykka.")), None)
    if base is None:
        return []
    own = {*_own_methods(kind), *(name for name, *_ in _attributes(kind))}
    names = [f"`{n}`" for n in dir(base) if not n.startswith("_") and n not in own]
    link = "https://pykka.readthedocs.io/stable/api/"
    what = f", with {', '.join(names)} as [pykka explains them]({link})" if names else ""
    return [f"It is a `pykka.{base.__name__}`{what}.\n"]


def _method(name: str, value: object) -> str:
    if isinstance(value, property):
        return f"### `{name}`\n\n{_prose(value)}"
    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    return f"### `{name}{_signature(function)}`\n\n{_prose(value)}"


def _signature(function: object) -> str:
    """Return a signature as it stands in the source, without self."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body  # type: ignore[arg-type]
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        raise TypeError(f"{function!r} is no function")
    tree.args.args = [arg for arg in tree.args.args if arg.arg not in ("self", "cls")]
    result = f" -> {ast.unparse(tree.returns)}" if tree.returns else ""
    return f"({ast.unparse(tree.args)}){result}"


def _own_methods(kind: type) -> list[str]:
    """Return the public methods and properties that a class defines, in the order of the source.

    Those of bases that are not public themselves are among them.
    """
    kinds = (property, classmethod, staticmethod)
    bases = (b for b in kind.__mro__[1:] if b.__module__.startswith("perdure."))
    inner = [b for b in bases if not _is_public(b) and b.__name__ not in _PLUMBING]
    found = {
        name: None
        for owner in (kind, *inner)
        for name, value in vars(owner).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    }
    return [name for name in found if name not in INNER.get(kind.__name__, ())]


def _options(kind: type) -> list[str]:
    """Return the class variables people may set."""
    return [
        name
        for name, hint in kind.__annotations__.items()
        if str(hint).startswith("ClassVar") and not name.startswith("_")
    ]


def _fields(kind: type) -> list[str]:
    """Return a list of the attributes, with their types, defaults and the text below each."""
    found = []
    for name, hint, default, text in _attributes(kind):
        shown = f"`{name}: {hint}`" if hint else f"`{name}`"
        shown += f", by default `{default}`" if default and hint else ""
        shown += f", `{default}`" if default and not hint else ""
        found.append(f"- {shown}" + (f". {text}" if text else ""))
    return ["\n".join(found) + "\n"] if found else []


def _attributes(kind: type) -> list[tuple[str, str, str, str]]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    if not isinstance(tree, ast.ClassDef):
        raise TypeError(f"{kind!r} is no class")
    found = []
    for node, following in itertools.pairwise([*tree.body, None]):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            hint = re.sub(r"^ClassVar\[(.*)\]$", r"\1", ast.unparse(node.annotation))
            default = ast.unparse(node.value) if node.value is not None else ""
            found.append((node.target.id, hint, default, _text_below(following)))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            default = ast.unparse(node.value)
            found.append((node.targets[0].id, "", default, _text_below(following)))
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            found += _attributes_made(node)
    for base in kind.__bases__:  # fields that a record has from one which is on no page
        if issubclass(base, msgspec.Struct) and base.__name__ not in {"Struct", *perdure.__all__}:
            found += _attributes(base)
    inner = INNER.get(kind.__name__, ())
    return [a for a in found if not a[0].startswith("_") and a[0] not in inner]


def _attributes_made(init: ast.FunctionDef) -> list[tuple[str, str, str, str]]:
    """Return the attributes that a constructor makes and explains."""
    found = []
    for node, following in itertools.pairwise([*init.body, None]):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
            text = _text_below(following)
            if text:
                found.append((node.target.attr, ast.unparse(node.annotation), "", text))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            text = _text_below(following)
            if text and isinstance(node.value, ast.Call):
                found.append((node.targets[0].attr, ast.unparse(node.value.func), "", text))
    return found


def _text_below(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return _inline(" ".join(str(node.value.value).split()))
    return ""


def _prose(thing: object) -> str:
    """Return a docstring as Markdown: sections of arguments and errors become lists."""
    lines: list[str] = []
    listing = False
    for line in (inspect.getdoc(thing) or "").splitlines():
        if re.fullmatch(r"(Args|Raises|Returns):", line):
            listing = True
            lines += [f"**{line}**", ""]
        elif listing and re.match(r" {4}\S", line):
            lines.append("- " + re.sub(r"^([\w, *]+):", r"`\1`:", line.strip()))
        elif listing and line.startswith("      "):
            lines.append("  " + line.strip())
        else:
            listing = listing and not line
            lines.append(line)
    return _inline("\n".join(lines)) + "\n"


def _inline(text: str) -> str:
    return text.replace("``", "`")


def _error_classes() -> list[type]:
    kinds = (value for value in vars(errors).values() if inspect.isclass(value))
    return [kind for kind in kinds if issubclass(kind, errors.PerdureError)]


def _errors() -> str:
    tree = (errors.__doc__ or "").partition("\n")[2].strip("\n")
    drawing, _, rest = tree.partition("\n\n")
    parts = [
        "## `errors`\n",
        _first_line("errors") + "\n",
        "```text",
        textwrap.dedent(drawing),
        "```\n",
        _inline(rest.strip()),
    ]
    parts.append("")
    parts += [f"- `{kind.__name__}`: {_summary(kind)}" for kind in _error_classes()]
    return "\n".join(parts) + "\n"


def _signals() -> str:
    text = _inline(inspect.getdoc(signals) or "")
    parts = ["## `signals`\n", text, ""]
    parts += [f"- `{name}`: {signal.__doc__}" for name, signal in signals.SIGNALS.items()]
    parts.append("")
    for event in _events(signals):
        parts += [f"## `{event.__name__}`\n", _prose(event), *_fields(event)]
    return "\n".join(parts)


def _events(module: ModuleType) -> list[type]:
    found = (value for value in vars(module).values() if inspect.isclass(value))
    return [kind for kind in found if kind.__module__ == module.__name__]


def _summary(thing: object) -> str:
    return _inline(" ".join((inspect.getdoc(thing) or "").split()))


if __name__ == "__main__":
    main()
