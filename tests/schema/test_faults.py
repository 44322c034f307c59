"""A migration on a full disk, and two of them at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, Backoff, Breaker, Saving, errors
from tests.cli.commands import command, invoke
from tests.kit.children import ROOT, environment
from tests.schema import desk_one, desk_two
from tests.schema.test_kill import COUNT, look

SOON = Saving(
    backoff=Backoff(first=0.01, longest=0.02), breaker=Breaker(failures=2, reset_after=0.05)
)
WAIT = 30.0


def limit(system: AgentSystem, more: int) -> None:
    """Let the file grow by so many pages and no more."""
    store: Any = system._store
    with store._writing:
        (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
        store._writer.execute(f"PRAGMA max_page_count = {pages + more}")


def test_a_full_disk_stops_it_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """Whoever migrates is told the cause; each agent is old or new, and in the end all are new."""
    store = tmp_path / "s.db"
    desk_one.fill(str(store), 400)
    with AgentSystem.open(store, agents=[desk_two.Desk], saving=SOON) as system:
        limit(system, 4)
        with pytest.raises(errors.StoreUnavailable, match="has stopped, and the next run goes on"):
            system.migrate()
        look(store, 400)
        limit(system, 1_000_000)
        assert system.flush(WAIT)
        assert system.migrate().complete
    assert look(store, 400) == 400


@pytest.mark.slow
def test_a_full_disk_ends_the_command(tmp_path: Path) -> None:
    """With the cause and another exit code than 1; with room again it goes on."""
    store = tmp_path / "s.db"
    desk_one.fill(str(store), COUNT)
    words = command("migrate", "--code", "tests.schema.desk_two", "--store", store)
    size = store.stat().st_size + 30_000
    code = (
        f"import os, resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
        f" os.execv({words[0]!r}, {words!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True,
        check=False, timeout=WAIT * 4,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "the migration has stopped, and the next run goes on with it" in done.stderr
    assert look(store) < COUNT
    subprocess.run(words, cwd=ROOT, env=environment(), check=True, capture_output=True)
    assert look(store) == COUNT


def test_of_two_at_once_one_is_refused(tmp_path: Path) -> None:
    """In one process, and of two: the other goes on undisturbed."""
    store = tmp_path / "s.db"
    desk_one.fill(str(store), 20)
    begun, go_on = threading.Event(), threading.Event()
    outcome: list[bool] = []

    def tell(_done: int, _total: int, _kind: str) -> None:
        begun.set()
        assert go_on.wait(WAIT)

    with AgentSystem.open(store, agents=[desk_two.Desk]) as system:
        first = threading.Thread(target=lambda: outcome.append(system.migrate(tell=tell).complete))
        first.start()
        assert begun.wait(WAIT)
        with pytest.raises(errors.ConfigurationError, match="a migration of this store is under"):
            system.migrate()
        words = ("migrate", "--code", "tests.schema.desk_two", "--store", store)
        refused = invoke(*words)
        assert refused.exit_code == 4, refused.output
        go_on.set()
        first.join(WAIT)
        assert outcome == [True]
    assert invoke(*words).exit_code == 0
