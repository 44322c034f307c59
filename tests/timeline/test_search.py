"""Text search: with an index, without one, and after the index was lost."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, MemoryStore, State, open_reader
from perdure.hooks.timeline.timeline import Timeline
from perdure.hooks.timeline.wanted import selection_of
from tests.kit.deadline import DEADLINE

WORDS = ["Tee", "Kaffee", "STRASSE", "Straße", 'quo"ted', "日本語", "a%b", "OR", "tea"]


class Said(State):
    text: str = ""


class Speaker(Agent[Said]):
    def say(self, text: str) -> None:
        self.state.text = text

    def save(self, text: str) -> None:
        self.system.artifacts.save(text, b"1")


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


def cut(index: Path) -> None:
    """Have the index forget some."""
    with sqlite3.connect(index) as connection:
        connection.execute("UPDATE extent SET last = last + 1000000")
    connection.close()


def forbid(index: Path) -> None:
    """Have a folder where the index would be."""
    index.unlink()
    index.mkdir()


@pytest.mark.parametrize("harm", [lose, damage, cut, forbid], ids=lambda harm: harm.__name__)
def test_an_index_that_is_lost_or_damaged_costs_time_alone(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    """Searches find the same again, also by a reader of a store that another has open."""
    path = tmp_path / "said.db"
    with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
        speak(system, 1)
        wanted = expected(system, "kaffee", newest=False)
        assert [each.id for each in system.timeline(text="KAFFEE").each()] == wanted
        harm(tmp_path / "said.db-search")
        assert [each.id for each in system.timeline(text="KAFFEE").each()] == wanted
        reader = open_reader(path)
        try:
            timeline = Timeline(reader, selection_of(reader, text="kaffee"))
            assert [each.id for each in timeline.each()] == wanted
        finally:
            reader.close()


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
