"""Owner processes as objects: started, told, stopped, killed."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.kit.children import ROOT


class Child:
    """A process that runs `tests.attack.owner`; gone, one way or the other, after the block."""

    def __init__(self, store: Path, sync: str = "power") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.owner", str(store), sync],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self.first = self._event()
        """What it said after trying to open the store."""

    def ask(self, *command: object) -> list[Any]:
        """Give a command and return the answer."""
        self.begin(*command)
        return self._event()

    def begin(self, *command: object) -> None:
        """Give a command without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def freeze(self) -> None:
        """Stop it as a debugger or an overcommitted machine does; returns when it stands still."""
        self._process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.pid}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "T":
            pass  # the signal is sent; the kernel stops all threads within microseconds

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Have it close the system, and return its exit code."""
        assert self.ask("close")[0] == "did"
        return self._process.wait(30)

    def _event(self) -> list[Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the owner process has ended: {self._process.wait(30)}"
        return json.loads(line)  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()
