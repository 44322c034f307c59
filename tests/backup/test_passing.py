"""What came and went beside the journal is brought to any commit; what is sealed is named."""

from contextlib import closing
from pathlib import Path

from perdure import (
    Agent,
    AgentSystem,
    Backups,
    Keys,
    Secret,
    State,
    StaticKeys,
    new_key,
    open_reader,
)
from perdure.persistence.records.postings import events
from perdure.persistence.records.shared_tables import POSTINGS
from perdure.persistence.records.tables import Order
from tests.backup.stores import Ledger, contents, fill, opened
from tests.backup.test_recovery import pictures
from tests.kit.children import finished


class Vault(State):
    """A number."""

    opened: int = 0


class Safe(Agent[Vault]):
    """Takes a secret with a message, and is recorded."""

    record = True

    def unlock(self, code: Secret[str]) -> None:
        """Count."""
        self.state.opened += bool(code)

    def open(self, times: int) -> int:
        """Count."""
        self.state.opened += times
        return self.state.opened


KEYS = Keys(secrets=StaticKeys({"k": new_key()}))


def safes(path: Path) -> AgentSystem:
    """Open a store of such agents."""
    return AgentSystem.open(path, agents=[Safe], keys=KEYS, sync="process", service=False)


def test_what_is_sealed_is_named(tmp_path: Path) -> None:
    """A message with a secret comes back where the later copy has it; else it is named."""
    path, backups = tmp_path / "safe.db", Backups(tmp_path / "backups")
    with safes(path) as system:
        safe = system.agent(Safe, "1")
        safe.call(Safe.unlock, Secret("1")).get()
        backups.create(path)
        safe.pause()
        safe.cast(Safe.unlock, Secret("1234"))
        system.flush()
        then = pictures(path)[0]
        system.agent(Safe, "2").call(Safe.open, 1).get()
        assert not backups.recover(tmp_path / "a.db", sequence=then, store=path).unknown
        safe.resume()
        assert system.idle(20)
        found = backups.recover(tmp_path / "b.db", sequence=then, store=path)
        for row in system._store.page(POSTINGS, Order(("sequence",)), None, 99):
            assert "perdure:" not in repr(events(row))
    with closing(open_reader(tmp_path / "a.db")) as reader:
        assert [message.name for message in reader.mailbox("Safe")] == ["unlock"]
    assert [words.split(": ")[1] for words in found.unknown] == ["it has a sealed value"]


def test_what_hooks_did_is_cut_at_the_moment(tmp_path: Path) -> None:
    """Of blocks with what came before and behind the moment, the part before comes back."""
    path, backups = tmp_path / "safe.db", Backups(tmp_path / "backups")
    with safes(path) as system:
        safe = system.agent(Safe, "1")
        safe.call(Safe.open, 1).get()
        backups.create(path)
        for _ in range(5):
            for call in [safe.call(Safe.open, 1) for _ in range(60)]:
                call.get()
        assert system.idle(20)
        runs = list(system.hooks.history.each())
        moments = sorted({run.sequence for run in runs})[7::61]
        for moment in moments:
            target = tmp_path / f"{moment}.db"
            assert not backups.recover(target, sequence=moment, store=path).unknown
            with safes(target) as again:
                found = [run.id for run in again.hooks.history.each()]
            assert sorted(found) == sorted(run.id for run in runs if run.sequence <= moment)
        assert len(moments) > 3


def test_an_erased_agent_leaves_no_trace_of_its_mail(tmp_path: Path) -> None:
    """What it was sent goes with it; what others were sent stays."""
    path = tmp_path / "ledger.db"
    fill(path)
    with opened(path) as system:
        for key in ("k1", "k2"):
            system.agent(Ledger, key).cast(Ledger.note, "of a private kind")
        assert system.idle(20)
        system.agent(Ledger, "k1").delete(erase=True)
        rows = system._store.page(POSTINGS, Order(("sequence",)), None, 99)
        found = [event for row in rows for event in events(row) if event[1] == "+"]
        assert {event[4] for event in found if "private" in str(event)} == {"k2"}


def test_they_go_with_the_journal(tmp_path: Path) -> None:
    """No more of them is kept than of the journal."""
    path = tmp_path / "ledger.db"
    fill(path)
    with opened(path, keep=5) as system:
        for _ in range(30):
            for _ in range(100):
                system.agent(Ledger, "k0").cast(Ledger.add, 1)
            system.flush()
        assert system.idle(20)
    rows = contents(path)
    first = min(row[0] for row in rows["journal"])
    assert first > 1000
    assert all(row[0] >= first for row in rows["postings"])


def test_an_opening_loads_nothing_that_packs(tmp_path: Path) -> None:
    """What compresses is loaded by a backup or a large batch, not to open a store and commit."""
    code = (
        "import sys; from pathlib import Path; from tests.backup.stores import fill\n"
        "from perdure.persistence.records.zstd import zstd\n"
        "def loaded(): return bool({'backports.zstd', 'compression.zstd'} & sys.modules.keys())\n"
        f"fill(Path({str(tmp_path / 'ledger.db')!r}), 1)\n"
        "print(loaded(), zstd() and loaded())"
    )
    assert finished("-c", code)[0].split() == ["False", "True"]


def test_only_values_are_sealed(tmp_path: Path) -> None:
    """A folder whose name looks like the begin of a sealed value is a name as any other."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    backups.create(path)
    with opened(path) as system:
        system.backup.schedule(tmp_path / "perdure:kept", every=3_600.0)
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        then, _ = pictures(path)
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
    assert backups.recover(tmp_path / "then.db", sequence=then, store=path).last == then
    assert [row[0] for row in contents(tmp_path / "then.db")["backup_schedules"]] == [
        str(tmp_path / "perdure:kept")
    ]
