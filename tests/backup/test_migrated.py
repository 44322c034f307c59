"""Agents that were migrated, more than once, between two backups."""

from pathlib import Path
from typing import Any, ClassVar

import msgspec

from perdure import Agent, AgentSystem, Backups, Log, Scope, State, migration, transforms
from tests.backup.stores import contents
from tests.backup.test_recovery import exact, pictures


class InEuros(State):
    """The first version."""

    euros: int = 0
    lines: Log[str] = Log.field()


class InCents(State):
    """Another unit, under another name."""

    schema_version = "2.0.0"
    cents: int = 0
    lines: Log[str] = Log.field()


class InMills(State):
    """And a third."""

    schema_version = "3.0.0"
    mills: int = 0
    lines: Log[str] = Log.field()


class WithTip(State):
    """The third, with a field more."""

    schema_version = "3.1.0"
    mills: int = 0
    tip: int = 0
    lines: Log[str] = Log.field()


class Till1(Agent[InEuros]):
    """Counts euros."""

    kind = "Till"

    def take(self, euros: int) -> int:
        """Take some; return what is in it."""
        self.state.euros += euros
        self.state.lines.append(f"{euros}")
        return self.state.euros


class Till2(Agent[InCents]):
    """Counts cents."""

    kind = "Till"

    def take(self, euros: int) -> int:
        """Take some; return what is in it."""
        self.state.cents += euros * 100
        return self.state.cents


class Till3(Agent[InMills]):
    """Counts mills."""

    kind = "Till"

    def take(self, euros: int) -> int:
        """Take some; return what is in it."""
        self.state.mills += euros * 1_000
        return self.state.mills


class Till4(Agent[WithTip]):
    """Counts mills, and tips."""

    kind = "Till"

    def take(self, euros: int) -> int:
        """Take some; return what is in it."""
        self.state.mills += euros * 1_000
        self.state.tip += 1
        return self.state.mills


for state in (InCents, InMills, WithTip):
    migration(
        state, "1.0.0", "2.0.0",
        transforms.rename("euros", "cents"), transforms.convert("cents", lambda euros: euros * 100),
    )  # fmt: skip
for state in (InMills, WithTip):
    migration(
        state, "2.0.0", "3.0.0",
        transforms.rename("cents", "mills"), transforms.convert("mills", lambda cents: cents * 10),
    )  # fmt: skip
RELEASES: tuple[Any, ...] = (Till1, Till2, Till3, Till4)


def opened(path: Path, agents: type[Agent[Any]]) -> AgentSystem:
    """Open a store of one kind of agents."""
    return AgentSystem.open(path, agents=[agents], sync="process", service=False)


def shapes(rows: dict[str, list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    """Return agents with what they have, and the number of the schema; in no order."""
    return [(*row[:8], msgspec.json.decode(row[8])) for row in rows["agents"]]


def test_an_agent_is_of_the_schema_that_it_had(tmp_path: Path) -> None:
    """Behind each commit, also of one that has come or gone since; today's class migrates it."""
    path, backups = tmp_path / "tills.db", Backups(tmp_path / "backups")
    with opened(path, Till1) as system:
        system.agent(Till1, "a").call(Till1.take, 1).get()
        system.agent(Till1, "quiet").call(Till1.take, 1).get()
    backups.create(path)
    seen = {}
    for taken, till in enumerate(RELEASES, 2):
        with opened(path, till) as system:
            for key in ("a", till.__name__, "gone"):
                system.agent(till, key).call(till.take, 1).get()
                last, rows = pictures(path)
                seen[last] = taken, rows
            if till is Till2:
                system.fork(system.agent(till, "quiet"), "forked")
                last, rows = pictures(path)
                seen[last] = taken, rows
            system.agent(till, "gone").delete()
            system.flush()
    for last, (taken, rows) in seen.items():
        target = tmp_path / f"{last}.db"
        assert not backups.recover(target, sequence=last, store=path).unknown
        there = contents(target)
        assert shapes(there) == shapes(rows)
        assert exact(there) | {"agents": []} == exact(rows) | {"agents": []}
        with opened(target, Till4) as system:
            assert system.agent(Till4, "a").call(Till4.take, 0).get() == 1_000 * taken
            assert system.agent(Till4, "quiet").call(Till4.take, 0).get() == 1_000


class Fare(msgspec.Struct):
    """A shared value."""

    euros: int = 0


class InCentsFare(msgspec.Struct):
    """What it was migrated to."""

    schema_version: ClassVar[str] = "2.0.0"
    cents: int = 0


migration(
    InCentsFare, "1.0.0", "2.0.0",
    transforms.rename("euros", "cents"), transforms.convert("cents", lambda euros: euros * 100),
)  # fmt: skip


def test_shared_values_are_of_the_schema_that_they_had(tmp_path: Path) -> None:
    """Keys that are brought back are read as they were written, those beside them as they are."""
    path, backups = tmp_path / "fares.db", Backups(tmp_path / "backups")
    user = Scope.user("mira")

    def with_fares(path: Path, fare: type[msgspec.Struct]) -> AgentSystem:
        schemas = {"fare/*": fare}
        return AgentSystem.open(path, agents=[], schemas=schemas, sync="process", service=False)

    with with_fares(path, Fare) as system:
        for key in ("fare/old", "fare/both"):
            system.state.set(user, key, Fare(5))
    before = backups.create(path).name
    with with_fares(path, InCentsFare) as system:
        system.state.set(user, "fare/both", InCentsFare(7))
        system.state.set(user, "fare/new", InCentsFare(8))
    both = backups.create(path).name
    with with_fares(path, InCentsFare) as system:
        system.migrate()
        system.state.set(user, "fare/old", InCentsFare(1))
        system.state.set(Scope.GLOBAL, "fare/other", InCentsFare(9))
    expected = {before: {"old": 500, "both": 500}, both: {"old": 500, "both": 7, "new": 8}}
    for number, (name, fares) in enumerate(expected.items()):
        alone = tmp_path / f"{number}.db"
        backups.take_out(alone, scopes=[user], name=name)
        backups.bring_back(path, scopes=[user], name=name)
        for target in (path, alone):
            for _ in range(2):  # another process knows it as well
                with with_fares(target, InCentsFare) as system:
                    system.state.set(Scope.GLOBAL, "fare/other", InCentsFare(9))
                    there = {key: system.state.get(user, key) for key in system.state.each(user)}
                    assert there == {f"fare/{key}": InCentsFare(of) for key, of in fares.items()}
                    assert system.state.get(Scope.GLOBAL, "fare/other") == InCentsFare(9)
