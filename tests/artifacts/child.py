"""A process that saves and reads a large artifact, and says what memory it took."""

import resource
import sys
from collections.abc import Iterator
from random import Random

from perdure import AgentSystem


def pieces(megabytes: int) -> Iterator[bytes]:
    """Give bytes that do not pack and do not repeat, without holding them."""
    block = Random(1).randbytes(1 << 20)
    for number in range(megabytes):
        yield number.to_bytes(8, "big") + block[8:]


def peak() -> int:
    """Return the most memory this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Save, read back, and write by how many bytes the peak rose for each."""
    path, megabytes = sys.argv[1], int(sys.argv[2])
    with AgentSystem.open(path, agents=[]) as system:
        # What is the same for every size: pages, pools, the first batch.
        system.artifacts.read(system.artifacts.save("warm", b"".join(pieces(4))))
        before = peak()
        artifact = system.artifacts.save("large", pieces(megabytes))
        saved = peak()
        size = 0
        with system.artifacts.open(artifact) as source:
            for chunk in source:
                size += len(chunk)
        assert size == artifact.size == megabytes << 20
        system.artifacts.delete(artifact)
        assert system.artifacts.sweep().contents == 1
    sys.stdout.write(f"{saved - before} {peak() - saved}\n")


if __name__ == "__main__":
    main()
