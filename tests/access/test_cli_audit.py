"""``perdure audit`` as people and programs use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import Audit, FileKeys, new_key
from perdure.persistence.secrets.keys import key_text
from tests.access.agents import call, opened
from tests.cli.commands import invoke, records

from .test_tampering import ROWS, behind, made, put, row_of


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with decisions."""
    return made(tmp_path / "a.db")


def test_decisions_are_listed_newest_last_and_filtered(store: Path) -> None:
    """Without options the newest; every filter narrows; JSON has the documented keys."""
    assert [r["number"] for r in records("audit", "-s", store)] == list(range(1, ROWS + 1))
    assert [r["number"] for r in records("audit", "-s", store, "-n", 2)] == [ROWS - 1, ROWS]
    assert [r["number"] for r in records("audit", "-s", store, "--after", 3, "-n", 2)] == [4, 5]
    only = records("audit", "list", "-s", store, "--who", "system", "--outcome", "allowed")
    assert [r["operation"] for r in only] == ["grant ALL to agent:Desk/anna"]
    assert len(records("audit", "-s", store, "--scope", "workflow:w", "-n", 100)) == ROWS
    assert records("audit", "-s", store, "--operation", "nothing") == []
    assert set(only[0]) == {
        "number", "sequence", "time", "who", "scope", "key", "operation", "outcome", "reason",
        "times", "correlation", "hash",
    }  # fmt: skip
    result = invoke("audit", "-s", store, "-n", 1)
    assert "increment" in result.stdout
    assert "agent:Desk/anna" in result.stdout


def test_a_whole_chain_is_said_to_be_intact(store: Path) -> None:
    """Exit code 0, and the head to be noted."""
    result = invoke("audit", "verify", "-s", store)
    assert result.exit_code == 0
    (head,) = records("audit", "head", "-s", store)
    assert f"head {head['head']}" in result.stdout
    assert invoke("audit", "head", "-s", store).stdout.strip() == head["head"]
    (report,) = records("audit", "verify", "-s", store, "--head", head["head"])
    assert report["intact"]
    assert (report["rows"], report["last"], report["faults"]) == (ROWS, ROWS, [])


def test_each_bad_row_is_named_and_the_exit_code_is_1(store: Path) -> None:
    """A removed and a changed row, for people and for programs; doctor says it, too."""
    with behind(store) as connection:
        connection.execute("DELETE FROM audit WHERE number = 3")
        connection.execute("UPDATE audit SET who_part = 'bert' WHERE number = 7")
    result = invoke("audit", "verify", "-s", store)
    assert result.exit_code == 1
    assert "row 3 is missing" in result.stdout
    assert "row 7 was changed" in result.stdout
    (report,) = records("audit", "verify", "-s", store, code=1)
    assert [fault["number"] for fault in report["faults"]] == [3, 7]
    doctor = invoke("doctor", "-s", store)
    assert doctor.exit_code == 1
    assert "row 3 is missing" in doctor.stdout


def test_a_key_is_given_as_a_file(tmp_path: Path) -> None:
    """With it the rows are checked; without it that is said."""
    path, keys = tmp_path / "a.db", tmp_path / "keys.txt"
    keys.touch(mode=0o600)
    keys.write_text(f"k1 {key_text(new_key())}\n")
    with opened(path, audit=Audit(key=FileKeys(keys))) as system:
        call(system, "anna", "try_to_read", "workflow:w", "k")
    result = invoke("audit", "verify", "-s", path)
    assert result.exit_code == 1
    assert "2 decisions are sealed with a key that was not given" in " ".join(result.stdout.split())
    assert "Intact" not in result.output
    (report,) = records("audit", "verify", "-s", path, code=1)
    assert (report["intact"], report["unchecked"], report["faults"]) == (False, 2, [])
    (report,) = records("audit", "verify", "-s", path, "--keys", keys)
    assert (report["intact"], report["unchecked"]) == (True, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--who", "nobody"), ("--scope", "workflow"), ("verify", "--head", "x"),
        ("--outcome", "denied"), ("--outcome", "\udcff"), ("--who", "user:\udcff"),
        ("--scope", "user:\udcff"), ("verify", "--head", "\udcff"), ("\udcff",),
        ("verify", "--keys", "env:\udcff"), ("verify", "--keys", "/none/\udcff"),
        ("--correlation", "\udcff"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(store: Path, wrong: tuple[str, ...]) -> None:
    """Exit code 2 and a sentence, no traceback."""
    result = invoke("audit", *wrong, "-s", store)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("outcome", ["allowed", "refused", "undone", "sealed"])
def test_each_outcome_can_be_asked_for(store: Path, outcome: str) -> None:
    """Those of decisions, and that of the rows that tell of a key."""
    found = records("audit", "-s", store, "--outcome", outcome)
    assert {r["outcome"] for r in found} <= {outcome}


def test_bytes_that_are_no_text_find_nothing_and_break_nothing(store: Path) -> None:
    """An operation of such a name is in no audit; a store of such a name is not there."""
    assert invoke("audit", "-s", store, "--operation", "\udcff").exit_code == 0
    assert invoke("audit", "-s", "/none/\udcff.db").exit_code == 3


def test_a_row_of_a_kind_that_is_not_known_is_shown_as_it_is(store: Path) -> None:
    """Marked by a question mark, between the others; verifying names it."""
    with behind(store) as connection:
        row = row_of(connection, 3)
        put(connection, (*row[:3], "robot", "r", "", "planet", "mars", "a b", *row[9:]))
    found = records("audit", "-s", store)
    assert [r["number"] for r in found] == list(range(1, ROWS + 1))
    assert (found[2]["who"], found[2]["scope"]) == ("?robot:r", "?planet:mars/a%20b")
    result = invoke("audit", "-s", store)
    assert result.exit_code == 0
    assert "?planet:mars" in result.stdout
    assert [f["number"] for f in records("audit", "verify", "-s", store, code=1)[0]["faults"]] == [
        3
    ]
