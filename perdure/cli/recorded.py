"""The commands about recorded turns."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import (
    AsJson,
    OfKey,
    OfKind,
    Store,
    name,
    names,
    number,
    positive,
    text,
)


def replay(
    store: Store,
    run: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="One turn, by its id; else all that are wanted."),
    ] = None,
    *,
    against: Annotated[
        str,
        typer.Option(
            metavar="MODULE:NAME",
            callback=text,
            show_default=False,
            help="The code: an Agent subclass, a list of them, or with --hook-run a function.",
        ),
    ],
    kind: OfKind = None,
    key: OfKey = None,
    correlation: Annotated[
        int | None, typer.Option(metavar="N", help="Only of this chain.", show_default=False)
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this session.", show_default=False)
    ] = None,
    first: Annotated[
        str | None, typer.Option(metavar="ID", help="From this turn on.", show_default=False)
    ] = None,
    last: Annotated[
        str | None, typer.Option(metavar="ID", help="Up to this turn.", show_default=False)
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            metavar="N", callback=number, help="At most so many turns.", show_default="all"
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", callback=positive, help="How many run at once.")
    ] = 2,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            callback=names,
            show_default=False,
            help="What does not count, as delta.set.updated or sends*; may be repeated.",
        ),
    ] = None,
    any_order: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            callback=names,
            show_default=False,
            help="An array whose order does not count; may be repeated.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="By how much numbers may differ.")
    ] = 0.0,
    message: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=JSON",
            callback=names,
            show_default=False,
            help="With ID: another value in the message; may be repeated.",
        ),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=JSON",
            callback=names,
            show_default=False,
            help="With ID: another value in the state before; may be repeated.",
        ),
    ] = None,
    hook_run: Annotated[
        str | None,
        typer.Option(
            "--hook-run",
            metavar="ID",
            callback=name,
            show_default=False,
            help="Run one execution of a hook again instead of turns.",
        ),
    ] = None,
    details: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=JSON",
            callback=names,
            show_default=False,
            help="With --hook-run: another value in what the hook is told; may be repeated.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="With ID: run it under pdb, in this terminal.")
    ] = False,
    keys: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            show_default=False,
            help="The keys of secrets: a file, env:VARIABLE or keyring:SERVICE.",
        ),
    ] = None,
    junit: Annotated[
        str | None,
        typer.Option(metavar="FILE", callback=text, help="Write JUnit XML.", show_default=False),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE", callback=text, help="Write a page.", show_default=False),
    ] = None,
    json: AsJson = False,
) -> ExitCode:
    """Run recorded turns again, and tell which come out differently.

    Turns are recorded where a class says `record = True`. Each runs in a system of its own, in
    memory, on the state before it and with what it took from outside as it was recorded. The store
    is only read, also while another process runs agents on it; nothing is sent, nobody is asked, no
    call is made outside.

    --hook-run runs one execution of a hook again, as `perdure hooks runs` lists them: a method of
    the agent class that --against names, or the function it names. In the module of a function,
    `agents` lists the classes whose messages it is told of.

    The exit code is 0 if all come out as they were recorded, 1 if one differs or cannot run, 2
    for a wrong command line, 5 if there are no such turns. An error that comes out as it was
    recorded counts as the same, and so does a turn that is unclear because of how it was recorded.

    \b
    perdure replay --against desk:Desk --store desk.db
    perdure replay --against desk:AGENTS --store desk.db --junit replay.xml --html replay.html
    perdure replay 17.0 --against desk:Desk --message ticket='"T-9"' --store desk.db
    perdure replay 17.0 --against desk:Desk --debug --store desk.db
    perdure replay --hook-run 17.1 --against desk:spell --store desk.db
    """
    from .commands.replay import Changes, Output, Wanted, replay_turns

    wanted = Wanted(run, hook_run, kind, key, correlation, session, first, last, most)
    changes = Changes(message or (), state or (), details or ())
    return replay_turns(
        store, against, wanted, Output(json, junit, html), changes, workers=workers,
        ignore=ignore or (), any_order=any_order or (), tolerance=tolerance, debug=debug, keys=keys,
    )  # fmt: skip
