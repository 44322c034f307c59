"""The chat service of docs/tasks/chat-service.md, as a real server: SIGTERM, a restart, SIGKILL."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from perdure import open_reader
from tests.kit.children import ROOT
from tests.kit.deadline import DEADLINE
from tests.pages import DOCS, blocks

USERS = 20
PER_USER = 3
"""Messages each user has answered before the signal; others are under way then."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of the page."""
    for block in blocks((DOCS / "tasks" / "chat-service.md").read_text()):
        if block.mark.startswith("file: "):
            (tmp_path / block.mark.removeprefix("file: ")).write_text(block.text)
    return tmp_path


class Server:
    """A child process with uvicorn, and the address it listens on."""

    def __init__(self, folder: Path) -> None:
        self.log = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "service:app", "--workers", "1", "--port", "0"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._address()

    def _address(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line
            if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                return found[1]
        raise AssertionError(f"the server did not start:\n{self.log}")

    def end(self, how: signal.Signals) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(how)
        _, rest = self.process.communicate(timeout=DEADLINE)
        self.log += rest
        return self.process.returncode


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run the service; the process ends with the block, whatever happens."""
    server = Server(folder)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate(timeout=DEADLINE)


async def talk(
    client: httpx2.AsyncClient, user: str, answered: dict[str, int], ready: asyncio.Event
) -> None:
    """Send messages until the server is gone; note every turn that was acknowledged."""
    number = answered[user]
    while True:
        number += 1
        message = {"id": f"{user}-{number}", "text": "hello"}
        try:
            answer = await client.post(f"/chat/{user}", json=message)
        except httpx2.TransportError:
            return
        if answer.status_code != 200:
            assert answer.status_code == 503, answer.text
            return
        assert answer.json()["turn"] == number
        answered[user] = number
        if all(count >= PER_USER for count in answered.values()):
            ready.set()


async def talk_until(server: Server, how: signal.Signals) -> tuple[dict[str, int], int]:
    """Let all users talk, end the server under their load; return what was acknowledged."""
    answered = {f"user-{number}": 0 for number in range(USERS)}
    ready = asyncio.Event()
    limits = httpx2.Limits(max_connections=USERS)
    async with httpx2.AsyncClient(
        base_url=server.address, timeout=DEADLINE, limits=limits
    ) as client:
        talking = [asyncio.create_task(talk(client, user, answered, ready)) for user in answered]
        await asyncio.wait_for(ready.wait(), DEADLINE)
        code = await asyncio.to_thread(server.end, how)
        await asyncio.gather(*talking)
    return answered, code


def stored(folder: Path) -> dict[str, int]:
    """Return how many commits the file has of each user; each turn here is one."""
    with contextlib.closing(open_reader(str(folder / "chat.db"))) as reader:
        return {row.key: row.version for row in reader.agents()}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_every_answer_a_client_has_seen_is_in_the_file(folder: Path, how: signal.Signals) -> None:
    """After a signal under load, each acknowledged turn is stored, at most one more per user."""
    with serving(folder) as server:
        answered, code = asyncio.run(talk_until(server, how))
    assert code == -how
    assert ("drained" in server.log) == (how == signal.SIGTERM)
    assert "Traceback" not in server.log
    found = stored(folder)
    assert {
        user: found[user] - turns for user, turns in answered.items() if found[user] < turns
    } == {}
    assert max(found[user] - turns for user, turns in answered.items()) <= 1


def test_the_next_process_goes_on_and_knows_the_last_message(folder: Path) -> None:
    """A new server continues the conversation, and answers a repeated id as the first one did."""
    answers = []
    for ids in (["m1", "m2"], ["m2", "m3"]):
        with serving(folder) as server, httpx2.Client(base_url=server.address) as client:
            answers += [client.post("/chat/a", json={"id": i, "text": "hi"}).json() for i in ids]
            client.close()
            server.end(signal.SIGTERM)
    assert [answer["turn"] for answer in answers] == [1, 2, 2, 3]
    assert answers[1] == answers[2]
