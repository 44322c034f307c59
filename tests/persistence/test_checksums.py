"""Checksums tell damage of every sort, also where a value is of another type than it was."""

import tracemalloc
from collections.abc import Callable

import pytest

from perdure.persistence.records.checksums import intact, of_base, of_entry, of_field, of_item


@pytest.mark.parametrize(
    ("checksum", "row"),
    [
        (of_field, ("A", "total", "1")),
        (of_base, (b"A", "total", "1")),
        (of_item, ("A", "notes", 1, "1")),
        (of_item, (1, "notes", "A", "1")),
        (of_entry, ("A", "parts", "k", "1")),
    ],
)
def test_a_text_in_the_place_of_a_number_costs_nothing(
    checksum: Callable[..., int], row: tuple[object, ...]
) -> None:
    """A flipped bit may make a text of a number; it is not repeated as often as that number."""
    tracemalloc.start()
    try:
        assert not intact(checksum, *row, 7)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
