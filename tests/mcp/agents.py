"""Agents that the tests serve: ``perdure mcp tests.mcp.agents:AGENTS``."""

import sys
from typing import Any, ClassVar

import msgspec
from pydantic_ai.messages import ModelMessage

from perdure import Agent, Map, State, ThinkingAgent, ThinkingState, tool
from tests.llm.scripts import Answer, returned, scripted


class ShelfState(State):
    """What lies where."""

    owners: Map[str, str] = Map.field()


class Shelf(Agent[ShelfState]):
    """Knows who owns what."""

    def assign(self, ticket: str, owner: str = "mira") -> int:
        """Give a ticket to an owner; return how many there are."""
        print("printed by a handler")  # noqa: T201 - it must not reach the client
        sys.stdout.flush()
        self.state.owners[ticket] = owner
        return len(self.state.owners)

    def owners(self) -> dict[str, str]:
        """Return who owns what."""
        return dict(self.state.owners)

    def lose(self, ticket: str) -> None:
        """Fail."""
        raise LookupError(f"{ticket} is not here")

    def leave(self) -> None:
        """Raise what would end a process."""
        raise SystemExit(3)

    def find(self) -> str:
        """Return the name of a file that is no UTF-8, as Python has it."""
        return "ticket \udc80"


def script(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Look once, then say what came back; or ask for what a person must agree to."""
    if nth:
        return f"{prompt}: {returned(messages)}"
    return [("send" if prompt == "send" else "look", {"what": prompt})]


class Reader(ThinkingAgent[ThinkingState]):
    """Looks things up."""

    model = scripted(script)
    looked: ClassVar[list[str]] = []

    @tool(effect="safe")
    def look(self, what: str) -> str:
        """Look something up."""
        self.looked.append(what)
        return f"{what}, look {len(self.looked)}"

    @tool(effect="once", approve=True)
    def send(self, what: str) -> str:
        """Send something, if a person agrees."""
        return f"sent {what}"


class address(msgspec.Struct):  # noqa: N801 - the suite's name of it
    """A part of a schema."""

    street: str = ""
    city: str = ""


class TestKind(Agent[State]):
    """Has the tools that the public conformance suite calls by name."""

    __test__ = False
    kind = "test"

    def simple_text(self) -> str:
        """Say something."""
        return "This is a simple text response for testing."

    def error_handling(self) -> None:
        """Fail."""
        raise RuntimeError("This tool intentionally returns an error for testing")


class SchemaKind(Agent[State]):
    """Has the tool whose schema the suite looks at."""

    kind = "json"

    def schema_2020_12_tool(self, name: str = "", address: address | None = None) -> str:
        """Take an address."""
        return f"{name} {address}"


AGENTS: list[type[Agent[Any]]] = [Shelf, Reader, TestKind, SchemaKind]
