"""Run the command line: within this process, or as a child."""

import json
import os
import queue
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Self

from typer.testing import CliRunner, Result

from perdure.cli.app import app
from tests.kit.children import ROOT, environment
from tests.kit.deadline import DEADLINE

_runner = CliRunner(env={"COLUMNS": None, "PERDURE_STORE": None, "PERDURE_TRACEBACK": None})


def invoke(*arguments: object) -> Result:
    """Run a command within this process."""
    return _runner.invoke(app, [str(argument) for argument in arguments], prog_name="perdure")


def records(*arguments: object, code: int = 0) -> list[dict[str, Any]]:
    """Run a command with --json and return what it printed, line by line."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == code, result.output
    return [json.loads(text) for text in result.stdout.splitlines()]


def command(*arguments: object) -> list[str]:
    """Return the command line of a child."""
    return [sys.executable, "-W", "error", "-m", "perdure", *map(str, arguments)]


def spawn(*arguments: object, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a child, from its start to its end, with what is typed into it."""
    return subprocess.run(
        command(*arguments), input=typed,
        cwd=ROOT, env=environment(**more), capture_output=True, text=True, timeout=DEADLINE,
        check=False,
    )  # fmt: skip


class Running:
    """A `perdure run` that goes on; leaving the block kills it if it is still there."""

    def __init__(self, *arguments: object, **more: str) -> None:
        self.process = subprocess.Popen(
            command("run", *arguments),
            cwd=ROOT, env=environment(**more), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.log: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        streams = (self.process.stdout, self.process.stderr)
        self._readers = [threading.Thread(target=self._read, args=(stream,)) for stream in streams]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        for text in stream:
            self._lines.put(text.rstrip("\n"))
        self._lines.put(None)

    def until(self, part: str) -> str:
        """Wait for a line of output with ``part`` in it and return it."""
        ended = 0
        while ended < len(self._readers):
            text = self._lines.get(timeout=DEADLINE)
            if text is None:
                ended += 1
                continue
            self.log.append(text)
            if part in text:
                return text
        message = f"it ended without {part!r}:\n" + "\n".join(self.log)
        raise AssertionError(message)

    def once(self, part: str) -> None:
        """Wait for a line with ``part`` unless it was there already."""
        if not any(part in text for text in self.log):
            self.until(part)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for the end and return the exit code, negative for a signal."""
        return self.process.wait(DEADLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def open_gate(fifo: Path) -> None:
    """Let the handler go on that waits at a gate."""
    with fifo.open("w") as gate:
        gate.write("open")


def on_terminal(*arguments: object, columns: int = 80) -> str:
    """Run a command as a child whose output is a terminal, and return what it showed there."""
    parent, child = os.openpty()
    try:
        process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT, env=environment(COLUMNS=str(columns), TERM="xterm", LINES="50"),
            stdin=subprocess.DEVNULL, stdout=child, stderr=child,
        )  # fmt: skip
        os.close(child)
        shown = _read_all(parent)
        process.wait(DEADLINE)
    finally:
        os.close(parent)
    return shown.decode()


def _read_all(terminal: int) -> bytes:
    parts = []
    while select.select([terminal], [], [], DEADLINE)[0]:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux reports that the other end is closed
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)
