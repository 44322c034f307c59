"""Pieces of work with limits, a history and an end; written to a file and read from one."""
