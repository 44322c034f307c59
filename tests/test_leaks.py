"""The leak finder finds leaks: without this, an empty report would prove nothing."""

import shutil
from pathlib import Path

import pytest

LEAKY = """
import sqlite3
import threading

import pykka
import pytest

from perdure.testing import leaks

leaks.JOIN_SECONDS = 0.01
release = threading.Event()


@pytest.fixture(scope="module", autouse=True)
def tidy():
    yield
    release.set()
    pykka.ActorRegistry.stop_all()


def test_thread():
    threading.Thread(target=release.wait, name="stray-thread").start()


def test_daemon():
    threading.Thread(target=release.wait, name="stray-daemon", daemon=True).start()


def test_connection():
    sqlite3.connect(":memory:")


class Stray(pykka.ThreadingActor):
    use_daemon_thread = True


def test_actor():
    Stray.start()


def test_clean():
    leaks.JOIN_SECONDS = 5.0
    threading.Thread(target=sum, args=([1, 2],)).start()
    sqlite3.connect(":memory:").close()
"""


def test_each_kind_of_leak_is_reported_and_a_clean_test_passes(pytester: pytest.Pytester) -> None:
    """A stray thread, daemon, connection and actor each fail their test; a tidy test passes."""
    here = Path(__file__).parent
    package = pytester.mkpydir("tests")
    shutil.copy(here / "conftest.py", package)
    shutil.copytree(here / "kit", package / "kit")
    (package / "test_leaky.py").write_text(LEAKY)
    pytester.makeini("[pytest]\npythonpath = .\naddopts = --import-mode=importlib")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "tests")
    result.assert_outcomes(passed=5, errors=4)
    for leak in ("thread stray-thread", "thread stray-daemon", "SQLite connection", "actor Stray"):
        result.stdout.fnmatch_lines([f"*{leak}*"])
