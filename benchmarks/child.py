"""Run one measure in this process and print its figures: ``python -m benchmarks.child TARGET``.

The parameters come as one JSON object on standard input, so that they never meet a shell. Whatever
the measured library prints is left alone: the result is the one line that begins with `MARKER`.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

MARKER = "@@benchmark-result "


def main() -> None:
    """Run the measure named on the command line in a fresh folder, and remove the folder."""
    module, _, function = sys.argv[1].partition(":")
    request = json.load(sys.stdin)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=request["directory"]))
    try:
        figures = getattr(importlib.import_module(module), function)(
            folder, **request["parameters"]
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(f"\n{MARKER}{json.dumps(figures)}\n")
    sys.stdout.flush()
    # A peer's background threads must not keep a finished measurement alive.
    os._exit(0)


if __name__ == "__main__":
    main()
