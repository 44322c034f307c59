"""Replay a store under a guard: `python -m tests.replay.guarded STORE`.

From the moment the store is open for reading until all its turns are replayed, one by one, in a
batch and under other code, nothing may open a socket, begin a process, or open or change a file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from perdure import AgentSystem

from .tills import Curious, OffByOne, Till

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = (
    "socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.remove", "os.rename",
    "os.mkdir", "os.rmdir", "os.truncate", "shutil.", "sqlite3.connect", "ctypes.", "urllib.",
)  # fmt: skip
_HARMLESS = ("socket.gethostname", "sqlite3.connect/handle")  # the latter: that it is there
_STORE = ("sqlite3.connect", (f"{Path(sys.argv[-1]).absolute().as_uri()}?mode=ro",))
on = False
broken: list[str] = []


def guard(event: str, args: tuple[object, ...]) -> None:
    """Take down, and keep from happening, whatever leaves the process."""
    if not on or event in _HARMLESS or (event, args[:1]) == _STORE:
        return
    writes = event == "open" and (
        set(str(args[1] or "r")) & set("wax+") or (isinstance(args[2], int) and args[2] & _WRITES)
    )
    if writes or event.startswith(_FORBIDDEN):
        broken.append(f"{event} {args!r}")
        raise PermissionError(broken[-1])


def main(store: str) -> None:
    """Replay all turns; print how many, and what the guard has caught."""
    global on  # noqa: PLW0603 - a hook of the interpreter cannot be taken away again
    sys.dont_write_bytecode = True
    sys.addaudithook(guard)
    with AgentSystem.open_replays(store, agents=[Till]) as replays:
        replays.batch(limit=1).report()  # what is imported when it is used first
        on = True
        whole = replays.batch().report()
        ones = [replays.turn(replay.id) for replay in whole.replays]
        other = replays.batch(agents=[OffByOne]).report()
        missing = [replays.simulate(replay.id, agents=[Curious]) for replay in whole.replays]
        on = False
    assert whole.same, whole.text()
    assert all(replay.same for replay in ones)
    assert not other.same
    assert any(replay.missing for replay in missing)
    print(len(ones), broken)  # noqa: T201 - for the test that has started it


if __name__ == "__main__":
    main(sys.argv[1])
