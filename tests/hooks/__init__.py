"""Hooks, their history, replay and the timeline."""
