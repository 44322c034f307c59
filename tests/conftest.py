"""What every test is held to: it leaves no thread, actor or connection behind."""

import signal
from collections.abc import Iterator

import pytest

from tests.kit.leaks import Watch
from tests.kit.threads import hasty

pytest_plugins = ["pytester"]

# A shell starts what runs in its background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves threads, actors or SQLite connections behind."""
    watch = Watch()
    yield
    leaks = watch.leaks()
    if leaks:
        pytest.fail("left behind:\n" + "\n".join(leaks), pytrace=False)


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Have threads change places as often as the interpreter can."""
    with hasty():
        yield
