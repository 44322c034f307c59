"""What every test is held to: it leaves no thread, actor or connection behind."""

import signal
from collections.abc import Generator, Iterator
from contextlib import nullcontext

import hypothesis
import pytest

from tests.kit.leaks import Watch
from tests.kit.threads import hasty

pytest_plugins = ["pytester"]

# Nothing is held to a time: how long an example takes, to run or to make, says how busy the machine
# is. One that never ends is ended by the limit for the whole test.
UNTIMED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("short", UNTIMED, derandomize=True)
hypothesis.settings.register_profile("long", UNTIMED)

# A shell starts what runs in its background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


HASTY = 1e-5
"""Seconds between two changes of threads with ``--hasty``: less, and the suite takes hours."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the whole suite look for races (``make attack-races``)."""
    parser.addoption("--hasty", action="store_true", help="change threads all the time, everywhere")


def pytest_configure(config: pytest.Config) -> None:
    """Have the long attacks draw new examples each time, and the short tests the same ones."""
    hypothesis.settings.load_profile("long" if config.option.markexpr == "slow" else "short")


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves threads, actors or SQLite connections behind."""
    watch = Watch()
    yield
    leaks = watch.leaks()
    if leaks:
        pytest.fail("left behind:\n" + "\n".join(leaks), pytrace=False)


@pytest.fixture(autouse=True)
def hasty_everywhere(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have threads change places all the time in every test, where ``--hasty`` says so."""
    with hasty(HASTY) if request.config.option.hasty else nullcontext():
        yield


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Have threads change places as often as the interpreter can."""
    with hasty():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show as escapes what a test has printed that is no UTF-8: reports are sent as that."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report
