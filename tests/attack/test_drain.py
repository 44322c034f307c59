"""G12 under load: told to stop at a random moment, a process ends with 0 and has lost nothing."""

import json
import signal
from pathlib import Path
from random import Random

import pytest

from tests.attack.audit import Book, Picture, audit, opened, settled
from tests.attack.lives import settle
from tests.kit.children import PATIENCE, started

COMMANDS = {
    "plain": ["tests.attack.served", "{store}", "{seed}"],
    "run": ["perdure", "run", "tests.attack.served:main", "--store", "{store}"],
}


def live(command: list[str], number: signal.Signals, events: int, seed: str, book: Book) -> int:
    """Run a program, signal it after so many events, and return its exit code."""
    with started("-m", *command, SEED=seed) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            event = json.loads(line)
            book.enter(event)
            if event[:2] == ["did", "bump"]:
                book.bumps = max(book.bumps, event[2])
            if count == events:
                process.send_signal(number)
        return process.wait(PATIENCE)


@pytest.mark.parametrize("program", COMMANDS)
def test_a_program_that_is_told_to_stop_drains(tmp_path: Path, program: str, seed: int) -> None:
    """SIGTERM and SIGINT at random moments: exit 0, and all that was acknowledged is there.

    This includes what agents that are saved now and then had done: a drain saves them.
    """
    store, random, book = tmp_path / "store.db", Random(seed), Book()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        name = f"{seed}-{book.acknowledged}"
        command = [part.format(store=store, seed=name) for part in COMMANDS[program]]
        assert live(command, number, random.randint(0, 200), name, book) == 0
        with opened(store) as connection:
            audit(Picture(connection), book)
            (released,) = connection.execute("SELECT released FROM lease").fetchone()
            assert released
    settle(store, "process", str(seed), 3, book)
    with opened(store) as connection:
        settled(Picture(connection))
