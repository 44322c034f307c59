"""What happened and what caused what, against recordings, readers of other programs, and rights."""
