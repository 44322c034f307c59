"""Agents for the tests of the lifecycle."""

from __future__ import annotations

from types import TracebackType

from perdure import Agent, Backoff, Durability, Log, RestartPolicy, State, WhenUnsaved


class Broken(Exception):
    """What these agents raise when told to."""


class TallyState(State):
    """A sum and the story of how it came about."""

    total: int = 0
    steps: Log[str] = Log.field()


class Tally(Agent[TallyState]):
    """Adds up; every message is logged in its state."""

    restarts = RestartPolicy(
        attempts=3, restarts=5, within=60.0, backoff=Backoff(1.0, longest=1.0, jitter=0.0)
    )

    def add(self, number: int) -> int:
        """Add a number."""
        self.state.total += number
        self.state.steps.append(f"add {number}")
        return self.state.total

    def note(self, text: str) -> None:
        """Add a text to the story."""
        self.state.steps.append(text)

    def total(self) -> int:
        """Return the sum."""
        return self.state.total

    def steps(self) -> list[str]:
        """Return the story."""
        return list(self.state.steps)

    def fail(self) -> None:
        """Change the state and raise."""
        self.state.total += 1_000_000
        raise Broken(self.key)


class Brittle(Tally):
    """Tries each message once."""

    restarts = RestartPolicy(attempts=1)


class Snapshot(Tally):
    """Is saved now and then."""

    durability = Durability.SNAPSHOT

    def pass_on(self, number: int) -> None:
        """Add a number and tell another agent."""
        self.add(number)
        self.system.agent(Tally, self.key).proxy().add.defer(number)

    def set_alarm(self, number: int) -> None:
        """Add a number, and again in an hour."""
        self.add(number)
        self.after(3600.0, self.add, number, name="alarm")


class Relay(Tally):
    """Passes numbers on to a SNAPSHOT agent."""

    def pass_on(self, key: str, number: int) -> None:
        """Send a number when this turn commits."""
        self.system.agent(Snapshot, key).cast(Snapshot.add, number)


class Volatile(Tally):
    """Is never saved."""

    durability = Durability.VOLATILE


class Undeterred(Tally):
    """Goes on while nothing can be saved."""

    when_unsaved = WhenUnsaved.CONTINUE


class Leaving(Tally):
    """Stops while nothing can be saved."""

    when_unsaved = WhenUnsaved.STOP

    def on_stop(self) -> None:
        """Leave a trace."""
        self.state.steps.append("on_stop")


class Hooked(Tally):
    """Leaves a trace in every hook."""

    def on_start(self) -> None:
        """Leave a trace."""
        self.state.steps.append("on_start")

    def on_pause(self) -> None:
        """Leave a trace."""
        self.state.steps.append("on_pause")

    def on_resume(self) -> None:
        """Leave a trace."""
        self.state.steps.append("on_resume")

    def on_stop(self) -> None:
        """Leave a trace."""
        self.state.steps.append("on_stop")

    def on_passivate(self) -> None:
        """Leave a trace."""
        self.state.steps.append("on_passivate")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Note the error outside the state, and try in vain to note it in the state."""
        failures.append(exception_value)
        self.state.steps.append("on_failure")


class AsyncHooked(Tally):
    """Has hooks that are coroutines."""

    async def on_start(self) -> None:  # type: ignore[override]
        """Leave a trace."""
        self.state.steps.append("on_start")

    async def on_stop(self) -> None:  # type: ignore[override]
        """Leave a trace."""
        self.state.steps.append("on_stop")


class BadHooks(Tally):
    """Changes its state and raises in every hook but on_start."""

    def on_pause(self) -> None:
        """Raise."""
        self.fail()

    def on_resume(self) -> None:
        """Raise."""
        self.fail()

    def on_stop(self) -> None:
        """Raise."""
        self.fail()

    def on_passivate(self) -> None:
        """Raise."""
        self.fail()


failures: list[BaseException | None] = []
"""What ``Hooked.on_failure`` was given."""
