"""The plugin of pytest, which finds it by itself: fixtures, and nothing else until one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .golden import Golden


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fixtures."""
    parser.getgroup("perdure").addoption(
        "--golden-update",
        action="store_true",
        help="write the golden files of the versions of today anew; those of others stay",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Give the golden files in the folder ``golden`` beside the test."""
    from .golden import Golden  # noqa: PLC0415 - costs those alone who use it

    update = bool(request.config.getoption("--golden-update"))
    return Golden(request.path.parent / "golden", update=update)
