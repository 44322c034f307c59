"""Recorded turns run again: in isolation, changed, under other code, compared and reported."""
