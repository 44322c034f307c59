"""Errors of models and tools as they are stored and told: without the keys that they may quote."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import msgspec

from ..persistence.errors import told
from ..persistence.secrets.detector import Detector

_DETECTOR: Final = Detector("redact")


def failure(error: BaseException) -> str:
    """Return an error as text that can be stored: providers quote the key that they refuse."""
    return told(error, _hidden)


def _hidden(text: str) -> str:
    shown = _DETECTOR.redacted(msgspec.json.encode(text).decode())
    return msgspec.json.decode(shown, type=str)


async def contained(call: Awaitable[Any]) -> Any:  # noqa: ANN401 - the call's
    """Await a call; what would end the event loop, and every agent with it, becomes an error.

    So does all else that is no ``Exception``, as what extensions raise when they panic, and what
    looks as if the work on the run had been cancelled: it would end, and nobody would be told.
    """
    try:
        return await call
    except (Exception, GeneratorExit):  # that comes from whoever closes a coroutine
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(f"it raised {error!r}, and nobody has cancelled it") from error
    except BaseException as error:
        raise harmless(error) from error


def harmless(error: BaseException) -> RuntimeError:
    """Return what stands for an error that nothing here may pass on as it is."""
    return RuntimeError(f"it raised {error!r}, which ends no process here")
