"""Run experiments: children, rounds, interleaving, and what happens when one fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .child import MARKER
from .model import Experiment, Measure, Row

ROOT = Path(__file__).resolve().parent.parent


@dataclass(slots=True)
class Rounds:
    """What the rounds of one measure brought: figures, or None for a round that failed."""

    figures: list[dict[str, float] | None] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class MeasureFailedError(Exception):
    """Raised when a child ends without a result; its text is one sentence for the table."""


def run_child(measure: Measure, directory: Path, *, quick: bool) -> dict[str, float]:
    """Run one measure once in a child process of its own.

    Args:
        measure: What to run.
        directory: Where the child makes its folder; decides which disk is measured.
        quick: Whether to use the small sizes.

    Raises:
        MeasureFailedError: The child failed, hung or printed no result.
    """
    request = json.dumps(
        {"directory": str(directory), "parameters": measure.arguments(quick=quick)}
    )
    with subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.child", measure.target],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(request, timeout=measure.timeout)
        except subprocess.TimeoutExpired as error:
            raise MeasureFailedError(f"no result within {measure.timeout:.0f} s") from error
        finally:
            # The whole group, also after an interrupt: a child may have children of its own.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    for line in reversed(stdout.splitlines()):
        if line.startswith(MARKER):
            return {key: float(value) for key, value in json.loads(line[len(MARKER) :]).items()}
    raise MeasureFailedError(_reason(stderr, process.returncode, directory))


def _reason(stderr: str, code: int, directory: Path) -> str:
    """Make one sentence of a child's last words, without paths of this machine."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reason = lines[-1] if lines else f"ended with {code} and without a result"
    for path in (directory, sys.prefix, ROOT):
        reason = reason.replace(f"{path}/", "")
    if reason.startswith("ModuleNotFoundError"):
        reason += " (the peers come with the extra: pip install 'perdure[bench]')"
    return reason


def run_experiment(
    experiment: Experiment,
    rows: Sequence[Row],
    directory: Path,
    *,
    quick: bool,
    repeats: int | None = None,
    started: Callable[[str], None] = lambda _: None,
) -> dict[str, Rounds]:
    """Run the measures that these rows need, round by round.

    The order within a round alternates: what runs first in one round runs last in the next, so that
    a disk or a clock rate that drifts within a round favours nobody.

    Args:
        experiment: Whose measures to run.
        rows: The rows asked for; measures none of them needs are left out.
        directory: Where the children make their folders.
        quick: One round with small sizes.
        repeats: Overrides the number of rounds.
        started: Told the name of each measure before it runs.

    Returns:
        The rounds of each measure by name. A failed round is there, as None with its reason.
    """
    needed = frozenset[str]().union(*(row.measures for row in rows))
    measures = [measure for measure in experiment.measures if measure.name in needed]
    results = {measure.name: Rounds() for measure in measures}
    default = 1 if quick else repeats or experiment.repeats
    limits = {measure.name: min(default, measure.repeats or default) for measure in measures}
    for turn in range(default):
        for measure in measures if turn % 2 == 0 else reversed(measures):
            if turn >= limits[measure.name]:
                continue
            started(measure.name)
            rounds = results[measure.name]
            try:
                rounds.figures.append(run_child(measure, directory, quick=quick))
            except MeasureFailedError as error:
                rounds.figures.append(None)
                rounds.errors.append(str(error))
    return results
