"""The plugin of pytest: what it gives, what it prints, and what it fails."""

from __future__ import annotations

import sys
import threading

import pytest

from perdure.testing import leaks

GO_ON = threading.Event()
"""Ends a thread that a test has left behind."""
AGENTS = """
    from perdure import Agent, AgentSystem, MemoryStore, State
    from perdure.testing import ProbeAgent

    class CupState(State):
        full: bool = False

    class Cup(Agent[CupState]):
        def fill(self) -> None:
            self.state.full = True
            self.after(60, self.drain)

        def drain(self) -> None:
            self.state.full = False

        def full(self) -> bool:
            return self.state.full
"""


def run(pytester: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    """Run a test file with a pytest of its own."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makepyfile(cups=AGENTS, test_cups=f"from cups import *\n{test}")
    for name in ("cups", "test_cups"):
        sys.modules.pop(name, None)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)


def test_the_fixtures_are_there_without_a_word(pytester: pytest.Pytester) -> None:
    """A system, a store, a clock, a kit: pytest finds the plugin by its entry point."""
    pytester.makepyfile(
        cups=AGENTS,
        test_cups="""
from cups import *

def test_it(perdure_system, perdure_store, perdure_clock, perdure_kit):
    system = perdure_system([Cup])
    cup = system.agent(Cup, "a")
    cup.call(Cup.fill).get()
    perdure_clock.advance(60)
    assert not cup.call(Cup.full).get()
    assert perdure_store.commits == 2
    assert perdure_kit.system is system
""",
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=1)


def test_a_test_runs_on_each_store_that_is_asked_for(pytester: pytest.Pytester) -> None:
    """By an option for all, by a marker for one; another name is refused."""
    test = """
import sys

import pytest

def test_a(perdure_system, perdure_store):
    perdure_system([Cup])

@pytest.mark.perdure_stores("sqlite")
def test_b(perdure_system, perdure_store):
    perdure_system([Cup])
    assert perdure_store.path.exists()
"""
    run(pytester, test, "--strict-markers").assert_outcomes(passed=2)
    run(pytester, test, "--perdure-store=memory,sqlite").assert_outcomes(passed=3)
    refused = run(pytester, test, "--perdure-store=paper")
    refused.stdout.fnmatch_lines(["*'paper' is no store; there are memory, sqlite*"])


def test_a_test_that_fails_shows_what_has_happened(pytester: pytest.Pytester) -> None:
    """Turns, faults and signals, each with its time."""
    result = run(
        pytester,
        """
def test_it(perdure_system, perdure_clock, perdure_store):
    system = perdure_system([Cup])
    system.agent(Cup, "a").call(Cup.fill).get()
    perdure_clock.advance(60)
    perdure_store.fail(next=1)
    assert system.agent(Cup, "a").call(Cup.full).get()
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*perdure: what happened*",
            '*+00:00:00  Cup/a*fill*{"set":{"full":true}} · sets drain in 60 s',
            '*+00:01:00  Cup/a*drain*{"set":{"full":false}}',
            "*-- the store fails, 1 times",
        ]
    )


@pytest.mark.parametrize(
    ("left", "named"),
    [
        (
            "cup.pause(); cup.call(Cup.full)",
            "*a reply that nobody gave: Cup/a.full: is paused*",
        ),
        (
            "global other; other = AgentSystem.open('memory://', agents=[Cup])",
            "*<AgentSystem on memory://> was not closed*",
        ),
        (
            "import threading; threading.Thread(target=GO_ON.wait, name='forgotten').start()",
            "*thread forgotten*",
        ),
    ],
    ids=["reply", "system", "thread"],
)
def test_what_a_test_leaves_behind_fails_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, left: str, named: str
) -> None:
    """A reply, a system, a thread: each by its name."""
    monkeypatch.setattr(leaks, "JOIN_SECONDS", 0.1)
    GO_ON.clear()
    test = f"""
from tests.testing.test_plugin import GO_ON

def test_it(perdure_system):
    cup = perdure_system([Cup]).agent(Cup, "a")
    {left}
"""
    result = run(pytester, test)
    GO_ON.set()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([named, "*perdure: what happened*"])


def test_what_a_failed_test_leaves_behind_is_not_told_beside(pytester: pytest.Pytester) -> None:
    """Its failure is what has to be read."""
    result = run(
        pytester,
        """
def test_it(perdure_system):
    cup = perdure_system([Cup]).agent(Cup, "a")
    cup.pause()
    cup.call(Cup.full)
    assert False
""",
    )
    result.assert_outcomes(failed=1)


def test_snapshots_in_files_are_written_and_compared(pytester: pytest.Pytester) -> None:
    """First there is none; then it is written; then another is a failure with a diff."""
    test = """
def test_it(perdure_system, perdure_snapshots):
    cup = perdure_system([Cup]).agent(Cup, "a")
    cup.call(Cup.fill).get()
    perdure_snapshots.check(cup, "filled")
"""
    run(pytester, test).stdout.fnmatch_lines(
        ["*there is no *filled.txt: run pytest with --golden-u*"]
    )
    run(pytester, test, "--golden-update").assert_outcomes(passed=1)
    run(pytester, test).assert_outcomes(passed=1)
    path = pytester.path / "snapshots" / "filled.txt"
    path.write_text(path.read_text().replace("full = True", "full = False"))
    result = run(pytester, test)
    result.stdout.fnmatch_lines(["*-   full = False*", "*+   full = True*"])


def test_the_kit_works_in_unittest(pytester: pytest.Pytester) -> None:
    """As a context: a failure within, and what is left behind, has what happened as its note."""
    pytester.makepyfile(
        cups=AGENTS,
        cases="""
import unittest
from cups import *
from perdure.testing import Kit

class Cups(unittest.TestCase):
    def setUp(self) -> None:
        self.kit = self.enterContext(Kit())

    def test_it(self) -> None:
        cup = self.kit.open([Cup]).agent(Cup, "a")
        cup.call(Cup.fill).get()
        self.kit.clock.advance(60)
        self.assertFalse(cup.call(Cup.full).get())

    def test_fails(self) -> None:
        with Kit() as kit:
            kit.open([Cup])
            self.fail("on purpose")

    def test_left(self) -> None:
        cup = self.kit.open([Cup]).agent(Cup, "a")
        cup.pause()
        cup.call(Cup.full)
""",
    )
    result = pytester.run(sys.executable, "-W", "error", "-m", "unittest", "cases")
    result.stderr.fnmatch_lines(
        [
            "*AssertionError: on purpose", "what happened in this test:",
            "*LeftBehind: *", "a reply that nobody gave: Cup/a.full: is paused*",
            "what happened in this test:", "*failures=2*",
        ]
    )  # fmt: skip
