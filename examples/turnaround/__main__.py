"""Run the week: `python -m examples.turnaround [STORE]`. A second run finds everything done."""

import sys
from collections.abc import Iterable
from pathlib import Path

from perdure import AgentSystem, Scope, SessionStatus, errors

from .agents import AGENTS, KINDS, PARSERS, Duty, Feed, Matcher, Parser, Reporter, late, pipeline
from .data import DAYS


def main(store: Path, days: Iterable[int] = DAYS) -> None:
    """Send each day through the pipeline in a session of its own, and print what was found."""
    with AgentSystem.open(store, agents=AGENTS) as system:
        prepare(system)
        for day in days:
            print(run(system, day))
        week = system.state.get_many(Scope.GLOBAL, KINDS, int)
        print("the week: " + ", ".join(f"{week[kind]} {kind}" for kind in KINDS))
        carriers = system.agent(Duty, "desk").call(Duty.carriers).get()
        most = sorted(carriers.items(), key=lambda item: -item[1])[:3]
        print("late again: " + ", ".join(f"{carrier} {times}" for carrier, times in most))


def prepare(system: AgentSystem) -> None:
    """Make what is shared, and have everybody attend to it; may be done again."""
    pipeline(system.sharing)
    late(system.sharing)
    for number in range(PARSERS):
        system.agent(Parser, str(number)).call(Parser.attend).get()
    system.agent(Matcher, "week").call(Matcher.attend).get()
    system.agent(Reporter, "week").call(Reporter.attend).get()
    system.agent(Duty, "desk").call(Duty.attend).get()


def run(system: AgentSystem, day: int) -> str:
    """Have a day worked on to its end, whatever was done of it before; return its report."""
    name = f"january-{day}"
    try:
        session = system.sessions.get(name)
    except errors.UnknownSession:
        session = system.sessions.create(name, meta={"day": day})
    if session.info().status is SessionStatus.COMPLETED:
        return system.artifacts.read(
            system.artifacts.get("report.txt", scope=session.scope)
        ).decode()
    session.agent(Feed, "week").call(Feed.begin, day).get()
    system.idle()
    report = session.agent(Reporter, "week").call(Reporter.close, day).get()
    session.complete()
    return report


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "turnaround.db"))
