"""The commands about agents that think: their runs; agents as tools of others' models."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import Level, Listing, RunsAction, Store, Sync, name


def runs(
    store: Store,
    action: Annotated[
        RunsAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = RunsAction.LIST,
    place: Annotated[
        list[str] | None,
        typer.Argument(metavar="KIND KEY RUN CALL", help="Which run, and which call of it."),
    ] = None,
    *,
    result: Annotated[
        str | None,
        typer.Option(
            "--result",
            metavar="JSON",
            help="The result, the answer, or why it is refused.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME", callback=name, help="For replay: the code.", show_default=False
        ),
    ] = None,
    listing: Listing,
) -> ExitCode:
    """List the runs of agents that think; decide what they wait for.

    Those that have not ended, by agent, each with the calls that it waits for; with KIND and
    KEY all that one agent keeps, those that have ended with why they failed. `show` lists the
    steps of one run; `stats` what the calls of models and tools came to, of all agents, those
    of a KIND, or one: calls, failures, times in doubt, seconds, tokens and costs, each call
    counted once. `replay` goes through one again, its models and tools answered as they were,
    and tells what its model would be told by the code that --against names: an Agent class, or
    a list with one of that kind. Nobody is asked, and nothing is written. The exit code is 0 if
    all is as it was recorded, 1 if something differs. The other actions decide about a call:
    `retry`, `done` (with --result), `skip` and `fail` where it is in doubt, `approve` and
    `deny` where it needs approval, `answer` (with --result) where somebody was asked. They
    write: the process that has the store open does it; if none has, the decision waits in the
    agent's mail for the next one that runs agents.

    \b
    perdure runs --store desk.db
    perdure runs list Helper mira --store desk.db
    perdure runs show Helper mira r1 --store desk.db
    perdure runs stats Helper --store desk.db
    perdure runs replay Helper mira r1 --against desk:Helper --store desk.db
    perdure runs approve Helper mira r1 call-7 --store desk.db
    perdure runs answer Helper mira r1 call-8 --result '"Yes."' --store desk.db
    """  # fmt: skip
    from .commands.runs import handle

    return handle(store, action, place or [], result=result, against=against, listing=listing)


def mcp(
    program: Annotated[
        str,
        typer.Argument(metavar="MODULE:NAME", help="An Agent subclass, or a list of them."),
    ],
    store: Store,
    *,
    http: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            show_default=False,
            help="Serve HTTP on 127.0.0.1 instead of standard streams; 0 takes a free port.",
        ),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            callback=name,
            show_default=False,
            help="With --http: the token that clients show; made where there is no such file.",
        ),
    ] = None,
    sync: Annotated[
        Sync, typer.Option(help="What an acknowledged turn survives: power loss, or kill -9.")
    ] = Sync.POWER,
    drain: Annotated[
        float, typer.Option(min=0, max=86400, metavar="SECONDS", help="How long a drain may take.")
    ] = 10.0,
    log_level: Annotated[Level, typer.Option(help="The least of what is logged.")] = Level.INFO,
) -> ExitCode:
    """Serve agents as tools of the Model Context Protocol (MCP).

    Each public method of the agents is a tool, KIND_METHOD, which takes the agent's `key` (main
    if left out) and the method's arguments. An agent that thinks is one more, KIND_think: it takes
    a `prompt`, and a `run` by whose name the answer is found again. Decisions about runs are not
    served: they are a person's. It owns the store as `perdure run` does, and writes. What it logs
    goes to standard error. With --http the address is printed, and every program of this machine
    may call the agents, unless --token-file names a file with a token: then those who show it, as
    `Authorization: Bearer TOKEN`. Others must not be able to read that file.

    \b
    perdure mcp desk:AGENTS --store desk.db
    perdure mcp desk:AGENTS --store desk.db --http 8765 --token-file desk.token
    """  # fmt: skip
    from .commands.mcp import handle

    return handle(
        program, store, http=http, token_file=token_file, sync=sync.value, drain=drain,
        level=log_level.value,
    )  # fmt: skip
