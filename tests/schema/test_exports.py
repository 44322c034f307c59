"""Exports say by which versions of their types values were written: an import migrates them."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import AgentSystem, Scope, errors
from perdure.shared.scopes import files
from tests.cli.commands import invoke, records
from tests.schema.test_values_back import Fare, Fare2, Fare3

SCOPE = Scope.user("mira")


def opened(path: Path, fare: type) -> AgentSystem:
    """Open a store by a release."""
    system = AgentSystem.open(path, agents=[], schemas={"fare/*": fare})
    system.artifacts.register("report/*", fare)
    return system


def first(path: Path) -> Path:
    """Make a store of the first release: with keys, a session, an artifact in it."""
    with opened(path, Fare) as system:
        system.state.set(SCOPE, "fare/1", Fare(1))
        system.state.set(SCOPE, "else", {"euros": 5})
        system.sessions.create("trip")
        scope = Scope.session("trip")
        system.state.set(scope, "fare/2", Fare(2))
        system.artifacts.save("report/1", b"x", scope=scope, meta={"euros": 7})
        system.sessions.export("trip", path.with_suffix(".session"))
    records("state", "export", path.with_suffix(".keys"), str(SCOPE), "--store", path)
    return path


def test_keys_are_migrated_when_they_are_imported(tmp_path: Path) -> None:
    """Into a store that is migrated already; what has no type stays as it is."""
    keys = first(tmp_path / "one.db").with_suffix(".keys")
    assert '"schema":"1.0.0"' in keys.read_text()
    with opened(tmp_path / "two.db", Fare2) as system:
        system.state.set(SCOPE, "fare/9", Fare2(900))
        assert load(system, keys) == 2
        assert system.state.get(SCOPE, "fare/1") == Fare2(100)
        assert system.state.get(SCOPE, "else") == {"euros": 5}
    again = tmp_path / "again.keys"
    records("state", "export", again, str(SCOPE), "--store", tmp_path / "two.db")
    with opened(tmp_path / "three.db", Fare2) as system:
        load(system, again)
        assert system.state.get(SCOPE, "fare/1") == Fare2(100)
    with opened(tmp_path / "four.db", Fare) as system:  # and back: that migration is not known
        with pytest.raises(errors.ImportRefused, match=r"no migrations lead from 2\.0\.0 to 1\.0"):
            load(system, again)
        assert not system.state.exists(SCOPE, "else")


def load(system: AgentSystem, path: Path) -> int:
    """Import a file of keys."""
    return files.load(path, system.state, now=0.0)[0]


def test_a_session_is_migrated_when_it_is_imported(tmp_path: Path) -> None:
    """Its keys, and the metadata of its artifacts; one that cannot be leaves nothing behind."""
    file = first(tmp_path / "one.db").with_suffix(".session")
    with opened(tmp_path / "two.db", Fare2) as system:
        system.sessions.import_(file)
        scope = Scope.session("trip")
        assert system.state.get(scope, "fare/2") == Fare2(200)
        assert system.artifacts.get("report/1", scope=scope).meta == {"cents": 700}
        system.sessions.export("trip", tmp_path / "newer.session")
    with opened(tmp_path / "three.db", Fare) as system:
        with pytest.raises(errors.MigrationFailed, match=r"no migrations lead from 2\.0\.0"):
            system.sessions.import_(tmp_path / "newer.session")
        assert not [*system.sessions.each()]
    with opened(tmp_path / "four.db", Fare3) as system:
        system.sessions.import_(file)
        assert system.state.get(Scope.session("trip"), "fare/2") == Fare3(200, "EUR")


def test_the_command_takes_no_values_of_another_version_for_those_of_the_store(
    tmp_path: Path,
) -> None:
    """It knows no types: values of the same version come in, and others are refused with why."""
    keys = first(tmp_path / "one.db").with_suffix(".keys")
    store = tmp_path / "two.db"
    with opened(store, Fare2) as system:
        system.state.set(SCOPE, "fare/9", Fare2(900))
    done = invoke("state", "import", keys, "--store", store)
    assert done.exit_code != 0
    assert "it is of version 1.0.0, and values here are of 2.0.0" in done.stderr.replace("\n", " ")
    newer = tmp_path / "newer.keys"
    records("state", "export", newer, str(SCOPE), "--store", store)
    (told,) = records("state", "import", newer, "--store", store)
    assert told["keys"] == 1
    with opened(store, Fare2) as system:
        assert system.state.get(SCOPE, "fare/9") == Fare2(900)
