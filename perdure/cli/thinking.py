"""The command about agents that think: their runs, and what these wait for."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.options import Listing, RunsAction, Store


def runs(
    store: Store,
    action: Annotated[
        RunsAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = RunsAction.LIST,
    place: Annotated[
        list[str] | None,
        typer.Argument(metavar="KIND KEY RUN [CALL]", help="Which run, and which call of it."),
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
    listing: Listing,
) -> None:
    """List the runs of agents that think; decide what they wait for.

    Those that have not ended, by agent, each with the calls that it waits for. `show` lists the
    steps of one run. The other actions decide about a call: `retry`, `done` (with --result), `skip`
    and `fail` where it is in doubt, `approve` and `deny` where it needs approval, `answer` (with
    --result) where somebody was asked. They write: the process that has the store open does it.

    \b
    perdure runs --store desk.db
    perdure runs show Helper mira r1 --store desk.db
    perdure runs approve Helper mira r1 call-7 --store desk.db
    perdure runs answer Helper mira r1 call-8 --result '"Yes."' --store desk.db
    """  # fmt: skip
    from .commands.runs import handle

    handle(store, action, place or [], result, listing)
