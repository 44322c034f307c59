"""Samples for type checkers, and what they must say of them."""
