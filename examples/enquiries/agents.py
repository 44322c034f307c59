"""The desk, and the expert it asks; what they know, the agents of the flights example know.

question ──► Desk ──┬──► Expert ──► Airport, Carrier, Aircraft   (examples.flights)
                    └──► recount: all of the file again, once a person agrees
"""

import asyncio
from pathlib import Path
from typing import Any

from examples.flights import agents as flights
from examples.flights import reference
from perdure import Budget, ThinkingAgent, ThinkingState, agent_tool, tool

from .model import chosen


class Expert(ThinkingAgent[ThinkingState]):
    """Knows whom to ask about flights."""

    model = chosen()
    instructions = (
        "Answer questions about flights from New York by the tools, in one sentence with the"
        " numbers they return. Airports have three letters, carriers two, aircraft begin with N."
    )
    budget = Budget(steps=6)

    @tool(effect="safe")
    async def airport(self, code: str) -> str:
        """Say how many flights left and reached an airport, and how late they were."""
        told = await self._report(flights.Airport, code, "no flight has touched an airport")
        return (
            f"{code}: {told['departures']} departures, {told['cancelled']} cancelled,"
            f" {told['departure_delay']} minutes late in all; {told['arrivals']} arrivals"
        )

    @tool(effect="safe")
    async def carrier(self, code: str) -> str:
        """Say how many flights a carrier had, how many it cancelled, with how many aircraft."""
        told = await self._report(flights.Carrier, code, "no flight was one of a carrier")
        return (
            f"{code}: {told['flights']} flights, {told['cancelled']} cancelled,"
            f" {told['aircraft']} aircraft"
        )

    @tool(effect="safe")
    async def aircraft(self, tail: str) -> str:
        """Say how often and how far an aircraft has flown."""
        told = await self._report(flights.Aircraft, tail, "no flight was one of an aircraft")
        return f"{tail}: {told['flights']} flights, {told['miles']} miles"

    async def _report(self, kind: type[Any], key: str, unknown: str) -> flights.Report:
        told: flights.Report = await self.system.agent(kind, key).call(kind.report)
        if not told["movements"]:
            raise LookupError(f"{unknown} {key}")
        return told


class DeskState(ThinkingState):
    """The desk knows which file the flights are from."""

    source: str = ""


class EnquiryDesk(ThinkingAgent[DeskState]):
    """Answers whoever asks, by the expert; has numbers counted again if a person agrees."""

    model = chosen()
    instructions = (
        "You are the enquiry desk of an airport. Have questions answered by ask_expert. Only if"
        " somebody doubts that the numbers of an airport are exact, use recount. One sentence."
    )
    tools = (agent_tool(Expert, name="ask_expert", about="Ask one who knows all flights."),)
    budget = Budget(steps=20)

    def open(self, source: str) -> None:
        """Take note of the file that the flights are from."""
        self.state.source = source

    def source(self) -> str:
        """Return the file that the flights are from."""
        return self.state.source

    @tool(effect="safe", approve=True)
    async def recount(self, airport: str) -> str:
        """Count all flights of an airport again, from the file. Costly: a person must agree."""
        source = await self.actor_ref.call(EnquiryDesk.source)
        expected = await asyncio.to_thread(reference.count, Path(source), flights.FEED)
        found = await self.system.agent(flights.Airport, airport).call(flights.Airport.report)
        plain = expected.get(("Airport", airport), {})
        wrong = sorted(name for name, number in found.items() if plain.get(name) != number)
        verdict = f"differs in {', '.join(wrong)}" if wrong else "is exact"
        return f"{airport} {verdict}: {found['movements']} movements counted again"


AGENTS = (EnquiryDesk, Expert, *flights.AGENTS)
