"""Random attacks that can be repeated."""

import os
import sys
import zlib
from random import Random

import pytest


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Give a seed and write it where a failing test shows it; ATTACK_SEED chooses one.

    A long attack draws its own each time, a short one has that of its name: what the short ones
    find is found by whoever brought it in, and not by a run that has nothing to do with it. The
    same seed attacks in the same places; the instants are the machine's.
    """
    long = request.node.get_closest_marker("slow") is not None
    given = Random().getrandbits(32) if long else zlib.crc32(request.node.name.encode())
    chosen = int(os.environ.get("ATTACK_SEED") or given)
    sys.stdout.write(f"repeat with ATTACK_SEED={chosen}\n")
    return chosen
