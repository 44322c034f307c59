"""What type checkers find: agents that talk to each other are checked as plain calls are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.children import ROOT

SAMPLE = Path(__file__).with_name("sample.txt")

MYPY = ("mypy", "--strict", "--no-error-summary", "--hide-error-context", "--follow-imports=silent")
PYRIGHT = ("pyright", "--pythonpath", sys.executable)


def errors(command: tuple[str, ...], folder: Path) -> dict[int, str]:
    """Return what a checker says of the sample, by line."""
    path = folder / "sample.py"
    path.write_text(SAMPLE.read_text())
    if command is MYPY:
        command = (*command, f"--cache-dir={ROOT / '.mypy_cache'}")
    done = subprocess.run(
        [sys.executable, "-m", *command, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    found: dict[int, str] = {}
    for line in done.stdout.splitlines():
        match = re.match(r"\s*\S*sample\.py:(\d+):(?:\d+)?.*?error: (.*)", line)
        if match:
            number = int(match[1])
            found[number] = f"{found.get(number, '')}{match[2]}\n"
    assert found, done.stdout + done.stderr
    return found


def wrong() -> dict[int, str]:
    """Return the lines of the sample that are wrong."""
    lines = enumerate(SAMPLE.read_text().splitlines(), 1)
    return {number: line.strip() for number, line in lines if line.endswith("# wrong")}


@pytest.mark.parametrize("command", [MYPY, PYRIGHT], ids=["mypy", "pyright"])
def test_checkers_report_the_wrong_lines_and_no_others(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """A wrong key, class, method or argument in a handler is an error; right ones pass."""
    assert errors(command, tmp_path).keys() == wrong().keys()


def test_mypy_names_the_wrong_argument(tmp_path: Path) -> None:
    """The error names the argument and what it should be, where one signature says it all."""
    found = errors(MYPY, tmp_path)
    line = {text: number for number, text in wrong().items()}
    assert 'Argument 2 to "agent"' in found[line["self.system.agent(Bank, 5)  # wrong"]]
    cast = found[line['bank.cast(Bank.charge, "nonsense")  # wrong']]
    assert 'Argument 2 to "cast"' in cast
    assert 'expected "int"' in cast
