"""`perdure schema`, `migrate` and `rehearse`: what they print, change and return."""

import json
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, MemoryStore, open_reader
from tests.cli.commands import invoke, records
from tests.schema import desk_one, desk_two

ONE, TWO = "tests.schema.desk_one", "tests.schema.desk_two"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give a store of the first release: three desks, one of them paused."""
    path = tmp_path / "s.db"
    desk_one.fill(str(path), 3)
    with AgentSystem.open(path, agents=[desk_one.Desk]) as system:
        system.agent(desk_one.Desk, "00001").pause()
    return path


def send(path: Path) -> None:
    """Have a message of the first release wait for the desk that is paused."""
    with AgentSystem.open(path, agents=[desk_one.Desk]) as system:
        system.agent(desk_one.Desk, "00001").cast(desk_one.Desk.assign, "T-9", "noor")


def content(path: Path) -> list[object]:
    """Return what every agent holds, and how often it was committed."""
    with closing(open_reader(path)) as reader:
        loaded = [reader.load(head.kind, head.key) for head in reader.agents()]
        return [(each.head.version, each.fields, each.shape) for each in loaded if each]


def test_schemas_are_listed_shown_and_compared(store: Path) -> None:
    """With counts of the agents that are written with each; Markdown and JSON Schema."""
    assert records("migrate", "--code", TWO, "--store", store)[0]["migrated"] == {"Desk": 3}
    listed = records("schema", "list", "--kind", "Desk", "--store", store)
    states = [row for row in listed if row["family"] == "state"]
    assert [(row["version"], row["agents"]) for row in states] == [("1.0.0", 0), ("2.0.0", 3)]
    page = invoke("schema", "show", "Desk", "--store", store).stdout
    assert page.startswith("# DeskState 2.0.0\n")
    assert "| `owners` | `Log[tuple[str, int]]` |" in page
    (shown,) = records("schema", "show", states[0]["number"], "--store", store)
    assert shown["json_schema"]["properties"]["owners"] == {
        "type": "object", "additionalProperties": {"type": "integer"},
    }  # fmt: skip
    numbers = [row["number"] for row in states]
    (difference,) = records("schema", "diff", *numbers, "--store", store, code=1)
    changed = {each["path"]: each["change"] for each in difference["differences"]}
    assert changed["lines"] == changed["owners"] == "stored otherwise"
    assert (changed["count"], changed["open"]) == ("added", "removed")
    assert invoke("schema", "diff", 1, 1, "--store", store).exit_code == 0
    assert invoke("schema", "show", 99, "--store", store).exit_code == 5


def test_a_dry_run_counts_and_changes_nothing(store: Path) -> None:
    """It shows agents before and after, also while another process has the store open."""
    before = content(store)
    with AgentSystem.open(store, agents=[]):
        (report,) = records("migrate", "--code", TWO, "--dry-run", "--store", store)
        refused = invoke("migrate", "--code", TWO, "--store", store)
    assert refused.exit_code == 4
    assert (report["dry"], report["migrated"]) == (True, {"Desk": 3})
    sample = report["samples"][0]
    assert sample["before"] == {"open": 1, "lines": ["T-0"], "owners": {"mira": 1}}
    assert sample["after"] == {"count": 1, "lines": ["T-0"], "owners": [["mira", 1]]}
    assert content(store) == before


def test_where_one_fails_none_is_migrated(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that cannot be is named with its path and the reason, and the exit code is 1."""
    with AgentSystem.open(store, agents=[desk_one.Desk]) as system:
        system.agent(desk_one.Desk, "00002").call(desk_one.Desk.assign, "T-2", "").get()
    before = content(store)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    (store.parent / "picky.py").write_text(
        "from tests.schema.classes import desk, state\n"
        "from perdure import Log, Map, migration\n"
        "made = state({'open': (int, 0), 'lines': (Log[str], Log.field()),"
        " 'owners': (Map[str, int], Map.field())}, '2.0.0')\n"
        "@migration(made, '1.0.0', '2.0.0')\n"
        "def up(data):\n"
        "    if '' in data['owners']:\n"
        "        data['owners'][''] = 'nobody'\n"
        "Desk = desk(made)\n"
    )
    monkeypatch.syspath_prepend(store.parent)
    (report,) = records("migrate", "--code", "picky", "--store", store, code=1)
    (failure,) = report["not_migrated"]
    assert failure["key"] == "00002"
    assert "state.owners['']" in failure["reason"]
    assert content(store) == before
    said = invoke("rehearse", "--code", "picky", "--migrate", "--store", store)
    assert (said.exit_code, "state.owners['']" in said.stdout) == (1, True)


def test_back_before_an_older_release_is_started(store: Path) -> None:
    """`--to` takes the ways back, and the class of before reads what it had written."""
    kind = ("--kind", "Desk", "--to", "1.0.0")
    assert records("migrate", "--code", TWO, "--store", store)[0]["migrated"] == {"Desk": 3}
    assert records("migrate", "--code", TWO, *kind, "--store", store)[0]["migrated"] == {"Desk": 3}
    with AgentSystem.open(store, agents=[desk_one.Desk]) as system:
        assert system.agent(desk_one.Desk, "00000").call(desk_one.Desk.assign, "T", "x").get() == 2
    assert invoke("migrate", "--code", TWO, "--to", "1.0.0", "--store", store).exit_code == 2
    unknown = ("--kind", "Desk", "--to", "7.0.0")
    assert invoke("migrate", "--code", TWO, *unknown, "--store", store).exit_code != 0


def test_what_waits_and_would_not_be_taken_keeps_all_from_being_migrated(store: Path) -> None:
    """It is named as the opening would name it, and nothing is changed."""
    send(store)
    before = content(store)
    for words in (("--dry-run",), ()):
        (report,) = records("migrate", "--code", TWO, *words, "--store", store, code=1)
        (failure,) = report["not_migrated"]
        assert failure["key"] == "00001"
        assert "assign(urgent): added (without a default): breaking" in failure["reason"]
    assert content(store) == before


def test_a_rehearsal_tries_agents_and_mail(store: Path, tmp_path: Path) -> None:
    """What would fail is named: the message that lacks an argument; nothing is changed."""
    send(store)
    before, junit = content(store), tmp_path / "r.xml"
    words = ("rehearse", "--code", TWO, "--migrate", "--junit", junit, "--store", store)
    (report,) = records(*words, code=1)
    assert report["counts"] == {"agents migrated": 3, "agents ok": 3, "messages failed": 1}
    (problem,) = report["not_passed"]
    assert (problem["what"], problem["key"]) == ("message", "00001")
    assert "missing a required argument: 'urgent'" in problem["told"]
    cases = ET.parse(junit).getroot().findall("testcase")  # noqa: S314 - ours
    assert [case.get("name") for case in cases if case.find("failure") is not None] == [
        f"message 00001 {problem['name']}"
    ]
    assert len(cases) == 4
    (skipped,) = records("rehearse", "--code", TWO, "--store", store, code=1)
    assert skipped["counts"]["agents skipped"] == 3
    (same,) = records("rehearse", "--code", ONE, "--store", store)
    assert (same["passed"], same["counts"]) == (True, {"agents ok": 3, "messages ok": 1})
    assert content(store) == before


def test_two_migrations_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused, with what to do."""
    kept: list[Any] = []
    memory = MemoryStore()
    with AgentSystem.open(memory, agents=[desk_one.Desk]) as system:
        system.agent(desk_one.Desk, "d").call(desk_one.Desk.assign, "T", "mira").get()
    with AgentSystem.open(memory, agents=[desk_two.Desk]) as system:

        def tell(*_: object) -> None:
            with pytest.raises(ValueError, match="under way; wait for its end") as refused:
                system.migrate()
            kept.append(refused.value)

        assert json.dumps(system.migrate(tell=tell).record())
    assert len(kept) == 1
