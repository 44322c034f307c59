"""Type checkers find perdure in every kind of install: a program's mistakes are named."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import pytest

from tests.kit.children import ROOT

PROGRAM: Final = """\
from perdure import Agent, AgentSystem, State


class Tally(State):
    count: int = 0


class Counter(Agent[Tally]):
    def add(self, by: int) -> int:
        self.state.count += by
        return self.state.count


with AgentSystem.open("memory://", agents=[Counter]) as system:
    total: int = system.agent(Counter, "a").call(Counter.add, 1).get()
    system.agent(Counter, "a").call(Counter.add, "1")
"""
WRONG: Final = (
    PROGRAM.splitlines().index('    system.agent(Counter, "a").call(Counter.add, "1")') + 1
)
LEFT_OUT: Final = (".git", ".venv*", ".*_cache", "build", "dist", "*.egg-info", "__pycache__")
PIP: Final = ("install", "--quiet", "--no-deps", "--no-index")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a copy of the checkout in an environment of its own; return its interpreter."""
    folder = tmp_path_factory.mktemp(request.param)
    # A copy: a build leaves files beside the sources.
    checkout = folder / "checkout"
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    environment = folder / "environment"
    made = run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=folder)
    assert made.returncode == 0, made.stderr
    interpreter = environment / "bin" / "python"
    hook = f"from setuptools import build_meta; build_meta.build_{request.param}({str(folder)!r})"
    built = run(sys.executable, "-c", hook, cwd=checkout)  # as pip does, with the tools there are
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    done = run(sys.executable, "-m", "pip", "--python", interpreter, *PIP, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    # What perdure depends on is taken from the environment of the tests; perdure is not.
    (packages,) = (environment / "lib").glob("python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(interpreter, "-c", "import perdure; print(perdure.__file__)", cwd=folder)
    assert where.stdout.startswith(str(folder)), where.stdout + where.stderr
    return interpreter


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_checker_sees_an_install(python: Path, checker: str, tmp_path: Path) -> None:
    """The wrong argument is the one error: perdure is found, and its types are known."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    options = {
        "mypy": ("--strict", "--python-executable", python, "--cache-dir", tmp_path / "cache"),
        "pyright": ("--pythonpath", python),
    }[checker]
    done = run(sys.executable, "-m", checker, *options, program, cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if "error:" in line]
    assert lines, done.stdout + done.stderr
    assert all(f"program.py:{WRONG}:" in line for line in lines), done.stdout
