"""Make docs/reference.md from the docstrings: ``python -m docs.make_reference``."""  # noqa: INP001

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Final

import perdure
from perdure import Agent, AgentSystem, errors, signals
from perdure.actors.patterns.document import Document, Version
from perdure.actors.patterns.family import Family
from perdure.actors.patterns.pipeline import Dropped, Pipeline
from perdure.actors.patterns.requests import Request, Requests
from perdure.actors.patterns.sharing import Sharing
from perdure.actors.patterns.topic import Item, Topic
from perdure.actors.pool.future import Future
from perdure.actors.system.dead_letters import DeadLetters
from perdure.actors.talk.description import AgentDescription
from perdure.actors.talk.reference import AgentProxy, MethodProxy
from perdure.lifecycle.groups import GroupDescription
from perdure.persistence.audit.entries import AuditEntry
from perdure.persistence.audit.verification import AuditReport
from perdure.persistence.records.records import (
    AgentRow,
    DeadLetter,
    Growth,
    JournalEntry,
    Message,
    QuarantineRow,
    Timer,
)
from perdure.persistence.store.store import StoreReader
from perdure.shared.access.access import Access
from perdure.shared.access.audit import AuditTrail
from perdure.shared.access.boundaries import CustomBoundary
from perdure.shared.access.grants import Grant, Isolation
from perdure.shared.artifacts.artifacts import Artifacts
from perdure.shared.artifacts.reader import ArtifactReader
from perdure.shared.artifacts.sink import Sink
from perdure.shared.artifacts.source import Source
from perdure.shared.artifacts.sweep import Swept
from perdure.shared.scopes.agent_scopes import AgentScopes
from perdure.shared.scopes.state import ScopedState
from perdure.shared.secrets.office import SecretsOffice
from perdure.shared.secrets.rotation import Rotation
from perdure.shared.sessions.exporter import ExportReport
from perdure.shared.sessions.handle import SessionHandle
from perdure.shared.sessions.sessions import Sessions
from perdure.system import SystemStatistics

PAGE: Final = Path(__file__).resolve().parent / "reference.md"

_MODULES: Final = ("errors", "signals")
_GIVEN: Final = (
    Future,
    AgentProxy,
    MethodProxy,
    AgentDescription,
    DeadLetters,
    GroupDescription,
    ScopedState,
    AgentScopes,
    Access,
    Grant,
    Isolation,
    CustomBoundary,
    AuditTrail,
    AuditEntry,
    AuditReport,
    Artifacts,
    ArtifactReader,
    Sink,
    Source,
    Swept,
    Sharing,
    Topic,
    Item,
    Pipeline,
    Dropped,
    Requests,
    Request,
    Document,
    Version,
    Family,
    SecretsOffice,
    Rotation,
    Sessions,
    SessionHandle,
    ExportReport,
    StoreReader,
    AgentRow,
    JournalEntry,
    Message,
    Timer,
    DeadLetter,
    QuarantineRow,
    Growth,
)
"""Classes people get objects of, but do not name."""
_INTRODUCTION: Final = """\
# Reference

Every public name, from `from perdure import ...`. This page is made from the docstrings by
`python -m docs.make_reference`; a test compares them. The [guides](index.md) say when to use what.
"""


def render() -> str:
    """Return the page."""
    names = [name for name in perdure.__all__ if name not in _MODULES]
    parts = [_INTRODUCTION, *(_public(name) for name in names)]
    parts += [_errors(), _signals(), "# Objects you are given\n", _statistics()]
    parts += [_class(kind.__name__, kind) for kind in _GIVEN]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip() + "\n"


def topics() -> dict[str, list[str]]:
    """Return what the page must name, by topic."""
    return {
        "public names": list(perdure.__all__),
        "signals": list(signals.SIGNALS),
        "errors": [kind.__name__ for kind in _error_classes()],
        "options of Agent": _options(Agent),
        "hooks and methods of Agent": [f"Agent.{name}" for name in _own_methods(Agent)],
        "options of AgentSystem.open": [*inspect.signature(AgentSystem.open).parameters],
        "methods of AgentSystem": [f"AgentSystem.{name}" for name in _own_methods(AgentSystem)],
    }


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


def _public(name: str) -> str:
    value = getattr(perdure, name)
    if inspect.isclass(value):
        return _class(name, value)
    if not callable(value):  # a constant: what its class says
        return f"## `{name}`\n\n{_prose(type(value))}"
    return _function(name, value, "##")


def _class(name: str, kind: type) -> str:
    base = next((b.__name__ for b in kind.__bases__ if b.__module__.startswith("perdure.")), "")
    parts = [f"## `{name}`\n", _prose(kind), *_fields(kind)]
    if base:
        parts.insert(1, f"A kind of `{base}`.\n")
    for member in _own_methods(kind):
        value = inspect.getattr_static(kind, member)
        parts.append(_function(f"{name}.{member}", value, "###"))
    return "\n".join(parts)


def _function(name: str, value: object, heading: str) -> str:
    if isinstance(value, property):
        return f"{heading} `{name}`\n\n{_prose(value)}"
    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    return f"{heading} `{name}{_signature(function)}`\n\n{_prose(value)}"


def _signature(function: object) -> str:
    """Return a signature as it stands in the source, without self."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body  # type: ignore[arg-type]
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        raise TypeError(f"{function!r} is no function")
    tree.args.args = [arg for arg in tree.args.args if arg.arg not in ("self", "cls")]
    result = f" -> {ast.unparse(tree.returns)}" if tree.returns else ""
    return f"({ast.unparse(tree.args)}){result}"


def _own_methods(kind: type) -> list[str]:
    """Return the public methods and properties a class defines, in the order of the source."""
    kinds = (property, classmethod, staticmethod)
    return [
        name
        for name, value in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    ]


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
    return [attribute for attribute in found if not attribute[0].startswith("_")]


def _attributes_made(init: ast.FunctionDef) -> list[tuple[str, str, str, str]]:
    """Return the attributes that a constructor makes and explains."""
    found = []
    for node, following in itertools.pairwise([*init.body, None]):
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


def _statistics() -> str:
    title = "## `SystemStatistics`\n\nWhat `AgentSystem.statistics()` returns. "
    saves = inspect.get_annotations(SystemStatistics, eval_str=True)["saves"]
    parts = [title + _prose(SystemStatistics), *_fields(SystemStatistics)]
    parts += [f"### `{saves.__name__}`\n", _prose(saves), *_fields(saves)]
    return "\n".join(parts)


def _error_classes() -> list[type]:
    kinds = (value for value in vars(errors).values() if inspect.isclass(value))
    return [kind for kind in kinds if issubclass(kind, errors.PerdureError)]


def _errors() -> str:
    tree = (errors.__doc__ or "").partition("\n")[2].strip("\n")
    drawing, _, rest = tree.partition("\n\n")
    parts = ["## `errors`\n", "```text", textwrap.dedent(drawing), "```\n", _inline(rest.strip())]
    parts.append("")
    parts += [f"- `{kind.__name__}`: {_summary(kind)}" for kind in _error_classes()]
    return "\n".join(parts) + "\n"


def _signals() -> str:
    text = _inline(inspect.getdoc(signals) or "")
    parts = ["## `signals`\n", text, ""]
    parts += [f"- `{name}`: {signal.__doc__}" for name, signal in signals.SIGNALS.items()]
    parts.append("")
    for event in _events(signals):
        parts += [f"### `{event.__name__}`\n", _prose(event), *_fields(event)]
    return "\n".join(parts)


def _events(module: ModuleType) -> list[type]:
    found = (value for value in vars(module).values() if inspect.isclass(value))
    return [kind for kind in found if kind.__module__ == module.__name__]


def _summary(thing: object) -> str:
    return _inline(" ".join((inspect.getdoc(thing) or "").split()))


if __name__ == "__main__":
    main()
