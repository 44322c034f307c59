"""Very many agents over a chain of five versions: some when they wake up, the others at once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import AgentSystem, open_reader
from perdure.persistence.upkeep.doctor import examine
from tests.schema.classes import desk, state
from tests.schema.test_chains import FIELDS, VERSIONS, newest

COUNT = 100_000


def content(number: int) -> tuple[int, list[str]]:
    """Return what an agent is given."""
    return number % 7 + 1, [f"n{number}", "x"][: number % 3]


@pytest.mark.slow
def test_a_hundred_thousand_agents_over_five_versions(tmp_path: Path) -> None:
    """Each ends as its migrations say, and none was missed or taken twice."""
    store, first, last = tmp_path / "s.db", desk(state(FIELDS[0], VERSIONS[0])), newest()
    with AgentSystem.open(store, agents=[first], sync="process") as system:
        for number in range(COUNT):
            n, names = content(number)
            values = {"n": n, "names": names, "seats": dict.fromkeys(names, n)}
            system.agent(first, f"{number:06}").cast(first.put, values)
        assert system.idle(600)
    with AgentSystem.open(store, agents=[last], sync="process") as system:
        woken = range(0, COUNT, 50)
        for number in woken:
            n, names = content(number)
            values = system.agent(last, f"{number:06}").call(last.read).get()
            assert values == expected(n, names)
        assert system.migrate().migrated["Desk"] == COUNT - len(woken)
    with closing(open_reader(store)) as reader:
        assert examine(reader).healthy
        assert list(reader.written_with("Desk").values()) == [COUNT]
        for number, head in enumerate(reader.agents()):
            stored = reader.load(head.kind, head.key)
            assert stored is not None
            n, names = content(number)
            assert (head.key, head.version) == (f"{number:06}", 2)
            found = {
                name: msgspec.json.decode(stored.fields[name][0]) for name in ("all", "names")
                if name in stored.fields
            }  # fmt: skip
            assert expected(n, []) | found == expected(n, names)


def expected(n: int, names: list[str]) -> dict[str, Any]:
    """Return what the fifth version holds of it."""
    return {"all": {"count": str(n), "seats": dict.fromkeys(names, n)}, "names": names}
