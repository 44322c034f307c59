"""What the demonstration shows: a live bar on a terminal, plain lines elsewhere, then a table."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .outcome import Outcome
from .overseer import Life
from .worker import Beat

DIFFERENCES_SHOWN = 20


class Display:
    """Shows a run while it goes on (it is an overseer's watcher), and its outcome."""

    def __init__(self, console: Console, flights: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[turns]:,} turns handled"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("life 1", total=flights, turns=0)
        self._turns = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def beat(self, number: int, beat: Beat) -> None:
        """Move the bar. It never goes back: what a worker has told was durable before."""
        self._progress.update(
            self._task,
            completed=beat.flights,
            description=f"life {number}",
            turns=self._turns + beat.turns,
        )

    def ended(self, life: Life) -> None:
        """Write a line for the life that ended."""
        self._turns += life.turns
        end = "[red]SIGKILL[/]" if life.killed else "[green]done[/]"
        _line(
            self._console,
            f"life {life.number:>2}  pid {life.pid:<7} {life.told:>7,} flights  "
            f"{life.turns:>7,} turns handled in {life.seconds:5.1f} s  {end}",
        )


def show(outcome: Outcome, console: Console) -> None:
    """Print the comparison, kind by kind of agent, and the figures of the run."""
    table = Table(title="Every agent against a plain count over the file")
    table.add_column("agents")
    for heading in ("there", "log entries", "durable turns", "numbers", "different"):
        table.add_column(heading, justify="right")
    for kind in outcome.kinds:
        counts = (kind.agents, kind.movements, kind.turns, kind.numbers)
        different = f"[red]{kind.different:,}[/]" if kind.different else "[green]0[/]"
        table.add_row(kind.name, *(f"{count:,}" for count in counts), different)
    console.print(table)
    for difference in outcome.differences[:DIFFERENCES_SHOWN]:
        _line(console, f"  [red]{difference}[/]")
    for name, value in _figures(outcome).items():
        _line(console, f"{name:<15}{value}")
    if outcome.differences:
        _line(console, f"[red]{len(outcome.differences):,} numbers differ.[/]")
    else:
        agents = sum(kind.agents for kind in outcome.kinds)
        _line(console, f"[green]All {agents:,} agents are exact.[/]")


def _figures(outcome: Outcome) -> dict[str, str]:
    return {
        "flights": f"{outcome.flights:,}, {outcome.unassigned:,} of them without a tail number",
        "kills survived": f"{outcome.kills} of {outcome.kills_planned} (--seed {outcome.seed})",
        "durable turns": f"{outcome.turns:,}, {outcome.turns_per_second:,.0f} a second of work",
        "turns handled": f"{outcome.handled:,} in all lives: what a kill undid was handled again, "
        "and what only reads is not stored",
        "time": f"{outcome.seconds:.1f} s, the starts of {outcome.kills + 1} processes included",
        "stored": f"{decimal(outcome.stored_bytes)}, "
        f"{outcome.stored_bytes / outcome.turns:,.0f} bytes a turn",
    }


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
