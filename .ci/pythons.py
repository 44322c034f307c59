"""Run a selection of the tests under the other Pythons that are supported, all at the same time.

A Python that is not installed is skipped by name. One that is gets an environment of its own beside
the main one, made anew when pyproject.toml changes. `--all` runs the whole suite instead, one
Python after the other.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "pyproject.toml"
SELECTION = (
    "tests/actors",
    "tests/attack/test_alien_schema.py",
    "tests/attack/test_damage.py",
    "tests/cli/test_errors.py",
    "tests/cli/test_listing.py",
    "tests/cli/test_text.py",
    "tests/persistence",
    "tests/pykka_suite",
    "tests/scripting/test_scripts.py",
    "tests/scripting/test_values.py",
    "tests/secrets/test_fields.py",
    "tests/secrets/test_pickled.py",
    "tests/test_public_names.py",
    "tests/test_readme.py",
    "tests/test_store_reading.py",
)
"""What hangs on the interpreter: its sqlite3, asyncio, threads, typing, pickles, errors, ..."""
PREFIX = "Programming Language :: Python :: 3."


def main(arguments: list[str]) -> int:
    """Test under each of them, and say how it went; 1 if a test failed under one of them."""
    found = {}
    for version in others():
        python = interpreter(version)
        if python is None:
            print(f"Python {version}: skipped, it is not installed", flush=True)
        else:
            found[version] = environment(version, python)
    whole = "--all" in arguments
    groups = [[version] for version in found] if whole else [list(found)]
    passed = [test(group, found, () if whole else SELECTION) for group in groups]
    return 0 if all(passed) else 1


def others() -> list[str]:
    """Return the supported versions but for that of this interpreter."""
    lines = tomllib.loads(PROJECT.read_text())["project"]["classifiers"]
    versions = [f"3.{line.removeprefix(PREFIX)}" for line in lines if line.startswith(PREFIX)]
    return [version for version in versions if version != "{}.{}".format(*sys.version_info)]


def interpreter(version: str) -> Path | None:
    """Find a Python that really runs: on the path, or among those that pyenv keeps."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    for candidate in (shutil.which(f"python{version}"), *kept):
        if candidate is not None and runs(candidate, version):
            return Path(candidate)
    return None


def runs(candidate: str | Path, version: str) -> bool:
    """Tell whether it is what its name says: a shim may stand for a Python that is not there."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


def environment(version: str, python: Path) -> Path:
    """Make the environment of a version unless it is up to date; return its Python."""
    folder = ROOT / f".venv-{version}"
    inside, stamp = folder / "bin" / "python", folder / ".installed"
    if not stamp.exists() or stamp.read_text() != PROJECT.read_text():
        print(f"Python {version}: installing perdure and what its tests need", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        # The pip of this environment serves the other: Debian's Pythons come without one.
        command = [sys.executable, "-m", "pip", "--python", str(inside), "install", "--quiet",
                   "--disable-pip-version-check", "--editable", ".[test]"]  # fmt: skip
        subprocess.run(command, cwd=ROOT, check=True)
        stamp.write_text(PROJECT.read_text())
    return inside


def test(versions: list[str], pythons: dict[str, Path], selection: tuple[str, ...]) -> bool:
    """Run pytest under several versions at once, show what each said; tell whether all passed."""
    passed = True
    with ExitStack() as stack:
        children = []
        for version in versions:
            said = stack.enter_context(tempfile.TemporaryFile())
            command = [str(pythons[version]), "-m", "pytest", "-q", "-o",
                       f"cache_dir=.pytest_cache/{version}", *selection]  # fmt: skip
            children.append((version, said, subprocess.Popen(command, cwd=ROOT, stdout=said)))
        for version, said, child in children:
            failed = child.wait()
            said.seek(0)
            print(f"Python {version}:", flush=True)
            sys.stdout.buffer.write(said.read())
            sys.stdout.flush()
            passed = passed and not failed
    return passed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
