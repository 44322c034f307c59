"""Runnable examples: each is a small program with real data, and each is run by the tests."""
