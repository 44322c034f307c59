"""The test kit: time that skips, probes, faults, crashes, old states; a plugin of pytest.

Names are imported when they are first used: pytest loads the plugin beside this in every run.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .assertions import (
        assert_durable,
        assert_exactly_once,
        assert_no_dead_letters,
        assert_restores,
        live_state,
        stored_state,
    )
    from .clock import SkippingClock
    from .faults.outside import MadeCall, Outside
    from .faults.store import FaultyStore
    from .faults.strikes import Struck
    from .golden import Golden
    from .kit import Kit, LeftBehind
    from .leaks import LeakWatch
    from .machine import AgentMachine, arguments
    from .migrations import assert_migrates, assert_round_trip
    from .runlog import LoggedSignal, LoggedTurn
    from .schemas import stored_schemas
    from .simulation.run import Simulation
    from .simulation.simulate import SimulationFailed, simulate
    from .snapshots import Snapshots, assert_snapshot, snapshot
    from .stand_in import ProbeAgent, Received, StandIn
    from .strategies import states
    from .watch import AgentWatch

__all__ = [
    "AgentMachine",
    "AgentWatch",
    "FaultyStore",
    "Golden",
    "Kit",
    "LeakWatch",
    "LeftBehind",
    "LoggedSignal",
    "LoggedTurn",
    "MadeCall",
    "Outside",
    "ProbeAgent",
    "Received",
    "Simulation",
    "SimulationFailed",
    "SkippingClock",
    "Snapshots",
    "StandIn",
    "Struck",
    "arguments",
    "assert_durable",
    "assert_exactly_once",
    "assert_migrates",
    "assert_no_dead_letters",
    "assert_restores",
    "assert_round_trip",
    "assert_snapshot",
    "live_state",
    "simulate",
    "snapshot",
    "states",
    "stored_schemas",
    "stored_state",
]

_HOMES: Final = {
    "AgentMachine": ".machine",
    "AgentWatch": ".watch",
    "FaultyStore": ".faults.store",
    "Golden": ".golden",
    "Kit": ".kit",
    "LeakWatch": ".leaks",
    "LeftBehind": ".kit",
    "LoggedSignal": ".runlog",
    "LoggedTurn": ".runlog",
    "MadeCall": ".faults.outside",
    "Outside": ".faults.outside",
    "ProbeAgent": ".stand_in",
    "Received": ".stand_in",
    "Simulation": ".simulation.run",
    "SimulationFailed": ".simulation.simulate",
    "SkippingClock": ".clock",
    "Snapshots": ".snapshots",
    "StandIn": ".stand_in",
    "Struck": ".faults.strikes",
    "arguments": ".machine",
    "assert_durable": ".assertions",
    "assert_exactly_once": ".assertions",
    "assert_migrates": ".migrations",
    "assert_no_dead_letters": ".assertions",
    "assert_restores": ".assertions",
    "assert_round_trip": ".migrations",
    "assert_snapshot": ".snapshots",
    "live_state": ".assertions",
    "simulate": ".simulation.simulate",
    "snapshot": ".snapshots",
    "states": ".strategies",
    "stored_schemas": ".schemas",
    "stored_state": ".assertions",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
