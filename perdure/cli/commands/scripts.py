"""``perdure script``: run a script on a store, or what somebody types."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from ...persistence.errors import (
    ConfigurationError,
    Conflict,
    PerdureError,
    ScriptError,
    ScriptFailed,
    ScriptLimit,
)
from ...persistence.names.scope import Principal
from ...scripting.language import Language
from ...scripting.options import Confinement, ScriptLimits
from ...scripting.script import Script, ScriptResult
from ...scripting.scripts import Scripts
from ...scripting.session import ScriptSession
from ..terminal.exits import ExitCode
from ..terminal.options import ScriptAction
from ..terminal.screen import Screen, print_json
from .owned import owned


@dataclass(frozen=True, slots=True)
class ScriptCommand:
    """What was asked for on the command line."""

    what: str
    principal: str
    arguments: list[str]
    seconds: float
    memory: int
    trusted: bool
    json: bool


def handle(store: str, action: ScriptAction, asked: ScriptCommand) -> ExitCode:
    """Do what was asked for."""
    principal = Principal.parse(asked.principal)
    if action is ScriptAction.REPL:
        language = Language.named(asked.what)
        language.folders()
        with _opened(store, asked) as scripts:
            return _repl(scripts, language, principal, json=asked.json)
    script = Script.read(asked.what)
    script.language.folders()  # refused before the store is opened
    arguments = [_decoded(text) for text in asked.arguments]
    with _opened(store, asked) as scripts:
        return _shown(
            script,
            lambda: scripts.run(script, principal=principal, arguments=arguments),
            json=asked.json,
        )


@contextmanager
def _opened(store: str, asked: ScriptCommand) -> Iterator[Scripts]:
    limits = ScriptLimits(seconds=asked.seconds, memory=asked.memory << 20)
    confinement = Confinement.AVAILABLE if asked.trusted else Confinement.REQUIRED
    with (
        owned(store) as system,
        Scripts(system, limits=limits, confinement=confinement, warm=0) as scripts,
    ):
        yield scripts


def _repl(scripts: Scripts, language: Language, principal: Principal, *, json: bool) -> ExitCode:
    """Run what is typed, until there is no more; the exit code says how the last input ended."""
    code = ExitCode.DONE
    with scripts.session(language, principal=principal) as session:
        for source in _inputs(language):
            script = Script(language, source, "input")
            code = _tried(script, session, json=json)
    return code


def _tried(script: Script, session: ScriptSession, *, json: bool) -> ExitCode:
    try:
        return _shown(script, lambda: session.run(script.source), json=json)
    except PerdureError as error:
        killed = isinstance(error, ScriptFailed | ScriptLimit | Conflict) and not session.begun
        lost = "; what was defined is lost" if killed else ""
        Screen(error=True).say(f"{error}{lost}", "red")
        return ExitCode.PROBLEMS


def _inputs(language: Language) -> Iterator[str]:
    """Read inputs; one may have several lines."""
    asks = sys.stdin.isatty()
    if asks:
        import readline  # noqa: F401 - input() edits lines where it is imported
    lines: list[str] = []
    while True:
        try:
            line = input(("... " if lines else f"{language.value}> ") if asks else "")
        except EOFError:
            break
        block = bool(lines) and lines[0].endswith(":")
        lines.append(line.removesuffix("\\"))
        if line.endswith("\\") or (block and line) or (len(lines) == 1 and line.endswith(":")):
            continue
        if "".join(lines).strip():
            yield "\n".join(lines)
        lines = []
    if lines:
        yield "\n".join(lines)


def _shown(script: Script, run: Callable[[], ScriptResult], *, json: bool) -> ExitCode:
    """Run it and show what came of it, as JSON also where that is an error."""
    try:
        result = run()
    except (ScriptError, Conflict) as error:
        if not json:
            _tell(_log_of(error))
            raise
        print_json(_record(script, None, error))
        return ExitCode.PROBLEMS
    if json:
        print_json(_record(script, result, None))
        return ExitCode.DONE
    _tell(result.log)
    if result.value is not None:
        Screen().say(msgspec.json.encode(result.value).decode())
    return ExitCode.DONE


def _tell(log: Sequence[str]) -> None:
    notes = Screen(error=True)
    for line in log:
        notes.say(line)


def _log_of(error: PerdureError | None) -> Sequence[str]:
    return error.log if isinstance(error, ScriptError) else ()


def _decoded(text: str) -> object:
    try:
        return msgspec.json.decode(text.encode())
    except (ValueError, RecursionError):
        message = f"--arg {text!r:.40} is no JSON; write a text as '\"text\"'"
        raise ConfigurationError(message) from None


def _record(
    script: Script, result: ScriptResult | None, error: PerdureError | None
) -> dict[str, object]:
    return {
        "script": script.name,
        "language": script.language,
        "value": None if result is None else result.value,
        "log": list(_log_of(error) if result is None else result.log),
        "calls": 0 if result is None else result.calls,
        "error": None if error is None else _told(error),
    }


def _told(error: PerdureError) -> dict[str, object]:
    failed = error if isinstance(error, ScriptFailed) else None
    return {
        "class": type(error).__name__,
        "text": str(error),
        "line": None if failed is None else failed.line,
        "kind": "" if failed is None else failed.kind,
        "trace": "" if failed is None else failed.trace,
        "limit": error.limit if isinstance(error, ScriptLimit) else "",
    }
