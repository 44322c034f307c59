"""Try an installed perdure: import all modules, run the README's code twice, ask for help.

Runs with the interpreter of the environment to try and needs nothing else: the README is taken
from the metadata of the installed package.
"""

import importlib
import importlib.metadata
import pkgutil
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run the three trials."""
    import_everything()
    run_readme()
    command = str(Path(sys.executable).with_name("perdure"))
    subprocess.run([command, "--help"], check=True, capture_output=True)


OF_EXTRAS = {
    "perdure.cli.commands.run_replay",
    *(
        f"perdure.llm.{name}" for name in ("engine", "missed", "playback", "reminder", "transcript")
    ),
    "perdure.mcp.server",
    "perdure.testing.machine", "perdure.testing.plugin", "perdure.testing.strategies",
    *(f"perdure.scripting.worker.{name}" for name in ("lua", "javascript", "python")),
}  # fmt: skip
"""Modules that import what only an extra brings; nobody imports them without it."""


def import_everything() -> None:
    """Import all modules, and make sure that they are the installed ones."""
    package = importlib.import_module("perdure")
    modules = [package.__name__]
    modules += [info.name for info in pkgutil.walk_packages(package.__path__, "perdure.")]
    for name in modules:
        if name in OF_EXTRAS:
            continue
        origin = importlib.import_module(name).__file__
        if origin is None or not Path(origin).is_relative_to(sys.prefix):
            sys.exit(f"{name} comes from {origin}, not from this environment")
    layers = {"actors", "hooks", "lifecycle", "llm", "persistence", "scripting", "shared"}
    missing = {f"perdure.{layer}" for layer in layers} - set(modules)
    if missing:
        sys.exit(f"not installed: {', '.join(sorted(missing))}")


def run_readme() -> None:
    """Run the README's code twice in one folder: the second run continues the first."""
    readme = importlib.metadata.metadata("perdure")["Description"]
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "desk.py")
        script.write_text("\n".join(blocks))
        for expected in ("1\n", "2\n"):
            command = [sys.executable, "-W", "error", str(script)]
            done = subprocess.run(
                command, cwd=folder, check=False, capture_output=True, text=True, timeout=60
            )
            if done.returncode or done.stdout != expected:
                sys.exit(
                    f"the README's code printed {done.stdout!r}, not {expected!r}\n{done.stderr}"
                )


if __name__ == "__main__":
    main()
