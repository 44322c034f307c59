"""A desk of agents that think, which answers questions about real flights."""
