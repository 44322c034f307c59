"""`perdure mcp`: agents as tools of other programs; tools of a server for agents that think."""

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import mcp
import msgspec
import pytest
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult, TextContent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage

from perdure import Agent, AgentSystem, State, ThinkingAgent
from perdure.mcp.tokens import token_in
from perdure.mcp.tools import served
from perdure.persistence.errors import ConfigurationError
from tests.cli.commands import invoke
from tests.kit.children import ROOT, environment, started
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, returned, scripted
from tests.mcp.agents import AGENTS, Reader, Shelf

SERVE = ("-m", "perdure", "mcp", "tests.mcp.agents:AGENTS", "--store")


def text_of(result: CallToolResult, *, failed: bool = False) -> str:
    """Return the text of a result."""
    assert result.is_error is failed
    (part,) = result.content
    assert isinstance(part, TextContent)
    return part.text


@contextmanager
def serving(store: Path, *more: object) -> Iterator[str]:
    """Serve the agents over HTTP; give the address, and end it as a service manager would."""
    with started(*SERVE, store, "--http", 0, *more) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0


def test_agents_are_tools_over_standard_streams(tmp_path: Path) -> None:
    """A client calls handlers and runs; what it was told is durable, what fails is a result."""
    store = tmp_path / "served.db"

    async def talk() -> None:
        program = StdioServerParameters(
            command=sys.executable, args=[*SERVE, str(store)], env=environment(), cwd=ROOT
        )
        async with mcp.Client(program) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert {"Shelf_assign", "Shelf_owners", "Shelf_lose", "Reader_think"} <= names
            assert not {name for name in names if name.startswith("Reader_")} - {"Reader_think"}
            given = {"key": "a", "ticket": "T-1"}
            assert text_of(await client.call_tool("Shelf_assign", given)) == "1"
            wrong = await client.call_tool("Shelf_assign", {**given, "ticket": 1})
            assert "Expected `str`, got `int`" in text_of(wrong, failed=True)
            more = await client.call_tool("Shelf_assign", {**given, "more": 1})
            assert "unknown field `more`" in text_of(more, failed=True)
            lost = await client.call_tool("Shelf_lose", {"ticket": "T-9"})
            assert "T-9 is not here" in text_of(lost, failed=True)
            left = await client.call_tool("Shelf_leave", {})
            assert "SystemExit(3)" in text_of(left, failed=True)
            assert text_of(await client.call_tool("Shelf_find", {})) == "ticket \\udc80"
            none = await client.call_tool("Shelf_burn", {})
            assert "there is no tool 'Shelf_burn'" in text_of(none, failed=True)
            for _ in range(2):
                thought = await client.call_tool("Reader_think", {"prompt": "it", "run": "r"})
                assert text_of(thought) == "it: ['it, look 1']"
            told = await client.call_tool(
                "Reader_think", {"prompt": "that", "run": "s"}, progress_callback=tell
            )
            assert text_of(told) == "that: ['that, look 2']"

    steps: list[tuple[float, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        steps.append((progress, message))

    asyncio.run(talk())
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1))
    assert {"tool look: begun", "tool look: done"} <= {what for _, what in steps}
    with AgentSystem.open(store, agents=AGENTS) as system:
        assert system.agent(Shelf, "a").call(Shelf.owners).get() == {"T-1": "mira"}
        assert system.agent(Reader, "main").call(Reader.run_status, "r").get().status == "done"


def asking(_prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Give a ticket away by the tool of a server."""
    return str(returned(messages)) if nth else [("Shelf_assign", {"key": "b", "ticket": "T-2"})]


def test_an_agent_that_thinks_uses_tools_of_a_server(tmp_path: Path) -> None:
    """Over HTTP a call is made once and its result kept; a page of elsewhere is refused."""
    store = tmp_path / "served.db"
    with serving(store) as url:
        client = ThinkingAgent.define(
            "Client", model=scripted(asking), toolsets=[MCPToolset(url, id="shelf")]
        )
        for _ in range(2):
            with AgentSystem.open(tmp_path / "client.db", agents=[client]) as system:
                ref = system.agent(client, "one")
                told = ref.call(client.think, "give it away", run="r").get(timeout=DEADLINE)
                assert told == "['1']"
        for header in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            answer = httpx2.post(url, json={}, headers=header)
            assert answer.status_code in (403, 421)
    with AgentSystem.open(store, agents=AGENTS) as system:
        assert system.agent(Shelf, "b").describe().version == 1


def test_a_client_shows_the_token(tmp_path: Path) -> None:
    """Where there is a token file, whoever does not show its token is refused, and nobody else."""
    file = tmp_path / "token"
    with serving(tmp_path / "served.db", "--token-file", file) as url:
        token = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for shown in ({}, {"Authorization": "Bearer x"}, {"Authorization": token}):
            answer = httpx2.post(url, json={}, headers=shown)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        header = {"Authorization": f"Bearer {token}"}
        lower = httpx2.post(url, json={}, headers={"Authorization": f"bearer {token}"})
        assert lower.status_code not in (401, 403)
        strange = httpx2.post(url, json={}, headers={**header, "Origin": "https://evil.example"})
        assert strange.status_code == 403
        toolset = MCPToolset(url, id="shelf", headers=header)
        client = ThinkingAgent.define("Client", model=scripted(asking), toolsets=[toolset])
        with AgentSystem.open("memory://", agents=[client]) as system:
            told = system.agent(client, "one").call(client.think, "give it away")
            assert told.get(timeout=DEADLINE) == "['1']"


def test_a_token_is_kept_to_oneself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token file that others may read, or own, or with something else in it, is refused."""
    file = tmp_path / "token"
    token = token_in(file)
    assert token_in(file) == token
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        token_in(file)
    file.chmod(0o600)
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
        with pytest.raises(ConfigurationError, match="another user's"):
            token_in(file)
    for text in ("", "short", "two words of a token", "x" * 20 + "\n" + "y" * 20):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match="16 to 512 letters"):
            token_in(file)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        token_in(tmp_path / "gone" / "token")
    result = invoke(
        "mcp", "tests.mcp.agents:AGENTS", "--store", tmp_path / "s", "--token-file", file
    )
    assert (result.exit_code, "goes with --http" in result.stderr) == (2, True)


def test_a_run_that_waits_for_a_person_is_told_and_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client hears that a run waits and by which name to ask; it cannot decide by itself."""
    monkeypatch.setattr("perdure.mcp.tools.WAIT", 0.05)
    tools = served(AGENTS)
    with AgentSystem.open("memory://", agents=AGENTS) as system:
        think = tools["Reader_think"]
        told = asyncio.run(think.answer(system.agent, {"prompt": "send", "run": "r"}))
        assert "run r is" in str(told)
        reader = system.agent(Reader, "main")
        assert system.idle(DEADLINE)
        (wait,) = reader.call(Reader.run_status, "r").get().waiting
        told = asyncio.run(think.answer(system.agent, {"run": "r"}))
        assert told == (
            "There is no answer yet: run r is waiting (approval: send)."
            " Call again with key='main' and run='r'."
        )
        reader.call(Reader.approve, "r", wait.call).get()
        assert system.idle(DEADLINE)
        told = asyncio.run(think.answer(system.agent, {"run": "r"}))
        assert told == "send: ['sent send']"


class Point(msgspec.Struct):
    """May be changed."""

    x: int = 0


class Desk(Agent[State]):
    """Has methods as people write them."""

    kind = "desk/emea"

    def answer(self, names: dict[int, str]) -> dict[int, str]:
        """Be named as a method of agents that think, which this is not."""
        return names

    def move(self, by: int, /, at: Point = Point(3), *, steps: list[int] = [1]) -> int:  # noqa: B006, B008 - it is what is tried
        """Take arguments of each kind, with what may be changed for those that are left out."""
        return at.x + by * len(steps)

    def odd(self) -> object:
        """Return what JSON does not have."""
        return object()


@pytest.mark.parametrize(
    ("tool", "given", "told"),
    [
        ("answer", {"names": {"1": "mira"}}, '{"1":"mira"}'),
        ("move", {"by": 2}, "5"),
        ("move", {"by": 2, "at": {"x": 1}, "steps": [1, 1]}, "5"),
        ("odd", {}, "It is done. What it returned JSON does not have"),
    ],
)
def test_methods_as_people_write_them_are_served(
    tool: str, given: dict[str, object], told: str
) -> None:
    """Whatever they are called and take; a turn that is done is never told as one that failed."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        made = served([Desk])[f"desk_emea_{tool}"]
        assert asyncio.run(made.answer(system.agent, given)).startswith(told)


def test_what_cannot_be_served_is_refused_by_name() -> None:
    """A handler without annotations, or with a parameter that JSON or a key takes, is named."""

    class Bare(Agent[State]):
        def go(self, there) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001

    class Keyed(Agent[State]):
        def go(self, key: str) -> None: ...

    class Odd(Agent[State]):
        def go(self, there: socket.socket) -> None: ...

    class Unknown(Agent[State]):
        def go(self, there: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    class Empty(Agent[State]):
        def _go(self) -> None: ...

    for wrong, why in ((Bare, "annotate it"), (Unknown, "annotate it"), (Keyed, "another name"),
                       (Odd, "JSON does not"), (Empty, "nothing to serve")):  # fmt: skip
        with pytest.raises(ConfigurationError, match=why):
            served([wrong])
    with pytest.raises(ConfigurationError, match="two of the agents' tools are Shelf_assign"):
        served([Shelf, Shelf])
