"""``perdure replay``: recorded turns run again under some code, and what differs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from ...actors.agent.program import load_program
from ...persistence.errors import ConfigurationError, StoreError
from ...persistence.secrets.keys import Keys
from ...replay.comparison import ReplayRules
from ...replay.gathering import report_of
from ...replay.junit import junit
from ...replay.page import page
from ...replay.replayer import Agents, Replayer
from ...replay.report import ReplayReport
from ...replay.selection import TurnSelection
from ...system import AgentSystem
from ..terminal.exits import ExitCode, NotFound
from ..terminal.files import write_report
from ..terminal.screen import Screen, working
from .keys import keys_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which turns: one by its id, or all that fit; or one execution of a hook."""

    run: str | None = None
    hook_run: str | None = None
    kind: str | None = None
    key: str | None = None
    correlation: int | None = None
    session: str | None = None
    first: str | None = None
    last: str | None = None
    limit: int | None = None

    def selection(self) -> TurnSelection:
        """Return them as a batch takes them."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        given.pop("run", None)
        given.pop("hook_run", None)
        return msgspec.convert(given, TurnSelection)


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be other than it was: each as PATH=JSON."""

    message: Sequence[str]
    state: Sequence[str]
    details: Sequence[str]

    def refuse(self, wanted: Wanted, *, debug: bool) -> None:
        """Raise ConfigurationError for what does not go with what is wanted."""
        if wanted.run is None and (debug or self.message or self.state):
            message = "--debug, --message and --state are for one turn: give its ID"
            raise ConfigurationError(message)
        if wanted.hook_run is None and self.details:
            raise ConfigurationError("--details is for one execution of a hook: give --hook-run")
        if wanted.hook_run is not None and (wanted.run is not None or wanted.selection()):
            raise ConfigurationError("--hook-run is one execution of a hook, and takes no turns")


@dataclass(frozen=True, slots=True)
class Output:
    """Where the report goes."""

    json: bool
    junit: str | None
    html: str | None


def replay_turns(
    store: str, against: str, wanted: Wanted, output: Output, changes: Changes, *, workers: int,
    ignore: Sequence[str], any_order: Sequence[str], tolerance: float, debug: bool,
    keys: str | None, audit: bool,
) -> ExitCode:  # fmt: skip
    """Replay turns of a store; PROBLEMS if one comes out differently."""
    rules = ReplayRules(tuple(ignore), tolerance, tuple(any_order))
    changes.refuse(wanted, debug=debug)
    changed = _values(changes.message), _values(changes.state)
    program = load_program(against, Path.cwd())
    agents = program.agents
    with _opened(store, agents, keys_of(keys), audit=audit) as replays:
        if wanted.hook_run is not None:
            found = replays.hook(
                wanted.hook_run, details=_values(changes.details), function=program.main,
                agents=agents, rules=rules,
            )  # fmt: skip
            report = report_of(found)
        elif wanted.run is None:
            report = _all(replays, agents, wanted, rules, workers)
        elif debug:
            found = replays.debug(
                wanted.run, message=changed[0], state=changed[1], agents=agents, rules=rules
            )
            report = report_of(found)
        elif any(changed):
            found = replays.modified(
                wanted.run, message=changed[0], state=changed[1], agents=agents, rules=rules
            )
            report = report_of(found)
        else:
            report = report_of(replays.simulate(wanted.run, agents=agents, rules=rules))
    _write(report, output)
    return ExitCode.DONE if report.same else ExitCode.PROBLEMS


@contextmanager
def _opened(store: str, agents: Agents, keys: Keys, *, audit: bool) -> Iterator[Replayer]:
    try:
        with AgentSystem.open_replays(store, agents=agents, keys=keys, audit=audit) as replays:
            yield replays
    except StoreError:
        if audit:
            Screen(error=True).say("--read-only replays without an entry in the audit", "dim")
        raise


def _all(
    replays: Replayer, agents: Agents, wanted: Wanted, rules: ReplayRules, workers: int
) -> ReplayReport:
    with working("replaying", 0) as progress:
        batch = replays.batch(
            agents=agents, workers=workers, rules=rules, tell=progress.at, **wanted.selection()
        )
        report = batch.report()
    if not report.replays:
        kinds = ", ".join(agent_class.kind for agent_class in agents)
        raise NotFound(
            f"the store has no such recorded turns of {kinds}; turns are recorded from"
            " `record = True` in an agent class on"
        )
    return report


def _write(report: ReplayReport, output: Output) -> None:
    for path, text in ((output.junit, junit), (output.html, page)):
        if path is not None:
            write_report(path, text(report))
    if output.json:
        sys.stdout.write(report.json() + "\n")
        return
    screen = Screen()
    for row in report.text().splitlines():
        screen.say(row)


def _values(given: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in given:
        path, equals, text = each.partition("=")
        try:
            found[path] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            equals = ""
        if not equals:
            message = f"{each!r}: write PATH=JSON, as in amount=5 or owner='\"mira\"'"
            raise ConfigurationError(message)
    return found
