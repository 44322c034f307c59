"""A child that makes a room for scratch files in a folder, says where, and waits to be killed."""

import sys
from pathlib import Path

from perdure.persistence.backup.scratch import scratch_room

if __name__ == "__main__":
    with scratch_room(Path(sys.argv[1])) as room:
        (room / "kept").write_bytes(b"x")
        sys.stdout.write(f"{room}\n")
        sys.stdout.flush()
        sys.stdin.readline()
