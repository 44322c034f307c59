"""G2 and G3 for what agents share: killed in the middle of transactions over three scopes."""

import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure import open_reader
from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.records.tables import Order
from perdure.persistence.store.store import StoreReader
from perdure.persistence.upkeep.doctor import examine
from tests.attack.sharer import ACCOUNTS, TOTAL
from tests.kit.children import finished, started

ALL = Order(("kind", "id", "part"))


def live(store: Path, sync: str, seed: int, life: int, seconds: float | None) -> list[list[Any]]:
    """Run a sharer for so long and kill it, or let it end; return what it said."""
    with started("-m", "tests.attack.sharer", store, sync, seed, life) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        if seconds is not None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                said.append(process.stdout.readline())
            process.kill()
            rest = process.stdout.read()
        else:
            rest, _ = process.communicate(b"\n", timeout=60)
            assert process.returncode == 0
    lines = b"".join(said) + rest
    return [json.loads(line) for line in lines.splitlines() if line.endswith(b"]")]


def look(store: Path, said: list[list[Any]]) -> int:
    """Check every promise on the store as it is now; return how much was acknowledged."""
    reader: StoreReader = open_reader(store)
    try:
        values = {
            (str(row[0]), str(row[2]), str(row[3])): json.loads(str(row[4]))
            for row in reader.page(SCOPED, ALL, None, 10_000)
        }
        turns = {head.key: head.version for head in reader.agents("Clerk")}
        counted = {}
        for key in turns:
            agent = reader.load("Clerk", key)
            assert agent is not None
            fields = {name: text for name, (text, _) in agent.fields.items()}
            counted[key] = int(fields["turns"])
        assert examine(reader).healthy
    finally:
        reader.close()
    if not values:
        return 0
    # All or nothing over three scopes: whatever was moved, the sum stays.
    held = sum(
        values[kind, part, account]
        for kind, part in (("workflow", ""), ("step", "s"), ("custom", "1"))
        for account in ACCOUNTS
    )
    assert held + values["custom", "1", "rest"] == TOTAL
    # With the agents' own states: each turn is in all of them, or in none.
    for key, turns_of in counted.items():
        assert values["agent", key, "turns"] == turns_of
    assert values.get(("custom", "1", "turns"), 0) == sum(counted.values())
    # What was acknowledged is there.
    did = [event[1:] for event in said if event[0] == "did"]
    for what, *told in did:
        if what == "turns":
            assert counted[str(told[0])] >= told[1]
        elif what == "given":
            assert values["custom", "1", "given"] >= told[0]
    given = [told[0] for what, *told in did if what == "given"]
    assert len(set(given)) == len(given)
    for thread in {told[0] for what, *told in did if what == "mark"}:
        last = [told[1] for what, *told in did if what == "mark" and told[0] == thread][-1]
        assert values["custom", "1", f"mark/{thread}"] >= last or last == 0
    return len(did)


def attack(store: Path, rounds: int, seed: int) -> int:
    """Live and die, look each time, and end well; return how much was acknowledged."""
    chance, done = Random(seed), 0
    for life in range(rounds):
        sync = chance.choice(["power", "process"])
        seconds = chance.choice([0.0, 0.02, 0.1, 0.3])
        done += look(store, live(store, sync, seed, life, seconds))
    return done + look(store, live(store, "process", seed, rounds, None))


def test_transactions_over_three_scopes_survive_kills(tmp_path: Path, seed: int) -> None:
    """After each of 8 kills a transaction is there whole or not at all; once told, it is."""
    assert attack(tmp_path / "store.db", 8, seed) > 50


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_transactions_survive_a_hundred_kills(tmp_path: Path, number: int) -> None:
    """The same, 150 kills on five stores."""
    assert attack(tmp_path / "store.db", 30, number) > 200


def test_a_fork_shares_nothing(tmp_path: Path) -> None:
    """A forked child's calls are refused at once, and the parent goes on undisturbed."""
    program = (
        "import os, sys, warnings\n"
        "from perdure import AgentSystem, Scope\n"
        "from perdure.errors import SystemClosed\n"
        "with AgentSystem.open(sys.argv[1], agents=[]) as system:\n"
        "    state = system.state\n"
        "    state.set(Scope.GLOBAL, 'k', 1)\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        refused = 0\n"
        "        for call in (lambda: state.get(Scope.GLOBAL, 'k'),\n"
        "                     lambda: state.set(Scope.GLOBAL, 'k', 2),\n"
        "                     lambda: state.list(Scope.GLOBAL)):\n"
        "            try:\n"
        "                call()\n"
        "            except SystemClosed:\n"
        "                refused += 1\n"
        "        os._exit(refused)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3\n"
        "    assert state.increment(Scope.GLOBAL, 'k') == 2\n"
    ).replace("from perdure.errors import", "from perdure.persistence.errors import")
    finished("-W", "ignore", "-c", program, tmp_path / "store.db")
