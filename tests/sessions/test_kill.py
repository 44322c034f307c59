"""kill -9 while sessions are imported and cleaned up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, Scope
from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.records.tables import Order
from tests.kit.children import kill_after, started
from tests.kit.deadline import DEADLINE
from tests.sessions.agents import contents, opened


def killed(program: str, *arguments: Path, moment: float) -> Iterator[str]:
    """Run a program, kill it a moment after it began, and give what it told of."""
    with started("-m", f"tests.sessions.{program}", *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        kill_after(process, moment)
        for line in process.stdout:
            yield line.decode().strip()


@pytest.mark.parametrize(
    "kills", [pytest.param(4), pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_kill_9_during_imports(tmp_path: Path, good: Path, kills: int) -> None:
    """A session that was imported is whole, one that was not is not there, nor are its keys."""
    store, moments = tmp_path / "a.db", random.Random(kills)
    acknowledged: set[str] = set()
    for _ in range(kills):
        acknowledged.update(killed("importer", store, good, moment=moments.uniform(0.0, 0.25)))
    with opened(store) as system:
        system.idle(DEADLINE)
        there = {info.id for info in system.sessions.list(limit=100_000)}
        assert acknowledged <= there
        ids = {row[1] for row in _scoped(system)}
        assert ids == there
        expected = None
        for session in sorted(there):
            found = contents(system, session)
            assert expected in (None, found)
            expected = found
        assert len(system.artifacts.list(limit=100_000)) == 3 * len(there)


@pytest.mark.parametrize(
    "kills", [pytest.param(3), pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_kill_9_during_clean_up(tmp_path: Path, kills: int) -> None:
    """Of a session that has ended nothing is left in the end; one that has not has everything."""
    store, moments = tmp_path / "a.db", random.Random(kills)
    filled: set[str] = set()
    ended: set[str] = set()
    for _ in range(kills):
        for line in killed("ender", store, moment=moments.uniform(0.0, 0.4)):
            step, _, session = line.partition(" ")
            (filled if step == "filled" else ended).add(session)
    with opened(store) as system:
        system.idle(DEADLINE)
        for info in system.sessions.list(limit=100_000):
            count = len(system.state.list(Scope.session(info.id), limit=10_000))
            artifacts = list(system.artifacts.list(scope=Scope.session(info.id)))
            if info.status == "completed":
                assert (count, artifacts) == (0, [])
            else:
                assert info.id not in ended
                assert count in ({1500} if info.id in filled else {0, 1500})
        assert ended <= {info.id for info in system.sessions.list(status="completed", limit=10_000)}


def _scoped(system: AgentSystem) -> Iterator[tuple[str, str]]:
    """Give kind and id of each stored key; an imported history by its session."""
    store: Any = system._store
    after = None
    while rows := store.page(SCOPED, Order(("kind", "id", "part", "key")), after, 1000):
        for kind, first, part, *_ in rows:
            yield kind, part if kind == "sharing" else first
        after = rows[-1][:4]
