"""What goes on while a process works: the status line of `run`, and following its journal."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.cli.commands import Running, command
from tests.kit.children import ROOT, environment
from tests.kit.deadline import DEADLINE


def read_until(terminal: int, found: Callable[[str], bool]) -> str:
    """Read what a terminal shows until it is enough."""
    shown = b""
    while not found(shown.decode(errors="replace")):
        shown += os.read(terminal, 65536)
    return shown.decode()


def test_a_status_line_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal `run` shows how the system is doing, and cleans up when it is told to stop."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("run", "tests.cli.programs:tick", "--store", tmp_path / "run.db"),
        cwd=ROOT, env=environment(COLUMNS="80", TERM="xterm"),
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    try:
        working = re.compile(r"1 live  [1-9]\d* turns")
        shown = read_until(ours, lambda text: bool(working.search(text)) and "ticking" in text)
        assert re.search(r"\d\d:\d\d:\d\dZ INFO running tests.cli.programs:tick", shown)
        process.send_signal(signal.SIGTERM)
        ended = read_until(ours, lambda text: "drained in" in text)
        assert "\x1b[?25h" in ended  # the cursor is back
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_following_the_journal(tmp_path: Path) -> None:
    """`journal --follow` prints a live owner's commits in order, without a gap, until Ctrl-C."""
    store = tmp_path / "run.db"
    with Running("tests.cli.programs:tick", "--store", store) as owner:
        owner.until("ticking")
        follower = subprocess.Popen(
            command("journal", "--follow", "--after", "0", "--json", "--store", store),
            cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert follower.stdout is not None
            seen = [json.loads(follower.stdout.readline())["sequence"] for _ in range(30)]
            assert seen == list(range(1, 31))
            follower.send_signal(signal.SIGINT)
            _, said = follower.communicate(timeout=DEADLINE)
            assert (follower.returncode, said) == (130, "")
        finally:
            follower.kill()
            follower.communicate()
