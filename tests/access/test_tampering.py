"""Whoever changes the audit behind our back is found out, and each bad row is named."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from perdure import AgentSystem, Audit, Principal, Right, StaticKeys, open_reader
from perdure.persistence.audit.entries import Anchor, key_of
from perdure.persistence.audit.succession import KEYED_ANEW, KEYED_BROKEN
from perdure.persistence.audit.verification import AuditReport, verify
from perdure.persistence.errors import ConfigurationError
from perdure.persistence.records.chain import AuditRecord, Chain
from perdure.persistence.records.shared_tables import AUDIT, AUDIT_ANCHOR
from perdure.persistence.records.tables import Row
from perdure.persistence.sqlite.tables import checksum
from perdure.persistence.upkeep.doctor import examine
from tests.access.agents import ANNA, W, call, opened

ROWS = 12
KEYS = StaticKeys({"k1": b"1" * 32})
NAMES = AUDIT.names


def made(path: Path, *, key: StaticKeys | None = None, keep: int | None = None) -> Path:
    """Return a store with ``ROWS`` decisions, or one more where the chain has a key."""
    with opened(path, audit=Audit(key=key, keep=keep), sync="process") as system:
        system.access.grant(ANNA, W, Right.ALL)
        for number in range(ROWS - 1):
            call(system, "anna", "increment", "workflow:w", f"k{number}")
        if keep is not None:
            system.audit.trim()
    return path


@contextmanager
def behind(path: Path) -> Iterator[sqlite3.Connection]:
    """Change a store's file behind our back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


def row_of(connection: sqlite3.Connection, number: int) -> Row:
    """Return a row as it is stored, without its checksum."""
    found = connection.execute("SELECT * FROM audit WHERE number = ?", (number,)).fetchone()
    return tuple(found[:-1])


def put(connection: sqlite3.Connection, row: Row, *, crc: int | None = None) -> None:
    """Write a row, by default with the right checksum: the attacker knows the format."""
    marks = ", ".join("?" * (len(row) + 1))
    crc = checksum(AUDIT, row) if crc is None else crc
    connection.execute(f"INSERT OR REPLACE INTO audit VALUES ({marks})", (*row, crc))  # noqa: S608


def verified(path: Path, keys: StaticKeys | None = None, head: str | None = None) -> AuditReport:
    """Verify a store that nobody has open."""
    with closing(open_reader(path)) as reader:
        return verify(reader, keys, head)


def numbers(report: AuditReport) -> set[int]:
    """Return the numbers of the bad rows."""
    return {fault.number for fault in report.faults}


def test_an_untouched_audit_is_intact(tmp_path: Path) -> None:
    """No fault, the right numbers, and the head that the system gives."""
    path = made(tmp_path / "a.db")
    report = verified(path)
    assert report.intact
    assert (report.rows, report.first, report.last) == (ROWS, 1, ROWS)
    with opened(path) as system:
        assert system.audit.head() == report.head


@pytest.mark.parametrize("mend", [False, True])
@pytest.mark.parametrize("column", NAMES[1:])
def test_a_change_of_any_column_is_named(tmp_path: Path, column: str, *, mend: bool) -> None:
    """With a checksum that no longer fits, and with one that was made to fit."""
    path = made(tmp_path / "a.db")
    at = NAMES.index(column)
    with behind(path) as connection:
        row = row_of(connection, 5)
        value = row[at]
        changed = value + 1 if isinstance(value, int | float) else str(value) + "x"
        new = (*row[:at], changed, *row[at + 1 :])
        put(connection, new, crc=None if mend else checksum(AUDIT, row))
    report = verified(path)
    assert not report.intact
    # A changed hash also breaks the link of the row behind it.
    assert 5 in numbers(report)
    assert numbers(report) <= {5, 6}
    with closing(open_reader(path)) as reader:
        assert not examine(reader).healthy


@pytest.mark.parametrize("number", [1, 2, 7, ROWS - 1])
def test_a_removed_row_is_named(tmp_path: Path, number: int) -> None:
    """Also the first; the newest ones are found by a noted head only."""
    path = made(tmp_path / "a.db")
    with behind(path) as connection:
        connection.execute("DELETE FROM audit WHERE number = ?", (number,))
    assert [tuple(f) for f in verified(path).faults] == [(number, "is missing")]


def test_two_rows_that_changed_places_are_named(tmp_path: Path) -> None:
    """Each carries a hash that does not follow where it stands."""
    path = made(tmp_path / "a.db")
    with behind(path) as connection:
        fourth, eighth = row_of(connection, 4), row_of(connection, 8)
        put(connection, (4, *eighth[1:]))
        put(connection, (8, *fourth[1:]))
    assert {4, 8} <= numbers(verified(path)) <= {4, 5, 8, 9}


def test_an_inserted_row_is_named(tmp_path: Path) -> None:
    """Making room for it by renumbering breaks every row behind."""
    path = made(tmp_path / "a.db")
    with behind(path) as connection:
        rows = [row_of(connection, number) for number in range(1, ROWS + 1)]
        for row in rows[5:]:
            number = row[0]
            assert isinstance(number, int)
            put(connection, (number + 1, *row[1:]))
        put(connection, (6, *rows[4][1:]))
    assert numbers(verified(path)) >= set(range(6, ROWS + 2))


def test_rows_before_the_first_and_far_behind_the_last_are_named(tmp_path: Path) -> None:
    """A number below the anchor has no place; a leap leaves all between missing."""
    path = made(tmp_path / "a.db")
    with behind(path) as connection:
        row = row_of(connection, 3)
        put(connection, (-4, *row[1:]))
        put(connection, (10**9, *row[1:]))
    report = verified(path)
    assert {-4, ROWS + 1} <= numbers(report)
    assert len(report.faults) < 2_000


def test_rows_cut_off_at_the_end_are_found_by_a_head_that_was_noted(tmp_path: Path) -> None:
    """Without the note a shorter chain is a chain; with it the first missing row is named."""
    path = made(tmp_path / "a.db")
    head = verified(path).head
    with behind(path) as connection:
        connection.execute("DELETE FROM audit WHERE number > ?", (ROWS - 3,))
    assert verified(path).intact
    assert numbers(verified(path, head=head)) == {ROWS - 2}


def test_a_head_that_was_noted_long_ago_still_fits(tmp_path: Path) -> None:
    """It is compared where it stands; another one there is a fault; nonsense is refused."""
    path = made(tmp_path / "a.db")
    early = verified(path).head
    with opened(path) as system:
        call(system, "anna", "increment", "workflow:w", "more")
    assert verified(path, head=early).intact
    assert numbers(verified(path, head=f"{ROWS}:{'f' * 64}")) == {ROWS}
    for wrong in ("", "12", "x:y", "-1:ab", "12:"):
        with pytest.raises(ConfigurationError, match="no head"):
            verified(path, head=wrong)


def rewritten(connection: sqlite3.Connection, key: bytes, change: Callable[[Row], Row]) -> None:
    """Change row 5 and make all hashes from there on anew, as somebody who knows the code would."""
    chain = Chain(key=key).moved_to(row_of(connection, 4))
    number = 5
    while connection.execute("SELECT 1 FROM audit WHERE number = ?", (number,)).fetchone():
        row = row_of(connection, number)
        row = change(row) if number == 5 else row
        sequence, time, *who_and_scope = row[1:9]
        who, scope = tuple(who_and_scope[:3]), tuple(who_and_scope[3:])
        record = AuditRecord(time, who, scope, *row[9:15])  # type: ignore[arg-type]
        chain, new = chain.link(sequence, record)  # type: ignore[arg-type]
        put(connection, new)
        number += 1


def innocent(row: Row) -> Row:
    """Make a decision look as if another had asked."""
    return (*row[:4], "Nobody", *row[5:])


def test_a_plain_chain_that_was_rewritten_is_found_by_a_noted_head_only(tmp_path: Path) -> None:
    """That is what the key is for, and the guide says so."""
    path = made(tmp_path / "a.db")
    head = verified(path).head
    with behind(path) as connection:
        rewritten(connection, b"", innocent)
    assert verified(path).intact
    assert numbers(verified(path, head=head)) == {ROWS}


def test_a_chain_with_a_key_cannot_be_rewritten_without_it(tmp_path: Path) -> None:
    """Neither by plain hashes nor by those of another key."""
    for number, key in enumerate((b"", b"x" * 32)):
        path = made(tmp_path / f"{number}.db", key=KEYS)
        assert verified(path, KEYS).intact
        with behind(path) as connection:
            rewritten(connection, key, innocent)
        assert numbers(verified(path, KEYS)) == set(range(5, ROWS + 2))


def test_a_chain_made_anew_without_the_key_is_a_fault_for_who_has_it(tmp_path: Path) -> None:
    """Leaving out the row that says so does not make a chain with a key a plain one."""
    path = made(tmp_path / "a.db", key=KEYS)
    with behind(path) as connection:
        connection.execute("DELETE FROM audit")
        _, row = Chain().link(1, AuditRecord(1.0, ("system", "", ""), ("global", "", ""),
                                                 "", "read", "allowed", "", 1, 0))  # fmt: skip
        put(connection, row)
    assert verified(path).intact
    assert not verified(path, KEYS).intact


def test_without_the_key_its_rows_are_unchecked_and_with_it_they_are_not(tmp_path: Path) -> None:
    """Missing rows are found all the same."""
    path = made(tmp_path / "a.db", key=KEYS)
    report = verified(path)
    assert not report.intact
    assert report.faults == ()
    assert report.unchecked == ROWS + 1
    assert verified(path, KEYS).unchecked == 0
    assert verified(path, StaticKeys({"other": b"2" * 32})).unchecked == ROWS + 1
    with behind(path) as connection:
        connection.execute("DELETE FROM audit WHERE number = 3")
    assert numbers(verified(path)) == {3}


def test_keys_may_follow_one_another(tmp_path: Path) -> None:
    """The chain says from where on which key holds; both are needed to verify all of it."""
    path = made(tmp_path / "a.db", key=KEYS)
    both = StaticKeys({"k2": b"2" * 32, "k1": b"1" * 32})
    with opened(path, audit=Audit(key=both)) as system:
        assert system.audit.seal()
        assert not system.audit.seal()
        call(system, "anna", "increment", "workflow:w", "more")
        assert system.audit.verify().intact
        changes = [e.reason for e in system.audit.list(outcome="sealed")]
        assert changes == ["k1", "k2"]
    assert verified(path, both).unchecked == 0
    with opened(path) as system:
        call(system, "anna", "increment", "workflow:w", "more")
    assert numbers(verified(path, both)) == {ROWS + 4}  # from here on without a key


@pytest.mark.parametrize("key", [None, KEYS])
def test_a_forged_anchor_is_found(tmp_path: Path, key: StaticKeys | None) -> None:
    """Rows cannot pass for trimmed: the anchor's hash must lead to the next row, and be sealed."""
    path = made(tmp_path / "a.db", key=key, keep=5)
    report = verified(path, key)
    assert report.intact
    assert report.rows == 5
    with behind(path) as connection:
        first = report.first
        row = row_of(connection, first)
        connection.execute("DELETE FROM audit WHERE number = ?", (first,))
        connection.execute("UPDATE audit_anchor SET number = ?, hash = ?", (first, row[-1]))
    found = verified(path, key)
    assert not found.intact


def cut(path: Path, seal: Callable[[Chain], str], *, upto: int = 8) -> None:
    """Cut off the oldest rows, and leave an anchor for them."""
    with behind(path) as connection:
        row = row_of(connection, upto)
        connection.execute("DELETE FROM audit WHERE number <= ?", (upto,))
        connection.execute("DELETE FROM audit_anchor")
        new = (1, upto, row[-1], 0.0, seal(Chain().moved_to(row)))
        crc = checksum(AUDIT_ANCHOR, new)
        connection.execute("INSERT INTO audit_anchor VALUES (?, ?, ?, ?, ?, ?)", (*new, crc))


def unkeyed(chain: Chain) -> str:
    """Seal an anchor as one does who has no key."""
    return str(Anchor.sealed(chain, "", None).row(0.0)[-1])


def strangely(chain: Chain) -> str:
    """Seal an anchor with a key that nobody has."""
    return str(Anchor.sealed(chain, "", StaticKeys({"zz": b"z" * 32})).row(0.0)[-1])


@pytest.mark.parametrize("seal", [unkeyed, strangely])
def test_an_anchor_that_the_key_did_not_seal_is_a_fault(
    tmp_path: Path, seal: Callable[[Chain], str]
) -> None:
    """Also where the row behind it begins with a key of its own, so that the links fit."""
    path = made(tmp_path / "a.db", key=KEYS)
    both = StaticKeys({"k2": b"2" * 32, "k1": b"1" * 32})
    with opened(path, audit=Audit(key=both)) as system:
        system.audit.seal()
        for number in range(3):
            call(system, "anna", "increment", "workflow:w", f"more{number}")
        assert system.audit.verify().intact
        (changed,) = [e.number for e in system.audit.list(outcome="sealed") if e.reason == "k2"]
    cut(path, seal, upto=changed - 1)
    assert numbers(verified(path, both)) == {changed - 1}


def test_the_oldest_rows_of_a_plain_chain_can_be_cut_off_and_a_noted_head_does_not_tell(
    tmp_path: Path,
) -> None:
    """That is the third thing that a plain chain does not find, and the guide says so."""
    path = made(tmp_path / "a.db")
    head = verified(path).head
    cut(path, unkeyed)
    assert verified(path, head=head).intact
    assert verified(path).first == 9


@pytest.mark.parametrize("key", [None, KEYS])
def test_an_anchor_with_nothing_behind_it_is_a_fault(
    tmp_path: Path, key: StaticKeys | None
) -> None:
    """Trimming always keeps some decisions; all of them gone is no trimming."""
    path = made(tmp_path / "a.db", key=key, keep=5)
    last = verified(path, key).last
    with behind(path) as connection:
        connection.execute("DELETE FROM audit")
    assert numbers(verified(path, key)) == {last - 4}


def test_a_plain_chain_that_gets_a_key_later_is_sealed_where_somebody_says_so(
    tmp_path: Path,
) -> None:
    """Until then its end and its anchor are anybody's; from then on they are not."""
    path = made(tmp_path / "a.db", keep=5)
    with opened(path, audit=Audit(key=KEYS, keep=5)) as system:
        call(system, "anna", "increment", "workflow:w", "more")
        assert [f.number for f in system.audit.verify().faults] == [ROWS - 5, ROWS + 1]
        system.audit.seal()
        assert system.audit.verify().intact
        system.audit.trim()
        assert system.audit.verify().intact


def test_opening_with_the_key_seals_nothing_in_silence_that_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Decisions without a key behind others with one: it is logged, and stands in the chain."""
    path = made(tmp_path / "a.db", key=KEYS)
    with opened(path) as system:
        call(system, "anna", "increment", "workflow:w", "more")
    for _ in range(2):
        with opened(path, audit=Audit(key=KEYS)) as system:
            call(system, "anna", "increment", "workflow:w", "more")
            sealed = [(e.operation, e.reason) for e in system.audit.list(outcome="sealed")]
            assert sealed == [("(chain key)", "k1"), ("(chain key)", ""), (KEYED_ANEW, "k1")]
    assert caplog.text.count("have no key, unlike others before") == 1


def test_opening_with_the_key_seals_nothing_in_silence_that_does_not_verify(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest decisions are checked before the chain goes on."""
    path = made(tmp_path / "a.db", key=KEYS)
    with behind(path) as connection:
        rewritten(connection, b"", innocent)
    for _ in range(2):
        with opened(path, audit=Audit(key=KEYS)) as system:
            call(system, "anna", "increment", "workflow:w", "more")
            sealed = [(e.operation, e.reason) for e in system.audit.list(outcome="sealed")]
            assert sealed == [("(chain key)", "k1"), (KEYED_BROKEN, "k1")]
    assert caplog.text.count("do not follow from one another") == 1
    assert not verified(path, KEYS).intact


def test_opening_with_the_key_looks_at_the_oldest_row_of_a_short_chain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was cut off before it is missed when the chain goes on."""
    path = made(tmp_path / "a.db", key=KEYS)
    with opened(path, audit=Audit(key=KEYS)):
        assert caplog.text == ""
    with behind(path) as connection:
        connection.execute("DELETE FROM audit WHERE number < 3")
    with opened(path, audit=Audit(key=KEYS)):
        assert "do not follow from one another" in caplog.text


def test_a_chain_that_never_had_a_key_is_told_of_when_it_gets_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be one that was rewritten as a whole: nobody but a noted head can tell."""
    path = made(tmp_path / "a.db")
    assert not verified(path, KEYS).intact
    with opened(path, audit=Audit(key=KEYS)) as system:
        call(system, "anna", "increment", "workflow:w", "more")
        assert not system.audit.verify().intact
        system.audit.seal()
        assert system.audit.verify().intact
    assert f"decisions up to {ROWS} have no key" in caplog.text


@pytest.mark.parametrize("flips", [60, pytest.param(3_000, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_in_a_row_is_named(tmp_path: Path, flips: int) -> None:
    """In any value of any row; the report names that row, at most with the one behind it."""
    path = made(tmp_path / "a.db")
    chance = random.Random(1)
    for _ in range(flips):
        number, at = chance.randint(1, ROWS), chance.randrange(1, len(NAMES) + 1)
        with behind(path) as connection:
            whole = connection.execute("SELECT * FROM audit WHERE number = ?", (number,)).fetchone()
            changed = [*whole]
            changed[at] = _flipped(chance, whole[at])
            marks = ", ".join("?" * len(whole))
            connection.execute(f"REPLACE INTO audit VALUES ({marks})", changed)  # noqa: S608
        found = numbers(verified(path))
        assert number in found
        assert found <= {number, number + 1}
        with behind(path) as connection:
            connection.execute(f"REPLACE INTO audit VALUES ({marks})", whole)  # noqa: S608
    assert verified(path).intact


def _flipped(chance: random.Random, value: object) -> object:
    if isinstance(value, int):
        return value ^ (1 << chance.randrange(32))
    if isinstance(value, float):
        return value + 0.25
    assert isinstance(value, str)
    if not value:
        return "\x01"
    at = chance.randrange(len(value))
    return value[:at] + chr(ord(value[at]) ^ (1 << chance.randrange(6))) + value[at + 1 :]


def test_the_key_itself_never_makes_a_link() -> None:
    """What links are made with is derived, so it opens no secret if it becomes known."""
    derived = key_of(KEYS, "k1")
    assert derived is not None
    assert derived != KEYS.key("k1")
    assert len(derived) == 32
    assert key_of(KEYS, "other") is None
    assert Principal.SYSTEM.columns == ("system", "", "")


def test_who_opens_the_store_without_the_key_and_decides_nothing_leaves_no_trace(
    tmp_path: Path,
) -> None:
    """As commands do that write what the system owns: the chain goes on with its key."""
    path = made(tmp_path / "a.db", key=KEYS)
    with AgentSystem.open(path, agents=[]) as system:
        system.state.set(W, "total", 1)
    assert verified(path, KEYS).intact
    with opened(path, audit=Audit(key=KEYS)) as system:
        call(system, "anna", "increment", "workflow:w", "more")
    report = verified(path, KEYS)
    assert report.intact
    assert report.rows == ROWS + 2
