"""Operate a store that is open: its owner listens on a private socket, tools ask it there."""
