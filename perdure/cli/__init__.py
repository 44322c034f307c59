"""The command line: ``perdure run`` and the commands that read a store."""

from .app import main

__all__ = ["main"]
