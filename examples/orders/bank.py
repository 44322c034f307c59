"""The bank: the world outside, which is down at times, and refuses some."""

from __future__ import annotations

import random


class Refused(Exception):
    """The bank does not want to; trying again does not help."""


class Bank:
    """Take money once for each key, however often it is asked to: what payment services promise."""

    def __init__(self, *, down: float = 0.0, seed: int = 1) -> None:
        """Be down for a share of all calls, chosen by a seed."""
        self._down, self._chance = down, random.Random(seed)
        self.taken: dict[str, int] = {}
        """Cents by key."""
        self.given_back: dict[str, int] = {}

    def take(self, key: str, cents: int) -> str:
        """Take money, and return a receipt."""
        if self._chance.random() < self._down:
            raise ConnectionError("the bank does not answer")
        if cents > 100_000:
            raise Refused("more than the card allows")
        self.taken.setdefault(key, cents)
        return f"receipt of {key}"

    def give_back(self, key: str) -> None:
        """Give it back."""
        if key in self.taken:
            self.given_back.setdefault(key, self.taken[key])


bank = Bank()
"""The one that the agents know; tests answer in its place."""
