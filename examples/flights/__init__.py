"""Real departures through thousands of durable agents, killed on the way, exact at the end."""
