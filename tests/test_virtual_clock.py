"""A system on a virtual clock: it stands still, but it is never stuck."""

from perdure import Agent, AgentSystem, MemoryStore, State, VirtualClock


class Count(State):
    """One number."""

    n: int = 0


class Counter(Agent[Count]):
    """Count what it is told."""

    def add(self) -> int:
        """Count one more."""
        self.state.n += 1
        return self.state.n


def test_a_system_is_ready_before_the_clock_is_advanced() -> None:
    """What is due at once is done when a system is opened: it comes to rest, and mail is found."""
    store, clock = MemoryStore(), VirtualClock()
    with AgentSystem.open(store, agents=[Counter], clock=clock) as system:
        assert system.idle(timeout=10)
        system.agent(Counter, "a").pause()
        system.agent(Counter, "a").cast(Counter.add)
    with AgentSystem.open(store, agents=[Counter], clock=clock) as system:
        system.agent(Counter, "a").resume()
        assert system.idle(timeout=10)
        assert system.agent(Counter, "a").call(Counter.add).get() == 2
    assert clock.now() == VirtualClock().now()
