"""What happens to one agent in memory: loaded, started, its turns run, settled or undone."""
