"""Recorded turns, replayed and compared."""
