"""Memory does not depend on the size of an artifact.

Most of what is taken is the page cache of the writing connection, 32 MB.
"""

from pathlib import Path

import pytest

from tests.kit.children import finished

MEGABYTE = 1 << 20


def taken(path: Path, megabytes: int) -> tuple[int, int]:
    """Return by how many bytes saving and reading so much raised the peak of a fresh process."""
    said, _ = finished("-m", "tests.artifacts.child", path / "a.db", megabytes)
    saving, reading = map(int, said.split())
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
