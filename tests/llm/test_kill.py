"""Runs under SIGKILL: an outside recorder counts model calls and effects of tools."""

import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import msgspec
import pytest

from perdure.llm.records import RunStep
from tests.kit.children import started
from tests.llm.recorder import Recorder
from tests.llm.worker import RUNS, STEPS

WORKER = ("-m", "tests.llm.worker")
COMMITS = 40
EVENTS = 12


def line_of(step: RunStep, calls: dict[str, str]) -> str:
    """Return the line that the outside has of a step, without the key; nothing for another."""
    if step.op == "model":
        return f"model {step.run} {step.nth - 1}"
    return f"{step.name} {calls[step.call]}" if step.call in calls else ""


def finished_steps(store: Path) -> set[str]:
    """Return the lines of the steps that the store has as done."""
    if not store.exists():
        return set()
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            return set()
        rows = connection.execute("SELECT value FROM log_items ORDER BY position").fetchall()
    connection.close()
    steps = [msgspec.json.decode(text, type=RunStep) for (text,) in rows]
    calls = {
        part["tool_call_id"]: part["args"]["step"]
        for step in steps
        if step.what == "done" and step.op == "model"
        for part in step.body["parts"]
        if part["part_kind"] == "tool-call"
    }
    return {line_of(step, calls) for step in steps if step.what == "done"}


def seen(recorder: Recorder) -> Counter[str]:
    """Count what came to be outside, an effect with its key as one without."""
    return Counter(" ".join(line.split()[: 3 if line.startswith("model") else 2])
                   for line in recorder.lines())  # fmt: skip


def lives(process: subprocess.Popen[bytes], where: str, number: int) -> tuple[int, list[str]]:
    """Have a worker live once; return how that ended, and what it said."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{where} {number}\n".encode())
    process.stdin.flush()
    said: list[str] = []
    for line in iter(process.stdout.readline, b""):
        said.append(line.decode().strip())
        if said[-1] in ("0", "-9"):
            return int(said.pop()), said
    raise AssertionError(said)


def doubtful(before: Counter[str], after: Counter[str]) -> set[tuple[bool, str]]:
    """Return the answers whose steps one life has made again: calls of tools, or the model's own.

    Each of them once only.
    """
    again = {line: after[line] - count for line, count in before.items() if after[line] > count}
    assert set(again.values()) <= {1}
    return {(line.startswith("model"), line.split(" ", 1)[1]) for line in again}


def attack(folder: Path, rounds: int, seed: int) -> None:
    """Kill a worker again and again and have it finish; count what came to be outside."""
    random, store, recorder = Random(seed), folder / "store.db", Recorder(folder / "outside")
    with started(*WORKER, store, recorder.path) as process:
        for _ in range(rounds):
            where = random.choice(["outside", "before", "behind"])
            number = random.randint(1, EVENTS if where == "outside" else COMMITS)
            sys.stdout.write(f"{where} {number}\n")
            done, before = finished_steps(store), seen(recorder)
            lives(process, where, number)
            after = seen(recorder)
            repeated = {line: count for line, count in after.items() if line in done}
            assert repeated == {line: before[line] for line in repeated}, "a finished step again"
            # Nothing is made again but what was under way when the life before was killed.
            assert len(doubtful(before, after)) <= 1
        before = seen(recorder)
        status, said = lives(process, "never", 0)
    assert status == 0
    assert said[-2:] == [f"all {RUNS * STEPS}", f"archive {RUNS * STEPS}"]
    assert len(said) == RUNS + 2
    counts = seen(recorder)
    effects = {f"{tool} r{run}.{step}" for tool in ("look", "pay")
               for run in range(RUNS) for step in range(STEPS)}  # fmt: skip
    models = {f"model r{run} {nth}" for run in range(RUNS) for nth in range(STEPS + 1)}
    assert set(counts) == effects | models
    keys = {line.split()[1]: line.split()[2] for line in recorder.lines() if line[:3] == "pay"}
    paid = [line.split() for line in recorder.lines() if line.startswith("pay ")]
    assert all(keys[step] == key for _, step, key in paid)
    assert len(set(keys.values())) == len(keys)
    assert len(doubtful(before, counts)) <= 1


def test_a_killed_run_goes_on_and_no_finished_step_runs_again(tmp_path: Path) -> None:
    """Over four kills no finished model call is paid twice, no finished tool runs twice."""
    attack(tmp_path, 4, 7)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_runs_survive_hundreds_of_kills(tmp_path: Path, number: int) -> None:
    """The same over 200 kills, on ten stores."""
    attack(tmp_path, 20, number)
