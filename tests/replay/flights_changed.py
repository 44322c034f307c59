"""Airports of the flights example with a fault: a plane that leaves early counts as on time."""

from examples.flights import agents
from examples.flights.data import Flight


class Airport(agents.Airport):
    """Forgets that a delay may be below 0."""

    def depart(self, flight: Flight) -> None:
        """Count a departure, wrongly if it was early."""
        super().depart(flight)
        self.state.departure_delay -= min(flight.departure_delay or 0, 0)


AGENTS = (agents.Aircraft, Airport, agents.Carrier, agents.Feed)
