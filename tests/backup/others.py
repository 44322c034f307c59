"""A program that cannot go on from what the ledgers have."""

from perdure import Agent, State


class LedgerState(State):
    """The same field, of another type."""

    total: str = ""


class Ledger(Agent[LedgerState]):
    """Of the same kind."""
