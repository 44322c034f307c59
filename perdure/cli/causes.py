"""The commands about what caused what: events in order or as a tree, and why a value is so."""

from __future__ import annotations

from typing import Annotated

import typer

from ..hooks.timeline.kinds import EventKind
from ..persistence.errors import ConfigurationError
from .terminal.exits import ExitCode
from .terminal.options import (
    Key,
    Kind,
    Listing,
    OfChain,
    OfKey,
    OfKind,
    OfSession,
    Printing,
    Store,
    TimelineFormat,
    name,
    positive,
    text,
)


def timeline(
    store: Store,
    *,
    kind: OfKind = None,
    key: OfKey = None,
    correlation: OfChain = None,
    session: OfSession = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from then on: seconds, or a date.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only up to then.")] = None,
    what: Annotated[
        list[EventKind] | None, typer.Option(help="Only such events.", show_default=False)
    ] = None,
    containing: Annotated[
        str,
        typer.Option(
            "--text", metavar="TEXT", callback=text, help="Only those that hold it somewhere."
        ),
    ] = "",
    tree: Annotated[bool, typer.Option("--tree", help="Draw what caused what.")] = False,
    form: Annotated[
        TimelineFormat | None,
        typer.Option("--format", help="Write all of it for another program.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="With --format, a new file."),
    ] = None,
    most: Annotated[
        int,
        typer.Option(
            metavar="N", callback=positive, help="With --tree or --format: at most so many events."
        ),
    ] = 10_000,
    listing: Listing,
) -> None:
    """List what happened, and what caused what, in a store, of a kind or an agent.

    Events are commits, with the hooks, decisions and artifacts that belong to them, and dead
    letters. The oldest come first. --tree draws each below what led to it; --format writes a
    picture: `chrome` opens in Perfetto, `html` is one page that needs no network. Both take all
    that is selected, not a page of it.

    \b
    perdure timeline --newest --store desk.db
    perdure timeline --correlation 1099511627776 --tree --store desk.db
    perdure timeline --kind Desk --key emea --text T-7 --store desk.db
    perdure timeline --format html --output desk.html --store desk.db
    """
    from .commands import timeline as timelines
    from .commands.census import AgentFilter

    whose = AgentFilter(kind, key)
    asked = timelines.Asked(whose, correlation, session, since, until, what or (), containing)
    if output is not None and form is None:
        raise ConfigurationError("--output needs --format: what to write into the file")
    if form is not None:
        timelines.export_timeline(store, asked, most, form, output)
    elif tree:
        timelines.draw_timeline(store, asked, most)
    else:
        timelines.show_timeline(store, asked, listing)


def why(
    kind: Kind,
    key: Key,
    field: Annotated[
        str, typer.Argument(metavar="FIELD", callback=name, help="A field of its state.")
    ],
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH", callback=name, help="An entry, a position, a member, as [3].owner."
        ),
    ] = None,
    *,
    store: Store,
    printing: Printing,
) -> ExitCode:
    """Show why a value of an agent is what it is.

    The turn that set it last, with the hooks that ran and the artifacts it came from, and what led
    to that turn, from outside of the system on. The exit code is 5 if the journal does not go back
    so far.

    \b
    perdure why Desk emea open --store desk.db
    perdure why Desk emea owners T-1 --store desk.db
    perdure why Desk emea transcript [-1] --store desk.db
    """
    from .commands.why import explain

    return explain(store, kind, key, field, path, json=printing.json)
