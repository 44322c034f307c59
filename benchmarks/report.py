"""Show outcomes to people (a table), to programs (JSON) and in the documentation (Markdown)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .machine import Machine
from .model import Compare, Outcome, Verdict
from .runner import Rounds

BEGIN = "<!-- benchmarks:begin -->"
END = "<!-- benchmarks:end -->"
STYLES = {
    Verdict.AIM: "bold green",
    Verdict.FLOOR: "green",
    Verdict.BELOW: "bold red",
    Verdict.INFORMATION: "dim",
    Verdict.ERROR: "bold red",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table, as text."""

    name: str
    title: str
    figure: str
    floor: str
    aim: str
    verdict: Verdict
    ours: str
    peer: str
    note: str


def line(outcome: Outcome) -> Line:
    """Put an outcome into words; the table and the documentation show the same."""
    row = outcome.row
    compared = row.compare is not Compare.PLAIN
    spread = ""
    if outcome.rounds > 1 and outcome.low is not None and outcome.high is not None:
        spread = f" ({number(outcome.low)} to {number(outcome.high)})"
    peer = number(outcome.peer, row.value_unit)
    return Line(
        name=row.name,
        title=row.title,
        figure=number(outcome.figure, row.unit) + spread,
        floor=number(row.floor, row.unit),
        aim=number(row.aim, row.unit),
        verdict=outcome.verdict,
        ours=number(outcome.ours, row.value_unit) if compared else "",
        peer=f"{peer} ({outcome.peer_name})" if outcome.peer_name else "",
        note=outcome.note,
    )


def number(value: float | None, unit: str = "") -> str:
    """Write a number with three significant digits and its unit; nothing for none."""
    if value is None:
        return ""
    size = abs(value)
    if size >= 100 or value == int(value):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{1 if size >= 10 else 2 if size >= 0.1 else 4}f}"
    return f"{text}{unit}" if unit in {"", "x", "/s", "%"} else f"{text} {unit}"


def facts(machine: Machine) -> list[str]:
    """Describe the machine in a few lines of words."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    software = f"{machine.system}; {machine.python}; SQLite {machine.sqlite}"
    disk = f"{machine.filesystem}, where a flush (8 KiB, fdatasync) takes {machine.flush:.2f} ms"
    return [
        f"{machine.processor}, {machine.cores} cores; {software}",
        f"{disk}; load average at the start {machine.load:.2f}",
        versions,
    ]


def warnings(machine: Machine, *, quick: bool) -> list[str]:
    """Say what makes the figures of this run unfit to be quoted."""
    found: list[str] = []
    if quick:
        found.append("quick run: small sizes and one round, not the figures the rows promise")
    if machine.volatile:
        found.append(
            f"{machine.filesystem} is memory: nothing here is durable, take --directory on a disk"
        )
    if machine.load > machine.cores / 4:
        found.append(f"the machine was busy (load average {machine.load:.2f}): provisional figures")
    return found


def show(console: Console, machine: Machine, outcomes: Sequence[Outcome], *, quick: bool) -> None:
    """Print the table."""
    for fact in facts(machine):
        console.print(fact, style="dim", highlight=False)
    table = Table(title="perdure and its peers", title_justify="left")
    table.add_column("what", ratio=3)
    for column in ("figure", "floor", "aim"):
        table.add_column(column, justify="right")
    table.add_column("")
    table.add_column("ours", justify="right")
    table.add_column("peer", justify="right")
    experiment = ""
    for outcome in outcomes:
        if outcome.experiment != experiment and experiment:
            table.add_section()
        experiment = outcome.experiment
        shown = line(outcome)
        table.add_row(
            f"{shown.title} [dim]\\[{shown.name}][/dim]",
            shown.figure,
            shown.floor,
            shown.aim,
            f"[{STYLES[shown.verdict]}]{shown.verdict.value}[/]",
            shown.ours,
            shown.peer,
        )
    console.print(table)
    for outcome in outcomes:
        if outcome.note:
            console.print(f"[bold]{outcome.row.name}[/bold]: {outcome.note}", highlight=False)
    for warning in warnings(machine, quick=quick):
        console.print(f"[yellow]Note:[/yellow] {warning}", highlight=False)


def document(
    machine: Machine,
    outcomes: Sequence[Outcome],
    results: Mapping[str, Mapping[str, Rounds]],
    *,
    quick: bool,
    command: str,
    started: str,
) -> dict[str, object]:
    """Put all that a later reader needs into one JSON object: figures, rounds, errors, machine."""
    return {
        "command": command,
        "started": started,
        "quick": quick,
        "machine": asdict(machine),
        "warnings": warnings(machine, quick=quick),
        "rows": [_row(outcome) for outcome in outcomes],
        "measures": {
            experiment: {name: asdict(rounds) for name, rounds in measures.items()}
            for experiment, measures in results.items()
        },
    }


def _row(outcome: Outcome) -> dict[str, object]:
    row = outcome.row
    return {
        "name": row.name,
        "experiment": outcome.experiment,
        "title": row.title,
        "verdict": outcome.verdict.value,
        "figure": outcome.figure,
        "unit": row.unit,
        "low": outcome.low,
        "high": outcome.high,
        "rounds": outcome.rounds,
        "floor": row.floor,
        "aim": row.aim,
        "better": row.better.value,
        "ours": outcome.ours,
        "peer": outcome.peer,
        "peer_name": outcome.peer_name,
        "value_unit": row.value_unit,
        "note": outcome.note,
        "line": asdict(line(outcome)),
    }


class NotForDocsError(Exception):
    """Raised when a result must not become documentation; its text says why."""


def write_docs(path: Path, result: Path) -> None:
    """Write the table of a result between the two markers of a Markdown file.

    Raises:
        NotForDocsError: The result is of a quick run, or the file has no markers.
    """
    loaded = json.loads(result.read_text(encoding="utf-8"))
    if loaded["quick"]:
        raise NotForDocsError(f"{result} is of a quick run: measure without --quick first")
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise NotForDocsError(f"{path} needs the lines {BEGIN} and {END} to write between")
    path.write_text(f"{head}{BEGIN}\n\n{markdown(loaded)}\n{END}{tail}", encoding="utf-8")


def markdown(loaded: Mapping[str, object]) -> str:
    """Make the Markdown of a result that was read back from its JSON."""
    machine = Machine(**loaded["machine"])  # type: ignore[arg-type]
    rows: Sequence[Mapping[str, Mapping[str, str]]] = loaded["rows"]  # type: ignore[assignment]
    lines = [f"`{loaded['command']}`, {str(loaded['started'])[:10]}:", ""]
    lines += [f"- {fact}" for fact in facts(machine)]
    lines += [f"- **{warning}**" for warning in warnings(machine, quick=False)]
    lines += ["", "| what | figure | floor | aim | | ours | peer |"]
    lines += ["|---|--:|--:|--:|---|--:|--:|"]
    for row in rows:
        shown = row["line"]
        cells = ("title", "figure", "floor", "aim", "verdict", "ours", "peer")
        lines.append("| " + " | ".join(shown[cell].replace("|", "\\|") for cell in cells) + " |")
    notes = [f"- {row['line']['title']}: {row['note']}" for row in rows if row["note"]]
    return "\n".join([*lines, *(["", *notes] if notes else []), ""])
