"""Errors of models and tools as they are stored and told: without the keys that they may quote."""

from __future__ import annotations

from typing import Final

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
