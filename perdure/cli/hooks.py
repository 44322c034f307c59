"""The command about hooks: what each does, and what they did."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.options import HooksAction, Listing, OfChain, OfKey, OfKind, Store, name


def hooks(
    store: Store,
    action: Annotated[
        HooksAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = HooksAction.LIST,
    run: Annotated[
        str | None, typer.Argument(metavar="ID", callback=name, help="Which execution, for show.")
    ] = None,
    *,
    hook: Annotated[
        str | None, typer.Option(metavar="NAME", callback=name, help="Only of a hook.")
    ] = None,
    point: Annotated[
        str | None, typer.Option(metavar="POINT", callback=name, help="Only at a point.")
    ] = None,
    kind: OfKind = None,
    key: OfKey = None,
    correlation: OfChain = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            metavar="OUTCOME", callback=name, help="Only continue, replace, cancel, failed, ..."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from a time on, as 2031-05-07 18:00.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only up to a time; UTC, as --since.")
    ] = None,
    longer: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="Only what took as long, or longer."),
    ] = None,
    listing: Listing,
) -> None:
    """List hooks with what each did; list their executions, and show one.

    `list` asks the process that has the store open, and shows its hooks in the order in which they
    run: what each did since it was registered there, and whether its breaker leaves it alone. Where
    nobody has it open no hook is registered; then it counts what the history still has of each:
    not the runs of hooks that are not recorded, and nothing of breakers.

    `runs` lists executions as the history has them, the last ones, the newest at the end; with
    --oldest from the first one on, with --newest from the last one back. The options choose which.
    `waiting` lists the calls of deferred hooks that are not made yet, and why each waits, as who
    has the store open knows.

    `show` shows one of them with all that the hook was told and answered.

    \b
    perdure hooks --store desk.db
    perdure hooks runs --outcome failed --kind Desk --store desk.db
    perdure hooks runs --longer 0.5 --since 2031-05-07 --store desk.db
    perdure hooks show 17.0 --store desk.db
    """
    from .commands.census import AgentFilter
    from .commands.hooks import Executions, handle

    wanted = Executions(
        hook, point, AgentFilter(kind, key), correlation, outcome, since, until, longer
    )
    handle(store, action, run, wanted, listing)
