"""Text search: with an index, without one, and after the index was lost."""

import os
import random
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    MemoryStore,
    MessageDetails,
    Principal,
    RestartPolicy,
    Scope,
    State,
    open_reader,
)
from perdure.hooks.timeline import rows
from perdure.hooks.timeline.event import Event
from perdure.hooks.timeline.selection import holds
from perdure.hooks.timeline.timeline import Timeline
from perdure.hooks.timeline.wanted import selection_of
from perdure.persistence.errors import Denied, StoreUnavailable
from perdure.persistence.sqlite.search import TextIndex
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.lease import Owner
from perdure.persistence.store.store import Indexed, Shelf
from tests.kit.deadline import DEADLINE

WORDS = ["Tee", "Kaffee", "STRASSE", "Straße", 'quo"ted', "日本語", "a%b", "OR", "tea"]


class Said(State):
    text: str = ""


class Speaker(Agent[Said]):
    restarts = RestartPolicy(attempts=1, restarts=10**6, backoff=Backoff(first=0.0, longest=0.0))

    def say(self, text: str) -> None:
        self.state.text = text

    def save(self, text: str) -> None:
        self.system.artifacts.save(text, b"1")

    def fail(self, text: str) -> None:
        raise ValueError(text)


def speak(system: AgentSystem, seed: int, count: int = 60) -> None:
    """Have some agents say something."""
    randomness = random.Random(seed)
    for number in range(count):
        words = randomness.sample(WORDS, 2)
        speaker = system.agent(Speaker, f"s{randomness.randrange(4)}")
        method = Speaker.save if number % 7 == 0 else Speaker.say
        speaker.call(method, f"{' '.join(words)} {number}").get(timeout=DEADLINE)


def expected(system: AgentSystem, text: str, *, newest: bool) -> list[str]:
    """Return the events that hold a text, by a look at all of them."""
    found = []
    for event in system.timeline().each(newest=newest):
        parts = [event.agent, event.name, event.detail]
        if any(text.casefold() in part.casefold() for part in parts):
            found.append(event.id)
    return found


@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_search_finds_what_a_look_at_every_event_finds(where: str, tmp_path: Path) -> None:
    """Any text in any case, forwards and backwards, page by page, while commits go on."""
    store = MemoryStore() if where == "memory" else tmp_path / "said.db"
    with AgentSystem.open(store, agents=[Speaker], sync="process") as system:
        for seed in range(3):
            speak(system, seed)
            for text in [*WORDS, "s1", "speaker/S2", "say", "ee 1", "zz", '"', "kaffee tee", "e"]:
                for newest in (False, True):
                    wanted = expected(system, text, newest=newest)
                    timeline = system.timeline(text=text)
                    assert [each.id for each in timeline.each(newest=newest)] == wanted
                    page = timeline.list(limit=3, newest=newest)
                    if page.more:
                        page = timeline.list(limit=3, newest=newest, after=page.next)
                        assert [each.id for each in page] == wanted[3:6]


def lose(index: Path) -> None:
    """Take the index away."""
    index.unlink()


def damage(index: Path) -> None:
    """Write over the index."""
    index.write_bytes(b"no database" * 1000)


def pages(index: Path) -> None:
    """Write over the pages of the index from the fourth on; the file still opens."""
    size = 3 * 4096
    index.write_bytes(index.read_bytes()[:size].ljust(4 * size, b"\x5a"))


def forget(index: Path) -> None:
    """Take from the index what it says of itself."""
    with sqlite3.connect(index) as connection:
        connection.execute("DELETE FROM extent")
    connection.close()


def age(index: Path) -> None:
    """Have the index be of another release."""
    with sqlite3.connect(index) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def cut(index: Path) -> None:
    """Have the index forget some."""
    with sqlite3.connect(index) as connection:
        connection.execute("UPDATE extent SET last = last + 1000000")
    connection.close()


def forbid(index: Path) -> None:
    """Have a folder where the index would be."""
    index.unlink()
    index.mkdir()


HARMS = [lose, damage, pages, forget, age, cut, forbid]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_an_index_that_is_lost_or_damaged_costs_time_alone(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    """Searches find the same again, also by a reader of a store that another has open."""
    path = tmp_path / "said.db"
    with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
        speak(system, 1)
        wanted = expected(system, "kaffee", newest=False)
        assert [each.id for each in system.timeline(text="KAFFEE").each()] == wanted
        index = tmp_path / "said.db-search"
        harm(index)
        assert [each.id for each in system.timeline(text="KAFFEE").each()] == wanted
        assert [each.id for each in system.timeline(text="KAFFEE").each()] == wanted
        if harm is not forbid:
            assert answers(index)  # it was made anew
        reader = open_reader(path)
        try:
            timeline = Timeline(reader, selection_of(reader, text="kaffee"))
            assert [each.id for each in timeline.each()] == wanted
        finally:
            reader.close()


def answers(index: Path) -> list[int]:
    """Return the commits of which the index says that they may hold a word."""
    with closing(TextIndex(index)) as opened:
        return list(opened.find(Shelf.COMMITS, "kaffee", 0, newest=False))


@pytest.mark.parametrize("way", ["oldest", "newest"])
def test_an_index_that_breaks_amid_a_search_is_left_for_the_journal(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the index has not given out yet is read from the journal: nothing twice, none lost."""
    real, first = TextIndex.find, way == "newest"

    def some(
        index: TextIndex, shelf: Shelf, text: str, after: int, *, newest: bool
    ) -> Iterator[int]:
        yield from islice(real(index, shelf, text, after, newest=newest), 5)
        raise StoreUnavailable("the disk failed")

    with AgentSystem.open(tmp_path / "said.db", agents=[Speaker], sync="process") as system:
        speak(system, 2)
        wanted = expected(system, "kaffee", newest=first)
        monkeypatch.setattr(TextIndex, "find", some)
        found = system.timeline(text="kaffee").each(newest=first)
        assert [each.id for each in found] == wanted


@pytest.mark.parametrize("text", ["a\0b", "tee\0", "kaf\ud800"], ids=ascii)
def test_a_text_that_no_database_takes_is_looked_for_without_an_index(
    text: str, tmp_path: Path
) -> None:
    """A text with a NUL or half a surrogate pair finds nothing, and the index is not blamed."""
    with AgentSystem.open(tmp_path / "said.db", agents=[Speaker], sync="process") as system:
        speak(system, 1)
        assert system.timeline(text="kaffee").list()
        assert not system.timeline(text=text).list()
        assert (tmp_path / "said.db-search").exists()


def test_the_index_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else may read it, like the store, whatever new files are usually allowed."""
    before = os.umask(0o022)
    try:
        with AgentSystem.open(tmp_path / "said.db", agents=[Speaker], sync="process") as system:
            speak(system, 1, count=3)
            system.timeline(text="kaffee").list()
            assert stat.S_IMODE((tmp_path / "said.db-search").stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("others", [1, 3, 6])
def test_a_backup_that_is_put_back_is_searched_as_it_is(others: int, tmp_path: Path) -> None:
    """The index of commits that are no more is not taken for that of those in their places."""
    path, copy = tmp_path / "said.db", tmp_path / "copy.db"

    def say(*texts: str) -> None:
        with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
            for text in texts:
                system.agent(Speaker, "s").call(Speaker.say, text).get(timeout=DEADLINE)
            assert system.timeline(text="before the copy").count() == 1
            for text in texts:
                assert system.timeline(text=text).count() == 1

    say("before the copy")
    copy.write_bytes(path.read_bytes())
    say("first", "second", "third")
    path.write_bytes(copy.read_bytes())
    with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
        for number in range(others):
            system.agent(Speaker, "s").call(Speaker.say, f"other {number}").get(timeout=DEADLINE)
        assert system.timeline(text="other").count() == others
        assert system.timeline(text="third").count() == 0
        assert len(answers(tmp_path / "said.db-search")) == 0


def test_an_index_stays_when_what_it_ends_with_is_trimmed(tmp_path: Path) -> None:
    """The journal's old end going is no reason to make it anew, and loses nothing."""
    path, index = tmp_path / "said.db", tmp_path / "said.db-search"
    with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
        speak(system, 1, count=10)
        system.timeline(text="kaffee").list()
        before = extent(index)
        assert answers(index)
        speak(system, 2, count=30)
    with closing(SqliteStore(path, sync="process")) as store:
        store.acquire(Owner.this_process())
        assert store.trim_journal(before.last + 5, 100) > before.last
    with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
        assert system.timeline().list()[0].sequence > before.last
        wanted = expected(system, "kaffee", newest=False)
        assert [each.id for each in system.timeline(text="kaffee").each()] == wanted
        assert answers(index)[0] <= before.last < extent(index).last
        lose(index)
        assert [each.id for each in system.timeline(text="kaffee").each()] == wanted
        # Else it would seem to have more of what is gone than the journal has, at each search.
        assert extent(index).first == system.timeline().list()[0].sequence > 1


def extent(index: Path) -> Indexed:
    """Return what the index has looked at."""
    with closing(TextIndex(index)) as opened:
        return opened.extent(Shelf.COMMITS)


def test_what_was_erased_leaves_the_index_with_the_journal(tmp_path: Path) -> None:
    """An agent that is erased is found by no search, and the index that had its letters goes."""
    path = tmp_path / "said.db"
    with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
        system.agent(Speaker, "s").call(Speaker.say, "geheimnis").get(timeout=DEADLINE)
        assert len(system.timeline(text="geheimnis").list()) == 1
        assert (tmp_path / "said.db-search").exists()
        system.agent(Speaker, "s").delete(erase=True)
        assert not (tmp_path / "said.db-search").exists()
        assert len(system.timeline(text="geheimnis").list()) == 0


def act(system: AgentSystem, seed: int, count: int = 20) -> None:
    """Have hooks run, messages fail, and rights refused, with some words."""
    randomness = random.Random(seed)
    for number in range(count):
        text = f"{' '.join(randomness.sample(WORDS, 2))} {number}"
        speaker = system.agent(Speaker, f"s{randomness.randrange(4)}")
        speaker.call(Speaker.say, text).get(timeout=DEADLINE)
        if number % 3 == 0:
            speaker.cast(Speaker.fail, text)
        if number % 2 == 0:
            stranger = system.state.acting_as(Principal.user(randomness.choice(WORDS[:4])))
            with suppress(Denied):
                stranger.set(Scope.workflow(text), "key", number)
    assert system.idle(DEADLINE)


def heard(_details: MessageDetails) -> None:
    """Listen."""


TEXTS = [*WORDS, "s1", "workflow:", "heard", "ee 1", "zz", "kaffee tee", "valueerror", "user:tee"]


def check_all(system: AgentSystem) -> None:
    """Compare searches of each kind of events with a look at all of them."""
    for what in ("hook", "decision", "letter", "turn"):
        events = list(system.timeline(what=[what]).each())
        assert events, what
        for text in TEXTS:
            wanted = [each.id for each in events if holds(each, text)]
            timeline = system.timeline(text=text, what=[what])
            assert [each.id for each in timeline.each()] == wanted, (what, text)
            back = [each.id for each in timeline.each(newest=True)]
            assert back == wanted[::-1], (what, text)


def test_hooks_decisions_and_dead_letters_are_found_by_the_index(tmp_path: Path) -> None:
    """As a look at all finds them: while more come, packed, put back, discarded, trimmed."""
    path, index = tmp_path / "said.db", tmp_path / "said.db-search"
    for life in range(2):
        with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
            system.hooks.on("message.before", heard, name="heard")
            for seed in range(2):
                act(system, 10 * life + seed)
                check_all(system)
            first, *others = system.dead_letters.list()
            system.dead_letters.requeue(first.id)
            for letter in others[:3]:
                system.dead_letters.discard(letter.id)
            assert system.idle(DEADLINE)
            system.hooks.history.pack()
            check_all(system)
            with closing(TextIndex(index)) as opened:
                for shelf in Shelf:
                    assert opened.extent(shelf).last > 0, shelf
                    assert list(opened.find(shelf, "kaffee", 0, newest=False)), shelf


@pytest.mark.parametrize("shelf", Shelf)
def test_a_search_that_finds_nothing_reads_nothing(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the index is up to date, no event is made of what does not hold the text."""
    what = {"commits": "turn", "hooks": "hook", "decisions": "decision", "letters": "letter"}[shelf]
    with AgentSystem.open(tmp_path / "said.db", agents=[Speaker], sync="process") as system:
        system.hooks.on("message.before", heard, name="heard")
        act(system, 1)
        assert system.timeline(text="kaffee", what=[what]).list()
        made: list[object] = []
        real = Event

        def counted(*parts: object) -> object:
            made.append(parts)
            return real(*parts)  # type: ignore[arg-type]

        monkeypatch.setattr(rows, "Event", counted)
        assert not system.timeline(text="nowhere said", what=[what]).list()
        assert len(made) <= 2  # what the index ends with is compared
