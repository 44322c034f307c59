"""`perdure backup`: for people and for scripts."""

from pathlib import Path

import pytest

from tests.backup.stores import Ledger, contents, fill, opened
from tests.cli.commands import invoke, records


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Make a store."""
    path = tmp_path / "ledger.db"
    fill(path)
    return path


def test_made_listed_verified_and_brought_back(store: Path, tmp_path: Path) -> None:
    """Each step says in JSON what it did; what comes back is what was there."""
    folder, again = tmp_path / "backups", tmp_path / "again.db"
    (full,) = records("backup", "create", folder, "--store", store, "--note", "before")
    (little,) = records("backup", "create", folder, "--store", store, "--incremental")
    assert (full["parent"], little["parent"], full["note"]) == ("", full["name"], "before")
    assert [each["name"] for each in records("backup", "list", folder)] == [
        full["name"],
        little["name"],
    ]
    (newest,) = records("backup", "list", folder, "--newest", "--limit", "1")
    assert newest["name"] == little["name"]
    (verified,) = records("backup", "verify", folder, "--drill", "--code", "tests.backup.stores")
    assert (verified["verified"], verified["tried"]) == (True, 6)
    (restored,) = records("backup", "restore", folder, full["name"], "--to", again)
    assert restored["last"] == full["last"]
    assert contents(again) == contents(store)


def test_while_another_owns_the_store(store: Path, tmp_path: Path) -> None:
    """A backup is made while a system has the store open."""
    with opened(store) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        result = invoke("backup", "create", tmp_path / "backups", "--store", store)
        assert result.exit_code == 0


def test_each_trouble_has_its_exit_code(store: Path, tmp_path: Path) -> None:
    """Damage is 1, a wrong command line 2, an unknown name 5; each in one sentence."""
    folder = tmp_path / "backups"
    (made,) = records("backup", "create", folder, "--store", store)
    name = made["name"]
    for code, words, arguments in (
        (2, "needs --store", ("create", folder)),
        (2, "takes no NAME", ("create", folder, name, "--store", store)),
        (2, "needs --to", ("restore", folder)),
        (2, "nothing is overwritten", ("restore", folder, "--to", store)),
        (2, "no key", ("create", folder, "--store", store, "--keys", tmp_path / "no key")),
        (3, "does not exist", ("create", folder, "--store", tmp_path / "none.db")),
        (5, "there is no backup", ("info", folder, "20260101T000000000Z-000000000001-00000000")),
    ):
        result = invoke("backup", *arguments)
        assert (result.exit_code, words in result.output) == (code, True), result.output
    file = folder / f"{name}.backup"
    file.write_bytes(file.read_bytes()[:-1])
    for action in ("verify", "info", "list"):
        result = invoke("backup", action, folder)
        assert (result.exit_code, "cut off" in result.output) == (1, True), result.output


def test_a_part_is_brought_back(store: Path, tmp_path: Path) -> None:
    """One agent in its place, under another key, or into a new store; each says what it did."""
    folder = tmp_path / "backups"
    (made,) = records("backup", "create", folder, "--store", store)
    with opened(store) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1000).get()
    restore = ("backup", "restore", folder, made["name"], "--agent", "Ledger/k0")
    into = ("--in-place", "--store", store)
    (forked,) = records(*restore, *into, "--as", "k0-then")
    (brought,) = records(*restore, *into)
    (taken,) = records(*restore, "--to", tmp_path / "part.db")
    assert (forked["returned"], brought["changed"], taken["returned"]) == (1, 1, 1)
    assert brought["safety"] in {each["name"] for each in records("backup", "list", folder)}
    for file, keys in ((store, ("k0", "k0-then")), (tmp_path / "part.db", ("k0",))):
        with opened(file) as system:
            for key in keys:
                assert system.agent(Ledger, key).call(Ledger.add, 0).get() == 0 + 5 + 10 + 15
    with opened(tmp_path / "part.db") as system:
        assert [row.key for row in system.agents.each()] == ["k0"]
    for words, wrong in (
        ("give one of", ("--kind", "Ledger", *into)),
        ("give KIND/KEY", ("--agent", "k0", *into)),
        ("comes back with --to", ("--kind", "Ledger")),
        ("takes one --agent", ("--kind", "Ledger", *into, "--as", "k9")),
        ("are for a part", ("--mail", *into)),
        ("there was no agent", ("--agent", "Ledger/none", "--at", made["last"], *into)),
    ):
        result = invoke("backup", "restore", folder, *wrong)
        assert (result.exit_code, words in result.output) == (2, True), result.output
