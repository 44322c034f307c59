"""Durable agents: actors whose state outlives their process."""
