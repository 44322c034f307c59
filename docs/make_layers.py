"""Make docs/layers.svg and the tree in docs/design.md: ``python -m docs.make_layers``."""  # noqa: INP001

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Final

from docs.layers import FLOORS, PROGRAM, ROOMS, ROOT, House, floor, goes_up, read
from docs.placing import Arrow, Node, columns, jointed, reduced, rows

HERE: Final = Path(__file__).resolve().parent
DRAWING: Final = HERE / "layers.svg"
PAGE: Final = HERE / "design.md"
BEGIN: Final = "<!-- layers:begin, made by python -m docs.make_layers -->\n"
END: Final = "<!-- layers:end -->\n"

NAMED: Final = (
    "actors/agent/agent.py",
    "actors/agent/blueprint.py",
    "actors/cell/cell.py",
    "actors/cell/failure.py",
    "actors/cell/isolation.py",
    "actors/cell/loading.py",
    "actors/cell/retry.py",
    "actors/cell/receiver.py",
    "actors/cell/settlement.py",
    "actors/cell/timers.py",
    "actors/patterns/claims.py",
    "actors/patterns/rows.py",
    "actors/patterns/rules.py",
    "actors/patterns/sharing.py",
    "actors/pool/dispatcher.py",
    "actors/pool/future.py",
    "actors/pool/garbage.py",
    "actors/pool/mailbox.py",
    "actors/pool/offers.py",
    "actors/system/attendant.py",
    "actors/system/context.py",
    "actors/system/cells.py",
    "actors/system/helper.py",
    "actors/system/isolator.py",
    "actors/system/post.py",
    "actors/system/recovery.py",
    "actors/system/runtime.py",
    "actors/talk/messages.py",
    "actors/talk/reference.py",
    "actors/talk/turn.py",
    "lifecycle/signals.py",
    "lifecycle/status.py",
    "lifecycle/supervisor.py",
    "lifecycle/writer.py",
    "perdure/system.py",
    "perdure/url.py",
    "perdure/cli/app.py",
    "perdure/cli/terminal/listing.py",
    "perdure/cli/terminal/options.py",
    "persistence/errors.py",
    "persistence/codec/explain.py",
    "persistence/names/scope.py",
    "persistence/records/chain.py",
    "persistence/records/shared_tables.py",
    "persistence/records/tables.py",
    "persistence/secrets/detector.py",
    "persistence/sqlite/errors.py",
    "persistence/sqlite/insert.py",
    "persistence/sqlite/schema.py",
    "persistence/state/tracker.py",
    "persistence/store/batch.py",
    "persistence/store/committer.py",
    "persistence/store/lease.py",
    "persistence/store/store.py",
    "persistence/upkeep/doctor.py",
    "persistence/upkeep/repair.py",
    "persistence/upkeep/retention.py",
    "persistence/upkeep/versions.py",
    "shared/access/access.py",
    "shared/ledger/desk.py",
    "shared/access/policy.py",
    "shared/artifacts/artifacts.py",
    "shared/artifacts/chunking.py",
    "shared/artifacts/sweep.py",
    "shared/artifacts/traffic.py",
    "shared/ledger/guard.py",
    "shared/ledger/cache.py",
    "shared/ledger/ledger.py",
    "shared/ledger/unit.py",
    "shared/scopes/entries.py",
    "shared/scopes/state.py",
    "shared/secrets/rotation.py",
    "shared/sessions/cleanup.py",
    "shared/sessions/sessions.py",
    "shared/sessions/watch.py",
)
"""The modules that a newcomer looks for; the tree shows the first line of each."""

BOX_WIDTH, BOX_HEIGHT, BOX_GAP = 132, 36, 30
JOINT_WIDTH = 22
ROW = 66
PAD = 14
MARGIN = 104
COLOURS: Final = {
    "perdure": "#6b5b95",
    "llm": "#8e3b5f",
    "scripting": "#b0457a",
    "actors": "#2f6f9f",
    "shared": "#2a8a74",
    "lifecycle": "#b07a1e",
    "hooks": "#8a8a8a",
    "persistence": "#a0522d",
}
UPWARD: Final = "#d00000"
LEGEND: Final = (
    "An arrow: imports. What other arrows lead to anyway is left out; an import that goes up would"
    " be red."
)


def tree(house: House) -> str:
    """Return floors, rooms and the modules a newcomer looks for, each with its purpose."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_tree(house))).strip() + "\n"


def _tree(house: House) -> Iterator[str]:
    hints = {file: _first_line(ROOT / file) for file in NAMED}
    yield f"![Floors, rooms, and the imports between them]({DRAWING.name})"
    for top in reversed(FLOORS):
        yield f"\n**{top}**: {house.purposes[top]}\n"
        for room in reversed([room for room in ROOMS if floor(room) == top and room != PROGRAM]):
            modules = [file for file in NAMED if file.rpartition("/")[0] == room]
            deeper = "" if room == top else "  "
            if room != top:
                yield f"- `{room}/`: {house.purposes[room]}"
            yield from (f"{deeper}- `{file}`: {hints[file]}" for file in modules)


def _first_line(path: Path) -> str:
    if not path.exists():
        raise SystemExit(f"{path} is gone; NAMED in docs/make_layers.py still has it")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise SystemExit(
            f"{path} has no docstring; NAMED in docs/make_layers.py shows its first line"
        )
    return text.partition("\n")[0].replace("``", "`")


def page(house: House) -> str:
    """Return docs/design.md with today's tree between its marks."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has lost its marks: {BEGIN}... {END}")
    return f"{before}{BEGIN}\n{tree(house)}\n{END}{after}"


def drawing(house: House) -> str:
    """Return the picture: every room, and the arrows that no way over other arrows stands for.

    An import that goes up is drawn in red, whatever else leads there.
    """
    between = set(house.between())
    upward = {(a, b) for a, b in between if goes_up(a, b)}
    arrows = reduced(between - upward)
    floors = [_boxes(top, between) for top in reversed(FLOORS)]
    row = rows(floors, arrows)
    at = columns(row, arrows, lambda node: BOX_WIDTH + BOX_GAP if node in row else JOINT_WIDTH)
    return _Picture(house, floors, row, at).drawn(arrows, upward)


def _boxes(top: str, between: set[Arrow]) -> list[str]:
    """Return the rooms of a floor from the top; a top folder only if it does more than say why."""
    used = {room for pair in between for room in pair}
    rooms = [room for room in reversed(ROOMS) if floor(room) == top]
    return [room for room in rooms if room in used or room != top] or [top]


class _Picture:
    """An SVG of rooms in rows, with a band behind the rows of each floor."""

    def __init__(
        self, house: House, floors: list[list[str]], row: dict[str, int], at: dict[Node, float]
    ) -> None:
        self._house = house
        self._floors = floors
        self._row = row
        self._at = {node: round(MARGIN + PAD + place) for node, place in at.items()}
        self._width = max(self._at[room] for room in row) + BOX_WIDTH // 2 + 3 * PAD

    def drawn(self, arrows: set[Arrow], upward: set[Arrow]) -> str:
        """Return the whole picture."""
        bottom = self._top(max(self._row.values())) + BOX_HEIGHT + 2 * PAD
        height = bottom + 26
        size = f'width="{self._width}" height="{height}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">',
            "<title>The floors and rooms of perdure, and their imports</title>",
            f'<rect {size} fill="white"/>',
            *self._markers(),
            *(line for rooms in self._floors for line in self._band(rooms)),
            *(line for arrow in sorted(arrows) for line in self._arrow(arrow)),
            *(line for arrow in sorted(upward) for line in self._red(arrow)),
            *(line for room in self._row for line in self._box(room)),
            f'<text x="{PAD}" y="{height - 12}" font-size="11" fill="#555">{LEGEND}</text>',
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _top(self, row: int) -> int:
        """Return where the boxes of a row begin: each floor above it adds some room."""
        above = sum(max(self._row[room] for room in rooms) < row for rooms in self._floors)
        return PAD + row * ROW + above * PAD

    @staticmethod
    def _markers() -> Iterator[str]:
        for name, colour in {**COLOURS, "upward": UPWARD}.items():
            yield (
                f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
                f' markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="{colour}"/>'
                "</marker>"
            )

    def _band(self, rooms: list[str]) -> Iterator[str]:
        top = floor(rooms[0])
        begin = self._top(min(self._row[room] for room in rooms)) - PAD // 2
        end = self._top(max(self._row[room] for room in rooms)) + BOX_HEIGHT + PAD // 2
        yield (
            f'<rect x="6" y="{begin}" width="{self._width - 12}" height="{end - begin}" rx="6"'
            f' fill="{COLOURS[top]}" fill-opacity="0.09"/>'
        )
        yield (
            f'<text x="{PAD}" y="{(begin + end) // 2 + 5}" font-size="15" font-weight="bold"'
            f' fill="{COLOURS[top]}">{top}</text>'
        )

    def _box(self, room: str) -> Iterator[str]:
        x, y = self._at[room] - BOX_WIDTH // 2, self._top(self._row[room])
        name = f"{room}/*.py" if room == floor(room) else room.partition("/")[2]
        colour = COLOURS[floor(room)]
        yield f"<g><title>{escape(room)}: {escape(self._house.purposes[room])}</title>"
        yield (
            f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" fill="white"'
            f' stroke="{colour}" stroke-width="1.4"/>'
        )
        yield (
            f'<text x="{self._at[room]}" y="{y + 16}" font-size="13" text-anchor="middle">'
            f'{name}</text><text x="{self._at[room]}" y="{y + 30}" font-size="10.5"'
            f' text-anchor="middle" fill="#555">{self._size(room)}</text></g>'
        )

    def _size(self, room: str) -> str:
        """Say how much there is, to the nearest hundred, so that few changes redraw the picture."""
        files = [
            path for name, path in self._house.files.items() if self._house.rooms[name] == room
        ]
        count = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
        about = round(count, -2)
        return f"about {about:,} lines" if about else "a few lines"

    def _arrow(self, arrow: Arrow) -> Iterator[str]:
        way = jointed(arrow, self._row)
        points = [(self._at[way[0]], self._top(self._row[arrow[0]]) + BOX_HEIGHT)]
        for passed, node in enumerate(way[1:-1], start=self._row[arrow[0]] + 1):
            top = self._top(passed)
            points += [(self._at[node], top), (self._at[node], top + BOX_HEIGHT)]
        points.append((self._at[way[-1]], self._top(self._row[arrow[1]])))
        path = f"M{points[0][0]} {points[0][1]}"
        for (x, y), (to_x, to_y) in pairwise(points):
            middle = (y + to_y) // 2
            path += (
                f" L{x} {to_y}" if x == to_x else f" C{x} {middle} {to_x} {middle} {to_x} {to_y}"
            )
        yield self._line(arrow, path, COLOURS[floor(arrow[0])], floor(arrow[0]))

    def _red(self, arrow: Arrow) -> Iterator[str]:
        a, b = arrow
        path = f"M{self._at[a]} {self._top(self._row[a])}"
        path += f" L{self._at[b]} {self._top(self._row[b]) + BOX_HEIGHT}"
        yield self._line(arrow, path, UPWARD, "upward")

    @staticmethod
    def _line(arrow: Arrow, path: str, colour: str, marker: str) -> str:
        return (
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"'
            f' marker-end="url(#{marker})"><title>{arrow[0]} imports {arrow[1]}</title></path>'
        )


def main() -> None:
    """Write the picture and the tree."""
    house = read()
    DRAWING.write_text(drawing(house), encoding="utf-8")
    PAGE.write_text(page(house), encoding="utf-8")


if __name__ == "__main__":
    main()
