"""Read how much memory this process holds."""

from __future__ import annotations

import gc
import re
import resource
from pathlib import Path


def resident() -> int:
    """Return the resident bytes of this process, after a collection."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    if found is None:
        message = "this system does not report resident memory"
        raise OSError(message)
    return int(found[1]) * 1024


def peak_resident() -> int:
    """Return the highest resident bytes this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
