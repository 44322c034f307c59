"""Random attacks that can be repeated."""

import os
import sys
from random import Random

import pytest


@pytest.fixture
def seed() -> int:
    """Draw a seed and write it where a failing test shows it; ATTACK_SEED chooses one.

    The same seed attacks in the same places. The instants are the machine's.
    """
    chosen = int(os.environ.get("ATTACK_SEED") or Random().getrandbits(32))
    sys.stdout.write(f"repeat with ATTACK_SEED={chosen}\n")
    return chosen
