"""An outside that remembers: each model call and each effect of a tool, a line in a file."""

from __future__ import annotations

import os
from pathlib import Path


class Recorder:
    """Append lines to a file that no kill takes back; several processes may."""

    def __init__(self, path: Path) -> None:
        """Write to ``path``."""
        self.path = path

    def note(self, *words: object) -> None:
        """Write a line, in one write."""
        line = " ".join(map(str, words)) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def lines(self) -> list[str]:
        """Return all lines so far."""
        return self.path.read_text().splitlines() if self.path.exists() else []
