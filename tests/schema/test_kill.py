"""A process that is killed while it migrates: each agent is old or new, and the next goes on."""

import subprocess
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from perdure import AgentSystem, StoreReader, open_reader
from perdure.persistence.schema.registry import schema_of
from perdure.persistence.upkeep.doctor import examine
from tests.cli.commands import command
from tests.kit.children import ROOT, Aim, environment, started
from tests.schema import desk_one, desk_two

COUNT = 1500


def look(store: Path, count: int = COUNT) -> int:
    """Check that every agent is all of one version; return how many are new."""
    with closing(open_reader(store)) as reader:
        report = examine(reader)
        assert report.healthy, report
        shapes = [shape(reader, f"{number:05}") for number in range(count)]
    assert {*shapes} <= {"old", "new"}
    return shapes.count("new")


def shape(reader: StoreReader, key: str) -> str:
    """Tell which version an agent is of: all of it."""
    stored = reader.load("Desk", key)
    assert stored is not None
    number = int(key)
    items = reader.log_items(stored.head.agent, "lines", 0, stored.log_lengths.get("lines", 0))
    owners = reader.map_page(stored.head.agent, "owners", None, 9)
    schema = schema_of(reader, stored.schema)
    if schema is not None and schema.version == "1.0.0":
        assert (items, owners) == ([f'"T-{number}"'], [("mira", "1")])
        assert stored.fields["open"][0] == "1"
        return "old"
    pairs = reader.log_items(stored.head.agent, "owners", 0, stored.log_lengths["owners"])
    assert (items, owners, pairs) == ([], [], ['["mira",1]'])
    assert stored.fields["lines"][0] == f'["T-{number}"]'
    assert stored.fields["count"][0] == "1"
    return "new"


def test_a_killed_migration_goes_on(tmp_path: Path) -> None:
    """Killed in the middle, again and again: nothing is half done, and the end is complete."""
    store = tmp_path / "s.db"
    desk_one.fill(str(store), COUNT)
    before, randomness = 0, Random(7)
    for _ in range(4):
        with started("-m", "tests.schema.desk_two", store) as process:
            assert process.stdout is not None
            for _ in range(randomness.randrange(1, 400)):
                process.stdout.readline()
            process.kill()
        new = look(store)
        assert new >= before
        before = new
    with AgentSystem.open(store, agents=[desk_two.Desk]) as system:
        assert system.migrate().migrated["Desk"] == COUNT - before
        desk = system.agent(desk_two.Desk, "00007")
        assert desk.call(desk_two.Desk.read).get() == (1, ["T-7"], [("mira", 1)])
    assert look(store) == COUNT


def test_a_killed_command_goes_on(tmp_path: Path) -> None:
    """The same for `perdure migrate`, killed at any time of its life, there and back."""
    store, aim = tmp_path / "s.db", Aim(Random(11))
    desk_one.fill(str(store), COUNT)
    words = command("migrate", "--code", "tests.schema.desk_two", "--store", store)
    for _ in range(3):
        with subprocess.Popen(
            words, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            aim.kill(process)
        look(store)
    subprocess.run(words, cwd=ROOT, env=environment(), check=True, capture_output=True)
    assert look(store) == COUNT


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_there_and_back(tmp_path: Path, seed: int) -> None:
    """A hundred times each, by the command, there and back: some of them in the middle of it."""
    store, aim, seen = tmp_path / "s.db", Aim(Random(seed)), set[int]()
    desk_one.fill(str(store), COUNT)
    words = command("migrate", "--code", "tests.schema.desk_two", "--store", store)
    back = ("--kind", "Desk", "--to", "1.0.0")
    for number in range(100):
        with subprocess.Popen(
            [*words, *(back if number % 4 == 3 else ())], cwd=ROOT, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            aim.kill(process)
        seen.add(look(store))
    subprocess.run(words, cwd=ROOT, env=environment(), check=True, capture_output=True)
    assert look(store) == COUNT
    assert seen - {0, COUNT}
