"""W3C trace context in and out, and what log records say, over every hop and a restart."""

import logging
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    Durability,
    Log,
    MessageDetails,
    OutcomeDetails,
    State,
    TurnFilter,
)
from perdure.hooks.trace import LONGEST, read_traceparent, read_tracestate
from perdure.persistence.errors import ConfigurationError
from tests.kit.deadline import DEADLINE

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
logger = logging.getLogger("tests.timeline")


MEMBER = st.from_regex(
    r"[a-z][a-z0-9_*/-]{0,20}=[\x21-\x2b\x2d-\x3c\x3e-\x7e]{1,150}", fullmatch=True
)


@given(st.lists(MEMBER, max_size=32, unique_by=lambda each: each.partition("=")[0]))
def test_a_tracestate_is_handed_on_whole_or_by_whole_members(members: list[str]) -> None:
    """In 512 characters, in order; members that are long, or come last, are left out first."""
    kept = [each for each in read_tracestate(" ,\t".join(members)).split(",") if each]
    assert len(",".join(kept)) <= LONGEST
    rest = iter(members)
    assert all(each in rest for each in kept)
    if len(",".join(members)) <= LONGEST:
        assert kept == members
    else:
        short = [each for each in members if len(each) <= 128]
        assert kept == short[: len(kept)]
        assert len(",".join(short[: len(kept) + 1])) > LONGEST or kept == short


@pytest.mark.parametrize(
    "text",
    ["a", "a=1,a=2", "A=1", "a=", "a=b=c", "a=1;b=2", "a=\u00e9", "=1", "a=1,,b",
     ",".join(f"k{n}=1" for n in range(33)), "a=" + "x" * 257],
)  # fmt: skip
def test_a_tracestate_that_is_none_is_dropped(text: str) -> None:
    """The trace goes on without it: whoever sent it did not keep to the standard."""
    assert read_tracestate(text) == ""
    with AgentSystem.open("memory://", agents=[Hop]) as system, system.trace(GIVEN, text):
        told = system.agent(Hop, "a").call(Hop.go, 0).get(timeout=DEADLINE)
        assert read_traceparent(told).trace == read_traceparent(GIVEN).trace
        assert system.agent(Hop, "a").call(Hop.state_of_trace).get(timeout=DEADLINE) == ""


class Notes(State):
    traces: Log[str] = Log.field()


class Hop(Agent[Notes]):
    def go(self, hops: int) -> str:
        self.state.traces.append(self.turn.traceparent)
        logger.warning("at %d", hops)
        if hops:
            self.system.agent(Hop, str(hops)).cast(Hop.go, hops - 1)
        return self.turn.traceparent

    def state_of_trace(self) -> str:
        return self.turn.tracestate

    def in_a_thread(self, *, carried: bool) -> int:
        work = self.system.carry(logger.warning) if carried else logger.warning
        thread = threading.Thread(target=work, args=("in a thread",))
        thread.start()
        thread.join()
        return self.turn.correlation

    def traces(self) -> list[str]:
        return list(self.state.traces)


def test_a_trace_reaches_every_hop_and_each_has_a_span_of_its_own(tmp_path: Path) -> None:
    """Given at the edge it is given out by every turn of the chain, also in the next process."""
    path = tmp_path / "trace.db"
    with AgentSystem.open(path, agents=[Hop], sync="process") as system:
        system.agent(Hop, "1").pause()
        with system.trace(GIVEN):
            first = system.agent(Hop, "a").call(Hop.go, 2).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
    with AgentSystem.open(path, agents=[Hop], sync="process") as system:
        system.agent(Hop, "1").resume()
        assert system.idle(DEADLINE)
        found = [first]
        for key in ("2", "1"):
            found += system.agent(Hop, key).call(Hop.traces).get(timeout=DEADLINE)
    contexts = [read_traceparent(text) for text in found]
    assert {context.trace for context in contexts} == {read_traceparent(GIVEN).trace}
    spans = {context.span for context in contexts}
    assert len(spans) == 3
    assert read_traceparent(GIVEN).span not in spans


def test_a_chain_without_a_trace_begins_one_that_stays() -> None:
    """Asked for where none was given, a trace begins, and is that of the whole chain."""
    with AgentSystem.open("memory://", agents=[Hop]) as system:
        one = read_traceparent(system.agent(Hop, "a").call(Hop.go, 1).get(timeout=DEADLINE))
        other = read_traceparent(system.agent(Hop, "a").call(Hop.go, 0).get(timeout=DEADLINE))
        assert system.idle(DEADLINE)
        (next_hop,) = system.agent(Hop, "1").call(Hop.traces).get(timeout=DEADLINE)
    assert read_traceparent(next_hop).trace == one.trace != other.trace


@pytest.mark.parametrize(
    "text",
    [
        "", "00-4bf9-00f0-01", GIVEN.upper(), GIVEN + "-more", "ff" + GIVEN[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{'1' * 32}-{'0' * 16}-01",
    ],
)  # fmt: skip
def test_what_is_no_trace_context_is_refused(text: str) -> None:
    """The error shows the right form."""
    with pytest.raises(ConfigurationError, match=re.escape(GIVEN)):
        read_traceparent(text)


def test_log_records_name_agent_message_and_chain(caplog: pytest.LogCaptureFixture) -> None:
    """The filter completes each record, in threads only if they were started by ``carry``."""
    caplog.handler.addFilter(TurnFilter())
    with AgentSystem.open("memory://", agents=[Hop]) as system:
        system.agent(Hop, "a").call(Hop.go, 1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        chain = system.agent(Hop, "b").call(Hop.in_a_thread, carried=True).get(timeout=DEADLINE)
        system.agent(Hop, "b").call(Hop.in_a_thread, carried=False).get(timeout=DEADLINE)
        turns = {event.agent: event for event in system.timeline().each()}
    logger.warning("outside")
    said = [vars(record) for record in caplog.records if record.name == logger.name]
    first, second, carried, bare, outside = [
        (record["agent"], record["message_id"], record["correlation"]) for record in said
    ]
    assert first == ("Hop/a", turns["Hop/a"].message, turns["Hop/a"].correlation)
    assert second == ("Hop/1", turns["Hop/1"].message, turns["Hop/a"].correlation)
    assert carried == ("Hop/b", chain, chain)
    assert bare == outside == ("", 0, 0)


class Passing(Hop):
    """One that leaves no commits: its mail is bare until something asks for more."""

    durability = Durability.VOLATILE

    def say(self, text: str) -> None:
        logger.warning(text)


def test_hooks_of_bare_mail_know_its_message_and_chain() -> None:
    """Before and after a message of a VOLATILE agent hooks are told the same ids."""
    told: list[tuple[int, int]] = []

    def note(details: MessageDetails) -> None:
        told.append((details.message, details.correlation))

    def noted(details: OutcomeDetails) -> None:
        told.append((details.message, details.correlation))

    with AgentSystem.open("memory://", agents=[Passing]) as system:
        system.hooks.on("message.before", note, name="before")
        system.hooks.on("message.after", noted, name="after")
        for number in range(2):
            system.agent(Passing, "a").cast(Passing.say, str(number))
        assert system.idle(DEADLINE)
        runs = list(system.hooks.history.each())
    first, second = told[:2], told[2:]
    assert first[0] == first[1] != second[0] == second[1]
    assert all(message == chain > 0 for message, chain in told)
    assert [(run.message, run.correlation) for run in runs] == told
