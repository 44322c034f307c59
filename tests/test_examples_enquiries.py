"""The enquiry desk: real flights, a kill in the middle, a person who agrees, numbers exact."""

from collections import Counter
from pathlib import Path

import pytest

from examples.enquiries.__main__ import QUESTIONS, main
from examples.enquiries.agents import AGENTS, EnquiryDesk, Expert
from examples.flights.agents import FEED
from examples.flights.reference import count
from perdure import AgentSystem, ThinkingState
from tests.kit.children import started

FLIGHTS = ("--flights", "250")
WAITING = "may it recount {'airport': 'EWR'}? --approve"


def answers(printed: str) -> dict[str, str]:
    """Return what the program has printed, by run."""
    lines = [line for line in printed.splitlines() if not line.startswith("may it")]
    return dict(line.split(": ", 1) for line in lines)


def expected(source: Path) -> dict[str, str]:
    """Return what the plain count of the file says to each question."""
    plain = count(source, FEED)
    jfk, ewr = plain["Airport", "JFK"], plain["Airport", "EWR"]
    ua, tail = plain["Carrier", "UA"], plain["Aircraft", "N14228"]
    return {
        "airport": f"JFK: {jfk['departures']} departures, {jfk['cancelled']} cancelled,"
        f" {jfk['departure_delay']} minutes late in all; {jfk['arrivals']} arrivals",
        "carrier": f"UA: {ua['flights']} flights, {ua['cancelled']} cancelled,"
        f" {ua['aircraft']} aircraft",
        "aircraft": f"N14228: {tail['flights']} flights, {tail['miles']} miles",
        "exact": f"EWR is exact: {ewr['movements']} movements counted again",
    }


def asked(store: Path) -> Counter[tuple[str, str]]:
    """Count the model calls that each agent has begun and has done."""
    calls: Counter[tuple[str, str]] = Counter()
    with AgentSystem.open(store, agents=AGENTS) as system:
        for agent in (EnquiryDesk, Expert):
            ref = system.agent(agent, "desk")
            state = ref.state_at(ref.describe().version)
            assert isinstance(state, ThinkingState)
            steps = list(state.transcript)
            done = Counter(
                (step.run, step.op, step.call or step.nth) for step in steps if step.what == "done"
            )
            assert set(done.values()) == {1}
            calls.update((agent.kind, step.what) for step in steps if step.op == "model")
    return calls


@pytest.mark.parametrize(
    "number", [6, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 18) if n != 6)]
)
def test_a_killed_desk_goes_on_and_answers_exactly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """Killed at a model call, the desk answers as the plain count does, and asks no call twice."""
    store = tmp_path / "desk.db"
    with started("-m", "examples.enquiries", store, *FLIGHTS, "--die-at", number) as process:
        assert process.wait() == -9
    main([str(store), *FLIGHTS])
    printed = capsys.readouterr().out
    assert WAITING in printed.splitlines()
    assert answers(printed)["exact"] == "waiting"
    main([str(store), *FLIGHTS, "--approve"])
    found = answers(capsys.readouterr().out)
    assert "no flight has touched an airport XXX" in found["nobody"]
    assert {**found, **expected(store.with_suffix(".csv.xz"))} == found
    calls = asked(store)
    both = 2 * len(QUESTIONS), 2 * (len(QUESTIONS) - 1)
    assert (calls["EnquiryDesk", "done"], calls["Expert", "done"]) == both
    begun = calls["EnquiryDesk", "begun"] + calls["Expert", "begun"]
    assert begun <= sum(both) + 1
    main([str(store), *FLIGHTS])
    assert answers(capsys.readouterr().out) == found
    assert asked(store) == calls
