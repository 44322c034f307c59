"""The command line: run a system, look into a store, put things right in one."""

from .app import main

__all__ = ["main"]
