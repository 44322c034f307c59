"""How hard backups may be compressed: read by the command line, whose help loads nothing else."""

from __future__ import annotations

from typing import Final

DEFAULT_LEVEL: Final = 5
"""Of compression: of the flights store it saves 70 %. Level 3 saves 67.5 % in half the time."""
LEVELS: Final = range(20)
"""Those of zstd, of which the ones above take very much memory; 0 is no compression."""
