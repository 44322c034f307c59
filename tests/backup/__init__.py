"""Backups: what is brought back is what was there, and what is damaged is refused."""
