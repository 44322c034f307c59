"""The commands that keep a store sound and small."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import AsJson, DoctorAction, GrowthAction, Listing, Store, text


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
    repair: Annotated[
        bool, typer.Option("--repair", help="Make a new store of all that is whole in this one.")
    ] = False,
    target: Annotated[
        str,
        typer.Option(
            "--to", metavar="FILE", callback=text, show_default="STORE-repaired",
            help="With --repair: the new file.",
        ),
    ] = "",
    backups: Annotated[
        str,
        typer.Option(
            metavar="FOLDER", callback=text, show_default=False,
            help="With --repair: where to look for what is lost.",
        ),
    ] = "",
    keys: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", show_default=False,
            help="With --backups: their keys, a file, env:VARIABLE or keyring:SERVICE.",
        ),
    ] = None,
    listing: Listing,
) -> ExitCode:  # fmt: skip
    """Examine a store for damage, or make a new one of what is whole in it.

    Reads every row and changes nothing: every checksum, the file's structure, the owner, and
    whether the store went back behind what its witness has seen. The exit code is 1 if something is
    damaged. `findings` lists what is, numbered; there is no --newest. Each finding has a code; the
    runbook (docs/guides/runbook.md) has a section for each.

    `--repair` reads a damaged file page by page, also one that SQLite does not open, and writes
    all rows that prove themselves by their checksums into a new file; the damaged one is not
    written to, and nobody may have it open. What is lost is taken from the journal where that has
    it, and named where it has not. The new file is there when the doctor finds it healthy. The exit
    code is 1 if something is lost.

    \b
    perdure doctor --store desk.db
    perdure doctor --store desk.db --json | jq .healthy
    perdure doctor findings --limit 1000 --store desk.db
    perdure doctor --repair --to desk-again.db --backups backups --store desk.db
    """
    if repair or target or backups or keys is not None:
        from .commands.repair import RepairCommand, repair_store

        return repair_store(
            RepairCommand(store, action, target, backups, keys, listing), wanted=repair
        )
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
