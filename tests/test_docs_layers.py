"""The picture and the list of floors and rooms are made from the code, and show it truly."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.layers import FLOORS, PROGRAM, ROOMS, House, floor, read
from docs.make_layers import DRAWING, PAGE, UPWARD, drawing, page, tree
from docs.placing import columns, jointed, reduced, rows


@pytest.fixture(scope="module")
def house() -> House:
    """Read the library once."""
    return read()


def test_the_picture_is_up_to_date(house: House) -> None:
    """The picture shows the imports of today."""
    assert DRAWING.read_text() == drawing(house), "run: python -m docs.make_layers"


def test_the_list_is_up_to_date(house: House) -> None:
    """The design has today's rooms and their purposes."""
    assert PAGE.read_text() == page(house), "run: python -m docs.make_layers"


def test_the_list_names_each_room(house: House) -> None:
    """Each floor and each room is in the list, with its purpose."""
    lines = tree(house).splitlines()
    for room in ROOMS:
        name = f"**{room}**" if room == floor(room) else f"- `{room}/`"
        assert room == PROGRAM or f"{name}: {house.purposes[room]}" in lines


def arrows(picture: str) -> list[tuple[str, str, bool]]:
    """Return the arrows of a picture: from, to, and whether it ends below its beginning."""
    found = re.findall(
        r'<path d="M\d+ (\d+).* (\d+)" fill="none".*<title>(\S+) imports ([^<]+)<', picture
    )
    return [(a, b, int(end) > int(begin)) for begin, end, a, b in found]


def test_the_arrows_go_down(house: House) -> None:
    """Every arrow of the picture ends below its beginning, and none is red."""
    shown = arrows(drawing(house))
    assert len(shown) >= len(FLOORS)
    assert all(down for _, _, down in shown)
    assert UPWARD not in drawing(house).partition("</marker>\n<rect")[2]


def test_an_import_that_goes_up_is_red(house: House) -> None:
    """An import from a low room to a high one is drawn upwards, in red."""
    imports = {**house.imports, "perdure.persistence.errors": {"perdure.actors.cell.cell"}}
    picture = drawing(replace(house, imports=imports))
    assert [(a, b) for a, b, down in arrows(picture) if not down] == [
        ("persistence", "actors/cell")
    ]
    assert re.search(f'stroke="{UPWARD}".*<title>persistence imports actors/cell<', picture)


def reached(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return who is reached from where, by any number of arrows."""
    found = set(arrows)
    while True:
        longer = {(a, d) for a, b in found for c, d in arrows if b == c}
        if longer <= found:
            return found
        found |= longer


BOXES = "abcdefgh"
# From an earlier letter to a later one: there is no circle.
ARROWS = st.sets(
    st.tuples(st.sampled_from(BOXES), st.sampled_from(BOXES)).filter(lambda pair: pair[0] < pair[1])
)


@given(ARROWS)
def test_an_arrow_is_left_out_only_if_others_lead_there(arrows: set[tuple[str, str]]) -> None:
    """The arrows that are shown lead from where to where all did, and none of them is idle."""
    shown = reduced(arrows)
    assert shown <= arrows
    assert reached(shown) == reached(arrows)
    assert all(reached(shown - {arrow}) != reached(arrows) for arrow in shown)


@given(ARROWS, st.integers(1, len(BOXES) - 1))
def test_boxes_have_places_of_their_own(arrows: set[tuple[str, str]], cut: int) -> None:
    """Arrows run down, a group stays below the one before it, and nothing stands in anything."""
    row = rows([BOXES[:cut], BOXES[cut:]], arrows)
    assert all(row[a] < row[b] for a, b in arrows)
    assert max(row[box] for box in BOXES[:cut]) < min(row[box] for box in BOXES[cut:])
    at = columns(row, arrows, lambda node: 10.0 if node in row else 2.0)
    assert at.keys() == {*BOXES, *(node for arrow in arrows for node in jointed(arrow, row))}
    lines: dict[int, list[tuple[float, float]]] = {}
    for node, middle in at.items():
        number = row[node] if isinstance(node, str) else node[2]
        half = 5.0 if node in row else 1.0
        lines.setdefault(number, []).append((middle - half, middle + half))
    for line in lines.values():
        assert all(right <= left + 1e-6 for (_, right), (left, _) in pairwise(sorted(line)))
