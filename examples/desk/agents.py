"""A support desk whose tickets outlive the process."""

from perdure import Agent, Log, Map, State


class DeskState(State):
    """What a desk remembers."""

    open: int = 0
    owners: Map[str, str] = Map.field()
    transcript: Log[str] = Log.field()


class Desk(Agent[DeskState]):
    """A desk, by the region it serves."""

    def assign(self, ticket: str, owner: str) -> int:
        """Give a ticket to somebody, and return how many are open."""
        self.state.open += 1
        self.state.owners[ticket] = owner
        self.state.transcript.append(f"{ticket} -> {owner}")
        return self.state.open

    def hand_over(self, ticket: str, region: str, owner: str) -> int:
        """Give a ticket to somebody at another desk, and return how many are left here.

        The other desk is told when this turn commits: after any crash the ticket is open here, or
        on its way in the store, or open there.

        Raises:
            LookupError: when the ticket is not open here.
        """
        if ticket not in self.state.owners:
            raise LookupError(f"{ticket} is not open at {self.key}")
        del self.state.owners[ticket]
        self.state.open -= 1
        self.state.transcript.append(f"{ticket} -> {region}")
        self.system.agent(Desk, region).cast(Desk.assign, ticket, owner)
        return self.state.open

    def owners(self) -> dict[str, str]:
        """Return who has which open ticket."""
        return dict(self.state.owners.items())

    def history(self, start: int = 0) -> list[str]:
        """Return the transcript from an entry on; negative counts from the end."""
        return list(self.state.transcript[start:])

    def entries(self) -> int:
        """Return the length of the transcript, without loading it."""
        return len(self.state.transcript)
