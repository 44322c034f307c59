"""Places for boxes in rows, so that the arrows between them run down and seldom cross.

The way of K. Sugiyama and others (1981): an arrow over several rows gets a joint in each, boxes and
joints of a row are put where their neighbours are, and every row keeps its distances.
"""  # noqa: INP001

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final, TypeAlias

Joint: TypeAlias = tuple[str, str, int]
Node: TypeAlias = str | Joint
"""A box by its name, or where an arrow from one box to another passes a row."""
Arrow: TypeAlias = tuple[str, str]

SWEEPS: Final = 24


def reduced(arrows: set[Arrow]) -> set[Arrow]:
    """Return the arrows that no way over others stands for; there must be no circle."""
    targets: dict[str, set[str]] = {}
    for a, b in arrows:
        targets.setdefault(a, set()).add(b)
    return {
        (a, b)
        for a, b in arrows
        if not any(b in _reached(other, targets) for other in targets[a] - {b})
    }


def _reached(start: str, targets: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    coming = {start}
    while coming:
        here = coming.pop()
        found.add(here)
        coming |= targets.get(here, set()) - found
    return found


def rows(groups: Sequence[Sequence[str]], arrows: set[Arrow]) -> dict[str, int]:
    """Return a row for each box, counted from the top: groups below each other, arrows down.

    A group lists its boxes so that arrows between them lead to later ones.
    """
    found: dict[str, int] = {}
    first = 0
    for group in groups:
        for box in group:
            above = [found[a] + 1 for a, b in arrows if b == box and a in group]
            found[box] = max([first, *above])
        first = max([first - 1, *(found[box] for box in group)]) + 1
    return found


def jointed(arrow: Arrow, row: Mapping[str, int]) -> list[Node]:
    """Return an arrow's way: its boxes, and a joint for each row between."""
    a, b = arrow
    return [a, *((a, b, passed) for passed in range(row[a] + 1, row[b])), b]


def columns(
    row: Mapping[str, int], arrows: set[Arrow], width: Callable[[Node], float]
) -> dict[Node, float]:
    """Return where the middle of each box and joint is, from the left; ``width`` has the gaps."""
    ways = [jointed(arrow, row) for arrow in sorted(arrows)]
    lines: list[list[Node]] = [[] for _ in range(max(row.values()) + 1)]
    for box, number in row.items():
        lines[number].append(box)
    for way in ways:
        for node in way:
            if not isinstance(node, str):
                lines[node[2]].append(node)
    links = [pair for way in ways for pair in pairwise(way)]
    above = {node: [a for a, b in links if b == node] for line in lines for node in line}
    below = {node: [b for a, b in links if a == node] for line in lines for node in line}
    lines = _untangled(lines, links, above, below)
    return _spread(lines, above, below, width)


def _untangled(
    lines: list[list[Node]],
    links: list[tuple[Node, Node]],
    above: Mapping[Node, list[Node]],
    below: Mapping[Node, list[Node]],
) -> list[list[Node]]:
    """Put each row into the order of its neighbours, down and up again; keep the best try."""
    best, fewest = lines, _crossings(lines, links)
    for sweep in range(SWEEPS):
        neighbours, order = (below, -1) if sweep % 2 else (above, 1)
        lines = [list(line) for line in lines]
        for line in lines[::order]:
            rank = _ranks(lines)
            wanted = {n: fmean([rank[o] for o in neighbours[n]] or [rank[n]]) for n in line}
            line.sort(key=wanted.__getitem__)
        crossed = _crossings(lines, links)
        if crossed < fewest:
            best, fewest = lines, crossed
    return best


def _ranks(lines: list[list[Node]]) -> dict[Node, float]:
    return {node: (at + 0.5) / len(line) for line in lines for at, node in enumerate(line)}


def _crossings(lines: list[list[Node]], links: list[tuple[Node, Node]]) -> int:
    level = {node: number for number, line in enumerate(lines) for node in line}
    rank = _ranks(lines)
    return sum(
        level[a] == level[c] and (rank[a] - rank[c]) * (rank[b] - rank[d]) < 0
        for number, (a, b) in enumerate(links)
        for c, d in links[:number]
    )


def _spread(
    lines: list[list[Node]],
    above: Mapping[Node, list[Node]],
    below: Mapping[Node, list[Node]],
    width: Callable[[Node], float],
) -> dict[Node, float]:
    """Draw every node to the middle of its neighbours, and keep the distances of its row."""
    at: dict[Node, float] = {}
    for line in lines:
        _settle(line, dict.fromkeys(line, 0.0), width, at)
    for sweep in range(SWEEPS * 4):
        for line in lines if sweep % 2 else lines[::-1]:
            wanted = {n: fmean([at[o] for o in above[n] + below[n]] or [at[n]]) for n in line}
            _settle(line, wanted, width, at)
    left = min(at[node] - width(node) / 2 for line in lines for node in line)
    return {node: place - left for node, place in at.items()}


def _settle(
    line: list[Node],
    wanted: Mapping[Node, float],
    width: Callable[[Node], float],
    at: dict[Node, float],
) -> None:
    """Put a row where it wants to be; those too near to each other move together, as one block."""
    blocks: list[tuple[float, list[Node]]] = []  # where it begins, and who stands in it
    for node in line:
        blocks.append((wanted[node] - width(node) / 2, [node]))
        while len(blocks) > 1 and blocks[-2][0] + sum(map(width, blocks[-2][1])) > blocks[-1][0]:
            (_, first), (_, second) = blocks[-2:]
            together = first + second
            offset = 0.0
            begins = []
            for member in together:
                begins.append(wanted[member] - width(member) / 2 - offset)
                offset += width(member)
            blocks[-2:] = [(fmean(begins), together)]
    for begin, members in blocks:
        edge = begin
        for member in members:
            at[member] = edge + width(member) / 2
            edge += width(member)
