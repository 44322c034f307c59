"""Timelines as a caller may see them: its own events, and those of agents it was granted."""
