"""A file of a session, for tests that read it."""

from pathlib import Path

import pytest

from tests.sessions.agents import full, opened


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of a session."""
    path = tmp_path_factory.mktemp("session") / "chat-7.perdure"
    with opened() as system:
        full(system)
        system.sessions.get("chat-7").complete("done")
        system.sessions.export("chat-7", path)
    return path
