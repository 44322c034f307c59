"""The command line: its commands in order, and how each of them ends.

The modules beside this one are the grammar: commands, options, help. What a command does is in
``commands``, imported when it is used.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from . import (
    agents,
    backups,
    causes,
    hooks,
    mail,
    processes,
    recorded,
    schemas,
    scripts,
    shared,
    thinking,
    upkeep,
)
from .terminal.exits import ExitCode, exit_code, sentence
from .terminal.options import gather, spread

app = typer.Typer(
    name="perdure",
    no_args_is_help=True,
    # Plain help: it starts faster than boxes do, and reads the same in a pipe.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def main() -> None:
    """Run the command line of this process."""
    # A reader that goes away (`| head`) ends this process without a word, as it does with others.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    app(prog_name="perdure")


def command(function: Callable[..., ExitCode | None]) -> None:
    """Register a command; its errors become one sentence and an exit code."""
    signature, groups = spread(function)

    @functools.wraps(function)
    def run(**given: object) -> None:
        from .terminal.screen import Screen, prepare_streams

        prepare_streams()
        try:
            code = function(**gather(groups, given))
            sys.stdout.flush()
        except Exception as error:  # noqa: BLE001 - never a traceback: DEFECT says what to do
            if os.environ.get("PERDURE_TRACEBACK"):
                traceback.print_exc()
            Screen(error=True).say(f"perdure: {sentence(error)}", "red")
            code = exit_code(error)
        raise typer.Exit(code or ExitCode.DONE)

    run.__signature__ = signature  # type: ignore[attr-defined]
    # One that takes the context looks at surplus arguments itself, to give better advice.
    settings = {"allow_extra_args": "context" in signature.parameters}
    # `dead_letters` is typed as `dead-letters`.
    app.command(function.__name__.replace("_", "-"), context_settings=settings)(run)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        from importlib import metadata

        try:
            version = metadata.version("perdure")
        except metadata.PackageNotFoundError:
            version = "(not installed: run from its sources)"
        typer.echo(f"perdure {version}")
        raise typer.Exit


@app.callback()
def perdure(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Run durable agents, and look into the stores they leave behind.

    Every command but `run` only reads, unless its help says that it writes: it may be used while
    another process runs agents on the store.

    \b
    perdure run desk:Desk --store desk.db     run agents until Ctrl-C or SIGTERM
    perdure agents --store desk.db            list the agents in a store
    perdure show Desk emea --store desk.db    look at one of them
    export PERDURE_STORE=desk.db              and leave --store out

    \b
    Exit codes: 0 done, 1 problems found or not drained, 2 wrong usage,
    3 the store cannot be used, 4 another process owns the store,
    5 not in the store, 70 a defect in perdure.
    """


# In the order in which help lists them.
for _function in (
    processes.run, agents.agents, agents.isolate, agents.restore, processes.stats,
    processes.flush, agents.show, agents.diff, mail.journal, causes.timeline, causes.why,
    mail.mail, mail.timers, mail.dead_letters, thinking.runs, thinking.mcp, hooks.hooks,
    recorded.replay, recorded.replay_schedules, shared.audit,
    shared.state, shared.sharing, shared.sessions, shared.secrets, shared.artifacts,
    schemas.schema, schemas.migrate, schemas.rehearse, upkeep.growth, upkeep.doctor,
    upkeep.rewrite, backups.backup, scripts.script,
):  # fmt: skip
    command(_function)
