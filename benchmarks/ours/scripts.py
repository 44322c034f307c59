"""Scripts: what a call of the host costs, and how long a short script takes in a warm worker."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Final

from perdure import AgentSystem, Language, Principal, Script, ScriptLimits, Scripts

MIRA: Final = Principal.user("mira")
LOOPS: Final = {
    "lua": "local n = ... for i = 1, n do state.save('user:mira', 'k', i) end",
    "javascript": "for (let i = 0; i < arguments[0]; i++) await state.save('user:mira', 'k', i)",
    "python": "for i in range(arguments[0]):\n    state.save('user:mira', 'k', i)",
}


def costs(folder: Path, *, language: str, calls: int, starts: int) -> dict[str, float]:
    """Return milliseconds: ``call``, beyond what the script takes without; ``warm``, the median."""
    script = Script(Language(language), LOOPS[language])
    limits = ScriptLimits(seconds=60.0, calls=calls + 1)
    with (
        AgentSystem.open(folder / "scripts.db", agents=[]) as system,
        Scripts(system, limits=limits) as scripts,
    ):

        def run(number: int) -> float:
            scripts.warm_up(language)
            begun = time.perf_counter()
            scripts.run(script, principal=MIRA, arguments=[number])
            return (time.perf_counter() - begun) * 1_000

        run(1)
        warm = median(run(1) for _ in range(starts))
        return {"call": (run(calls + 1) - warm) / calls, "warm": warm}
