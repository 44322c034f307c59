"""A store full of tricks: nothing in it acts on the terminal or breaks a command."""

import json
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.commands import invoke, on_terminal, records, spawn
from tests.cli.conftest import HOSTILE

COMMANDS = (
    ["agents"],
    ["journal", "--limit", "100"],
    ["dead-letters"],
    ["growth", "--limit", "100"],
    ["doctor"],
    *(["show", "Desk", key] for key in HOSTILE),
)
STYLE = re.compile(r"\x1b\[(\d+(;\d+)*)?m")  # colours and weights: what we print ourselves
PROGRESS = re.compile(r"\x1b\[(\?25[lh]|\d*[AK])|\r")  # the cursor of a progress display


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_pipes_get_no_control_characters(hostile_store: Path, words: list[str]) -> None:
    """Whatever is in the store, what goes into a pipe is visible text and line ends."""
    result = invoke(*words, "--store", hostile_store)
    assert result.exit_code == 0, result.output
    shown = result.output.replace("\n", "")
    assert shown
    assert not [c for c in shown if not c.isprintable()]


@pytest.mark.parametrize("words", COMMANDS[:3], ids=" ".join)
def test_json_is_ascii_without_control_characters(hostile_store: Path, words: list[str]) -> None:
    """JSON is printable ASCII, one value a line, and holds the keys as they are."""
    result = invoke(*words, "--json", "--store", hostile_store)
    assert all(text.isascii() and text.isprintable() for text in result.stdout.splitlines())
    keys = {json.loads(text)["key"] for text in result.stdout.splitlines()}
    assert keys == set(HOSTILE)


def test_markup_is_text(hostile_store: Path) -> None:
    """Square brackets in a key are shown as they are, not taken for colours."""
    assert "[red]markup[/red] [/]" in invoke("agents", "--store", hostile_store).stdout


@pytest.mark.parametrize("words", [COMMANDS[0], COMMANDS[1], COMMANDS[5]], ids=" ".join)
def test_terminals_get_only_our_own_escapes(hostile_store: Path, words: list[str]) -> None:
    """On a real terminal no escape of the store gets through, and no line is too wide."""
    shown = on_terminal(*words, "--store", hostile_store)
    text = PROGRESS.sub("", STYLE.sub("", shown))
    assert "\x1b[1m" in shown  # it did take this for a terminal
    assert not [c for c in text.replace("\n", "") if not c.isprintable()]
    assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_a_long_value_is_cut(hostile_store: Path) -> None:
    """A value of thousands of characters takes one line of a table, its end marked."""
    page = invoke("show", "Desk", HOSTILE[0], "--store", hostile_store).stdout
    (title,) = [line for line in page.splitlines() if line.startswith("  title")]
    assert len(title) < 2100
    assert title.endswith("...")


def test_a_terminal_without_unicode(hostile_store: Path) -> None:
    """Where the terminal knows only ASCII, everything else is written as escapes."""
    done = spawn("agents", "--store", hostile_store, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert r"\u65e5\u672c\u8a9e\U0001f600" in done.stdout


def test_errors_are_harmless_too(hostile_store: Path) -> None:
    """An error that repeats a name from the command line shows it, and does nothing else."""
    result = invoke("show", "Desk", "\x1b]0;x\x07", "--store", hostile_store)
    assert result.exit_code == 5
    assert r"\x1b]0;x\x07" in result.stderr
    assert "\x1b" not in result.stderr


def test_each_hostile_agent_can_be_looked_at(hostile_store: Path) -> None:
    """Keys, entries and items come back exactly as they were given."""
    for key in HOSTILE:
        (picture,) = records("show", "Desk", key, "--store", hostile_store)
        assert picture["fields"]["title"] == key * 1000
        assert picture["maps"]["owners"]["first"] == [{"entry": key, "value": key}]
        assert picture["logs"]["transcript"]["last"][0]["value"] == f"{key} -> {key}"
