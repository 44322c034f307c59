"""What a system is opened with, looked at before anything is opened or any file touched."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .actors.agent.agent import Agent
from .actors.system.options import Limits, Resources
from .hooks.history.retention import HistoryRetention
from .lifecycle.clock import Clock
from .lifecycle.durability import Saving
from .persistence.options import Options, by_keyword
from .persistence.secrets.detector import Detector
from .persistence.secrets.keys import Keys
from .persistence.store.store import Store
from .persistence.upkeep.retention import Retention
from .shared.access.audit import Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The options of ``AgentSystem.open``, which says what each of them means."""

    store: str | Path | Store
    agents: Sequence[type[Agent[Any]]]
    sync: str
    takeover: bool
    service: bool
    saving: Saving
    limits: Limits
    resources: Resources
    keys: Keys
    schemas: Mapping[str, object]
    retention: Retention
    audit: Audit
    history: HistoryRetention
    detector: Detector | None
    clock: Clock
    randomness: random.Random

    def __post_init__(self) -> None:
        """Refuse the first that makes no sense; classes and schemas are looked at afterwards."""
        options = Options(self, by_keyword("AgentSystem.open"))
        if not isinstance(self.store, str | Path | Store):
            raise options.wrong("store", 'a path, "sqlite:///PATH", "memory://" or a MemoryStore()')
        options.among("sync", "power", "process")
        options.flag("takeover")
        options.flag("service")
        options.kind("saving", Saving, "Saving(most_unsaved=20_000)")
        options.kind("limits", Limits, "Limits(mailbox_wait=30.0)")
        options.kind("resources", Resources, "Resources(workers=4)")
        options.kind("keys", Keys, "Keys(secrets=FileKeys(path))")
        options.kind("schemas", Mapping, '{"cart/*": Cart}')
        options.kind("retention", Retention, "Retention(commits=100_000)")
        options.kind("audit", Audit, "Audit(keep=100_000)")
        options.kind("history", HistoryRetention, "HistoryRetention(runs=100_000)")
        options.kind("detector", Detector, 'Detector(policy="refuse")', none="no detector")
        methods = ("now", "monotonic", "call_later", "start", "close")
        options.methods("clock", methods, "a clock, as in clock=VirtualClock()")
        if not isinstance(self.clock.now(), float):
            raise options.wrong("clock", "a clock whose now() returns seconds as a float")
        options.kind("randomness", random.Random, "random.Random(7)")
