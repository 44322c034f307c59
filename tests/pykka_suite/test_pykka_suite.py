"""A pooled actor is a pykka actor: pykka's own suite says so."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.kit.children import ROOT

HERE = Path(__file__).parent


def suite(cache: Path) -> Path:
    """Return the unpacked sdist of the installed pykka; skip the test if it cannot be had."""
    version = importlib.metadata.version("pykka")
    place = cache / f"pykka-{version}"
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    download = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-binary", "pykka", "--no-deps", "--dest", str(cache), f"pykka=={version}"],
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    archives = list(cache.glob(f"pykka-{version}.tar.gz"))
    if not archives:
        reason = (download.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        pytest.skip(f"pykka {version}'s source cannot be downloaded: {reason}")
    unpacked = cache / f"unpacking-{os.getpid()}"
    with tarfile.open(archives[0]) as archive:
        archive.extractall(unpacked, filter="data")
    if not place.is_dir():
        (unpacked / place.name).rename(place)
    shutil.rmtree(unpacked)
    return place


@pytest.mark.timeout(300)
def test_pykkas_own_suite_passes(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Every test that pykka runs against its actors passes against PooledActor."""
    place = suite(pytestconfig.cache.mkdir("pykka"))
    report = tmp_path / "report.xml"
    child = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pooled_runtime", "-p", "no:cacheprovider",
         "-c", os.devnull, "--rootdir", str(place), f"--junitxml={report}",
         "--ignore", "tests/test_threading_actor.py", "tests"],
        cwd=place, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(HERE), str(ROOT)])},
    )  # fmt: skip
    assert child.returncode == 0, child.stdout + child.stderr
    outcome = ET.parse(report).getroot().find("testsuite")  # noqa: S314 -- our own child wrote it
    assert outcome is not None
    assert {name: outcome.get(name) for name in ("failures", "errors", "skipped")} == {
        "failures": "0",
        "errors": "0",
        "skipped": "0",
    }
    assert int(outcome.get("tests", "0")) > 100
