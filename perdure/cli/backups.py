"""The command about backups."""

from __future__ import annotations

from typing import Annotated

import typer

from ..persistence.backup.levels import DEFAULT_LEVEL
from .terminal.exits import ExitCode
from .terminal.options import BackupAction, Listing, names, number, text

_NOWHERE = ""


def backup(
    action: Annotated[BackupAction, typer.Argument(metavar="ACTION", help="What to do.")],
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", callback=text, help="Where the backups are.")
    ],
    which: Annotated[
        str,
        typer.Argument(
            metavar="NAME", callback=text, show_default="the newest", help="Which backup."
        ),
    ] = "",
    *,
    store: Annotated[
        str,
        typer.Option(
            "--store", "-s", metavar="URL", envvar="PERDURE_STORE", show_default=False,
            help="With create: the store, a path or sqlite:///PATH.",
        ),
    ] = _NOWHERE,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental", help="With create: only what has changed since the newest backup."
        ),
    ] = False,
    note: Annotated[
        str, typer.Option(metavar="TEXT", callback=text, help="With create: words that say why.")
    ] = "",
    level: Annotated[
        int,
        typer.Option(
            metavar="N", callback=number,
            help="With create and schedule: how hard it is compressed, 0 to 19.",
        ),
    ] = DEFAULT_LEVEL,
    target: Annotated[
        str,
        typer.Option(
            "--to", metavar="FILE", callback=text, show_default=False,
            help="With restore: the new file.",
        ),
    ] = _NOWHERE,
    at: Annotated[
        int | None,
        typer.Option(
            metavar="COMMIT", callback=number, show_default=False,
            help="With restore: as it was behind this commit; with --store also past the last one.",
        ),
    ] = None,
    moment: Annotated[
        str | None,
        typer.Option(
            "--time", metavar="TIME", callback=text, show_default=False,
            help="With restore: as it was then, as 2026-11-27T08:30 (UTC).",
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="With restore and --store: the store itself, or a part of it, goes back.",
        ),
    ] = False,
    agents: Annotated[
        list[str] | None,
        typer.Option(
            "--agent", metavar="KIND/KEY", callback=names, show_default=False,
            help="With restore: nothing but this agent; may be given several times.",
        ),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", callback=names, show_default=False,
            help="With restore: nothing but the agents of this kind.",
        ),
    ] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="SCOPE", callback=names, show_default=False,
            help="With restore: nothing but the keys of this scope.",
        ),
    ] = None,
    as_key: Annotated[
        str,
        typer.Option(
            "--as", metavar="KEY", callback=text, show_default=False,
            help="With restore, --agent and --in-place: as a new agent under this key.",
        ),
    ] = "",
    mail: Annotated[
        bool,
        typer.Option(
            "--mail", help="With restore of a part: messages that waited then are handled again."
        ),
    ] = False,
    drill: Annotated[
        bool,
        typer.Option("--drill", help="With verify: examine every row, try all under --code."),
    ] = False,
    code: Annotated[
        str,
        typer.Option(
            "--code", metavar="MODULE", callback=text, show_default=False,
            help="With verify --drill: the program, a module or MODULE:NAME.",
        ),
    ] = "",
    newest_kept: Annotated[
        int | None,
        typer.Option(
            "--keep", metavar="N", callback=number, show_default=False,
            help="With prune: keep the newest N.",
        ),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(metavar="DAYS", show_default=False, help="With prune: keep younger ones."),
    ] = None,
    daily: Annotated[
        int, typer.Option(metavar="N", help="With prune: keep the last one of each of N days.")
    ] = 0,
    weekly: Annotated[int, typer.Option(metavar="N", help="With prune: of N weeks.")] = 0,
    monthly: Annotated[int, typer.Option(metavar="N", help="With prune: of N months.")] = 0,
    importance: Annotated[
        int | None,
        typer.Option(
            metavar="N", callback=number, show_default=False,
            help="With create and rate: how important it is, 0 to 9; with prune: keep those of N.",
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES", callback=number, show_default=False,
            help="With prune: what all together may take.",
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", show_default=False, help="With schedule: seconds between two."
        ),
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", callback=text, show_default=False,
            help="With schedule: minute, hour, day, month, weekday (UTC).",
        ),
    ] = None,
    full_every: Annotated[
        int, typer.Option("--full-every", metavar="N", help="With schedule: one in N is full.")
    ] = 7,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With prune: only say what would be removed.")
    ] = False,
    keys: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", show_default=False,
            help="The keys of backups: a file, env:VARIABLE or keyring:SERVICE.",
        ),
    ] = None,
    listing: Listing,
) -> ExitCode:  # fmt: skip
    """Make backups of a store, and bring them back.

    `create` copies the store as it is at one moment, also while another process runs agents on it,
    which waits for nothing; with --keys it is encrypted. An incremental backup has only what has
    changed, and needs those before it. `verify` reads all of a backup and of those it builds on,
    and has SQLite look through what comes of it: it says `verified` for nothing less. With --drill
    every row is examined, and all agents, messages and timers tried under that code. `restore`
    writes a new file, all of it or nothing; with --at or --time as it was at any moment since the
    oldest backup, and says what of that moment is in no copy; with --in-place the store itself goes
    back, which nobody may have open, after a backup of it that is pinned. With --agent, --kind or
    --scope only these come back: with --in-place into the store, where all else stays as it is,
    with --to into a new one. `list` begins with the
    oldest, with --newest at the other end. `prune` removes what none of its rules keeps: never the
    newest good one, nor one that is pinned, nor what these build on; it says of each why. `pin`
    takes its reason from --note; `rate` says with --importance which go last where a limit of size
    takes some. `schedule` has each process that opens --store from then on make
    backups, by --every or --cron, and prune them by the rules of `prune`; nobody may have it open
    meanwhile. Without either it says which schedules the store has, how each went the last time and
    when the next backup is due; so does `list` with --store. `rewrite` writes backups anew
    without the agents that were erased since.

    The exit code is 1 if a backup is damaged, 5 if there is none of that name.

    \b
    perdure backup create backups --store desk.db
    perdure backup create backups --incremental --store desk.db
    perdure backup list backups
    perdure backup verify backups --drill --code desk
    perdure backup restore backups --to desk-again.db
    perdure backup restore backups --to then.db --time 2026-11-27T08:30 --store desk.db
    perdure backup restore backups --in-place --agent Desk/emea --at 17 --store desk.db
    perdure backup schedule backups --cron "0 3 * * *" --daily 7 --store desk.db
    perdure backup prune backups --keep 10 --daily 7 --weekly 8 --dry-run
    """
    from .commands.backups import BackupCommand, PartOptions, PruneRules, ScheduleOptions, handle

    asked = BackupCommand(
        folder,
        which or None,
        store,
        target,
        note,
        keys,
        listing,
        incremental,
        drill,
        PruneRules(newest_kept, days, daily, weekly, monthly, most, importance, dry_run),
        at,
        moment,
        replace,
        PartOptions(tuple(agents or ()), tuple(kinds or ()), tuple(scopes or ()), as_key, mail),
        ScheduleOptions(every, cron, full_every),
        code,
        level,
    )
    return handle(action, asked)
