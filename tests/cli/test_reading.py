"""The commands that read a store: what they show to people and give to programs."""

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from perdure import AgentSystem
from perdure.persistence.store.lease import Owner
from perdure.url import open_store
from tests.cli.commands import invoke, records, spawn
from tests.cli.programs import Desk, Gatekeeper


def test_agents_are_listed(desk_store: Path) -> None:
    """Each agent is there with its status, version and last commit, in order."""
    found = records("agents", "--store", desk_store)
    assert [(a["kind"], a["key"], a["status"], a["version"]) for a in found] == [
        ("Desk", "apac", "paused", 2), ("Desk", "emea", "active", 10),
        ("Gatekeeper", "north", "active", 1),
    ]  # fmt: skip
    table = invoke("agents", "--store", desk_store).stdout
    assert [text.split()[:3] for text in table.splitlines()[1:]] == [
        ["Desk", "apac", "paused"], ["Desk", "emea", "active"], ["Gatekeeper", "north", "active"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["--kind", "Desk"], ["apac", "emea"]),
        (["--status", "active"], ["emea", "north"]),
        (["--kind", "Desk", "--status", "active"], ["emea"]),
        (["--limit", "1"], ["apac"]),
        (["--kind", "Nobody"], []),
    ],
)
def test_agents_are_chosen(desk_store: Path, options: list[str], keys: list[str]) -> None:
    """Kind and status choose, the limit cuts."""
    assert [a["key"] for a in records("agents", "--store", desk_store, *options)] == keys


def test_what_is_cut_off_is_said(desk_store: Path) -> None:
    """A list that is cut says so on stderr, so that stdout stays a list; an empty one too."""
    result = invoke("agents", "--store", desk_store, "--limit", "1")
    assert result.stderr == "there are more; --after Desk/apac shows them\n"
    assert len(result.stdout.splitlines()) == 2
    assert invoke("agents", "--store", desk_store, "--limit", "3").stderr == ""
    nobody = invoke("agents", "--store", desk_store, "--kind", "Nobody")
    assert (nobody.exit_code, nobody.stdout, nobody.stderr) == (0, "", "no such agents\n")


def test_the_environment_names_the_store(desk_store: Path) -> None:
    """PERDURE_STORE takes the place of --store; URLs name stores as well as paths do."""
    done = spawn("agents", "--json", PERDURE_STORE=f"sqlite:///{desk_store}")
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 3, "")


def test_an_agent_is_shown(desk_store: Path) -> None:
    """State, mail, timers and commits of one agent are all there: last items, first entries."""
    (emea,) = records("show", "Desk", "emea", "--store", desk_store, "--items", "2")
    assert emea["fields"] == {"open": 8, "title": "Europe"}
    assert emea["logs"]["transcript"] == {
        "length": 8,
        "last": [
            {"position": 6, "value": "T-6 -> mira"}, {"position": 7, "value": "T-7 -> mira"},
        ],
    }  # fmt: skip
    assert emea["maps"]["owners"] == {
        "count": 8,
        "first": [{"entry": "T-0", "value": "mira"}, {"entry": "T-1", "value": "mira"}],
    }
    assert [(t["name"], t["method"], t["body"]) for t in emea["timers"]] == [
        ("reminder", "name", [["late"], {}])
    ]
    assert [commit["name"] for commit in emea["commits"]] == ["name", "remind"]
    assert emea["commits"][0]["delta"] == {"set": {"title": "Europe"}}
    assert emea["problems"] == []
    (apac,) = records("show", "Desk", "apac", "--store", desk_store, "--items", "3")
    assert (apac["status"], apac["mail"]["count"]) == ("paused", 7)
    assert [m["body"] for m in apac["mail"]["first"]] == [
        [[f"W-{n}"], {"owner": "noor"}] for n in range(3)
    ]


def test_an_agent_is_shown_to_people(desk_store: Path) -> None:
    """The same on a page: values as JSON, calls as arguments, lists with what they are part of."""
    emea = invoke("show", "Desk", "emea", "--store", desk_store).stdout
    for part in (
        "Desk/emea", '  title  "Europe"', "log transcript  8 items, the last 5:",
        "map owners  8 entries, the first 5:", '  "T-0"  "mira"', "timers  1", "once",
        'title = "Europe"',
    ):  # fmt: skip
        assert part in emea
    apac = invoke("show", "Desk", "apac", "--store", desk_store).stdout
    assert "log transcript  1 item\n" in apac
    assert "mail  7 waiting, the first 5:" in apac
    assert 'assign  "W-0", owner="noor"' in apac
    bare = invoke("show", "Desk", "apac", "--store", desk_store, "--items", "0").stdout
    assert "mail  7 waiting" in bare
    assert "W-0" not in bare


def test_what_is_damaged_is_said_and_the_rest_is_shown(own_store: Path) -> None:
    """Values that fail their checksum or are no JSON become problems; the exit code is 1."""
    with sqlite3.connect(own_store) as connection:
        connection.execute("""UPDATE fields SET value = '"Asia"' WHERE field = 'title'""")
        connection.execute("UPDATE log_items SET value = '0' WHERE position = 7")
        connection.execute("UPDATE map_entries SET value = '0' WHERE entry = 'T-0'")
        connection.execute("UPDATE journal SET delta = '{}' WHERE name = 'assign'")
    connection.close()
    (emea,) = records("show", "Desk", "emea", "--store", own_store, code=1)
    assert emea["fields"] == {"open": 8, "title": None}
    assert len(emea["problems"]) == 4
    assert emea["timers"]
    page = invoke("show", "Desk", "emea", "--store", own_store)
    assert page.exit_code == 1
    assert page.stderr.count("problem: ") == 4
    assert "state.title: its checksum does not match" in page.stderr
    assert "reminder" in page.stdout


def test_the_journal_ends_with_the_newest(desk_store: Path) -> None:
    """The newest commits are shown, oldest first; with --after those that follow."""
    everything = records("journal", "--store", desk_store, "--after", 0, "--limit", 1000)
    sequences = [entry["sequence"] for entry in everything]
    assert sequences == sorted(set(sequences))
    assert len(everything) == 13
    assert records("journal", "--store", desk_store, "--limit", 3) == everything[-3:]
    after = ("--after", sequences[4], "--limit", 2)
    assert records("journal", "--store", desk_store, *after) == everything[5:7]
    newest = records("journal", "--newest", "--limit", 3, "--store", desk_store)
    assert newest == everything[:-4:-1]
    older = ("--newest", "--after", sequences[4], "--limit", 2)
    assert records("journal", "--store", desk_store, *older) == everything[3:1:-1]
    assert records("journal", "--oldest", "--limit", 2, "--store", desk_store) == everything[:2]
    desks = records("journal", "--kind", "Desk", "--store", desk_store)
    assert desks == [entry for entry in everything if entry["kind"] == "Desk"]
    apac = records("journal", "--kind", "Desk", "--key", "apac", "--store", desk_store)
    assert [(entry["name"], entry["version"]) for entry in apac] == [("assign", 1), ("(pause)", 2)]


def test_the_journal_reads_like_assignments(desk_store: Path) -> None:
    """A person sees what was handled and what changed, or that there was nothing."""
    apac = ("--kind", "Desk", "--key", "apac")
    page = invoke("journal", *apac, "--store", desk_store).stdout.splitlines()
    assert page[0].split() == ["SEQUENCE", "TIME", "(UTC)", "AGENT", "HANDLED", "CHANGES"]
    assert page[1].endswith('open = 1, transcript[0] = "A-1 -> mira", owners["A-1"] = "mira"')
    empty = invoke("journal", "--kind", "Desk", "--key", "nobody", "--store", desk_store)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert empty.stderr == "no such commits in the journal\n"


def test_growth_adds_up(desk_store: Path) -> None:
    """Fields and agents are two ways to split the same bytes; the file is the file."""
    (report,) = records("growth", "--store", desk_store)
    for split in ("fields", "agents"):
        assert sum(part["bytes"] for part in report[split]) == report["values"]["bytes"]
        assert sum(part["rows"] for part in report[split]) == report["values"]["rows"]
        sizes = [part["bytes"] for part in report[split]]
        assert sizes == sorted(sizes, reverse=True)
    journal = sum(part["bytes"] for part in report["fields"] if part["table"] == "journal")
    assert journal == report["journal"]["bytes"] > 0
    assert report["journal"]["share"] == journal / report["values"]["bytes"]
    assert report["disk"]["file"] == desk_store.stat().st_size
    assert report["disk"]["free"] == report["disk"]["free_pages"] * report["disk"]["page"]
    page = invoke("growth", "--store", desk_store, "--limit", 2).stdout
    assert "agents  4, the largest 2:" in page
    assert "% of the values" in page
    for split in ("fields", "agents"):
        assert records("growth", split, "--limit", 1000, "--store", desk_store) == report[split]
        first = invoke("growth", split, "--limit", 1, "--json", "--store", desk_store)
        place = shlex.split(first.stderr)[4]
        behind = records("growth", split, "--after", place, "-n", 1000, "--store", desk_store)
        assert behind == report[split][1:]


def test_doctor_finds_nothing_in_a_good_store(desk_store: Path) -> None:
    """A healthy store is said to be healthy, with exit code 0."""
    (report,) = records("doctor", "--store", desk_store)
    assert report["healthy"] is True
    assert report["counts"]["agents"] == 3
    page = invoke("doctor", "--store", desk_store)
    assert page.exit_code == 0
    assert page.stdout.endswith("\nHealthy: every checksum matches.\n")
    assert "owner         none; the last was process" in page.stdout


def test_doctor_names_what_is_damaged(own_store: Path) -> None:
    """A changed value is named with its agent and place, with exit code 1."""
    with sqlite3.connect(own_store) as connection:
        connection.execute("""UPDATE fields SET value = '"Asia"' WHERE field = 'title'""")
    connection.close()
    (report,) = records("doctor", "--store", own_store, code=1)
    assert report["healthy"] is False
    assert report["bad"] == [{"table": "fields", "kind": "Desk", "key": "emea", "place": "title"}]
    page = invoke("doctor", "--store", own_store)
    assert page.exit_code == 1
    assert "DAMAGED" in page.stdout
    assert ["fields", "Desk", "emea", "title"] in [s.split() for s in page.stdout.splitlines()]
    (found,) = records("doctor", "findings", "--store", own_store, code=1)
    assert found == {"number": 1, "where": "fields", "kind": "Desk", "key": "emea", "what": "title",
                     "code": "field"}  # fmt: skip
    none = invoke("doctor", "findings", "--after", 1, "--store", own_store)
    assert (none.exit_code, none.stdout, none.stderr) == (1, "", "no such findings\n")


@pytest.fixture
def young_store(tmp_path: Path) -> Path:
    """Give a store with two that never committed: one has mail, one only a dead letter."""
    path = tmp_path / "young.db"
    with AgentSystem.open(path, agents=[Desk, Gatekeeper], sync="process") as system:
        for key in ("new", "newer"):
            system.agent(Desk, key).cast(Desk.refuse, "me")
            assert system.idle(20)
        system.agent(Gatekeeper, "north").call(Gatekeeper.tick).get()
        first = system.dead_letters.list()[0]
    assert invoke("dead-letters", "requeue", first.id, "--store", path).exit_code == 0
    return path


def test_agents_that_never_committed_are_listed(young_store: Path) -> None:
    """Who has only mail or a dead letter is listed once, in order, without a version."""
    found = records("agents", "--store", young_store)
    assert [(a["key"], a["status"], a["version"], a["sequence"] > 0) for a in found] == [
        ("new", "active", 0, False), ("newer", "active", 0, False), ("north", "active", 1, True),
    ]  # fmt: skip
    assert [a["key"] for a in records("agents", "--store", young_store, "--kind", "Desk")] == [
        "new", "newer",
    ]  # fmt: skip
    table = invoke("agents", "--store", young_store).stdout.splitlines()
    assert table[1].split() == ["Desk", "new", "active", "-", "never"]


def test_an_agent_that_never_committed_is_shown(young_store: Path) -> None:
    """Its mail and dead letters are shown, with a word on why there is no state."""
    (new,) = records("show", "Desk", "new", "--store", young_store)
    assert [m["body"] for m in new["mail"]["first"]] == [[["me"], {}]]
    assert (new["version"], new["fields"], new["dead_letters"]) == (0, {}, 0)
    page = invoke("show", "Desk", "new", "--store", young_store).stdout
    assert "it has never committed" in page
    assert "mail  1 waiting" in page
    (newer,) = records("show", "Desk", "newer", "--store", young_store)
    assert (newer["mail"]["count"], newer["dead_letters"]) == (0, 1)
    page = invoke("show", "Desk", "newer", "--store", young_store).stdout
    assert "dead letters  1, see `perdure dead-letters`" in page


def log_of(store: Path, *options: object, code: int = 0) -> list[tuple[int, str]]:
    """Return positions and values of a range of the transcript."""
    words = ("show", "Desk", "emea", "--store", store, "--log", "transcript", *options)
    return [(item["position"], item["value"]) for item in records(*words, code=code)]


def test_a_range_of_a_log_is_shown(desk_store: Path) -> None:
    """With --log only that log is shown: the last items, or those from a position."""
    whole = [(n, f"T-{n} -> mira") for n in range(8)]
    assert log_of(desk_store, "--items", 3) == whole[-3:]
    assert log_of(desk_store, "--from", 2, "--items", 3) == whole[2:5]
    assert log_of(desk_store, "--from", 6, "--items", 100) == whole[6:]
    assert log_of(desk_store, "--from", 8) == []
    words = ("show", "Desk", "emea", "--store", desk_store, "--log", "transcript", "--from")
    page = invoke(*words, 2, "--items", 1).stdout.splitlines()
    assert [text.split(maxsplit=1) for text in page] == [
        ["POSITION", "VALUE"], ["2", '"T-2 -> mira"'],
    ]  # fmt: skip
    beyond = invoke(*words, 8)
    assert (beyond.exit_code, beyond.stdout) == (0, "")
    assert beyond.stderr == "no such items: the log has 8 items, counted from 0\n"


def test_a_damaged_item_hides_no_other(own_store: Path) -> None:
    """In a range with an item that cannot be read the others are shown, with exit code 1."""
    with sqlite3.connect(own_store) as connection:
        connection.execute("UPDATE log_items SET value = '0' WHERE position = 1")
        connection.execute("UPDATE journal SET delta = '{}' WHERE name = 'assign'")
    connection.close()
    found = log_of(own_store, "--from", 0, "--items", 4, code=1)
    assert [position for position, _ in found] == [0, 2, 3]


def test_a_log_that_is_not_there(desk_store: Path) -> None:
    """A log or agent that is not there is named with those that are; --from alone is refused."""
    show = ("show", "Desk", "emea", "--store", desk_store)
    unknown = invoke(*show, "--log", "script")
    assert unknown.exit_code == 5
    assert unknown.stderr.endswith("no log 'script' with items; there are: transcript\n")
    assert invoke("show", "Desk", "eema", "--store", desk_store, "--log", "x").exit_code == 5
    alone = invoke(*show, "--from", "3")
    assert alone.exit_code == 2
    assert "--from needs --log" in alone.stderr


def test_an_agent_is_shown_as_it_was(desk_store: Path) -> None:
    """With --at the state of an earlier version is shown, with the commits up to it."""
    words = ("show", "Desk", "emea", "--at", 3, "--items", 2, "--store", desk_store)
    (then,) = records(*words)
    assert (then["version"], then["name"], then["fields"]) == (3, "assign", {"open": 3})
    assert then["logs"] == {
        "transcript": {
            "length": 3,
            "last": [{"position": n, "value": f"T-{n} -> mira"} for n in (1, 2)],
        }
    }
    assert then["maps"] == {
        "owners": {"count": 3, "first": [{"entry": f"T-{n}", "value": "mira"} for n in range(2)]}
    }
    assert [commit["version"] for commit in then["commits"]] == [2, 3]
    assert then["sequence"] == then["commits"][-1]["sequence"]
    page = invoke(*words).stdout
    assert "version  3 of 10" in page
    assert "log transcript  3 items, the last 2:" in page
    start = records("show", "Desk", "emea", "--at", 0, "--store", desk_store)[0]
    assert (start["fields"], start["sequence"], start["commits"]) == ({}, None, [])


def test_what_changed_between_versions_is_shown(desk_store: Path) -> None:
    """A difference is named by its path; without versions it is what the last commit changed."""
    words = ("diff", "Desk", "emea")
    assert records(*words, 7, 9, "--store", desk_store) == [
        {"path": ["open"], "change": "changed", "before": 7, "after": 8},
        {"path": ["owners", "T-7"], "change": "added", "after": "mira"},
        {"path": ["title"], "change": "added", "after": "Europe"},
        {"path": ["transcript", 7], "change": "added", "after": "T-7 -> mira"},
    ]
    assert records(*words, 9, 8, "--store", desk_store) == [
        {"path": ["title"], "change": "removed", "before": "Europe"}
    ]
    page = invoke(*words, 8, "--store", desk_store).stdout.splitlines()
    assert page[0] == "Desk/emea, version 8 to 10"
    assert page[2].split() == ["title", "added", '"Europe"']
    last = invoke(*words, "--store", desk_store)
    assert (last.exit_code, last.stdout) == (0, "")
    assert last.stderr == "nothing differs between version 9 and version 10\n"


def test_versions_that_are_not_there(own_store: Path) -> None:
    """A version that never was, one that was trimmed away, and no agent: each is said."""
    for words in (("show", "Desk", "emea", "--at", 99), ("diff", "Desk", "emea", 99)):
        result = invoke(*words, "--store", own_store)
        assert result.exit_code == 5
        assert "has no version 99: the latest is 10" in result.stderr
    assert invoke("diff", "Desk", "eema", "--store", own_store).exit_code == 5
    both = invoke("show", "Desk", "emea", "--at", 3, "--log", "transcript", "-s", own_store)
    assert both.exit_code == 2
    with closing(open_store(own_store, sync="process")) as store:
        store.acquire(Owner.this_process())
        store.trim_journal(store.journal("Desk", "emea")[4].sequence, 100)
    trimmed = invoke("show", "Desk", "emea", "--at", 3, "--store", own_store)
    assert trimmed.exit_code == 5
    assert "the journal does not reach version 3 of Desk/emea" in trimmed.stderr
    assert "4 is the oldest version that is known" in trimmed.stderr
    (then,) = records("show", "Desk", "emea", "--at", 4, "--store", own_store, code=1)
    assert (then["fields"]["open"], then["logs"]["transcript"]["length"]) == (4, 4)
    assert then["problems"][0] == "state.owners['T-4'] is not known at version 4 any more"


def test_a_change_that_is_lost_is_said(own_store: Path) -> None:
    """Nothing is compared across a damaged entry; else what is known is shown."""
    with sqlite3.connect(own_store) as connection:
        connection.execute("UPDATE journal SET delta = '{}' WHERE name = 'name'")
    connection.close()
    result = invoke("diff", "Desk", "emea", 8, 10, "--store", own_store)
    assert result.exit_code == 3
    assert "the journal entry of version 9 of Desk/emea" in result.stderr
    (then,) = records("show", "Desk", "emea", "--at", 8, "--store", own_store, code=1)
    assert then["fields"] == {"open": 8}
    assert then["logs"]["transcript"]["length"] == 8
