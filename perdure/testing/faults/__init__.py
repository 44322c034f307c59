"""What a test does to systems: their stores fail, their processes die, nobody answers."""
