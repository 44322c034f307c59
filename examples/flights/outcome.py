"""What a run came to, as one record: the table shows it and `--json` prints it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .agents import FEED
from .audit import Audit
from .overseer import Life
from .reference import Difference, Name, Numbers, compare

KINDS = ("Aircraft", "Airport", "Carrier", "Feed")


@dataclass(frozen=True, slots=True)
class Kind:
    """The agents of one kind."""

    name: str
    agents: int
    movements: int
    """Items in their logs."""
    turns: int
    """Durable turns: the sum of their versions."""
    numbers: int
    """How many numbers were compared."""
    different: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    flights: int
    unassigned: int
    """Flights without a tail number."""
    seed: int
    kills: int
    """Workers that SIGKILL has ended."""
    kills_planned: int
    seconds: float
    """From the start of the first worker to the end of the last."""
    turns: int
    """Durable turns of all agents."""
    handled: int
    """Turns that the lives have told of, durable or not."""
    turns_per_second: float
    """Those by the time in which a worker ran: without the start of the processes."""
    stored_bytes: int
    kinds: tuple[Kind, ...]
    differences: tuple[Difference, ...]


def outcome(
    *,
    expected: Mapping[Name, Numbers],
    found: Audit,
    lives: Sequence[Life],
    kills_planned: int,
    seed: int,
    seconds: float,
    stored_bytes: int,
) -> Outcome:
    """Compare every agent with the plain count, and put the figures of the run beside it."""
    differences = compare(expected, found.numbers) + _forgotten(lives)
    kinds = tuple(_kind(name, expected, found, differences) for name in KINDS)
    turns = sum(kind.turns for kind in kinds)
    return Outcome(
        flights=sum(_of_kind(expected, "Feed", "flights")),
        unassigned=sum(_of_kind(expected, "Carrier", "unassigned")),
        seed=seed,
        kills=sum(life.killed for life in lives),
        kills_planned=kills_planned,
        seconds=seconds,
        turns=turns,
        handled=sum(life.turns for life in lives),
        turns_per_second=turns / sum(life.seconds for life in lives),
        stored_bytes=stored_bytes,
        kinds=kinds,
        differences=tuple(differences),
    )


def _kind(
    name: str, expected: Mapping[Name, Numbers], found: Audit, differences: Sequence[Difference]
) -> Kind:
    return Kind(
        name=name,
        agents=sum(kind == name for kind, _ in found.numbers),
        movements=sum(_of_kind(found.numbers, name, "movements")),
        turns=sum(turns for (kind, _), turns in found.turns.items() if kind == name),
        numbers=sum(len(numbers) for (kind, _), numbers in expected.items() if kind == name),
        different=sum(difference.kind == name for difference in differences),
    )


def _forgotten(lives: Sequence[Life]) -> list[Difference]:
    """Return where a worker knew less than its predecessor had told: told means durable."""
    return [
        Difference(
            "Feed", FEED, f"flights counted before kill {life.number}", life.told, heir.found
        )
        for life, heir in pairwise(lives)
        if heir.found is not None and heir.found < life.told
    ]


def _of_kind(agents: Mapping[Name, Numbers], name: str, number: str) -> list[int]:
    return [int(numbers.get(number, 0)) for (kind, _), numbers in agents.items() if kind == name]
