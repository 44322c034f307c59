"""The command: ``python -m benchmarks [--only ROW ...] [--quick] [--json PATH] [--write-docs]``.

Exit codes: 0 when every floor is met, 1 when one is not or a figure could not be measured, 2 for a
command line that makes no sense.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .judge import judge
from .machine import describe
from .model import Experiment, Outcome, Row, Verdict
from .report import NotForDocsError, document, show, write_docs
from .rows import EXPERIMENTS
from .runner import ROOT, Rounds, run_experiment

HERE = Path(__file__).resolve().parent
DOCS = ROOT / "docs" / "benchmarks.md"

Plan = list[tuple[Experiment, list[Row]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for, and show it."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        for experiment in EXPERIMENTS:
            print(f"{experiment.name}: {experiment.title}")
            for row in experiment.rows:
                print(f"  {row.name}: {row.title}")
        return 0
    if not options.docs_only:
        plan = _plan(options.only)
        if not plan:
            parser.error("no row has such a name; --list shows them")
        outcomes = _measure(options, plan)
    else:
        outcomes = []
    if options.write_docs or options.docs_only:
        try:
            write_docs(DOCS, options.json)
        except (NotForDocsError, OSError) as error:
            parser.error(str(error))
    return int(any(outcome.verdict in {Verdict.BELOW, Verdict.ERROR} for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure perdure beside its peers."
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ROW",
        help="measure this row, or all rows of this experiment; may be given several times",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds of each experiment")
    parser.add_argument(
        "--json",
        type=Path,
        default=HERE / "results.json",
        metavar="PATH",
        help="where the figures go, with every round and error (default: %(default)s)",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=HERE / ".work",
        metavar="PATH",
        help="where the databases go: on the disk to be measured (default: %(default)s)",
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="then write the table into docs/benchmarks.md"
    )
    parser.add_argument(
        "--docs-only",
        action="store_true",
        help="write docs/benchmarks.md from --json, no measuring",
    )
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    return parser


def _plan(only: Sequence[str]) -> Plan:
    """Choose the rows: all of them, or those asked for by their own name or their experiment's."""
    chosen = [
        (
            experiment,
            [
                row
                for row in experiment.rows
                if not only or experiment.name in only or row.name in only
            ],
        )
        for experiment in EXPERIMENTS
    ]
    return [(experiment, rows) for experiment, rows in chosen if rows]


def _measure(options: argparse.Namespace, plan: Plan) -> list[Outcome]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    options.directory.mkdir(parents=True, exist_ok=True)
    machine = describe(options.directory)
    outcomes: list[Outcome] = []
    results: dict[str, dict[str, Rounds]] = {}
    with (
        TemporaryDirectory(prefix="benchmarks-", dir=options.directory) as directory,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            refresh_per_second=1,  # the display shares the cores with what is measured
        ) as progress,
    ):
        task = progress.add_task("", total=len(plan))
        for experiment, rows in plan:

            def started_measure(name: str, title: str = experiment.title) -> None:
                progress.update(task, description=f"{title}: {name}")

            results[experiment.name] = run_experiment(
                experiment,
                rows,
                Path(directory),
                quick=options.quick,
                repeats=options.repeats,
                started=started_measure,
            )
            outcomes += [judge(experiment.name, row, results[experiment.name]) for row in rows]
            written = document(
                machine,
                outcomes,
                results,
                quick=options.quick,
                command=_command(options),
                started=started,
            )
            # Each time: who ends a run of an hour early keeps what was measured.
            options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
            progress.advance(task)
    show(Console(), machine, outcomes, quick=options.quick)
    return outcomes


def _command(options: argparse.Namespace) -> str:
    """Give back the command without the paths of this machine."""
    parts = ["python -m benchmarks"]
    parts += [f"--only {name}" for name in options.only]
    parts += ["--quick"] if options.quick else []
    parts += [f"--repeats {options.repeats}"] if options.repeats else []
    return " ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
