"""The README is true: its code runs as written, and its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.kit.children import ROOT

README = (ROOT / "README.md").read_text()


def test_code_runs_and_the_second_run_continues_the_first(tmp_path: Path) -> None:
    """The one Python block, run twice as a program in one folder, prints 1 and then 2."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "desk.py").write_text(code)
    printed = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "desk.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        printed.append(done.stdout)
    assert printed == ["1\n", "2\n"]


def test_links_lead_somewhere() -> None:
    """Each relative link of the README names a file or folder of the repository."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_exist() -> None:
    """Each `make` command of the README is a target of the Makefile."""
    commands = set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= commands <= targets
