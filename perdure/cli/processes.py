"""The commands of a process that runs agents: run one, watch it, wait for its saves."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import AsJson, Level, Store, Sync


def run(
    context: typer.Context,
    program: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME", help="An Agent subclass, a list of them, a function."
        ),
    ],
    store: Store,
    *,
    sync: Annotated[
        Sync, typer.Option(help="What an acknowledged turn survives: power loss, or kill -9.")
    ] = Sync.POWER,
    drain: Annotated[
        float, typer.Option(min=0, max=86400, metavar="SECONDS", help="How long a drain may take.")
    ] = 10.0,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=512, metavar="N", help="Threads that run handlers.", show_default=False
        ),
    ] = None,
    log_level: Annotated[Level, typer.Option(help="The least of what is logged.")] = Level.INFO,
) -> ExitCode:
    """Run agents until SIGTERM or Ctrl-C, then drain.

    MODULE is imported from the current directory or from where Python looks. NAME is an Agent
    subclass, a list of them, or a function: it is called once with the open system, beside the
    agents, and the module's `agents` lists the classes. The system goes on when it returns, and
    stops if it raises.

    The first signal drains: turns under way end and are saved, messages that wait stay in the
    store, and the exit code is 0; it is 1 when that took longer than --drain. A second signal
    ends the process at once; nothing that was acknowledged is lost.

    \b
    perdure run desk:Desk --store desk.db
    perdure run shop.agents:AGENTS --store sqlite:////var/lib/shop.db --drain 30
    """
    from .commands.run import refuse_several
    from .commands.run import run as serve

    refuse_several(program, context.args)
    level = log_level.value
    return serve(program, store, sync=sync.value, drain=drain, workers=workers, level=level)


def stats(
    store: Store,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, with a line every --every seconds.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, max=86400, metavar="SECONDS", help="How often.")
    ] = 1.0,
    json: AsJson = False,
) -> None:
    """Show how the system does that has the store open: turns, mail, saves.

    Asks the process that has it open, which goes on; where nobody has, nothing runs.

    \b
    perdure stats --store desk.db
    perdure stats --watch --json --store desk.db | jq .turns
    """
    from .commands.operate import stats as show_stats

    show_stats(store, watch=every if watch else None, json=json)


def flush(store: Store, *, json: AsJson = False) -> ExitCode:
    """Wait until all that agents were told and have done so far is durable.

    Asks the process that has the store open; where nobody has, there is nothing to wait for.

    \b
    perdure flush --store desk.db
    """
    from .commands.operate import flush as wait

    return wait(store, json=json)
