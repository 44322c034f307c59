"""The commands about recorded turns."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import (
    AnyOrder,
    AsJson,
    FirstTurn,
    Ignored,
    JUnitFile,
    LastTurn,
    Listing,
    MostTurns,
    OfChain,
    OfKey,
    OfKind,
    OfSession,
    ScheduleAction,
    SecretKeys,
    Store,
    Tolerance,
    Workers,
    name,
    names,
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
    correlation: OfChain = None,
    session: OfSession = None,
    first: FirstTurn = None,
    last: LastTurn = None,
    most: MostTurns = None,
    workers: Workers = 2,
    ignore: Ignored = None,
    any_order: AnyOrder = None,
    tolerance: Tolerance = 0.0,
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
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Write nothing, also no entry into the audit.")
    ] = False,
    keys: SecretKeys = None,
    junit: JUnitFile = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE", callback=text, help="Write a page.", show_default=False),
    ] = None,
    json: AsJson = False,
) -> ExitCode:
    """Run recorded turns again, and tell which come out differently.

    Turns are recorded where a class says `record = True`. Each runs in a system of its own, in
    memory, on the state before it and with what it took from outside as it was recorded. Nothing is
    sent, nobody is asked, no call is made outside. The store is only read, also while another
    process runs agents on it, but for one thing: whose turns are replayed is in the audit. The
    process that has the store open notes it; where nobody has, the store is opened for it. With
    --read-only nothing is written to the store.

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
        audit=not read_only,
    )  # fmt: skip


def replay_schedules(
    store: Store,
    action: Annotated[
        ScheduleAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = ScheduleAction.LIST,
    schedule: Annotated[
        str | None,
        typer.Argument(metavar="NAME", callback=name, help="Which schedule; for show a result."),
    ] = None,
    *,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For add: once, as 2031-05-07 18:00 (UTC)."),
    ] = None,
    every: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="For add: every so many seconds.")
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(metavar="EXPRESSION", callback=name, help="For add: as '0 3 * * *'."),
    ] = None,
    zone: Annotated[
        str, typer.Option(metavar="ZONE", callback=text, help="The time zone of --cron.")
    ] = "UTC",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME", callback=name, help="The code, if not that of the system."
        ),
    ] = None,
    kind: OfKind = None,
    key: OfKey = None,
    correlation: OfChain = None,
    session: OfSession = None,
    first: FirstTurn = None,
    last: LastTurn = None,
    most: MostTurns = None,
    workers: Workers = 2,
    keep: Annotated[
        int, typer.Option(metavar="N", callback=positive, help="How many results are kept.")
    ] = 20,
    ignore: Ignored = None,
    any_order: AnyOrder = None,
    tolerance: Tolerance = 0.0,
    listing: Listing,
) -> ExitCode:
    """Have recorded turns replayed on a schedule; see what came of it.

    `add` makes a schedule: one of --at, --every and --cron says when, the other options which turns
    are replayed under which code, and how they are compared. `run` runs one now, beside its
    moments; `remove` removes one with its results. These write: the process that has the store
    open does it, and imports the code there; where nobody has, it is done in the store. Schedules
    fall due while a process runs agents on the store.

    `results` lists what came of them, the last ones, the newest at the end; of one, or of all.
    `show` shows a result by its ID with the turns that differ. The exit code of `run` and `show`
    is 1 if one differs or cannot run.

    \b
    perdure replay-schedules --store desk.db
    perdure replay-schedules add nightly --cron "0 3 * * *" --kind Desk --store desk.db
    perdure replay-schedules run nightly --store desk.db
    perdure replay-schedules results nightly --store desk.db
    """
    from .commands.replay import Wanted
    from .commands.schedules import When, handle

    wanted = Wanted(None, None, kind, key, correlation, session, first, last, most)
    when = When(
        at, every, cron, zone, against, workers, keep, tuple(ignore or ()),
        tuple(any_order or ()), tolerance, wanted,
    )  # fmt: skip
    return handle(store, action, schedule, when, listing)
