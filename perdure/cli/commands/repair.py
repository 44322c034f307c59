"""``perdure doctor --repair``: a new store of all that is whole in a damaged one."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from ...persistence.backup.places import folder_of
from ...persistence.errors import ConfigurationError
from ...persistence.salvage.copies import looked_up
from ...persistence.salvage.losses import Salvaged
from ...persistence.salvage.salvage import salvage
from ...url import path_of
from ..terminal.exits import ExitCode
from ..terminal.options import DoctorAction, Listing
from ..terminal.screen import Screen, print_json, working
from ..terminal.text import count
from .keys import provider_of


@dataclasses.dataclass(frozen=True, slots=True)
class RepairCommand:
    """What was asked for."""

    store: str
    action: DoctorAction
    target: str
    backups: str
    keys: str | None
    listing: Listing

    def new_file(self) -> Path:
        """Return where the new store is to be."""
        old = path_of(self.store)
        return path_of(self.target) if self.target else old.with_stem(f"{old.stem}-repaired")


def repair_store(asked: RepairCommand, *, wanted: bool) -> ExitCode:
    """Salvage a store; PROBLEMS if something is lost."""
    if not wanted or asked.action is not DoctorAction.REPORT:
        raise ConfigurationError(
            "--to, --backups and --keys go with `doctor --repair`, without an ACTION"
        )
    if asked.keys is not None and not asked.backups:
        raise ConfigurationError("--keys are those of backups: give --backups as well")
    if asked.listing.after is not None or asked.listing.newest is not None:
        raise ConfigurationError("`doctor --repair` names what is lost as it finds it: no --after")
    folder = folder_of(asked.backups) if asked.backups else None
    keys = None if asked.keys is None else provider_of(asked.keys)
    if folder is not None:
        folder.names()  # refused before anything is done
    errors = Screen(error=True)
    with working("reading pages", total=1) as work:
        found = salvage(
            path_of(asked.store), asked.new_file(), lambda what, at, of: work.at(at, of, what)
        )
        if folder is not None:
            found = looked_up(found, folder, keys, errors.say)
    if asked.keys is not None:
        words = f" --keys {shlex.quote(asked.keys)}"
        found = dataclasses.replace(found, advice=tuple(each + words for each in found.advice))
    if asked.listing.json:
        print_json(record(found))
    else:
        _print(found, Screen(), asked.listing.limit)
    return ExitCode.DONE if found.whole else ExitCode.PROBLEMS


def record(found: Salvaged) -> dict[str, Any]:
    """Return the report for programs."""
    return {"whole": found.whole, **dataclasses.asdict(found)}


def _print(found: Salvaged, screen: Screen, limit: int) -> None:
    pairs: list[tuple[object, object]] = [
        ("damaged store", found.source),
        ("new store", found.target),
        ("read", f"{found.pages:,} pages, {found.rows:,} rows kept, up to commit {found.last:,}"),
    ]
    screen.table([("", "word"), ("", "name")], pairs, head=False)
    if found.places:
        screen.title("damaged places", f"{len(found.places):,}")
        for fault in found.places[:limit]:
            screen.say(f"  {fault.where}: {fault.what}")
    if found.tally:
        screen.title("what became of it", "")
        rows = [(each.what, each.outcome, f"{each.count:,}") for each in found.tally]
        screen.table([("WHAT", "word"), ("", "word"), ("COUNT", "number")], rows)
        _print_losses(found, screen, limit)
    if found.advice:
        screen.title("to bring it back", "")
        for command in found.advice:
            screen.say(command)
    screen.say()
    if found.whole:
        screen.say("Whole: nothing is lost.", "bold green")
    else:
        screen.say(
            "LOST: something is; see the runbook, docs/guides/runbook.md#after-a-repair.",
            "bold red",
        )


def _print_losses(found: Salvaged, screen: Screen, limit: int) -> None:
    screen.table(
        [("WHAT", "word"), ("", "word"), ("KIND", "name"), ("KEY", "name"), ("NAME", "name"),
         ("WHY", "value"), ("BACKUP", "name")],
        [(x.what, x.outcome, x.kind, x.key, x.name, x.why, x.backup)
         for x in found.losses[:limit]],
    )  # fmt: skip
    more = sum(each.count for each in found.tally) - min(limit, len(found.losses))
    if more > 0:
        screen.say(f"{count(more, 'more is', 'more are')} only counted: see --limit and --json")
