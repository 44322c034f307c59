"""The flights example, recorded and replayed: every turn exactly, and a fault that is found."""

import csv
import json
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from examples.flights import make_january
from examples.flights.agents import AGENTS
from examples.flights.data import JANUARY, Movement, open_text
from examples.flights.worker import work
from perdure import AgentSystem
from tests.cli.commands import invoke


def unheard(beat: object) -> None:
    """Let a worker talk."""


@pytest.fixture(params=[150, pytest.param(2_600, marks=pytest.mark.slow)])
def recorded(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a store with the recorded turns of the first flights of January."""
    source, store = tmp_path / "slice.csv.xz", tmp_path / "flights.db"
    with open_text(JANUARY) as file:
        make_january.write(islice(csv.DictReader(file), request.param), source)
    for agent_class in AGENTS:
        monkeypatch.setattr(agent_class, "record", True)
    work(store, source, unheard)
    return store


@pytest.mark.timeout(3600)
def test_every_recorded_turn_comes_out_exactly_and_only_the_fault_differs(recorded: Path) -> None:
    """Nothing differs under the same code; under changed code exactly the turns that it reaches."""
    with AgentSystem.open_replays(recorded, agents=AGENTS) as replays:
        report = replays.batch().report()
        assert report.same, report.text()
        assert set(report.counts) == {"same"}
        early = set()
        for replay in report.replays:
            if (replay.kind, replay.name) == ("Airport", "depart"):
                both = replays.turn(replay.id)  # a batch keeps no sides of what came out the same
                (line,) = both.recorded["delta"]["append"]["movements"][1]
                movement = msgspec.convert(line, Movement)
                early |= {replay.id} if (movement.delay or 0) < 0 else set()
    assert early
    arguments = ("--against", "tests.replay.flights_changed:AGENTS", "--store", recorded)
    result = invoke("replay", *arguments, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert len(told["replays"]) == len(report.replays) > 600
    assert {each["id"] for each in told["replays"] if each["outcome"] != "same"} == early
