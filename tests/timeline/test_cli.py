"""`perdure timeline` and `perdure why` on a store that nobody has open."""

import json
from pathlib import Path

import pytest

from perdure import AgentSystem, open_reader
from perdure.cli.commands.why import path_of
from perdure.hooks.timeline.timeline import MOST, Timeline
from perdure.hooks.timeline.wanted import selection_of
from perdure.persistence.errors import ConfigurationError
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.lease import Owner
from tests.cli.commands import invoke, records
from tests.kit.deadline import DEADLINE
from tests.timeline.test_why import Boss, Clerk


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store in which a boss has given two orders to a clerk."""
    path = tmp_path_factory.mktemp("timeline") / "work.db"
    with AgentSystem.open(path, agents=[Boss, Clerk], sync="process") as system:
        boss = system.agent(Boss, "b")
        boss.call(Boss.order, "count", 7).get(timeout=DEADLINE)
        boss.call(Boss.order, "lines", 8).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
    return path


def test_pages_of_the_command_are_those_of_the_library(store: Path) -> None:
    """Page by page, forwards and backwards, the same events come in the same order."""
    reader = open_reader(store)
    try:
        events = list(Timeline(reader, selection_of(reader)).each())
    finally:
        reader.close()
    for newest in (False, True):
        order = ["--newest"] if newest else []
        found: list[str] = []
        after: list[str] = []
        while page := records("timeline", "--store", store, "--limit", 3, *order, *after):
            found += [record["id"] for record in page]
            after = ["--after", found[-1]]
        assert found == [event.id for event in (reversed(events) if newest else events)]


def test_options_choose_events(store: Path) -> None:
    """Kind, key, chain, kind of event, text and time leave what fits all of them."""
    (first, *_) = records("timeline", "--kind", "Boss", "--key", "b", "--store", store)
    chain = records("timeline", "--correlation", first["correlation"], "--store", store)
    assert {record["kind"] for record in chain} == {"Boss", "Clerk"}
    assert len(records("timeline", "--text", "LINES", "--store", store)) == 1
    assert records("timeline", "--what", "letter", "--store", store) == []
    assert records("timeline", "--until", "2001-01-01", "--store", store) == []
    assert len(records("timeline", "--since", "2001-01-01T00:00+01:00", "--store", store)) == 4


def test_the_tree_shows_each_event_below_its_cause(store: Path) -> None:
    """What an order led to stands indented below it; a pipe gets no colours."""
    lines = invoke("timeline", "--tree", "--store", store).stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["Boss/b", "Clerk/c", "Boss/b", "Clerk/c"]
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 0, 2]
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("how", [["--tree"], ["--format", "json"]])
def test_a_picture_of_too_many_events_says_how_to_get_it(how: list[str], store: Path) -> None:
    """More events than --most are refused with what to do; as many are drawn."""
    refused = invoke("timeline", *how, "--most", 3, "--store", store)
    assert refused.exit_code == 2
    assert "more than 3 events" in refused.stderr
    assert "--most" in refused.stderr
    assert invoke("timeline", *how, "--most", 4, "--store", store).exit_code == 0
    assert f"[default: {MOST}" in invoke("timeline", "--help").stdout


@pytest.mark.parametrize("form", ["json", "mermaid", "chrome", "html"])
def test_a_format_is_written_to_a_new_file_or_a_pipe(
    form: str, store: Path, tmp_path: Path
) -> None:
    """Both hold the same; a file that is there is not replaced."""
    file = tmp_path / "out"
    shown = invoke("timeline", "--format", form, "--store", store).stdout
    assert invoke("timeline", "--format", form, "-o", file, "--store", store).exit_code == 0
    assert file.read_text().rstrip("\n") == shown.rstrip("\n") != ""
    again = invoke("timeline", "--format", form, "-o", file, "--store", store)
    assert again.exit_code == 2
    assert "is there already" in again.output


def test_why_names_turn_and_causes(store: Path) -> None:
    """For people and for programs; a field that never was is wrong usage."""
    (found,) = records("why", "Clerk", "c", "lines", "[-1]", "--store", store)
    assert (found["value"], found["path"]) == ("8", [0])
    assert [cause["kind"] for cause in found["causes"]] == ["Boss"]
    shown = invoke("why", "Clerk", "c", "count", "--store", store).stdout
    assert "Clerk/c.count = 7" in shown
    assert "caused by  from outside" in shown
    assert invoke("why", "Clerk", "c", "nothing", "--store", store).exit_code == 2


def test_a_value_older_than_the_journal_ends_with_exit_code_5(tmp_path: Path) -> None:
    """The value is shown, and that nobody knows any more who set it."""
    path = tmp_path / "old.db"
    with AgentSystem.open(path, agents=[Clerk], sync="process") as system:
        clerk = system.agent(Clerk, "c")
        clerk.call(Clerk.change, "count", 0, 5).get(timeout=DEADLINE)
        clerk.call(Clerk.change, "owners", 1, 2).get(timeout=DEADLINE)
        last = system.journal.list(newest=True, limit=1)[0].sequence
    store = SqliteStore(path, sync="process")
    try:
        store.acquire(Owner.this_process())
        assert store.trim_journal(last, 100) == 1
    finally:
        store.close()
    result = invoke("why", "Clerk", "c", "count", "--store", path)
    assert result.exit_code == 5
    assert "Clerk/c.count = 5" in result.stdout
    assert "set before the oldest commit" in result.stdout


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("T-1", ("T-1",)), ("[3].owner", (3, "owner")), ('["a.b"][0]', ("a.b", 0)),
        ("a.b[-1]", ("a", "b", -1)), (json.dumps(['"]'])[:-1] + "]", ('"]',)),
    ],
)  # fmt: skip
def test_paths_are_read_as_people_write_them(text: str, path: tuple[str | int, ...]) -> None:
    """Entries, positions, members, and names that hold the signs of paths."""
    assert path_of(text) == path


@pytest.mark.parametrize("text", ["[", "a[", "[x]", '["a]', "a..b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    """The error shows the right forms."""
    with pytest.raises(ConfigurationError, match="is no path"):
        path_of(text)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--after", "x"], "no id of an event"), (["--since", "soon"], "is no time"),
        (["--output", "x"], "--format"), (["--session", "none"], "no session"),
        (["--session", "a", "--correlation", 1], "not both"),
        (["--since", 5, "--until", 4], "after the second"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused_in_a_sentence(
    options: list[object], told: str, store: Path
) -> None:
    """Each names what is wrong with it."""
    result = invoke("timeline", *options, "--store", store)
    assert result.exit_code in (2, 5)
    assert told in result.output
