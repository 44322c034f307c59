"""The audit is bounded, and what is kept of it verifies, whatever happens while it is trimmed."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Audit, MemoryStore, StaticKeys, VirtualClock
from perdure.persistence.audit.entries import BY_NUMBER
from perdure.persistence.errors import Denied
from perdure.persistence.records.shared_tables import AUDIT, AUDIT_CAUSES
from perdure.persistence.secrets.keys import key_text
from perdure.shared.access import audit as trail
from tests.access.agents import Desk, DeskState, call, opened
from tests.cli.commands import records
from tests.kit.children import started

from .test_tampering import behind, put, row_of, verified

KEYS = StaticKeys({"k1": b"1" * 32})


def refused(system: AgentSystem, times: int) -> None:
    """Have an agent refused, a decision each time."""
    for _ in range(times):
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w", "k")


@pytest.mark.parametrize("key", [None, KEYS])
def test_ten_trims_leave_a_chain_that_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: StaticKeys | None
) -> None:
    """Over restarts, in slices, with and without a key: the rows kept lead back to the anchor."""
    monkeypatch.setattr(trail, "SLICE", 7)
    for _ in range(5):
        with opened(tmp_path / "a.db", audit=Audit(keep=10, key=key), sync="process") as system:
            for _ in range(2):
                refused(system, 20)
                first = system.audit.head()
                assert system.audit.trim() > 0
                report = system.audit.verify(head=first)
                assert report.intact
                assert report.rows == 10
                assert system.audit.trim() == 0
    assert verified(tmp_path / "a.db", key).unchecked == 0


def test_it_is_trimmed_by_itself_when_there_is_much_too_much() -> None:
    """A tenth above the limit, and it goes on by slices; nobody has to call anything."""
    clock = VirtualClock()
    with opened(clock=clock, audit=Audit(keep=20)) as system:
        refused(system, 21)
        clock.advance(1)
        assert system.idle()
        assert len(system.audit.list(limit=1000)) == 21
        refused(system, 9)
        clock.advance(1)
        assert system.idle()
        assert system.audit.list(limit=1)[0].number == 11
        assert system.audit.verify().intact


class Asker(Agent[DeskState]):
    """Asks others for what they may not do."""

    def ask(self, times: int) -> None:
        for number in range(times):
            desk = self.system.agent(Desk, str(number))
            with pytest.raises(Denied):
                desk.call(Desk.read, "workflow:w", "k").get()


def test_what_led_to_decisions_goes_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of turns of which no decision is kept, what led to the last may stay, and no other."""
    monkeypatch.setattr(trail, "SLICE", 7)
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Desk, Asker], audit=Audit(keep=10)) as system:
        system.agent(Asker, "a").call(Asker.ask, 30).get()
        assert len(store.keys(AUDIT_CAUSES, None, 100)) == 30
        assert system.audit.trim() > 0
        kept = {entry.sequence for entry in system.audit.each()}
        causes = {int(str(key[0])) for key in store.keys(AUDIT_CAUSES, None, 100)}
        assert len(causes - kept) <= 1
        assert len(causes & kept) >= 9


def test_nothing_is_trimmed_without_a_limit() -> None:
    """``keep=None`` keeps all."""
    with opened(audit=Audit(keep=None)) as system:
        refused(system, 30)
        assert system.audit.trim() == 0
        assert system.audit.verify().rows == 30


def test_what_was_tampered_with_is_not_trimmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is evidence: trimming stops before it, loudly."""
    with opened(tmp_path / "a.db") as system:
        refused(system, 30)
    with behind(tmp_path / "a.db") as connection:
        row = row_of(connection, 5)
        put(connection, (*row[:3], "user", "tom", "", *row[6:]))
    with opened(tmp_path / "a.db", audit=Audit(keep=10)) as system:
        with caplog.at_level(logging.ERROR):
            assert system.audit.trim() == 0
        assert "row 5 of the audit does not follow" in caplog.text
        assert [f.number for f in system.audit.verify().faults] == [5]


def test_who_has_no_key_trims_nothing_that_has_one(tmp_path: Path) -> None:
    """It could not seal where the rest begins: that is left to who has the key."""
    with opened(tmp_path / "a.db", audit=Audit(key=KEYS)) as system:
        refused(system, 20)
    with opened(tmp_path / "a.db", audit=Audit(keep=5)) as system:
        assert system.audit.trim() == 0
    with opened(tmp_path / "a.db", audit=Audit(keep=5, key=KEYS)) as system:
        assert system.audit.trim() == 16
    assert verified(tmp_path / "a.db", KEYS).intact


def test_what_a_lost_key_sealed_is_trimmed_and_sealed_with_the_one_that_holds(
    tmp_path: Path,
) -> None:
    """The audit stays bounded, and its beginning is no stranger's."""
    with opened(tmp_path / "a.db", audit=Audit(key=KEYS)) as system:
        refused(system, 10)
    fresh = StaticKeys({"k2": b"2" * 32})
    keys = tmp_path / "keys.txt"
    keys.write_text(f"k2 {key_text(b'2' * 32)}\n", encoding="utf-8")
    keys.chmod(0o600)
    records("audit", "seal", "-s", tmp_path / "a.db", "--keys", keys)
    with opened(tmp_path / "a.db", audit=Audit(keep=5, key=fresh)) as system:
        refused(system, 2)
        assert system.audit.trim() > 0
        report = system.audit.verify()
        assert report.faults == ()
        assert report.unchecked == 2


def test_numbers_go_on_behind_what_was_trimmed() -> None:
    """The newest rows stay, and a system that opens the store goes on from them."""
    store = MemoryStore()
    for count in range(1, 4):
        with opened(store, audit=Audit(keep=1)) as system:
            refused(system, 5)
            system.audit.trim()
            assert [e.number for e in system.audit.list()] == [5 * count]
            assert store.count(AUDIT, BY_NUMBER) == 1


@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_while_it_is_trimmed_the_chain_is_whole(tmp_path: Path, kills: int) -> None:
    """Kill -9 at any moment: what is there verifies, and holds every head that was noted."""
    store, chance = tmp_path / "a.db", random.Random(kills)
    head: str | None = None
    for _ in range(kills):
        with started("-m", "tests.access.trimmer", store) as child:
            assert child.stdout is not None
            for _ in range(chance.randint(2, 12)):
                line = child.stdout.readline().decode()
                assert line
                head = line.split()[0] if ":" in line else head
        report = verified(store, head=head)
        assert report.intact, report.faults
        assert report.rows >= 20
