"""The agents: a feed, parsers, a matcher, a reporter, and one on duty who hears of late ones.

    Feed ─► [parse] Parsers ─► [match] Matcher ─► [report] Reporter ─► topic "late" ─► Duty
      ▲                                                       │
      └───────────── "there is room again" ───────────────────┘

A turnaround is an arrival and the next departure of the same aircraft. The brackets are stages of a
pipeline: what an agent takes there and what it passes on are part of its turn, so a killed process
loses no chunk and does none twice.
"""

from collections import Counter

import msgspec

from perdure import (
    Agent,
    Boundary,
    Log,
    Map,
    Pipeline,
    Principal,
    Quota,
    Scope,
    Sharing,
    State,
    Topic,
    errors,
)

from .data import Leg, lines, parse

CHUNK = 50
"""Lines that go through the pipeline together."""
ROOM = Quota(items=8)
"""So few that the feed has to wait for the reporter."""
LATE = 15
"""Minutes from which a flight counts as late, as airlines have it."""
PARSERS = 2
STAGES = ("parse", "match", "report")


class Lines(msgspec.Struct, frozen=True):
    """What goes in."""

    index: int
    lines: list[str]


class Legs(msgspec.Struct, frozen=True):
    """What the parsers make of it."""

    index: int
    legs: list[Leg]


class Turnaround(msgspec.Struct, frozen=True, array_like=True):
    """An aircraft that came from one flight and left with the next."""

    tail: str
    carrier: str
    flight: str
    arrival_delay: int
    departure_delay: int

    @property
    def kind(self) -> str:
        """What became of the delay on the ground."""
        came_late, left_late = self.arrival_delay >= LATE, self.departure_delay >= LATE
        if came_late:
            return "handed on" if left_late else "recovered"
        return "arose" if left_late else "on time"


class Turnarounds(msgspec.Struct, frozen=True):
    """What the matcher finds in a chunk."""

    found: list[Turnaround]


def pipeline(sharing: Sharing) -> Pipeline:
    """Return the pipeline; the first call makes it, and says who works where."""
    return sharing.pipeline(
        "turnarounds",
        STAGES,
        quota=ROOM,
        owner=Principal.SYSTEM,
        roles={
            "sources": Principal.agents("Feed"),
            "parse": Principal.agents("Parser"),
            "match": Principal.agents("Matcher"),
            "report": Principal.agents("Reporter"),
        },
    )


def late(sharing: Sharing) -> Topic:
    """Return the topic of late turnarounds, which is the reporter's."""
    return sharing.topic("late", owner=Principal.agent("Reporter", "week"))


class FeedState(State):
    """Where the feed stands."""

    day: int = 0
    row: int = 0
    chunks: int = 0


class Feed(Agent[FeedState]):
    """Put the lines of a day into the pipeline, as fast as there is room."""

    _lines: tuple[int, list[str]] = (0, [])  # no state: read again after a restart

    def begin(self, day: int) -> None:
        """Begin with a day, or go on with it."""
        if self.state.day != day:
            self.state.day, self.state.row = day, 0
        self.go_on()

    def go_on(self) -> None:
        """Put in what there is room for."""
        if self._lines[0] != self.state.day:
            self._lines = self.state.day, lines(self.state.day)
        while chunk := self._lines[1][self.state.row : self.state.row + CHUNK]:
            try:
                pipeline(self.system.sharing).put(Lines(self.state.chunks, chunk))
            except errors.QuotaExceeded:
                return  # the reporter says when there is room again
            self.state.row += len(chunk)
            self.state.chunks += 1


class Nothing(State):
    """Parsers know nothing."""


class Parser(Agent[Nothing]):
    """Make legs of lines. There are several, and each takes what the others have not."""

    async def attend(self) -> None:
        """Ask to be told when there is something to do."""
        pipeline(self.system.sharing).attend("parse", "work")

    async def work(self) -> None:
        """Parse a chunk."""
        line = pipeline(self.system.sharing)
        for work in line.take("parse", type=Lines):
            line.pass_on(work, Legs(work.value.index, parse(work.value.lines)))


class MatcherState(State):
    """How each aircraft came in."""

    next: int = 0
    arrived: Map[str, int] = Map.field()


class Matcher(Agent[MatcherState]):
    """Find the turnarounds: chunks must come in their order."""

    def attend(self) -> None:
        """Ask to be told when there is something to do."""
        pipeline(self.system.sharing).attend("match", Matcher.work)

    def work(self) -> None:
        """Match what has come, up to the first gap: what is not passed on stays where it is."""
        line = pipeline(self.system.sharing)
        for work in line.take("match", limit=ROOM.items, type=Legs):
            if work.value.index != self.state.next:
                return
            self.state.next += 1
            found = [turnaround for leg in work.value.legs if (turnaround := self._match(leg))]
            line.pass_on(work, Turnarounds(found))

    def _match(self, leg: Leg) -> Turnaround | None:
        arrived = self.state.arrived.get(leg.tail)
        if leg.arrival_delay is not None:
            self.state.arrived[leg.tail] = leg.arrival_delay
        elif arrived is not None:
            del self.state.arrived[leg.tail]  # diverted: who knows how it came back
        if arrived is None:
            return None
        return Turnaround(leg.tail, leg.carrier, leg.flight, arrived, leg.departure_delay)


class ReporterState(State):
    """The days that were reported."""

    days: list[int] = msgspec.field(default_factory=list)


class Reporter(Agent[ReporterState]):
    """Count turnarounds for all to see, publish the late ones, and write a report each day."""

    boundary = Boundary.SHARED  # it keeps the global counters

    def attend(self) -> None:
        """Ask to be told when there is something to do."""
        pipeline(self.system.sharing).attend("report", Reporter.work)

    def work(self) -> None:
        """Count what has come, for the week and for the session of the day."""
        line = pipeline(self.system.sharing)
        session = self.system.sessions.current()
        assert session is not None
        for work in line.take("report", limit=ROOM.items, type=Turnarounds):
            kinds = Counter(turnaround.kind for turnaround in work.value.found)
            for scope in (Scope.GLOBAL, session.scope):
                for kind, times in kinds.items():
                    self.scopes.add(scope, kind, times)
            handed_on = [t for t in work.value.found if t.kind == "handed on"]
            for turnaround in handed_on:
                late(self.system.sharing).publish(turnaround)
            line.pass_on(work)
        self.system.agent(Feed, "week").cast(Feed.go_on)

    def close(self, day: int) -> str:
        """Keep the report of a day as an artifact of its session, and return it."""
        session = self.system.sessions.current()
        assert session is not None
        counts = {key: self.scopes.get(session.scope, key, int) for key in KINDS}
        text = f"January {day}: " + ", ".join(f"{n or 0} {key}" for key, n in counts.items())
        if day not in self.state.days:
            self.state.days.append(day)
            self.system.artifacts.save(
                "report.txt",
                text.encode(),
                scope=session.scope,
                type="agent-output",
                media="text/plain",
                tags=["daily"],
            )
        return text


KINDS = ("on time", "recovered", "arose", "handed on")


class DutyState(State):
    """Who hands delays on."""

    carriers: Map[str, int] = Map.field()
    heard: Log[Turnaround] = Log.field()


class Duty(Agent[DutyState]):
    """Hear of each late turnaround."""

    def attend(self) -> None:
        """Subscribe."""
        late(self.system.sharing).subscribe(from_start=True, wake=Duty.news)

    def news(self) -> None:
        """Write down what was published."""
        for item in late(self.system.sharing).read(type=Turnaround):
            carriers = self.state.carriers
            carriers[item.value.carrier] = carriers.get(item.value.carrier, 0) + 1
            self.state.heard.append(item.value)

    def carriers(self) -> dict[str, int]:
        """Return how many late turnarounds each carrier had."""
        return dict(self.state.carriers)


AGENTS = (Feed, Parser, Matcher, Reporter, Duty)
