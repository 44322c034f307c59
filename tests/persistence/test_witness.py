"""A store that went back in time is noticed before anybody writes to it."""

import base64
import logging
import shlex
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from perdure import AgentSystem, Backups, new_key, open_reader
from perdure.persistence.errors import StoreWentBack
from perdure.persistence.upkeep.doctor import examine
from tests.backup.stores import Ledger, contents, fill, opened
from tests.cli.commands import invoke, records


def went_on(path: Path, count: int, *, sync: str = "power") -> int:
    """Make commits; return the last."""
    with AgentSystem.open(path, agents=[Ledger], sync=sync, service=False) as system:
        for number in range(count):
            system.agent(Ledger, "k0").call(Ledger.add, number + 1).get()
        return system.journal.list(newest=True, limit=1)[0].sequence


def set_back(path: Path, earlier: bytes) -> None:
    """Have the same file hold what it held before."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(earlier)


def test_a_store_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    """It says what is gone and what to restore; nothing is written, until the witness is away."""
    path = tmp_path / "ledger.db"
    fill(path, 3)
    earlier, before = path.read_bytes(), contents(path)
    last = went_on(path, 7)
    Backups(tmp_path / "backups").create(path)
    set_back(path, earlier)
    with pytest.raises(StoreWentBack, match="has gone back in time: 7 commits or more") as caught:
        went_on(path, 1)
    assert caught.value.seen == last
    assert f"--at {last}" in str(caught.value)
    assert contents(path) == before
    assert path.read_bytes() == earlier
    Backups(tmp_path / "backups").recover(tmp_path / "again.db", sequence=last)
    assert went_on(tmp_path / "again.db", 1) == last + 1
    (tmp_path / "ledger.db-witness").unlink()
    went_on(path, 1)


def test_another_end_is_refused(tmp_path: Path) -> None:
    """A store that was set back and went on, as far as before, is another one all the same."""
    path, other = tmp_path / "ledger.db", tmp_path / "other.db"
    fill(path, 3)
    earlier = path.read_bytes()
    shutil.copy(path, other)
    last = went_on(path, 5)
    assert went_on(other, 5) == last
    set_back(path, other.read_bytes())
    assert path.read_bytes() != earlier
    with pytest.raises(StoreWentBack, match="another one"):
        went_on(path, 1)


def test_a_copy_has_no_witness(tmp_path: Path) -> None:
    """An older file that is put in the place of the store, as a restore does, opens."""
    path = tmp_path / "ledger.db"
    fill(path, 3)
    shutil.copy(path, tmp_path / "copy.db")
    went_on(path, 5)
    (tmp_path / "copy.db").replace(path)
    went_on(path, 1)


def test_where_power_may_take_commits_it_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With sync="process" nothing else was promised, so the store opens, loudly."""
    path = tmp_path / "ledger.db"
    fill(path, 3)
    earlier = path.read_bytes()
    went_on(path, 5, sync="process")
    set_back(path, earlier)
    with caplog.at_level(logging.ERROR):
        went_on(path, 1)
    assert "has gone back in time" in caplog.text


@pytest.mark.parametrize("spoil", [b"", b"x", b"00000000 {}"])
def test_a_damaged_witness_says_nothing(tmp_path: Path, spoil: bytes) -> None:
    """A witness that was torn or spoilt hinders nobody, and is written anew."""
    path = tmp_path / "ledger.db"
    fill(path, 3)
    (tmp_path / "ledger.db-witness").write_bytes(spoil)
    went_on(path, 1)
    assert (tmp_path / "ledger.db-witness").read_bytes() != spoil


def test_it_is_written_while_the_system_runs(tmp_path: Path) -> None:
    """The renewal of the lease writes it, so a killed owner has left one."""
    path = tmp_path / "ledger.db"
    with opened(path) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        system._store.renew()
        first = (tmp_path / "ledger.db-witness").read_bytes()
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        assert (tmp_path / "ledger.db-witness").read_bytes() == first
    assert (tmp_path / "ledger.db-witness").read_bytes() != first


@pytest.mark.parametrize("sync", ["power", "process"])
def test_the_doctor_looks_at_the_witness(tmp_path: Path, sync: str) -> None:
    """A store that lost its end is told by it; it is damage where the commits were to survive."""
    path = tmp_path / "ledger.db"
    fill(path, 3)
    earlier = path.read_bytes()
    last = went_on(path, 7, sync=sync)
    (sound,) = records("doctor", "--store", path)
    assert (sound["healthy"], sound["gone"], sound["codes"].get("went-back")) == (True, None, None)
    set_back(path, earlier)
    promised = sync == "power"
    (told,) = records("doctor", "--store", path, code=int(promised))
    assert (told["healthy"], told["codes"]["went-back"]) == (not promised, 1)
    gone = told["gone"]
    assert (gone["sequence"], gone["last"], gone["promised"]) == (last, last - 7, promised)
    (finding,) = records("doctor", "findings", "--store", path, code=int(promised))
    assert finding["what"].startswith(
        f"7 turns or more are missing at the end: it ends with commit {last - 7}"
    )


def test_a_live_store_is_not_taken_for_one_that_went_back(tmp_path: Path) -> None:
    """While its owner goes on, and after another file took its place."""
    path = tmp_path / "ledger.db"
    fill(path, 3)
    with opened(path) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        with closing(open_reader(path)) as reader:
            assert examine(reader).gone is None
    shutil.copy(path, tmp_path / "copy.db")
    went_on(path, 5)
    (tmp_path / "copy.db").replace(path)
    with closing(open_reader(path)) as reader:
        assert examine(reader).gone is None


def test_a_repair_says_how_many_turns_are_missing(tmp_path: Path) -> None:
    """At the end, by the witness; an encrypted backup that has them is found, with its keys."""
    path, folder, keys = tmp_path / "ledger.db", tmp_path / "backups", tmp_path / "keys"
    keys.write_text(f"k1 {base64.b64encode(new_key()).decode()}\n")
    keys.chmod(0o600)
    fill(path, 3)
    earlier = path.read_bytes()
    last = went_on(path, 7)
    assert invoke("backup", "create", folder, "--store", path, "--keys", keys).exit_code == 0
    set_back(path, earlier)
    repair = ("doctor", "--repair", "--store", path, "--backups", folder)
    (told,) = records(*repair, "--to", tmp_path / "new.db", "--keys", keys, code=1)
    assert (told["missing"], told["whole"]) == (7, False)
    (loss,) = told["losses"]
    assert (loss["what"], loss["name"]) == ("turns at the end", "7 or more")
    *_, advice = told["advice"]
    assert (
        advice == f"perdure backup restore {folder} --at {last} --to with-its-end.db --keys {keys}"
    )
    back = [*shlex.split(advice)[1:]]
    back[back.index("--to") + 1] = str(tmp_path / "end.db")
    assert invoke(*back).exit_code == 0
    assert went_on(tmp_path / "end.db", 1) == last + 1
    assert invoke("doctor", "--repair", "--store", path, "--keys", keys).exit_code == 2
