"""The commands that keep a store sound and small."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import AsJson, DoctorAction, GrowthAction, Listing, Store


def growth(
    store: Store,
    action: Annotated[
        GrowthAction, typer.Argument(metavar="ACTION", help="What to show.")
    ] = GrowthAction.REPORT,
    *,
    listing: Listing,
) -> None:
    """Show what uses the space: by field, by agent, in the file.

    `report` shows the file and the first of both lists; `fields` and `agents` list them all, the
    largest first: sizes have no --newest. They are those of the stored values; the file also
    holds indexes, keys and free pages. Reads the whole store.

    \b
    perdure growth --store desk.db
    perdure growth --store desk.db --json | jq .journal.share
    perdure growth agents --limit 1000 --store desk.db
    """
    from .commands.growth import show_growth

    show_growth(store, action, listing)


def doctor(
    store: Store,
    action: Annotated[
        DoctorAction, typer.Argument(metavar="ACTION", help="What to show.")
    ] = DoctorAction.REPORT,
    *,
    listing: Listing,
) -> ExitCode:
    """Examine a store for damage.

    Reads every row and changes nothing: every checksum, the file's structure, the owner. The exit
    code is 1 if something is damaged. `findings` lists what is, numbered; there is no --newest.

    \b
    perdure doctor --store desk.db
    perdure doctor --store desk.db --json | jq .healthy
    perdure doctor findings --limit 1000 --store desk.db
    """
    from .commands.doctor import examine_store

    return examine_store(store, action, listing)


def rewrite(store: Store, *, json: AsJson = False) -> ExitCode:
    """Write the file of a store anew, without old copies of what was erased.

    Also removes what deleted agents have left. Gaps of pages may hold copies of what was erased or
    sealed again (`perdure growth` says since when). A close writes a file of up to a gibibyte anew
    by itself. Takes as long as a copy of the file, and as much room beside it; the store must have
    no owner. The exit code is 1 if somebody reads in it, so that copies may be left.

    \b
    perdure rewrite --store desk.db
    perdure rewrite --json --store desk.db
    """
    from .commands.rewrite import rewrite_store

    return rewrite_store(store, json=json)
