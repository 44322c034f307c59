"""A recorded turn played again: what the turn takes from outside comes from its recording."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec

from ...persistence.errors import NotRecorded
from ...persistence.records.tables import Row, Table
from .outside import UNAWAITED, OutsideCall, result_of, returned
from .recording import CallPlace, Recorder, Recording


class Playback(Recorder):
    """Give a turn what was recorded, and take down what it makes of it.

    Nothing is called and nobody is asked. What is not in the recording is named in ``missing``.
    """

    __slots__ = (
        "_answers", "_latest", "_moments", "_numbers", "_outside", "_recording", "live", "missing",
    )  # fmt: skip

    last = True

    def __init__(self, recording: Recording, *, live: bool = False) -> None:
        """Play a recording; with ``live`` what it does not have is called outside."""
        super().__init__(lambda: recording.started, lambda: recording.seed)
        self._recording = recording
        self._moments = iter(recording.moments)
        self._latest = recording.started
        self._numbers = iter(recording.numbers)
        self._outside: dict[tuple[str, int], list[OutsideCall]] = {}
        for call in recording.outside:
            self._outside.setdefault((call.name, call.nth), []).append(call)
        self._answers = _by_name(recording.asks)
        self.live = live
        self.missing: list[str] = []
        """What was wanted and is not in the recording."""

    def silent(self) -> Playback:
        """Return one that has nothing to give, and calls nothing."""
        nothing = msgspec.structs.replace(
            self._recording, moments=[], outside=[], asks=[], numbers=[]
        )
        return Playback(nothing)

    def now(self) -> float:
        """Return the next moment of the recording; behind its end, the latest."""
        moment = next(self._moments, None)
        if moment is None:
            self.missing.append("self.now()")
            moment = self._latest
        self._latest = moment
        self.take("moments", moment)
        return moment

    def number(self, draw: Callable[[], int]) -> int:
        """Return the next number of the recording; behind its end, another."""
        number = next(self._numbers, None)
        return super().number(draw if number is None else lambda: number)

    def outside(self, name: str, call: Callable[[], Any], place: CallPlace | None = None) -> Any:  # noqa: ANN401
        """Return what the call has given, or raise what it has raised.

        NotRecorded if the recording has no more calls of that name and none may be made.
        """
        place = place or self.begin(name)
        calls = self._outside.get((name, place.nth))
        if calls:
            played = calls.pop(0)
            place.made.append(played)
            return _awaitable(played) if played.awaited else result_of(played)
        self.missing.append(f"self.outside({name!r})")
        if self.live:
            return super().outside(name, call, place)
        raise NotRecorded(f"the recorded turn made no such call {name!r}, and a replay makes none")

    def asked(self, name: str, future: Any, method: object) -> bool:  # noqa: ANN401
        """Answer an ask as it was answered."""
        super().asked(name, future, method)
        answers = self._answers.get(name)
        if not answers:
            self.missing.append(f"an ask of {name}")
            future.fail(
                NotRecorded(f"the recorded turn did not ask {name}, and a replay asks nobody")
            )
            return True
        answer = answers.pop(0)
        if answer.error == UNAWAITED:
            return True
        try:
            future.set(result_of(answer, returned(method)))
        except Exception as error:  # noqa: BLE001 - what the other agent raised
            future.fail(error)
        return True


class Blank(Playback):
    """Play nothing: whatever is wanted is missing, also what a turn could draw or read."""

    __slots__ = ()

    def randomness(self) -> random.Random:
        """Return randomness that is not what it was."""
        self.missing.append("self.random")
        return super().randomness()

    def saw(self, table: Table, key: tuple[Any, ...], row: Row | None) -> None:
        """Take down that a row was wanted, which is not here."""
        self.missing.append(f"a row of {table.name}")
        super().saw(table, key, row)


async def _awaitable(call: OutsideCall) -> object:
    if call.error == UNAWAITED:  # it was left, by a limit of time for example, and will be again
        await asyncio.get_running_loop().create_future()
    return result_of(call)


def _by_name(calls: list[OutsideCall]) -> dict[str, list[OutsideCall]]:
    found: dict[str, list[OutsideCall]] = {}
    for call in calls:
        found.setdefault(call.name, []).append(call)
    return found
