"""The worker: makes its engine, closes itself in, runs one script, or what one types, and ends."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
from typing import Final

from .confine import die_with, limit
from .task import Engine, Order, engine_failed, task_of
from .wire import Wire

SPARE: Final = 64 << 20
"""What the interpreter and the engine may take beside the script."""
FILES: Final = 64
WATCH_SECONDS: Final = 1.0


def main() -> None:
    """Do what the host says on the socket that it has left open here."""
    order = Order(*json.loads(sys.argv[1]))
    end = socket.socket(fileno=order.socket)
    wire = Wire(end, order.largest)
    try:
        engine = made(order, end)
    except Exception as error:  # noqa: BLE001 - the host says it to people
        wire.send(json.dumps(["broken", f"{type(error).__name__}: {error}"]).encode())
        return
    wire.send(json.dumps(["ready", engine.walls]).encode())

    def ask(payload: bytes) -> bytes:
        try:
            wire.send(payload)
            return wire.receive()
        except (OSError, EOFError):
            os._exit(0)  # nobody is there any more: nothing of the script shall go on

    while True:
        try:
            task = task_of(wire.receive())
        except EOFError:
            return  # nobody needs it any more
        try:
            ended = engine.run(task, ask)
        except Exception as error:  # noqa: BLE001 - the engine's or ours: its host shows it
            ended = engine_failed("worker", f"{type(error).__name__}: {error}")
        wire.send(ended)
        if not task.typed:
            return


def made(order: Order, end: socket.socket) -> Engine:
    """Return the engine of a language, closed in; what it imports is there before."""
    if order.language == "python":
        from .python import Python  # noqa: PLC0415 - one engine, and nothing of the others

        watch(end, order.host)
        limit(2 * order.memory + SPARE, order.seconds, FILES)
        return Python(order.memory, order.program)
    die_with(order.host)
    if order.language == "lua":
        from .lua import Lua  # noqa: PLC0415 - same

        limit(2 * order.memory + SPARE, order.seconds, FILES)
        return Lua(order.memory)
    from .javascript import JavaScript  # noqa: PLC0415 - same

    limit(2 * order.memory + SPARE, order.seconds, FILES)
    return JavaScript(order.memory)


def watch(end: socket.socket, host: int) -> None:
    """Kill this process and those below it when the host is gone, in the middle of whatever."""
    poll = select.poll()
    poll.register(end, select.POLLRDHUP)

    def wait() -> None:
        while not poll.poll(WATCH_SECONDS * 1000) and os.getppid() == host:
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
