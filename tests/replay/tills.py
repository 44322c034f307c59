"""Agents whose turns are recorded, and the same with a fault in the code."""

from __future__ import annotations

import msgspec

from perdure import Agent, AgentSystem, Log, Map, State


class TillState(State):
    """What a till keeps."""

    total: int = 0
    drawn: list[float] = msgspec.field(default_factory=list)
    owners: Map[str, int] = Map.field()
    lines: Log[str] = Log.field()


class Till(Agent[TillState]):
    """Takes from outside whatever an agent can take."""

    record = True

    def pay(self, amount: int, who: str = "x") -> int:
        """Pay in; what is below 0 is refused at the end."""
        self.state.total += amount
        self.state.owners[who] = self.state.total
        self.state.lines.append(f"{who} {amount}")
        self.state.drawn = [*self.state.drawn, self.random.random(), self.now()]
        self.system.agent(Till, "head").proxy().pay.defer(amount) if self.key != "head" else None
        self.after(60, self.close_up, name="close")
        self.after(61, self.close_up)
        if amount < 0:
            raise ValueError(f"{amount} is below 0")
        return self.state.total

    def rate(self, amount: int) -> float:
        """Ask outside what an amount is worth."""
        return amount * float(self.outside("rate", lambda: 1.5))

    def close_up(self) -> None:
        """Begin again."""
        self.state.total = 0


class OffByOne(Till):
    """The same with a fault: from 100 on it adds one."""

    kind = "Till"

    def pay(self, amount: int, who: str = "x") -> int:
        """Pay in, wrongly."""
        return super().pay(amount + (amount >= 100), who)


class Curious(Till):
    """The same, but it asks outside more often than was recorded."""

    kind = "Till"

    def rate(self, amount: int) -> float:
        """Ask twice."""
        return super().rate(amount) + float(self.outside("rate", lambda: 0.25))


def turns(system: AgentSystem, **wanted: str) -> list[str]:
    """Return the ids of recorded turns."""
    history = system.hooks.history
    if wanted:
        return [r.id for r in history.each(point="turn", kind="Till", key=wanted["key"])]
    return [record.id for record in history.each(point="turn")]
