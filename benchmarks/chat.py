"""A chat service on FastAPI, whatever keeps its conversations, and the callers that load it.

Requests go to the application in this process, without a socket: what differs between two sides
is how they keep a conversation. Eight of ten requests say something, one of ten notes a fact about
the user, one of ten reads the last lines.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from fastapi import FastAPI
from pydantic import BaseModel

from .workload import percentiles, said

USERS = 2_000
LAST = 10
"""Lines that a reader gets."""
WARM_UP = 200
"""Requests."""

Message = MutableMapping[str, Any]


class Said(BaseModel):
    """What a user says."""

    text: str


class Chat(Protocol):
    """Keep conversations; what an answer tells is durable."""

    async def say(self, user: str, text: str) -> tuple[str, int]:
        """Answer a user; return the answer and the number of its turn."""
        ...

    async def last(self, user: str, count: int) -> list[tuple[str, str]]:
        """Return the last lines of a conversation: who said what."""
        ...


def answer(text: str) -> str:
    """Stand for a language model."""
    return f"you said {len(text)} characters, beginning with {text[:20]}"


def fact(text: str) -> tuple[str, str] | None:
    """Return the name and the value that a user wants remembered, if it is that."""
    name, found, value = text.removeprefix("remember ").partition("=")
    return (name, value) if found and text.startswith("remember ") else None


def build(chat: Chat) -> FastAPI:
    """Build the service."""
    app = FastAPI()

    @app.post("/chat/{user}")
    async def say(user: str, said: Said) -> dict[str, object]:
        text, turn = await chat.say(user, said.text)
        return {"text": text, "turn": turn}

    @app.get("/chat/{user}/history")
    async def history(user: str, last: int = LAST) -> list[dict[str, str]]:
        return [{"role": role, "text": text} for role, text in await chat.last(user, last)]

    return app


async def load(app: FastAPI, *, callers: float, seconds: float) -> dict[str, float]:
    """Have some callers make requests, each waiting for its answer; refuse any that fails."""
    choice = random.Random(1)
    taken: list[float] = []
    for _ in range(WARM_UP):
        await _request(app, choice)
    deadline = time.perf_counter() + seconds

    async def call() -> None:
        while (start := time.perf_counter()) < deadline:
            await _request(app, choice)
            taken.append((time.perf_counter() - start) * 1e3)

    start = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(int(callers))))
    spent = time.perf_counter() - start
    return {**percentiles(taken), "per_second": len(taken) / spent}


async def _request(app: FastAPI, choice: random.Random) -> None:
    user, kind = f"user-{choice.randrange(USERS)}", choice.random()
    if kind < 0.1:
        await _ask(app, "GET", f"/chat/{user}/history")
        return
    text = said(choice.randrange(1_000))
    if kind < 0.2:
        text = f"remember fact-{choice.randrange(50)}={text[:20]}"
    await _ask(app, "POST", f"/chat/{user}", json.dumps({"text": text}).encode())


async def _ask(app: FastAPI, method: str, path: str, body: bytes = b"") -> None:
    """Make one request as a server does (ASGI); ValueError unless it succeeds."""
    status: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    scope: Message = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"content-type", b"application/json"), (b"host", b"chat")],
        "client": ("127.0.0.1", 1),
        "server": ("chat", 80),
        "state": {},
    }
    application: Callable[..., Awaitable[None]] = app
    await application(scope, receive, send)
    if status != [200]:
        raise ValueError(f"{method} {path} was answered with {status}")
