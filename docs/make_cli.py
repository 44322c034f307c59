"""Make the second half of docs/cli.md from the help texts: ``python -m docs.make_cli``."""  # noqa: INP001

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer
from typer.testing import CliRunner

from perdure.cli.app import app

PAGE: Final = Path(__file__).resolve().parent / "cli.md"
MARK: Final = "<!-- from here on made by python -m docs.make_cli -->\n"


def commands() -> list[str]:
    """Return the names of all commands, in the order in which help lists them."""
    group = typer.main.get_group(app)
    return list(group.commands)


def render() -> str:
    """Return the whole page: what people wrote, then what `--help` says."""
    written, mark, _ = PAGE.read_text().partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE} has lost its mark: {MARK}")
    parts = [written + mark, "\n## Help\n"]
    for name in ["", *commands()]:
        title = f"perdure {name}".rstrip()
        parts.append(f"\n### {title}\n\n```text\n{_help(name)}```\n")
    return "".join(parts)


def _help(name: str) -> str:
    arguments = [*([name] if name else []), "--help"]
    result = CliRunner(env={"PERDURE_STORE": None}).invoke(
        app, arguments, prog_name="perdure", terminal_width=80
    )
    return "\n".join(line.rstrip() for line in result.stdout.splitlines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
