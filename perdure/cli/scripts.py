"""The command that runs scripts."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import AsJson, ScriptAction, Store, name, names, text


def script(
    action: Annotated[ScriptAction, typer.Argument(metavar="ACTION", help="What to do.")],
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            callback=text,
            help="The script: .lua, .js or .py. For repl, a LANGUAGE: lua, javascript or python.",
        ),
    ],
    store: Store,
    *,
    principal: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="WHO",
            callback=name,
            show_default=False,
            help="Who acts: agent:KIND/KEY, user:ID or system.",
        ),
    ],
    argument: Annotated[
        list[str] | None,
        typer.Option(
            "--arg",
            metavar="JSON",
            callback=names,
            show_default=False,
            help="What the script is given; may be repeated.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="How long it may run.")] = 10.0,
    memory: Annotated[int, typer.Option(metavar="MIB", help="How much memory it may take.")] = 64,
    trusted: Annotated[
        bool,
        typer.Option("--trusted", help="Run it also where this machine cannot close it in."),
    ] = False,
    json: AsJson = False,
) -> ExitCode:
    """Run a script in Lua, JavaScript or Python on a store, or what you type.

    It runs in a process of its own, which can do nothing but call its host: state.save(scope, key,
    value), state.load, state.delete, state.exists, state.list_keys, state.increment,
    state.compare_and_set, state.commit, artifacts.save, artifacts.load, log. It may what the
    principal may. What it writes commits together at its end, and not at all if it fails: the exit
    code is 1 then, and the error has the script's line. It writes, so the store must not be open.
    What it logs goes to standard error, what it returns to standard output, as JSON. `repl` takes
    inputs from standard input, one a line: each is a commit of its own, and finds what those before
    it have defined. A line that ends in \\ goes on; one that ends in : goes on to an empty line.
    Needs the extra perdure[scripts].

    \b
    perdure script run nightly.lua --store desk.db --as user:mira
    perdure script run count.py --arg '"emea"' --arg 3 --store desk.db --as system --json
    perdure script repl lua --store desk.db --as user:mira
    """  # fmt: skip
    from .commands.scripts import ScriptCommand, handle

    asked = ScriptCommand(what, principal, argument or [], seconds, memory, trusted, json)
    return handle(store, action, asked)
