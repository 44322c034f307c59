"""The agent's own hooks: turns of their own, undone if they raise."""

import asyncio

import pytest

from perdure import AgentSystem, Backoff, Passivation, Resources, RestartPolicy
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import ConfigurationError
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.lifecycle.agents import AsyncHooked, BadHooks, Broken, Hooked, Tally, failures


def test_hooks_run_as_turns_of_their_own() -> None:
    """Start, pause, resume and stop run in their place and each has its commit in the journal."""
    with AgentSystem.open("memory://", agents=[Hooked]) as system:
        hooked = system.agent(Hooked, "a")
        hooked.proxy().add(1).get()
        hooked.pause()
        hooked.resume()
        hooked.stop()
        names = [entry.name for entry in system.journal.list("Hooked", "a")]
        assert names == [
            "(on_start)", "add", "(on_pause)", "(pause)", "(on_resume)", "(resume)", "(on_stop)",
            "(stop)",
        ]  # fmt: skip
        story = hooked.proxy().steps().get()
        assert story == ["on_start", "add 1", "on_pause", "on_resume", "on_stop", "on_start"]


def test_on_passivate_runs_before_an_idle_agent_leaves() -> None:
    """What on_passivate changes is saved, and the next message runs on_start again."""
    clock = VirtualClock()
    passivation = Passivation(idle=5.0)
    with (
        Told() as told,
        AgentSystem.open(
            "memory://", agents=[Hooked], clock=clock, resources=Resources(passivation=passivation)
        ) as system,
    ):
        hooked = system.agent(Hooked, "a")
        hooked.proxy().add(1).get()
        assert system.idle(DEADLINE)
        clock.advance(10.0)
        told.wait("agent_passivated")
        story = hooked.proxy().steps().get()
        assert story == ["on_start", "add 1", "on_passivate", "on_start"]


def test_on_failure_hears_of_errors_nobody_waits_for() -> None:
    """on_failure gets the error of a tell, not of an ask, and what it changes is not kept."""
    failures.clear()
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Hooked], clock=clock) as system:
        hooked = system.agent(Hooked, "a")
        with pytest.raises(Broken):
            hooked.proxy().fail().get()
        assert failures == []
        hooked.cast(Hooked.fail)
        for attempt in range(1, 4):
            told.wait("agent_restarting", attempt)
            clock.advance(10.0)
        assert [type(error) for error in failures] == [Broken] * 3
        assert hooked.proxy().total().get() == 0
        assert "on_failure" not in hooked.proxy().steps().get()


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError])
def test_on_failure_that_raises_changes_nothing_of_what_follows(error: type[BaseException]) -> None:
    """The message is tried as often as the class says, and then a dead letter."""
    heard: list[object] = []

    class Worse(Tally):
        restarts = RestartPolicy(attempts=2, backoff=Backoff(first=0.001))

        def fail(self) -> None:
            raise Broken

        def on_failure(self, *_args: object) -> None:
            heard.append(error)
            raise error

    with AgentSystem.open("memory://", agents=[Worse]) as system:
        worse = system.agent(Worse, "a")
        worse.cast(Worse.fail)
        assert system.idle(DEADLINE)
        assert heard == [error] * 2
        assert [letter.attempts for letter in system.dead_letters.list()] == [2]
        assert worse.call(Tally.add, 1).get(timeout=DEADLINE) == 1


def test_an_async_on_failure_is_refused() -> None:
    """It is called when the turn is over, where nobody could wait for it."""

    class Late(Tally):
        async def on_failure(self, *_args: object) -> None:  # type: ignore[override]
            """Never run."""

    with pytest.raises(ConfigurationError, match="on_failure is async"):
        AgentSystem.open("memory://", agents=[Late])


def test_a_hook_that_raises_is_undone_and_the_step_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A raising on_pause, on_resume or on_stop is undone and logged, and the step is taken."""
    with AgentSystem.open("memory://", agents=[BadHooks]) as system:
        bad = system.agent(BadHooks, "a")
        bad.proxy().add(1).get()
        bad.pause()
        bad.resume()
        assert bad.proxy().add(1).get() == 2
        assert bad.stop() is True
        assert [row.status for row in system.agents.each()] == ["stopped"]
        assert bad.proxy().total().get() == 2
    raised = [record.message for record in caplog.records if "raised" in record.message]
    assert [message.split()[1] for message in raised] == ["on_pause", "on_resume", "on_stop",
                                                          "on_passivate"]  # fmt: skip


def test_hooks_may_be_coroutines() -> None:
    """An async hook runs to its end before the step, and what it changes is kept."""
    with AgentSystem.open("memory://", agents=[AsyncHooked]) as system:
        hooked = system.agent(AsyncHooked, "a")
        hooked.proxy().add(1).get()
        hooked.stop()
        assert hooked.proxy().steps().get() == ["on_start", "add 1", "on_stop", "on_start"]


class Stubborn(Tally):
    """Cannot start until it is allowed to."""

    allowed = False

    def on_start(self) -> None:
        """Raise unless allowed, after a change that must not be seen."""
        self.state.total += 7
        if not Stubborn.allowed:
            raise Broken(self.key)


def test_an_agent_whose_start_fails_has_not_started() -> None:
    """The asker gets the error of on_start, a tell is tried again, and no change is left."""
    Stubborn.allowed = False
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Stubborn], clock=clock) as system:
        stubborn = system.agent(Stubborn, "a")
        with pytest.raises(Broken):
            stubborn.proxy().add(1).get(timeout=DEADLINE)
        told.wait("agent_restarting")
        stubborn.cast(Stubborn.add, 1)
        clock.advance(1.0)
        told.wait("agent_failed")
        told.wait("agent_restarting", 2)
        Stubborn.allowed = True
        clock.advance(10.0)
        assert stubborn.proxy().total().get(timeout=DEADLINE) == 8
        assert told.names("agent_started", "agent_restarted") == ["agent_restarted"]


def test_an_agent_can_pause_and_stop_itself() -> None:
    """self.pause() and self.stop() take their step after the turn that asked for it."""

    class Retiring(Tally):
        """Stops after its first message."""

        def last(self) -> None:
            """Ask to be stopped, then still finish the turn."""
            self.stop()
            self.state.total = 99

    with Told() as told, AgentSystem.open("memory://", agents=[Retiring]) as system:
        retiring = system.agent(Retiring, "a")
        retiring.proxy().last().get()
        assert told.wait("agent_stopped").version == 2
        assert system.idle(DEADLINE)
        assert [row.status for row in system.agents.each()] == ["stopped"]
        assert retiring.proxy().total().get() == 99
