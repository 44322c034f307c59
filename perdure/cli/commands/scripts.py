"""``perdure script``: run a script on a store."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ...persistence.errors import ConfigurationError, ScriptError, ScriptFailed, ScriptLimit
from ...persistence.names.scope import Principal
from ...scripting.options import Confinement, ScriptLimits
from ...scripting.script import Script, ScriptResult
from ...scripting.scripts import Scripts
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
    del action  # there is one
    principal = Principal.parse(asked.principal)
    script = Script.read(asked.what)
    script.language.folders()
    arguments = [_decoded(text) for text in asked.arguments]
    limits = ScriptLimits(seconds=asked.seconds, memory=asked.memory << 20)
    confinement = Confinement.AVAILABLE if asked.trusted else Confinement.REQUIRED
    with (
        owned(store) as system,
        Scripts(system, limits=limits, confinement=confinement, warm=0) as scripts,
    ):
        try:
            result = scripts.run(script, principal=principal, arguments=arguments)
        except ScriptError as error:
            if not asked.json:
                raise
            print_json(_failure(error, script))
            return ExitCode.PROBLEMS
    _show(result, script, json=asked.json)
    return ExitCode.DONE


def _decoded(text: str) -> object:
    try:
        return msgspec.json.decode(text.encode())
    except (ValueError, RecursionError):
        message = f"--arg {text!r:.40} is no JSON; write a text as '\"text\"'"
        raise ConfigurationError(message) from None


def _show(result: ScriptResult, script: Script, *, json: bool) -> None:
    if json:
        print_json(
            {
                "script": script.name, "language": script.language, "value": result.value,
                "log": list(result.log), "calls": result.calls, "error": None,
            }
        )  # fmt: skip
        return
    notes = Screen(error=True)
    for line in result.log:
        notes.say(line)
    if result.value is not None:
        Screen().say(msgspec.json.encode(result.value).decode())


def _failure(error: ScriptError, script: Script) -> dict[str, object]:
    told: dict[str, object] = {"class": type(error).__name__, "text": str(error)}
    if isinstance(error, ScriptFailed):
        told |= {"line": error.line, "kind": error.kind, "trace": error.trace}
    elif isinstance(error, ScriptLimit):
        told |= {"limit": error.limit}
    return {"script": script.name, "language": script.language, "error": told}
