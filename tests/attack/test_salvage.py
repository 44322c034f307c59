"""A damaged store is salvaged: what stands on sound pages is in the new one, the rest is named.

Each round damages a realistic store, salvages it, and holds the new one to what was on the pages
that were not hit, and to what its agents reported before.
"""

import contextlib
import logging
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import AgentSystem, Backups, Principal, Retention, Right, Scope
from perdure.persistence.backup.places import folder_of
from perdure.persistence.errors import (
    AgentQuarantined,
    ConfigurationError,
    InvalidTransition,
    SalvageFailed,
    StoreUnavailable,
)
from perdure.persistence.salvage.cells import INTERIOR, KEY_INTERIOR
from perdure.persistence.salvage.copies import looked_up
from perdure.persistence.salvage.forest import Forest, FoundRow
from perdure.persistence.salvage.forms import forms
from perdure.persistence.salvage.image import Image
from perdure.persistence.salvage.losses import (
    BACK,
    LOST,
    PARTED,
    RESTORED,
    UNKNOWN,
    Salvaged,
)
from perdure.persistence.salvage.salvage import salvage
from tests.attack.children import Child
from tests.attack.test_damage import Vault, damage, root_of
from tests.kit.children import ROOT

PAGE: Final = 4096
SECTOR: Final = 512
PATIENCE: Final = 30.0
AGENTS: Final = [f"v{number}" for number in range(25)]
TRIMMED: Final = 200
"""Commits that the journal keeps in the store whose beginning it has forgotten."""
OF_AGENTS: Final = ("agents", "fields", "log_items", "map_entries", "base_fields")
OF_ARTIFACTS: Final = ("artifacts", "artifact_names", "artifact_tags", "contents", "content_parts")

Hit = tuple[bytes, set[int]]
"""A damaged file, and the pages that are not as they were."""
Harm = Callable[[Random, bytes], Hit]


@dataclass(frozen=True)
class Sound:
    """A sound store."""

    content: bytes
    rows: list[FoundRow]
    reports: dict[str, list[Any]]


def write(path: Path, retention: Retention) -> None:
    """Make a store that has something of most kinds, and rows longer than a page."""
    with AgentSystem.open(path, agents=[Vault], retention=retention) as system:
        for key in AGENTS:
            for number in range(12):
                system.agent(Vault, key).cast(Vault.put, 1000 + number)
            system.agent(Vault, key).call(Vault.arm).get()
        for number in range(60):
            system.state.set(Scope.GLOBAL, f"k{number}", "x" * number * 9)
        system.state.set(Scope.GLOBAL, "long", "y" * 20_000)
        for number in range(5):
            system.artifacts.save(f"a{number}", bytes([number]) * 30_000)
        system.sessions.create("work")
        system.agent(Vault, "waits").call(Vault.put, 1).get()
        system.agent(Vault, "waits").pause()
        for number in range(40):
            system.agent(Vault, "waits").cast(Vault.put, number)
        assert system.idle(PATIENCE)


def read(path: Path) -> list[FoundRow]:
    """Return the rows of a file with the pages on which they are."""
    with path.open("rb") as file, Image(path, file.fileno()) as image:
        forest = Forest(image)
        found = list(forest.rows())
        assert not image.faults
        assert not forest.lost
    return found


def reports(path: Path) -> dict[str, list[Any]]:
    """Return what each agent reports that is not quarantined."""
    found: dict[str, list[Any]] = {}
    with AgentSystem.open(path, agents=[Vault]) as system:
        for row in system.agents.each():
            if row.key != "waits":
                try:
                    future = system.agent(Vault, row.key).call(Vault.report)
                    found[row.key] = future.get(timeout=PATIENCE)
                except AgentQuarantined:
                    continue  # the caller looks whether that was said
    return found


@pytest.fixture(scope="module", params=[None, TRIMMED], ids=["whole-journal", "trimmed"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Return a sound store, with the whole journal or the end of it."""
    path = tmp_path_factory.mktemp("sound") / "store.db"
    write(path, Retention(commits=request.param))
    content, rows = path.read_bytes(), read(path)
    return Sound(content, rows, reports(path))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a sound store with one agent."""
    path = tmp_path_factory.mktemp("small") / "store.db"
    with AgentSystem.open(path, agents=[Vault]) as system:
        system.agent(Vault, "v").call(Vault.put, 1).get()
    return path.read_bytes()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep what is logged about damaged stores out of the way."""
    logger = logging.getLogger("perdure")
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(logging.NOTSET)


def pages(random: Random, content: bytes, count: int, fill: Callable[[int], bytes]) -> Hit:
    """Put something else in the place of pages."""
    hit = {random.randrange(len(content) // PAGE) + 1 for _ in range(count)}
    for page in hit:
        start = (page - 1) * PAGE
        content = content[:start] + fill(PAGE) + content[start + PAGE :]
    return content, hit


def zeros(random: Random, content: bytes) -> Hit:
    """Lose up to twenty pages."""
    return pages(random, content, random.choice([1, 1, 2, 20]), bytes)


def nonsense(random: Random, content: bytes) -> Hit:
    """Write noise over a page."""
    return pages(random, content, 1, random.randbytes)


def swapped(random: Random, content: bytes) -> Hit:
    """Have a page stand in the place of another."""
    start = random.randrange(len(content) // PAGE) * PAGE
    return pages(random, content, 1, lambda size: content[start : start + size])


def sector(random: Random, content: bytes) -> Hit:
    """Lose a sector."""
    start = random.randrange(len(content) // SECTOR) * SECTOR
    return content[:start] + bytes(SECTOR) + content[start + SECTOR :], {start // PAGE + 1}


def bits(random: Random, content: bytes) -> Hit:
    """Flip bits."""
    changed = bytearray(content)
    places = [random.randrange(len(content)) for _ in range(random.choice([1, 1, 5, 40]))]
    for place in places:
        changed[place] ^= 1 << random.randrange(8)
    return bytes(changed), {place // PAGE + 1 for place in places}


def end(random: Random, content: bytes) -> Hit:
    """Cut the file off."""
    size = random.randrange(2 * PAGE, len(content))
    return content[:size], set(range(size // PAGE + 1, len(content) // PAGE + 1))


def beginning(random: Random, content: bytes) -> Hit:
    """Lose the mark, the header, or all of the first page."""
    size = random.choice([16, 100, 512, 4096])
    return bytes(size) + content[size:], {1}


def misnamed(random: Random, content: bytes) -> Hit:
    """Flip a bit of a name in the schema, which stands there up to three times."""
    name = random.choice(list(forms())).encode()
    places = [at for at in _found(content, name) if _in_schema(content, at // PAGE)]
    place = random.choice(places) + random.randrange(len(name))
    flipped = content[place] ^ 1 << random.randrange(3)
    return content[:place] + bytes([flipped]) + content[place + 1 :], {place // PAGE + 1}


def _found(content: bytes, word: bytes) -> Iterator[int]:
    """Iterate over the places of a word."""
    at = content.find(word)
    while at >= 0:
        yield at
        at = content.find(word, at + 1)


def _in_schema(content: bytes, page: int) -> bool:
    """Tell whether statements that made something stand on a page."""
    return b"CREATE " in content[page * PAGE : (page + 1) * PAGE]


def misled(random: Random, content: bytes) -> Hit:
    """Have a page lead to another one than its last."""
    kinds = [(page, content[(page - 1) * PAGE]) for page in range(2, len(content) // PAGE + 1)]
    page = random.choice([page for page, kind in kinds if kind in (KEY_INTERIOR, INTERIOR)])
    place, other = (page - 1) * PAGE + 8, random.randrange(len(content) // PAGE) + 1
    return content[:place] + other.to_bytes(4) + content[place + 4 :], {page}


HARMS: Final = (zeros, nonsense, swapped, sector, bits, end, beginning, misled, misnamed)


def named(found: Salvaged) -> set[str]:
    """Return the keys of agents that are said not to be as they were."""
    outcomes = {BACK, LOST, PARTED, UNKNOWN}
    return {x.key for x in found.losses if x.kind == "Vault" and x.outcome in outcomes}


def numbers(found: Salvaged, sound: Sound) -> set[int]:
    """Return the numbers of those agents, and of those whose name is lost."""
    hurt = named(found)
    known = {x.row[0] for x in sound.rows if x.table == "agents" and x.row[2] in hurt}
    lost = {int(x.name.split()[1]) for x in found.losses if x.name.startswith("number ")}
    return known | lost


def kept(sound: Sound, hit: set[int], found: Salvaged, path: Path) -> None:
    """Hold that every row on a page that was not hit is in the new store, unless it is named."""
    left = numbers(found, sound)
    broken = any(x.what == "artifact" for x in found.losses)
    parted = any(x.what.startswith("decision") for x in found.losses)
    with closing(sqlite3.connect(path)) as connection:
        for table in forms():
            width = 8 if table == "agents" else None  # its shape has a checksum of its own
            there = {row[:width] for row in connection.execute(f"SELECT * FROM {table}")}  # noqa: S608
            for row in sound.rows:
                if row.table != table or hit & {*row.pages} or row.row[:width] in there:
                    continue
                excused = (
                    (table in OF_AGENTS and row.row[0] in left)
                    or (table in OF_ARTIFACTS and broken)
                    or (table.startswith("audit") and parted)
                )
                assert excused, (row, found.tally)


def round_of(folder: Path, sound: Sound, harm: Harm, random: Random) -> None:
    """Damage, salvage, compare."""
    content, hit = harm(random, sound.content)
    store, new = folder / "store.db", folder / "new.db"
    damage(store, content)
    for file in folder.glob("*new.db*"):
        file.unlink()
    found = salvage(store, new)
    assert store.read_bytes() == content
    assert {file.name for file in folder.iterdir()} == {"store.db", "new.db"}
    kept(sound, hit, found, new)
    if content == sound.content:
        assert found.whole
    reported, excused = reports(new), named(found)
    nameless = any(x.name.startswith("number ") for x in found.losses)
    unsure = any(x.what in {"agent", "rows of a page"} and not x.kind for x in found.losses)
    for key, report in sound.reports.items():
        if key in reported:
            assert reported[key] == report or key in excused, (key, found.tally)
        else:
            assert key in excused or nameless or unsure, (key, found.tally)


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_on_sound_pages_is_saved(
    tmp_path: Path, sound: Sound, seed: int, harm: Harm
) -> None:
    """Whatever happens to some pages, rows on others are kept, and agents are right or named."""
    for number in range(2):
        round_of(tmp_path, sound, harm, Random(f"{seed} {number}"))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("harm", HARMS)
def test_salvage_at_length(tmp_path: Path, sound: Sound, seed: int, harm: Harm) -> None:
    """The same, 150 times each."""
    for number in range(150):
        sys.stdout.write(f"round {number}\n")
        round_of(tmp_path, sound, harm, Random(f"{seed} {number}"))


def tables(path: Path) -> dict[str, list[Any]]:
    """Return all rows of all tables but the lease, each with its checksum."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall()  # noqa: S608
            for name in forms()
        }


STEPS: Final = st.lists(
    st.tuples(st.sampled_from(["put", "pause", "delete", "set", "save", "arm"]), st.integers(0, 3)),
    max_size=25,
)


def take(system: AgentSystem, step: str, number: int) -> None:
    """Do one step of a history."""
    vault = system.agent(Vault, f"v{number}")
    if step == "put":
        vault.cast(Vault.put, number)
    elif step == "arm":
        vault.cast(Vault.arm)
    elif step == "pause":
        with contextlib.suppress(InvalidTransition):
            vault.pause()
    elif step == "delete":
        vault.delete()
    elif step == "set":
        system.state.set(Scope.GLOBAL, f"k{number}", "x" * number * 3000)
    else:
        system.artifacts.save(f"a{number}", b"z" * number * 5000)


@settings(max_examples=8, deadline=None)
@given(steps=STEPS)
def test_a_healthy_store_comes_out_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Whatever its history was, every row of a sound store is in the new one, and no other."""
    folder = tmp_path_factory.mktemp("healthy")
    store, new = folder / "store.db", folder / "new.db"
    with AgentSystem.open(store, agents=[Vault]) as system:
        for step, number in steps:
            take(system, step, number)
    found = salvage(store, new)
    assert (found.whole, found.places, found.tally) == (True, (), ())
    assert tables(new) == tables(store)


def test_a_log_that_was_not_brought_in_counts(tmp_path: Path, seed: int) -> None:
    """A killed owner's log is salvaged; a bit of it costs a page, a lost end the commits in it."""
    store, torn, random = tmp_path / "store.db", tmp_path / "torn.db", Random(seed)
    with Child(store) as child:
        child.ask("push", 30)
        child.freeze()
        content, log = store.read_bytes(), Path(f"{store}-wal").read_bytes()

    def made(log: bytes, name: str) -> Salvaged:
        damage(torn, content)
        Path(f"{torn}-wal").write_bytes(log)
        found = salvage(torn, tmp_path / name)
        assert (torn.read_bytes(), Path(f"{torn}-wal").read_bytes()) == (content, log)
        return found

    whole = made(log, "whole.db")
    assert whole.whole
    assert whole.last > 0
    for number in range(5):
        bit = random.randrange(32, len(log) - PAGE - 24)
        part = made(log[:bit] + bytes([log[bit] ^ 1]) + log[bit + 1 :], f"{number}.db")
        assert part.last == whole.last or not part.whole
    place = len(log) - PAGE  # in the last page, which ends a transaction
    part = made(log[:place] + bytes([log[place] ^ 1]) + log[place + 1 :], "end.db")
    assert part.last < whole.last
    assert [fault.where for fault in part.places] == ["the log"]
    assert [(each.what, each.outcome) for each in part.tally] == [("commits", UNKNOWN)]


def test_a_store_that_is_open_is_refused(tmp_path: Path) -> None:
    """While a process has the store open, this one or another, nothing is salvaged; then it is."""
    store, new = tmp_path / "store.db", tmp_path / "new.db"
    with AgentSystem.open(store, agents=[Vault]) as system:
        system.agent(Vault, "v").call(Vault.put, 1).get()
        with pytest.raises(StoreUnavailable, match="open in this process"):
            salvage(store, new)
        system.agent(Vault, "v").call(Vault.put, 1).get()
    other = tmp_path / "other.db"
    with Child(other) as child:
        child.ask("push", 3)
        with pytest.raises(StoreUnavailable, match="open in another process"):
            salvage(other, new)
        child.ask("push", 3)
    assert not new.exists()
    assert salvage(store, new).whole


def test_nothing_is_written_over(tmp_path: Path, small: bytes) -> None:
    """A file of the new name is left alone, and a file that holds no store gives none."""
    store, new = tmp_path / "store.db", tmp_path / "new.db"
    damage(store, small)
    new.write_text("mine")
    with pytest.raises(ConfigurationError, match="nothing is overwritten"):
        salvage(store, new)
    assert new.read_text() == "mine"
    for nothing in (b"", b"a" * 9_000, bytes(9_000)):
        store.write_bytes(nothing)
        with pytest.raises(SalvageFailed):
            salvage(store, tmp_path / "none.db")
    assert {file.name for file in tmp_path.iterdir()} == {"store.db", "new.db"}


def test_the_report_says_which_backup_has_what_is_lost(tmp_path: Path) -> None:
    """An agent that nothing in the file knows any more is named, with the backup that has it."""
    store, folder = tmp_path / "store.db", tmp_path / "backups"
    write(store, Retention(commits=TRIMMED))
    made = Backups(folder).create(store)
    content, index = store.read_bytes(), root_of(store, "sqlite_autoindex_agents_1")
    for root in (root_of(store, "agents"), index):
        content = content[:root] + bytes(PAGE) + content[root + PAGE :]
    damage(store, content)
    salvaged = salvage(store, tmp_path / "new.db")
    found = looked_up(salvaged, folder_of(folder), None, print)
    lost = [x for x in found.losses if x.what == "agent" and x.name.startswith("number")]
    assert {(x.kind, x.backup) for x in lost} == {("Vault", made.name)}
    assert {*AGENTS} <= {x.key for x in lost}
    assert any(f"backup restore {folder} {made.name} --to" in advice for advice in found.advice)
    told: list[str] = []
    assert looked_up(salvaged, folder_of(tmp_path / "gone"), None, told.append) == salvaged
    assert re.match("the backups cannot be looked at: .*gone", "\n".join(told))


def test_what_was_taken_back_does_not_come_back(tmp_path: Path) -> None:
    """A lost grant is put back from the journal only where that has not lost what came behind."""
    store, new = tmp_path / "store.db", tmp_path / "new.db"
    with AgentSystem.open(store, agents=[Vault]) as system:
        before, behind = Principal.user("before"), Principal.user("behind")
        grant = system.access.grant(before, Scope.workflow("w"), Right.READ)
        for step in (
            lambda: system.access.revoke(grant),
            lambda: system.access.grant(behind, Scope.workflow("w"), Right.READ),
            lambda: None,
        ):
            for number in range(100):  # so that each stands on pages of its own
                system.agent(Vault, "v").cast(Vault.put, number)
            assert system.idle(PATIENCE)
            step()
    content = store.read_bytes()
    (revoked,) = (x.pages[0] for x in read(store) if x.table == "journal" and '"gone"' in x.row[9])
    for place in (root_of(store, "grants"), (revoked - 1) * PAGE):
        content = content[:place] + bytes(PAGE) + content[place + PAGE :]
    damage(store, content)
    found = salvage(store, new)
    grants = {(x.outcome, x.name or x.key) for x in found.losses if x.what == "grant"}
    assert grants == {(UNKNOWN, ""), (PARTED, "1/user"), (RESTORED, "2/user")}
    with AgentSystem.open(new, agents=[Vault]) as system:
        assert [str(each.to) for each in system.access.grants.list()] == ["user:behind"]


def command(store: Path, new: Path) -> list[str]:
    """Return the command that salvages a store."""
    start = [sys.executable, "-m", "perdure", "doctor", "--repair", "--json"]
    return [*start, "--store", str(store), "--to", str(new)]


def killed(store: Path, new: Path, seconds: float) -> None:
    """Kill a salvage after so long; there is no new store, or all of it."""
    with subprocess.Popen(command(store, new), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    if new.exists():
        assert tables(new) == tables(store)
        new.unlink()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_salvage_leaves_nothing_half(tmp_path: Path, sound: Sound, seed: int) -> None:
    """After kill -9 at any moment the new store is whole or not there, and the next one is made."""
    random, store, new = Random(seed), tmp_path / "store.db", tmp_path / "new.db"
    damage(store, sound.content)
    for _ in range(100):
        killed(store, new, random.uniform(0.1, 1.2))
    subprocess.run(command(store, new), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert tables(new) == tables(store)
    assert {file.name for file in tmp_path.iterdir()} <= {"store.db", "new.db"}


def test_a_full_disk_leaves_nothing(tmp_path: Path, small: bytes) -> None:
    """If the new file cannot be written whole, there is none, and the command says why."""
    store, new = tmp_path / "store.db", tmp_path / "new.db"
    damage(store, small)
    most = len(small) // 2

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    done = subprocess.run(
        command(store, new), cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=bounded,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert "salvaging failed" in done.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"store.db"}
