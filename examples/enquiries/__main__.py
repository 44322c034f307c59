"""Ask the desk: ``python -m examples.enquiries STORE [--flights N] [--die-at N] [--approve]``."""

import argparse
import csv
import os
import signal
from collections.abc import Callable, Sequence
from itertools import count, islice
from pathlib import Path

from examples.flights import make_january
from examples.flights.agents import FEED, Feed
from examples.flights.data import JANUARY, open_text
from perdure import AgentRef, AgentSystem, CallDetails

from .agents import AGENTS, EnquiryDesk

QUESTIONS = {
    "airport": "How punctual was the airport JFK?",
    "carrier": "How reliable is the carrier UA?",
    "aircraft": "How far did the aircraft N14228 fly?",
    "nobody": "How punctual was the airport XXX?",
    "exact": "Are the numbers exact that you have of EWR?",
}
"""By the name of the run that answers it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the flights, ask all questions, and print what is known; again, it goes on."""
    words = argparse.ArgumentParser(prog="python -m examples.enquiries")
    words.add_argument("store", type=Path, nargs="?", default=Path("enquiries.db"))
    words.add_argument("--flights", type=int, default=2000, help="how many of January's 27,004")
    words.add_argument("--die-at", type=int, default=0, help="SIGKILL at the N-th model call")
    words.add_argument("--approve", action="store_true", help="agree to whatever waits for it")
    given = words.parse_args(arguments)
    with AgentSystem.open(given.store, agents=AGENTS) as system:
        if given.die_at:
            system.hooks.on("model_call.before", dying(given.die_at))
        desk = system.agent(EnquiryDesk, "desk")
        load(system, desk, given.store.with_suffix(".csv.xz"), given.flights)
        for run, question in QUESTIONS.items():
            desk.cast(EnquiryDesk.think, question, run=run)
        system.idle()
        waits = [(run.run, wait) for run in system.runs.list() for wait in run.waiting]
        for name, wait in waits:
            print(f"may it {wait.name} {wait.args}? {'yes' if given.approve else '--approve'}")
            if given.approve:
                desk.call(EnquiryDesk.approve, name, wait.call).get()
        system.idle()
        for done in desk.call(EnquiryDesk.list_runs).get():
            print(f"{done.id}: {done.output if done.over else done.status}{done.error}")


def load(system: AgentSystem, desk: AgentRef[EnquiryDesk], source: Path, flights: int) -> None:
    """Send the first flights of January to their agents, unless that was done."""
    if not source.exists():
        with open_text(JANUARY) as file:
            make_january.write(islice(csv.DictReader(file), flights), source)
    system.agent(Feed, FEED).call(Feed.begin, str(source)).get()
    desk.call(EnquiryDesk.open, str(source)).get()
    system.idle()


def dying(number: int) -> Callable[[CallDetails], None]:
    """Return a hook that kills this process at the N-th call of a model."""
    calls = count(1)

    def die(_details: CallDetails) -> None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


if __name__ == "__main__":
    main()
