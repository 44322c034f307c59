"""Agents as actors: what they run on, how people talk to them, what happens to each."""
