"""Which backups stay, whatever the rules say."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import BackupRetention, Backups
from perdure.persistence.backup.directory import Directory
from perdure.persistence.backup.folder import Backup, Folder
from perdure.persistence.backup.retention import judged, needed
from perdure.persistence.errors import BackupFailed, ConfigurationError
from tests.backup.stores import fill
from tests.cli.commands import invoke, records

DAY = 86_400.0
NOW = 1_000 * DAY


@st.composite
def folders(draw: st.DrawFn) -> list[Backup]:
    """Make a list of backups: chains with branches, pins, damage, of any age."""
    found: list[Backup] = []
    for number in range(draw(st.integers(0, 12))):
        parents = ["", *(each.name for each in found)]
        made = NOW - draw(st.integers(0, 100)) * DAY / 3
        found.append(
            Backup(
                f"b{number:02d}", draw(st.integers(1, 9)), draw(st.sampled_from(["", "", "bad"])),
                draw(st.sampled_from(parents)), made, pinned=draw(st.sampled_from(["", "", "law"])),
                importance=draw(st.integers(0, 3)),
            )
        )  # fmt: skip
    return found


RULES = st.builds(
    BackupRetention,
    newest=st.integers(1, 4), days=st.none() | st.integers(1, 30), daily=st.integers(0, 3),
    weekly=st.integers(0, 3), monthly=st.integers(0, 2), size=st.none() | st.integers(1, 30),
    importance=st.none() | st.integers(1, 3),
)  # fmt: skip


@given(backups=folders(), rules=RULES)
def test_what_may_never_go_stays(backups: list[Backup], rules: BackupRetention) -> None:
    """The newest good one, the pinned ones, and whatever a kept one builds on are kept."""
    verdicts = judged(backups, rules, NOW)
    kept = {each.name for each in verdicts if each.kept}
    assert [each.name for each in verdicts] == [each.name for each in backups]
    assert {each.parent for each in backups if each.name in kept} <= kept | {""}
    assert {each.name for each in backups if each.pinned} <= kept
    good = [each.name for each in backups if not each.problem]
    assert set(good[-1:]) <= kept
    assert all(each.why for each in verdicts)


@given(backups=folders(), rules=RULES)
def test_a_limit_of_size_is_kept_where_it_can_be(
    backups: list[Backup], rules: BackupRetention
) -> None:
    """If more than the limit is left, nothing of it could have gone."""
    verdicts = judged(backups, rules, NOW)
    left = [each for each in verdicts if each.kept]
    if rules.size is not None and sum(each.bytes for each in left) > rules.size:
        assert all(
            "newest good" in each.why or "pinned" in each.why or "builds on" in each.why
            for each in left
        )


@given(backups=folders(), rules=RULES)
def test_the_less_important_go_first(backups: list[Backup], rules: BackupRetention) -> None:
    """Where a limit of size takes some, none goes while a less important or older one might."""
    loose = [Backup(each.name, each.bytes, importance=each.importance) for each in backups]
    alone = BackupRetention(size=rules.size or 10)
    kept = {each.name for each in judged(loose, alone, NOW) if each.kept}
    ranks = [(each.importance, each.name) for each in loose[:-1]]  # the newest stays anyway
    gone = [rank for rank in ranks if rank[1] not in kept]
    assert all(rank > max(gone) for rank in ranks if rank[1] in kept and gone)


@given(backups=folders(), rules=RULES)
def test_those_of_an_importance_are_kept(backups: list[Backup], rules: BackupRetention) -> None:
    """However old they are, unless a limit of size takes them."""
    if rules.importance is None or rules.size is not None:
        return
    kept = {each.name for each in judged(backups, rules, NOW) if each.kept}
    assert {each.name for each in backups if each.importance >= rules.importance} <= kept


@given(backups=folders(), rules=RULES)
def test_room_is_needed_for_what_is_kept_without_a_limit(
    backups: list[Backup], rules: BackupRetention
) -> None:
    """Below it a limit of size takes nothing that another rule keeps; above it, it does."""
    least = needed(backups, rules, NOW)
    free = dataclasses.replace(rules, size=None)
    if least:
        roomy = judged(backups, dataclasses.replace(rules, size=least), NOW)
        assert roomy == judged(backups, free, NOW)
    assert least == sum(each.bytes for each in judged(backups, free, NOW) if each.kept)


def test_an_importance_is_written_beside_a_backup(tmp_path: Path) -> None:
    """It is given and changed at any time, also by the command, and goes with the backup."""
    store, folder = tmp_path / "s.db", tmp_path / "backups"
    fill(store, 1)
    (made,) = records("backup", "create", folder, "--store", store, "--importance", 3)
    assert made["importance"] == 3
    (again,) = records("backup", "rate", folder, made["name"], "--importance", 7)
    assert again["importance"] == 7
    backups = Backups(folder)
    other = backups.create(store)
    backups.prune(BackupRetention(newest=1, importance=7))
    assert [each.importance for each in backups.list()] == [7, 0]
    backups.rate(made["name"], 0)
    backups.prune(BackupRetention(newest=1, importance=7))
    assert [each.name for each in backups.list()] == [other.name]
    assert not [*folder.glob("*.importance")]
    for wrong in (-1, 10, True, "much"):
        with pytest.raises(ConfigurationError, match="a number from 0 to 9"):
            backups.rate(other.name, wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="a number from 0 to 9"):
            backups.create(store, importance=wrong)  # type: ignore[arg-type]
    assert [each.name for each in backups.list()] == [other.name]


def test_generations_keep_the_last_of_each() -> None:
    """The last one of a day, of a week, of a month; ages and counts keep theirs."""
    backups = [Backup(f"b{n}", 1, made=NOW - (40 - n) * DAY / 2) for n in range(40)]

    def kept(rules: BackupRetention) -> list[int]:
        return [int(each.name[1:]) for each in judged(backups, rules, NOW) if each.kept]

    assert kept(BackupRetention(newest=3)) == [37, 38, 39]
    assert kept(BackupRetention(daily=3)) == [35, 37, 39]
    assert kept(BackupRetention(days=1.25)) == [38, 39]
    assert kept(BackupRetention(size=4)) == [36, 37, 38, 39]
    assert kept(BackupRetention(newest=1, daily=2)) == [37, 39]


def test_rules_that_make_no_sense_are_refused() -> None:
    """Rules that keep nothing, and numbers that are none."""
    with pytest.raises(ConfigurationError, match="says nothing"):
        BackupRetention()
    with pytest.raises(ConfigurationError, match="newest"):
        BackupRetention(newest=0)
    with pytest.raises(ConfigurationError, match="daily"):
        BackupRetention(daily=-1)


def test_pruned_by_hand(tmp_path: Path) -> None:
    """What is left can be brought back; a dry run says the same and removes nothing."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    fill(path, 3)
    backups = Backups(folder)
    for incremental in (False, True, True, False, True):
        backups.create(path, incremental=incremental)
    names = [each.name for each in backups.list()]
    with pytest.raises(ConfigurationError, match="unpin"):
        backups.pin(names[1], "")  # which is no way to take one away
    backups.pin(names[1], "for the auditors")
    dry = records("backup", "prune", folder, "--keep", "1", "--dry-run")
    assert [each["kept"] for each in dry] == [True, True, False, True, True]
    assert [each.name for each in backups.list()] == names
    result = invoke("backup", "prune", folder, "--keep", "1")
    assert "for the auditors" in result.stdout
    assert [each.name for each in backups.list()] == [*names[:2], *names[3:]]
    assert invoke("backup", "unpin", folder, names[1]).exit_code == 0
    backups.prune(BackupRetention(newest=1))
    assert [each.name for each in backups.list()] == names[3:]
    backups.verify()


def test_nothing_goes_while_it_is_brought_back(tmp_path: Path) -> None:
    """A backup that is verified or brought back, or made, is in nobody's way."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path, 3)
    backups.create(path)
    folder = Folder(Directory(tmp_path / "backups"))
    with folder.in_use(), pytest.raises(BackupFailed, match="just now"):
        backups.prune(BackupRetention(newest=1))
    with folder.locked():
        with pytest.raises(BackupFailed, match="just now"):
            backups.prune(BackupRetention(newest=1))
        with pytest.raises(BackupFailed, match="just now"):
            backups.create(path)
    assert len(backups.list()) == 1
