"""Agents brought over five versions of their class: at once, one by one, and by SQLite alone."""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from perdure import Agent, AgentSystem, State, migration, open_reader, transforms
from perdure.actors.agent.blueprint import Catalogue
from perdure.persistence.schema.evolution import refuse_incompatible

GROUP = 500


class First(State):
    """A desk as its first release has it."""

    open: int = 0
    name: str = ""
    city: str = ""
    street: str = ""


class Desk(Agent[First]):
    """One of them."""

    def fill(self, number: int) -> None:
        """Set each field."""
        state = self.state
        state.open, state.name = number, f"mira noor {number}"
        state.city, state.street = "Utrecht", f"Oudegracht {number}"


class Fifth(State):
    """The same four versions on."""

    schema_version = "5.0.0"
    count: str = ""
    first: str = ""
    rest: str = ""
    address: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    note: str = ""


migration(Fifth, "1.0.0", "2.0.0", transforms.rename("open", "count"))
migration(Fifth, "2.0.0", "3.0.0", transforms.convert("count", str, int))
migration(
    Fifth, "3.0.0", "4.0.0",
    transforms.split("name", ("first", "rest"), lambda n: n.partition(" ")[::2], "{} {}".format),
)  # fmt: skip
migration(
    Fifth, "4.0.0", "5.0.0",
    transforms.nest(("city", "street"), "address"), transforms.add("note", "moved"),
)  # fmt: skip


class Newer(Agent[Fifth]):
    """A desk as the fifth release has it."""

    kind = "Desk"

    def read(self) -> str:
        """Return a field."""
        return self.state.count


def rates(folder: Path, *, agents: int) -> dict[str, float]:
    """Return agents a second: migrated at once, when they wake up, rewritten by SQLite alone."""
    store = folder / "old.db"
    with AgentSystem.open(store, agents=[Desk], sync="process") as system:
        for number in range(agents):
            system.agent(Desk, f"{number:06}").cast(Desk.fill, number)
        system.idle()
    checking = _checked(store)
    bare = _seconds(lambda: _bare(_copy(store, "bare")))
    with AgentSystem.open(_copy(store, "eager"), agents=[Newer]) as system:
        eager = _seconds(lambda: _complete(system, agents))
    with AgentSystem.open(_copy(store, "lazy"), agents=[Newer]) as system:
        lazy = _seconds(lambda: _woken(system, agents))
    return {
        "bare": agents / bare, "eager": agents / eager, "lazy": agents / lazy, "check": checking,
    }  # fmt: skip


def _complete(system: AgentSystem, agents: int) -> None:
    assert system.migrate().migrated["Desk"] == agents


def _woken(system: AgentSystem, agents: int) -> None:
    """Have each agent tell a field, many at a time."""
    for start in range(0, agents, GROUP):
        numbers = range(start, min(agents, start + GROUP))
        asked = [system.agent(Newer, f"{n:06}").call(Newer.read) for n in numbers]
        assert [future.get() for future in asked] == [str(n) for n in numbers]


def _bare(store: Path) -> None:
    """Decode, encode and update the same rows by SQLite alone, a group in one transaction."""
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        after = 0
        while rows := connection.execute(
            "SELECT agent, field, value FROM fields WHERE agent > ? AND agent <= ?",
            (after, after + GROUP),
        ).fetchall():
            made = [
                (msgspec.json.encode(msgspec.json.decode(v)).decode(), a, f) for a, f, v in rows
            ]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "UPDATE fields SET value = ? WHERE agent = ? AND field = ?", made
            )
            connection.execute("COMMIT")
            after += GROUP


def _checked(store: Path) -> float:
    """Return the milliseconds that classes are compared with what is stored, at an opening."""
    catalogue = Catalogue([Newer], largest=2**20)
    with closing(open_reader(store)) as reader:
        return 1000 * statistics.median(
            _seconds(lambda: refuse_incompatible(reader, catalogue.stored())) for _ in range(50)
        )


def _copy(store: Path, name: str) -> Path:
    made = store.with_name(f"{name}.db")
    shutil.copyfile(store, made)
    return made


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
