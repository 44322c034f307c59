"""A desk with a hook of its own, a hook of the system, and the same with other code."""

from __future__ import annotations

from perdure import Agent, Cancel, MessageDetails, Replace, State, hook


class DeskState(State):
    """What a desk keeps."""

    open: int = 0


class Desk(Agent[DeskState]):
    """Opens tickets."""

    def assign(self, ticket: str) -> int:
        """Open one."""
        self.state.open += len(ticket) > 0
        return self.state.open

    @hook("message.before")
    def early(self, details: MessageDetails) -> Cancel | None:
        """Refuse what comes when there is much to do."""
        return Cancel("enough") if self.state.open > 1 else None


def spell(details: MessageDetails) -> Replace | None:
    """Write tickets in capitals."""
    return Replace(((str(details.args[0]).upper(),), {}))


def shout(details: MessageDetails) -> Replace | None:
    """Write them otherwise."""
    return Replace(((f"{details.args[0]}!".upper(),), {}))


agents = [Desk]
