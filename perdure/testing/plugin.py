"""The plugin of pytest, which finds it by itself: fixtures, and nothing else until one is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from ..system import AgentSystem
    from .clock import SkippingClock
    from .faults.store import FaultyStore
    from .golden import Golden
    from .kit import Kit
    from .snapshots import Snapshots

_FAILED: Final = pytest.StashKey[bool]()
_STORES: Final = ("memory", "sqlite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fixtures."""
    group = parser.getgroup("perdure")
    group.addoption(
        "--perdure-store",
        default="memory",
        help="the stores that tests with perdure_store run on: memory, sqlite, or both",
    )
    group.addoption(
        "--perdure-seed",
        default="",
        metavar="SEED",
        help="run each simulation under this seed alone, as a failure has named it",
    )
    group.addoption(
        "--golden-update",
        action="store_true",
        help="write golden files of the versions of today, and snapshots, anew",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; choose the seed of simulations."""
    seed = str(config.getoption("--perdure-seed"))
    if seed:
        if re.fullmatch(r"-?\d+(@\d+)?", seed) is None:
            raise pytest.UsageError(f"--perdure-seed={seed}: give a seed as 4, or 4@17")
        from .simulation.simulate import CHOSEN  # noqa: PLC0415 - costs those alone who use it

        CHOSEN.seed = seed
        config.add_cleanup(lambda: setattr(CHOSEN, "seed", ""))
    told = 'perdure_stores("memory", "sqlite"): run the test on each of these stores'
    config.addinivalue_line("markers", told)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each store that it is to run on."""
    if "perdure_store" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("perdure_stores")
    given = metafunc.config.getoption("--perdure-store")
    stores = marker.args if marker is not None else tuple(str(given).split(","))
    wrong = [each for each in stores if each not in _STORES]
    if wrong:
        raise pytest.UsageError(f"{wrong[0]!r} is no store; there are {', '.join(_STORES)}")
    if stores != ("memory",):
        metafunc.parametrize("perdure_store", stores, indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a test that failed what has happened in its systems."""
    report = yield
    kit = getattr(item, "funcargs", {}).get("perdure_kit")
    if report.failed and call.when == "call":
        item.stash[_FAILED] = True
    if report.failed and kit is not None:
        report.sections.append(("perdure: what happened", kit.timeline()))
    return report


@pytest.fixture
def perdure_clock() -> SkippingClock:
    """Give a clock that stands still until the test moves it, or waits in a ``skip()``."""
    from .clock import SkippingClock  # noqa: PLC0415 - costs those alone who use it

    return SkippingClock()


@pytest.fixture
def perdure_store(request: pytest.FixtureRequest) -> FaultyStore:
    """Give a store in memory, or in a file: by ``--perdure-store`` and ``perdure_stores``."""
    from .faults.store import FaultyStore  # noqa: PLC0415 - as above

    if getattr(request, "param", "memory") == "memory":
        return FaultyStore()
    folder = request.getfixturevalue("tmp_path")
    return FaultyStore(folder / "perdure.db")


@pytest.fixture
def perdure_kit(
    request: pytest.FixtureRequest, perdure_store: FaultyStore, perdure_clock: SkippingClock
) -> Iterator[Kit]:
    """Give the kit of one test; what that leaves behind fails it."""
    from .kit import Kit, LeftBehind  # noqa: PLC0415 - as above

    kit = Kit(perdure_store, clock=perdure_clock).begin()
    yield kit
    left = kit.end()
    if left and not request.node.stash.get(_FAILED, False):  # else that is what has to be read
        raise LeftBehind(left)


@pytest.fixture
def perdure_system(perdure_kit: Kit) -> Callable[..., AgentSystem]:
    """Give what opens a system on the kit: ``perdure_system([Order, Stock])``."""
    return perdure_kit.open


@pytest.fixture
def perdure_snapshots(request: pytest.FixtureRequest) -> Snapshots:
    """Give the snapshots in the folder ``snapshots`` beside the test."""
    from .snapshots import Snapshots  # noqa: PLC0415 - as above

    update = bool(request.config.getoption("--golden-update"))
    return Snapshots(request.path.parent / "snapshots", update=update)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Give the golden files in the folder ``golden`` beside the test."""
    from .golden import Golden  # noqa: PLC0415 - costs those alone who use it

    update = bool(request.config.getoption("--golden-update"))
    return Golden(request.path.parent / "golden", update=update)
