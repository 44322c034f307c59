"""The typed state of one agent, its logs and maps, and what a turn changed in them."""
