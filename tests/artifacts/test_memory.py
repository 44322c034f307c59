"""Memory does not depend on the size of an artifact.

Most of what is taken is the page cache of the writing connection, 32 MB.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1 << 20


def taken(path: Path, megabytes: int) -> tuple[int, int]:
    """Return by how many bytes saving and reading so much raised the peak of a fresh process."""
    command = [sys.executable, "-m", "tests.artifacts.child", str(path / "a.db"), str(megabytes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    saving, reading = map(int, done.stdout.split())
    return saving, reading


def test_64_megabytes_take_a_few(tmp_path: Path) -> None:
    """Saving 64 MB takes less than 40 MB, reading it less than 8."""
    saving, reading = taken(tmp_path, 64)
    assert saving < 40 * MEGABYTE
    assert reading < 8 * MEGABYTE


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_gigabyte_takes_no_more(tmp_path: Path) -> None:
    """Sixteen times as much takes hardly more: below 56 MB."""
    saving, reading = taken(tmp_path, 1024)
    assert saving < 56 * MEGABYTE
    assert reading < 8 * MEGABYTE
