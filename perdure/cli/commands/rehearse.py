"""``perdure rehearse``: everything stored tried under some code."""

from __future__ import annotations

from contextlib import closing

from ...actors.agent.blueprint import Catalogue
from ...actors.agent.program import load_agents, load_types
from ...actors.system.options import Limits
from ...persistence.secrets.vault import Vault
from ...rehearsal.rehearsal import rehearse
from ...rehearsal.report import Rehearsal
from ...url import open_reader
from ..terminal.exits import ExitCode
from ..terminal.files import write_report
from ..terminal.screen import Screen, print_json, working
from .keys import keys_of

MOST_TOLD = 50
"""Problems that a person is told of; JSON and JUnit have all."""


def rehearse_store(
    url: str, code: str, *, migrate: bool, keys: str | None, junit: str | None, json: bool
) -> ExitCode:
    """Try everything; PROBLEMS if something would fail."""
    largest = Limits().largest_value
    catalogue = Catalogue(load_agents(code), largest=largest, vault=Vault(keys_of(keys), None))
    types = load_types(code)
    with closing(open_reader(url)) as reader, working("rehearsing", 0) as progress:

        def tell(done: int, total: int, kind: str) -> None:
            progress.at(done, total, f"rehearsing {kind}")

        found = rehearse(
            reader, catalogue, largest=largest, migrate=migrate, types=types, tell=tell
        )
    if junit is not None:
        write_report(junit, found.junit())
    if json:
        print_json(found.record())
    else:
        _print(found)
    return ExitCode.DONE if found.passed else ExitCode.PROBLEMS


def _print(found: Rehearsal) -> None:
    screen = Screen()
    screen.say(", ".join(f"{count:,} {name}" for name, count in found.counts.items()) or "nothing")
    for each in found.problems[:MOST_TOLD]:
        screen.say(each.told, "red")
    more = len(found.problems) - MOST_TOLD
    if more > 0:
        screen.say(f"and {more:,} more: --json and --junit have all")
