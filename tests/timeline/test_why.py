"""Why a value is what it is: against a model that notes who set what."""

import random
from typing import Any

import msgspec
import pytest

from perdure import Agent, AgentSystem, Log, Map, MemoryStore, Retention, Scope, State
from perdure.hooks import points
from perdure.hooks.details import MessageDetails
from perdure.persistence.errors import ConfigurationError
from tests.kit.deadline import DEADLINE


class Seat(msgspec.Struct):
    row: int = 0
    name: str = ""


class Book(State):
    count: int = 0
    seat: Seat = msgspec.field(default_factory=Seat)
    owners: Map[str, str] = Map.field()
    numbers: Map[int, int] = Map.field()
    lines: Log[str] = Log.field()


class Clerk(Agent[Book]):
    def change(self, what: str, at: int, value: int) -> str:
        """Change one thing; return the id of the message, by which the commit is known."""
        state = self.state
        if what == "count":
            state.count = value
        elif what == "row":
            state.seat.row = value
        elif what == "name":
            state.seat.name = str(value)
        elif what == "owners":
            state.owners[str(at)] = str(value)
        elif what == "numbers":
            state.numbers[at] = value
        elif what == "lines":
            state.lines.append(str(value))
        return what


class Boss(Agent[Book]):
    def order(self, what: str, value: int) -> None:
        self.state.count += 1
        self.system.agent(Clerk, "c").cast(Clerk.change, what, 0, value)


def test_the_turn_that_set_each_value_last_is_found() -> None:
    """Of a field, a member, a map's entry and a log's item, whatever was changed in between."""
    randomness = random.Random(3)
    last: dict[tuple[Any, ...], tuple[int, int | str | None]] = {}
    lines = 0
    with AgentSystem.open("memory://", agents=[Clerk]) as system:
        clerk = system.agent(Clerk, "c")
        for _ in range(300):
            what = randomness.choice(["count", "row", "name", "owners", "numbers", "lines"])
            at, value = randomness.randrange(5), randomness.randrange(3)
            clerk.call(Clerk.change, what, at, value).get(timeout=DEADLINE)
            newest = system.journal.list("Clerk", "c", newest=True, limit=1)[0].sequence
            place: tuple[Any, ...] = (what,)
            shown: int | str = value
            if what in ("row", "name"):
                place, shown = ("seat", what), value if what == "row" else str(value)
            elif what in ("owners", "numbers"):
                place = (what, str(at) if what == "owners" else at)
                shown = str(value) if what == "owners" else value
            elif what == "lines":
                place, shown, lines = (what, lines), str(value), lines + 1
            before: int | None = 0 if what in ("count", "row") else None
            if last.get(place, (0, before))[1] != shown:
                last[place] = (newest, shown)
        for (field, *path), (sequence, wanted) in last.items():
            found = clerk.why(field, *path)
            assert found.event is not None, (field, path)
            got = (found.event.sequence, msgspec.json.decode(found.value))
            assert got == (sequence, wanted), (field, path)
        end = clerk.why("lines", -1)
        assert end == clerk.why("lines", lines - 1)


def test_causes_lead_back_to_the_edge_with_arguments_that_a_hook_recorded() -> None:
    """The chain of causes comes with what the message carried, where a hook has recorded it."""

    def look(details: MessageDetails) -> None:
        assert details.kind

    with AgentSystem.open("memory://", agents=[Clerk, Boss]) as system:
        system.hooks.on(points.MESSAGE_BEFORE, name="look")(look)
        system.agent(Boss, "b").call(Boss.order, "count", 7).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        found = system.why("Clerk/c", "count")
        assert [event.agent for event in found.causes] == ["Boss/b"]
        assert found.causes[0].cause == 0
        assert msgspec.json.decode(found.arguments) == [["count", 0, 7], {}]
        assert [hook.name for hook in found.hooks] == ["look: continue"]


def test_what_the_journal_has_no_more_is_said_to_be_older() -> None:
    """A value that was set before the oldest kept commit has no turn, and is shown all the same."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Clerk], retention=Retention(commits=None)) as system:
        clerk = system.agent(Clerk, "c")
        clerk.call(Clerk.change, "count", 0, 5).get(timeout=DEADLINE)
        clerk.call(Clerk.change, "owners", 1, 2).get(timeout=DEADLINE)
        found = system.why(clerk, "count")
        assert found.event is not None
        assert system.flush(DEADLINE)
        assert store.trim_journal(found.event.sequence + 1, 100) == 1
        older = system.why(clerk, "count")
        assert (older.event, older.value) == (None, "5")
        assert system.why(clerk, "owners", "1").event is not None
        with pytest.raises(ConfigurationError, match="no stored field 'nothing'"):
            system.why(clerk, "nothing")


class Reader(Agent[Book]):
    record = True

    def take(self, number: int) -> None:
        rate = self.system.state.get(Scope.agent("Reader", self.key), "rate")
        assert isinstance(rate, int)
        own = Scope.agent("Reader", self.key)
        sheet = self.system.artifacts.get("sheet", scope=own)
        assert self.system.artifacts.read(sheet) == b"1,2"
        self.system.artifacts.came_from(sheet)
        self.state.count = number * rate


def test_what_a_recorded_turn_has_read_is_named() -> None:
    """The arguments, the shared keys and the artifacts of a turn that was recorded whole."""
    with AgentSystem.open("memory://", agents=[Reader]) as system:
        system.state.set(Scope.agent("Reader", "r"), "rate", 3)
        system.artifacts.save("sheet", b"1,2", scope=Scope.agent("Reader", "r"))
        system.agent(Reader, "r").call(Reader.take, 14).get(timeout=DEADLINE)
        assert system.flush(DEADLINE)
        found = system.why("Reader/r", "count")
    assert (found.value, found.arguments) == ("42", "[[14],{}]")
    assert "agent:Reader:r rate" in found.reads
    assert found.artifacts == ("agent:Reader:r sheet version 1",)
