"""What the work on a run tells its agent: what goes together, and what comes of errors."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from perdure.llm.news import News, RunEnds, StepBegins, StepEnds, StepVerdict, read_news, written
from perdure.llm.outbox import Outbox
from perdure.llm.records import StepPlace
from tests.kit.deadline import DEADLINE


def begins(call: str) -> News:
    """Return that a tool begins."""
    return StepBegins(StepPlace("r", "tool", 1, call, "look"), {})


def ends(call: str) -> News:
    """Return that a tool has ended."""
    return StepEnds(StepPlace("r", "tool", 1, call, "look"), "done", {}, 0.0)


class Keeper:
    """Takes down what it is told, but for calls that it is to refuse."""

    def __init__(self, *refused: str) -> None:
        """Refuse the turns in which these calls are."""
        self.turns: list[list[str]] = []
        self.refused = refused
        self.told = asyncio.Event()

    async def note(self, text: str) -> str:
        """Take news down; return a verdict for each, which says which call it is of."""
        await asyncio.sleep(0)
        news = read_news(text)
        calls = [each.place.call for each in news if not isinstance(each, RunEnds)]
        for call in calls:
            if call in self.refused:
                raise ValueError(call)
        self.turns.append([f"{type(each).__name__[4:]} {call}"
                           for each, call in zip(news, calls, strict=True)])  # fmt: skip
        self.told.set()
        return written([StepVerdict(why=call) for call in calls])


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test on a loop of its own."""
    asyncio.run(asyncio.wait_for(coroutine, DEADLINE))


def test_an_end_goes_with_what_begins_behind_it() -> None:
    """What has ended and all that begin behind it at the same time are one turn."""

    async def go() -> None:
        keeper = Keeper()
        outbox = Outbox(keeper.note)
        outbox.tell(ends("a"))
        verdicts = await asyncio.gather(outbox.ask(begins("b")), outbox.ask(begins("c")))
        assert [verdict.why for verdict in verdicts] == ["b", "c"]
        assert keeper.turns == [["Ends a", "Begins b", "Begins c"]]

    run(go())


def test_an_end_goes_alone_where_nothing_follows() -> None:
    """An end is taken down soon though nothing begins behind it, and ``settled`` waits for it."""

    async def go() -> None:
        keeper = Keeper()
        outbox = Outbox(keeper.note)
        outbox.tell(ends("a"))
        await keeper.told.wait()
        outbox.tell(ends("b"))
        await outbox.settled()
        assert keeper.turns == [["Ends a"], ["Ends b"]]

    run(go())


def test_one_that_is_refused_harms_no_other() -> None:
    """Of a turn that fails each is taken down by itself; only who asked for what fails is told."""

    async def go() -> None:
        keeper = Keeper("b")
        outbox = Outbox(keeper.note)
        outbox.tell(ends("a"))
        first, second = await asyncio.gather(
            outbox.ask(begins("b")), outbox.ask(begins("c")), return_exceptions=True
        )
        assert isinstance(first, ValueError)
        assert isinstance(second, StepVerdict)
        assert keeper.turns == [["Ends a"], ["Begins c"]]

    run(go())


def test_nothing_begins_behind_an_end_that_is_not_taken_down() -> None:
    """Whoever wants to begin then is told why, at once and later; other ends still count."""

    async def go() -> None:
        keeper = Keeper("a")
        outbox = Outbox(keeper.note)
        outbox.tell(ends("a"))
        outbox.tell(ends("b"))
        for call in ("c", "d"):
            with pytest.raises(ValueError, match=r"^a$"):
                await outbox.ask(begins(call))
        outbox.tell(ends("e"))
        await outbox.settled()
        assert keeper.turns == [["Ends b"], ["Ends e"]]

    run(go())


def test_who_leaves_hands_on_what_has_ended() -> None:
    """When the work is cut off, what has ended is handed on; what would begin is not in doubt."""
    told: list[list[News]] = []

    def note(text: str) -> asyncio.Future[str]:
        told.append(read_news(text))
        return asyncio.get_running_loop().create_future()

    async def go() -> None:
        outbox = Outbox(note)
        outbox.tell(ends("a"))
        asking = asyncio.create_task(outbox.ask(begins("b")))
        await asyncio.sleep(0)
        outbox.leave()
        asking.cancel()

    run(go())
    assert told == [[ends("a")]]
