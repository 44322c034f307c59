"""The pages of the documentation: their blocks, how to run them, where their links lead.

A ``python`` block runs; those of a page that follow each other run as one program, and what they
print must be what their ``#>`` comments say. An HTML comment before a block changes that:

- ``<!-- not run: REASON -->``: the block is only shown;
- ``<!-- file: NAME -->``: the block is written to a file instead;
- ``<!-- run -->`` before a ``console`` block: each ``$`` line runs, and prints what stands below
  it, where ``...`` stands for anything.
"""

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kit.children import ROOT

DOCS = ROOT / "docs"
DEADLINE = 50.0
"""Seconds a program of a page may take."""

_FENCE = re.compile(r"^```([\w-]*)$")
_MARK = re.compile(r"^<!-- (not run: .+|file: [\w./]+|run) -->$")
_PRINTED = re.compile(r"#> ?(.*)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    """The number of its first line on the page, counted from 1."""
    mark: str
    """What the comment before it says; empty without one."""

    @property
    def runs(self) -> bool:
        """Whether it is part of a program."""
        return self.language == "python" and not self.mark


class PageError(AssertionError):
    """Say that a page is not true: where, and what happened instead."""


def pages() -> list[Path]:
    """Return the README and every page below docs/."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """Return the fenced blocks of a page in order."""
    language, mark, start, inside = "", "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if start and fence:
            yield Block(language, "\n".join(inside) + "\n", start, mark)
            start, mark, inside = 0, "", []
        elif start:
            inside.append(line)
        elif fence:
            language, start = fence[1], number + 1
        elif line:
            found = _MARK.match(line)
            mark = found[1] if found else ""


def prose(text: str) -> str:
    """Return a page without its blocks and without code in its lines."""
    return re.sub(r"`[^`]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def run_page(page: Path, folder: Path) -> None:
    """Run a page in an empty folder; PageError at the first thing that is not as it says."""
    steps = (block for block in blocks(page.read_text()) if block.mark or block.runs)
    for runs, group in itertools.groupby(steps, key=lambda block: block.runs):
        if runs:
            _run_program(page, list(group), folder)
            continue
        for block in group:
            if block.mark.startswith("file: "):
                (folder / block.mark.removeprefix("file: ")).write_text(block.text)
            elif block.mark == "run":
                _run_session(page, block, folder)


def _run_program(page: Path, parts: list[Block], folder: Path) -> None:
    """Run blocks as one program whose line numbers are those of the page."""
    lines: list[str] = []
    for part in parts:
        lines += [""] * (part.line - 1 - len(lines))
        lines += part.text.splitlines()
    program = folder / f"{page.stem.lower()}_page.py"
    program.write_text("\n".join(lines) + "\n")
    done = _run([sys.executable, "-W", "error", program.name], folder)
    if done.returncode:
        raise PageError(f"{page}, exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    promised = [text for part in parts for text in _PRINTED.findall(part.text)]
    if done.stdout.splitlines() != promised:
        raise PageError(f"{page} promises\n{promised}\nand prints\n{done.stdout}{done.stderr}")


def _run_session(page: Path, block: Block, folder: Path) -> None:
    for command, promised in _commands(block.text):
        done = _run(_arguments(command), folder)
        printed = done.stdout + done.stderr
        if done.returncode < 0:  # what a shell would say
            printed += signal.strsignal(-done.returncode) or ""
        pattern = re.escape(promised.strip()).replace(re.escape("..."), ".*")
        if not re.fullmatch(pattern, printed.strip(), re.DOTALL):
            where = f"{page}:{block.line}: $ {command}"
            raise PageError(f"{where}\npromises\n{promised}\nand prints\n{printed}")


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def _arguments(command: str) -> list[str]:
    first, *rest = shlex.split(command, comments=True)
    tools = {
        "python": [sys.executable],
        "pytest": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        "perdure": [sys.executable, "-m", "perdure"],
    }
    return [*tools.get(first, [first]), *rest]


def _run(arguments: Iterable[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(arguments),
        cwd=folder,
        # CI: hypothesis draws the same examples each time, and holds none of them to a time.
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "CI": "true"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def links(text: str) -> list[str]:
    """Return where the links of a page lead, those to other sites left out."""
    return [link for link in _LINK.findall(prose(text)) if not re.match(r"[a-z]+:", link)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
