"""How long a test waits for what should happen at once."""

DEADLINE = 30.0
"""Seconds after which it has not: a quarter of what a test may take."""
