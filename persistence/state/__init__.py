"""Typed state and its collections, and what a turn changed in them."""
