"""The two ends of a terminal: answers on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from .options import WIDE
from .text import safe
from .values import line

ColumnStyle: TypeAlias = Literal["name", "number", "word", "value"]
"""How a column gives way when the screen is narrow: a name is folded, a value is cut."""

LONGEST_CELL: Final = 2000
"""Characters of a cell where nothing else limits it."""
LEAST_VALUE: Final = 20
LEAST_NAME: Final = 10
_UNLIMITED: Final = 10_000
"""Columns of a "screen" that is a pipe or a file: whole lines are what grep wants."""


class Screen:
    """Print to one stream, whatever is in the values and wherever the stream leads."""

    def __init__(self, *, error: bool = False) -> None:
        """Print to stdout, or with ``error`` to stderr."""
        stream = sys.stderr if error else sys.stdout
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False)
        if WIDE.get() or (not self.console.is_terminal and "COLUMNS" not in os.environ):
            self.console.width = _UNLIMITED

    @property
    def terminal(self) -> bool:
        """Whether a person watches."""
        return self.console.is_terminal

    def text(self, value: object, style: str = "") -> Text:
        """Return a value as text that cannot act on the terminal."""
        return Text(safe(value, encoding=self.console.encoding, limit=LONGEST_CELL), style=style)

    def say(self, value: object = "", style: str = "") -> None:
        """Print one line; a narrow screen folds it."""
        self._print(self.text(value, style))

    def title(self, value: object, more: object = "") -> None:
        """Print the heading of a part, after an empty line."""
        heading = self.text(value, "bold")
        if more != "":
            heading.append("  ")
            heading.append(safe(more, encoding=self.console.encoding), style="not bold")
        self._print(Text())
        self._print(heading)

    def table(
        self,
        columns: Sequence[tuple[str, ColumnStyle]],
        rows: Iterable[Sequence[object]],
        *,
        head: bool = True,
        indent: int = 0,
    ) -> None:
        """Print rows below each other; every cell is made harmless."""
        cells = [[self.text(cell) for cell in row] for row in rows]
        # The line below the headings is for eyes; in a pipe it would be as long as the values.
        ruled = head and self.terminal
        table = Table(
            box=box.SIMPLE_HEAD if ruled else None, show_header=head, header_style="bold",
            pad_edge=False, padding=(0, 1 if ruled else 2, 0, 0), show_edge=False,
        )  # fmt: skip
        gap = 2  # padding, and with a line the column divider
        natural = [
            max([len(name) if head else 1, *(row[place].cell_len for row in cells)])
            for place, (name, _) in enumerate(columns)
        ]
        room = self.console.width - indent - gap * (len(columns) - 1)
        widths = fit(natural, [style for _, style in columns], room)
        for (name, style), width in zip(columns, widths, strict=True):
            self._column(table, name, style, width)
        for row in cells:
            table.add_row(*row)
        self._print(Padding(table, (0, 0, 0, indent), expand=False) if indent else table)

    def _column(self, table: Table, name: str, style: ColumnStyle, width: int) -> None:
        if style == "value":
            wide = self.console.encoding.startswith("utf")  # else the ellipsis has no character
            cut: Literal["ellipsis", "crop"] = "ellipsis" if wide else "crop"
            table.add_column(name, width=width, no_wrap=True, overflow=cut)
        elif style == "name":
            table.add_column(name, width=width, overflow="fold")
        else:
            right = style == "number"
            table.add_column(name, width=width, no_wrap=True, justify="right" if right else "left")

    def _print(self, content: Text | Table | Padding) -> None:
        if self.terminal:
            self.console.print(content)
            return
        with self.console.capture() as captured:
            self.console.print(content)
        for text in captured.get().splitlines():
            self.console.file.write(text.rstrip() + "\n")


def fit(natural: list[int], styles: list[ColumnStyle], room: int) -> list[int]:
    """Return widths that fit into ``room`` if they can: values give way first, then names.

    The widest gives way before the others; words and numbers keep what they need.
    """
    widths = list(natural)
    for style, least in (("value", LEAST_VALUE), ("name", LEAST_NAME)):
        while sum(widths) > room:
            wide = [n for n, s in enumerate(styles) if s == style and widths[n] > least]
            if not wide:
                break
            widest = max(wide, key=widths.__getitem__)
            widths[widest] = max(least, widths[widest] - (sum(widths) - room))
    return widths


def print_json(value: object) -> None:
    """Print one line of JSON to stdout."""
    sys.stdout.write(line(value) + "\n")


@contextlib.contextmanager
def working(what: str, total: int | None = None) -> Iterator[Working]:
    """Show on stderr that work goes on, if a person watches; gone when the block ends."""
    screen = Screen(error=True)
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
    columns += [BarColumn(), MofNCompleteColumn()] if total is not None else []
    with Progress(
        *columns, console=screen.console, transient=True, disable=not screen.terminal
    ) as progress:
        yield Working(progress, what, total)


class Working:
    """Tell how far a piece of work is."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        """Begin at nothing out of ``total``, None if nobody knows."""
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def at(self, done: int, total: int | None = None, what: str | None = None) -> None:
        """Tell how much is done."""
        text = None if what is None else safe(what)
        self._progress.update(self._task, completed=done, total=total, description=text)


def prepare_streams() -> None:
    """Have characters that a stream cannot express escaped rather than raise."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
