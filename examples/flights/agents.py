"""The agents: each aircraft, each airport, each carrier, and the feed that reads the file.

The way of a flight:

    Feed ──► Aircraft ──┬──► Airport (origin) ──► Feed, once per 32 departures: "counted"
                        ├──► Airport (destination)
                        └──► Carrier

155 flights of January have no tail number in the file: all were cancelled before an aircraft was
named. An agent "NA" would be an aircraft that never was, so the feed gives such a flight to its
carrier, and the carrier tells the two airports.

Every message is sent with `defer`: it leaves when the turn that sends it commits, and is consumed
by exactly one committed turn.
"""

from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from perdure import Agent, Log, Map, State

from .data import Departures, Flight, Movement, digest

FEED = "departures"
"""The key of the feed: there is one."""

# Flow control. The feed may be WINDOW flights ahead of the airports they leave from. These are the
# busiest agents, one of three takes part in every flight, so others keep up when they do. A word
# for each flight would be one turn in five: an airport sends one for ACKNOWLEDGE departures.
# Invariant: WINDOW >= CHUNK + ORIGINS * (ACKNOWLEDGE - 1). Flights that are counted but not yet
# acknowledged can then never keep the feed from its next chunk: a feed that waits is always woken.
CHUNK = 128
WINDOW = 1024
ACKNOWLEDGE = 32
ORIGINS = 3

Report: TypeAlias = dict[str, int | str]
"""What an agent knows, as plain numbers, and a fingerprint of its log."""


class Flown(State):
    """What aircraft and carriers keep: sums over the flights they were told of."""

    flights: int = 0
    cancelled: int = 0
    departure_delay: int = 0
    arrival_delay: int = 0
    movements: Log[Movement] = Log.field()

    def add(self, flight: Flight) -> None:
        """Count one flight. A delay which the file does not give adds nothing."""
        self.flights += 1
        self.cancelled += flight.cancelled
        self.departure_delay += flight.departure_delay or 0
        self.arrival_delay += flight.arrival_delay or 0
        self.movements.append(flight.movement(flight.arrival_delay))


class AircraftState(Flown):
    """An aircraft also knows how far it has flown."""

    miles: int = 0


class CarrierState(Flown):
    """A carrier also knows its fleet, and the flights it never named an aircraft for."""

    unassigned: int = 0
    fleet: Map[str, int] = Map.field()


class AirportState(State):
    """An airport counts the two ends of a flight apart."""

    departures: int = 0
    cancelled: int = 0
    departure_delay: int = 0
    arrivals: int = 0
    missed: int = 0
    arrival_delay: int = 0
    movements: Log[Movement] = Log.field()


class FeedState(State):
    """The feed's place in the file, and how far the airports have come."""

    source: str = ""
    row: int = 0
    counted: int = 0
    stepping: bool = False
    ended: bool = False


class Progress(Struct, frozen=True):
    """How far the feed is."""

    read: int
    """Flights read from the file."""
    counted: int
    """Flights acknowledged by their airports of origin, which may have counted up to 93 more."""
    ended: bool
    """Whether the file has been read to its end."""


class Aircraft(Agent[AircraftState]):
    """An aircraft, by tail number."""

    def fly(self, flight: Flight) -> None:
        """Fly once, and tell all whom it concerns."""
        self.state.add(flight)
        self.state.miles += 0 if flight.cancelled else flight.miles
        self.system.agent(Airport, flight.origin).cast(Airport.depart, flight)
        self.system.agent(Airport, flight.destination).cast(Airport.arrive, flight)
        self.system.agent(Carrier, flight.carrier).cast(Carrier.operate, flight)

    def report(self) -> Report:
        """Return the numbers, and the log in its own order: that in which the feed sends."""
        state = self.state
        return {
            "flights": state.flights,
            "cancelled": state.cancelled,
            "departure_delay": state.departure_delay,
            "arrival_delay": state.arrival_delay,
            "miles": state.miles,
            "movements": len(state.movements),
            "log": digest(movement.line() for movement in state.movements),
        }


class Airport(Agent[AirportState]):
    """An airport, by its three letters."""

    def depart(self, flight: Flight) -> None:
        """Count a departure, or that it was cancelled."""
        state = self.state
        state.departures += 1
        state.cancelled += flight.cancelled
        state.departure_delay += flight.departure_delay or 0
        state.movements.append(flight.movement(flight.departure_delay))
        if state.departures % ACKNOWLEDGE == 0:
            self.system.agent(Feed, FEED).cast(Feed.acknowledge, ACKNOWLEDGE)

    def arrive(self, flight: Flight) -> None:
        """Count an arrival, or that the flight did not come."""
        state = self.state
        if flight.arrival_delay is None:
            state.missed += 1
        else:
            state.arrivals += 1
            state.arrival_delay += flight.arrival_delay
        state.movements.append(flight.movement(flight.arrival_delay))

    def report(self) -> Report:
        """Return the numbers, and the log by row: aircraft come in any order."""
        state = self.state
        return {
            "departures": state.departures,
            "cancelled": state.cancelled,
            "departure_delay": state.departure_delay,
            "arrivals": state.arrivals,
            "missed": state.missed,
            "arrival_delay": state.arrival_delay,
            "movements": len(state.movements),
            "log": _by_row(state.movements),
        }


class Carrier(Agent[CarrierState]):
    """A carrier, by its two letters."""

    def operate(self, flight: Flight) -> None:
        """Count a flight of one of the carrier's aircraft."""
        self.state.add(flight)
        self.state.fleet[flight.tail] = self.state.fleet.get(flight.tail, 0) + 1

    def withdraw(self, flight: Flight) -> None:
        """Count a flight that got no aircraft, and tell the airports, as no aircraft can."""
        self.state.add(flight)
        self.state.unassigned += 1
        self.system.agent(Airport, flight.origin).cast(Airport.depart, flight)
        self.system.agent(Airport, flight.destination).cast(Airport.arrive, flight)

    def report(self) -> Report:
        """Return the numbers, the log by row, and the fleet by tail number."""
        state = self.state
        return {
            "flights": state.flights,
            "cancelled": state.cancelled,
            "departure_delay": state.departure_delay,
            "arrival_delay": state.arrival_delay,
            "unassigned": state.unassigned,
            "aircraft": len(state.fleet),
            "fleet": digest(f"{tail} {flights}" for tail, flights in sorted(state.fleet.items())),
            "movements": len(state.movements),
            "log": _by_row(state.movements),
        }


class Feed(Agent[FeedState]):
    """Reads the file a chunk at a time.

    Its place in the file is its state, so a killed feed goes on where its last commit left it.
    """

    # Not state: any activation can open the file again at `state.row`. A turn that is rolled back
    # needs no care either, because `Departures` finds the place it is asked for.
    _departures: Departures | None = None

    def begin(self, source: str) -> bool:
        """Begin to read `source`, and return whether this call began it.

        A feed that has begun goes on by itself.

        Raises:
            ValueError: when this feed reads another file.
        """
        if self.state.source and self.state.source != source:
            msg = f"this store has flights from {self.state.source}: take a new store for {source}"
            raise ValueError(msg)
        begins = not self.state.source
        self.state.source = source
        self._go_on()
        return begins

    def step(self) -> None:
        """Read one chunk and send each flight on its way."""
        state = self.state
        if self._departures is None:
            self._departures = Departures(Path(state.source))
        flights = self._departures.read(state.row, CHUNK)
        for flight in flights:
            if flight.tail:
                self.system.agent(Aircraft, flight.tail).cast(Aircraft.fly, flight)
            else:
                self.system.agent(Carrier, flight.carrier).cast(Carrier.withdraw, flight)
        state.row += len(flights)
        state.ended = len(flights) < CHUNK
        state.stepping = False
        self._go_on()

    def acknowledge(self, flights: int) -> None:
        """Take note that an airport has counted so many more departures."""
        self.state.counted += flights
        self._go_on()

    def progress(self) -> Progress:
        """Return how far the feed is."""
        return Progress(self.state.row, self.state.counted, self.state.ended)

    def report(self) -> Report:
        """Return what can be compared: where the feed stands in the file."""
        return {"flights": self.state.row, "ended": int(self.state.ended)}

    def _go_on(self) -> None:
        # `stepping` is durable with the message it stands for: there is always one step in the
        # mail, or none, across any crash.
        state = self.state
        room = state.row - state.counted + CHUNK <= WINDOW
        if room and not state.stepping and not state.ended:
            state.stepping = True
            self.system.agent(Feed, self.key).cast(Feed.step)


AGENTS = (Aircraft, Airport, Carrier, Feed)


def _by_row(movements: Log[Movement]) -> str:
    return digest(
        movement.line() for movement in sorted(movements, key=lambda movement: movement.row)
    )
