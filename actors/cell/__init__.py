"""What happens to one agent in memory: load it, run a turn, make the commit or undo it."""
