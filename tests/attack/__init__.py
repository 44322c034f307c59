"""Attacks on the whole system from outside: kills, power, owners, faults of the store."""
