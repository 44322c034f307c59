"""One execution of a hook is replayed: on what it was told, on something else, by other code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    CallErrorDetails,
    Cancel,
    ErrorDetails,
    MemoryStore,
    MessageDetails,
    OutcomeDetails,
    Point,
    Principal,
    Replace,
    Retry,
    Right,
    Scope,
    ScopeDetails,
    Skip,
    State,
    StateDetails,
    errors,
    hook,
)
from perdure.hooks.history.record import LONGEST

from .tills import Till

PRICED = Point.custom("shop.priced", dict, replaces=True)


class DeskState(State):
    """What a desk keeps."""

    open: int = 0
    most: int = 2


class Desk(Agent[DeskState]):
    """Has hooks that look at its state and at the world."""

    def assign(self, ticket: str, until: date | None = None) -> int:
        """Open a ticket."""
        del until
        self.state.open += 1
        if ticket == "bad":
            raise LookupError(ticket)
        return self.state.open

    @hook("message.before", on="assign")
    def early(self, details: MessageDetails) -> Cancel | None:
        """Refuse what comes while there is much to do."""
        return Cancel(f"{self.state.open} are open") if self.state.open >= self.state.most else None

    @hook("state.before")
    def whole(self, details: StateDetails) -> Cancel | None:
        """Refuse a change by the fields it tells of."""
        return Cancel("too many") if details.new.get("open") == 6 else None


class Strict(Desk):
    """The same, with another hook."""

    kind = "Desk"

    @hook("message.before", on="assign")
    def early(self, details: MessageDetails) -> Cancel | None:
        """Refuse everything."""
        return Cancel("closed")


class Lucky(Desk):
    """Recorded whole; its hook takes what an agent can take from the world."""

    record = True

    @hook("message.before", on="assign")
    def early(self, details: MessageDetails) -> Cancel | None:
        """Draw lots."""
        rate = self.outside("rate", RATES.pop)
        lots = [self.random.random(), self.now(), rate, self.state.open]
        return Cancel(msgspec.json.encode(lots).decode())


RATES: list[float] = []


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Give a system of desks and tills."""
    RATES[:] = [0.5, 0.25, 0.125]
    with AgentSystem.open(MemoryStore(), agents=[Desk, Lucky, Till]) as opened:
        yield opened


def runs(system: AgentSystem, name: str) -> list[str]:
    """Return the ids of the executions of a hook."""
    system.idle()
    return [record.id for record in system.hooks.history.each(hook=name)]


def test_a_hook_of_the_system_answers_again_as_it_did(system: AgentSystem) -> None:
    """On arguments of the types that the handler declares; other code, other answers."""

    @system.hooks.on("message.before", agents=Desk, on="assign", name="spell")
    def spell(details: MessageDetails) -> Replace | Cancel | None:
        ticket, until = details.args
        if isinstance(until, date) and until.year < 2000:
            return Cancel(f"{ticket} is late")
        return Replace(((str(ticket).upper(), until), {}))

    desk = system.agent(Desk, "a")
    desk.call(Desk.assign, "t-1", date(2031, 5, 7)).get()
    with pytest.raises(errors.HookCancelled):
        desk.call(Desk.assign, "t-2", date(1999, 1, 1)).get()
    before = system.hooks.get("spell")
    first, second = runs(system, "spell")
    for run, outcome in ((first, "replace"), (second, "cancel")):
        replay = system.replay.hook(run)
        assert (replay.outcome, replay.mode, replay.replayed["outcome"]) == (
            "same",
            "exact",
            outcome,
        )
    replay = system.replay.hook(second)
    assert replay.recorded["result"] == {"reason": "t-2 is late"}
    assert str(replay) == f"{second} spell at message.before"

    changed = system.replay.hook(second, details={"args[1]": "2030-01-01"})
    assert (changed.mode, changed.outcome, changed.replayed["outcome"]) == (
        "modified", "different", "replace",
    )  # fmt: skip

    def other(details: MessageDetails) -> Cancel | None:
        return Cancel("no") if details.args[0] == "t-1" else None

    simulated = system.replay.hook(first, function=other)
    assert (simulated.mode, simulated.outcome) == ("simulate", "different")
    assert simulated.replayed == {"outcome": "cancel", "error": "", "result": {"reason": "no"}}
    assert system.hooks.get("spell") == before  # its counts and its breaker are the live ones


def test_an_error_comes_again_as_what_it_was(system: AgentSystem) -> None:
    """A hook that looks at the class of an error sees it; a hook that failed fails again."""

    @system.hooks.on("error", agents=Desk, name="again")
    def again(details: ErrorDetails) -> Skip | None:
        return Skip(-1) if isinstance(details.error, LookupError) else None

    @system.hooks.on("message.after", agents=Desk, name="broken")
    def broken(details: OutcomeDetails) -> None:
        raise RuntimeError(f"at {details.result}")

    desk = system.agent(Desk, "a")
    assert desk.call(Desk.assign, "bad").get() == -1
    desk.call(Desk.assign, "t-1").get()
    replay = system.replay.hook(runs(system, "again")[0])
    assert (replay.outcome, replay.replayed["result"]) == ("same", {"value": -1})
    failed = system.replay.hook(runs(system, "broken")[0])
    assert (failed.outcome, failed.same) == ("failed", True)
    assert failed.replayed["error"] == "RuntimeError: at 1"


def test_a_method_runs_again_on_the_state_of_that_moment(system: AgentSystem) -> None:
    """The agent is as the journal has it before the turn, whatever became of it since."""
    desk = system.agent(Desk, "a")
    for ticket in ("1", "2"):
        desk.call(Desk.assign, ticket).get()
    with pytest.raises(errors.HookCancelled):
        desk.call(Desk.assign, "3").get()
    found = runs(system, "Desk.early")
    assert [system.replay.hook(run).outcome for run in found] == ["same"] * 3
    assert system.replay.hook(found[2]).replayed["result"] == {"reason": "2 are open"}
    strict = system.replay.hook(found[0], agents=[Strict])
    assert (strict.outcome, strict.replayed["result"]) == ("different", {"reason": "closed"})
    whole = runs(system, "Desk.whole")
    assert system.replay.hook(whole[0]).same
    changed = system.replay.hook(whole[1], details={"new.open": 6})
    assert changed.replayed["result"] == {"reason": "too many"}


def test_a_method_does_not_run_on_the_state_of_a_namesake(system: AgentSystem) -> None:
    """What a deleted agent was is gone, whatever versions another of its name has."""
    desk = system.agent(Desk, "a")
    for ticket in ("1", "2"):
        desk.call(Desk.assign, ticket).get()
    found = [*runs(system, "Desk.early"), *runs(system, "Desk.whole")]
    desk.delete()
    for ticket in ("3", "4"):
        desk.call(Desk.assign, ticket).get()
    assert system.replay.hook(found[0]).same  # it had no state yet
    for run in found[1:]:
        with pytest.raises(errors.UnknownAgent, match="another has its name now"):
            system.replay.hook(run)
    assert [system.replay.hook(run).outcome for run in runs(system, "Desk.early")[2:]] == [
        "same", "same",
    ]  # fmt: skip


def test_in_a_recorded_turn_a_method_gets_the_recorded_world(system: AgentSystem) -> None:
    """Clock, chances, calls outside and state are those of that execution, of each attempt."""
    desk = system.agent(Lucky, "a")
    for _ in range(2):
        with pytest.raises(errors.HookCancelled):
            desk.call(Lucky.assign, "t").get()
    found = runs(system, "Lucky.early")
    replays = [system.replay.hook(run) for run in found]
    assert [(replay.outcome, replay.missing) for replay in replays] == [("same", [])] * 2
    assert replays[0].replayed != replays[1].replayed
    assert RATES == [0.5]  # nobody was called


def test_a_method_that_wants_what_was_not_recorded_is_unclear_where_it_differs(
    system: AgentSystem,
) -> None:
    """What is missing is named, and a difference it may have made is no difference."""
    desk = system.agent(Desk, "a")
    desk.call(Desk.assign, "1").get()

    class Dicing(Desk):
        """Takes a chance."""

        kind = "Desk"

        @hook("message.before", on="assign")
        def early(self, details: MessageDetails) -> Cancel | None:
            """Draw lots."""
            return Cancel(str(self.random.random()))

    replay = system.replay.hook(runs(system, "Desk.early")[0], agents=[Dicing])
    assert (replay.outcome, replay.missing) == ("unclear", ["self.random"])


def test_a_replayed_hook_of_the_system_reaches_no_system(system: AgentSystem) -> None:
    """It reads, writes, sends and calls nothing there; what it wanted is named."""
    wants: dict[str, Any] = {
        "shared state": lambda: system.state.increment(Scope.GLOBAL, "n"),
        "a message or a change": lambda: system.agent(Till, "b").cast(Till.close_up),
        "hooks.run, call_tool or call_model": lambda: system.hooks.call_tool("t", dict),
        "the system": lambda: system.hooks.disable("reads"),
    }
    chosen = ["shared state"]

    @system.hooks.on("message.before", agents=Desk, name="reads")
    def reads(details: MessageDetails) -> Cancel | None:
        wants[chosen[0]]()
        return None

    system.agent(Desk, "a").call(Desk.assign, "1").get()
    (run,) = runs(system, "reads")
    journal = system.journal.count()
    for what in wants:
        chosen[0] = what
        replay = system.replay.hook(run)
        assert (replay.outcome, replay.missing) == ("unclear", [f"reads: {what}"])
    system.idle()
    names = [entry.name for entry in system.journal.each()][journal:]
    assert set(names) <= {"(replay)"}
    assert system.state.get(Scope.GLOBAL, "n") == 1
    assert system.hooks.get("reads").enabled


@pytest.mark.parametrize("kind", ["scope", "tool", "own"])
def test_hooks_at_nobodys_work_run_again(system: AgentSystem, kind: str) -> None:
    """At shared keys, calls and points of a program's own; for the system alone."""
    if kind == "scope":

        @system.hooks.on("scope_write.before", name="h")
        def at_key(details: ScopeDetails) -> Cancel | None:
            return Cancel("big") if details.value == 7 else None

        with pytest.raises(errors.HookCancelled):
            system.state.set(Scope.GLOBAL, "k", 7)
    elif kind == "tool":

        @system.hooks.on("tool_call.error", name="h")
        def at_call(details: CallErrorDetails) -> Skip | Retry | None:
            return Skip(details.args["x"]) if isinstance(details.error, ZeroDivisionError) else None

        assert system.hooks.call_tool("t", lambda x: x / 0, x=3) == 3
    else:

        @system.hooks.on(PRICED, name="h")
        def at_point(details: dict[str, int]) -> Replace | None:
            return Replace({"price": details["price"] - 1})

        assert system.hooks.run(PRICED, {"price": 9}) == {"price": 8}
    (run,) = runs(system, "h")
    assert system.replay.hook(run).outcome == "same"
    with pytest.raises(errors.Denied):
        system.replay.acting_as(Principal.user("mira")).hook(run)
    assert [entry.outcome for entry in system.audit.each(operation="replay")] == [
        "allowed", "refused",
    ]  # fmt: skip


def test_who_may_replay_turns_may_replay_methods_and_the_system_alone_its_hooks(
    system: AgentSystem,
) -> None:
    """Each use is in the audit; a hook of the system acts in the system's name."""

    @system.hooks.on("message.before", agents=Desk, name="spell")
    def spell(details: MessageDetails) -> None:
        """Look."""

    system.agent(Desk, "a").call(Desk.assign, "1").get()
    (method,), (function,) = runs(system, "Desk.early"), runs(system, "spell")
    mira = system.replay.acting_as(Principal.user("mira"))
    with pytest.raises(errors.Denied):
        mira.hook(method)
    system.access.grant(
        Principal.user("mira"), Scope.agent("Desk", "a"), Right.ALL, keys="(replay)"
    )
    assert mira.hook(method).outcome == "same"
    with pytest.raises(errors.Denied, match="only the system may"):
        mira.hook(function)
    assert [(str(e.who), e.outcome) for e in system.audit.each(operation="replay")][:2] == [
        ("user:mira", "refused"), ("user:mira", "allowed"),
    ]  # fmt: skip


def test_what_cannot_run_again_says_why(system: AgentSystem) -> None:
    """Each error names the execution, the hook or the point, and the reason."""

    @system.hooks.on("message.before", agents=Desk, name="spell")
    def spell(details: MessageDetails) -> None:
        """Look."""

    with pytest.raises(LookupError):
        system.agent(Desk, "a").call(Desk.assign, "bad").get()
    system.agent(Desk, "b").call(Desk.assign, "x" * LONGEST).get()
    system.agent(Till, "head").call(Till.pay, 1).get()
    short, long = runs(system, "spell")
    turn = next(system.hooks.history.each(point="turn")).id
    with pytest.raises(errors.UnknownHook, match="is a recorded turn"):
        system.replay.hook(turn)
    with pytest.raises(errors.ReplayFailed, match=r"told at message\.before was too long"):
        system.replay.hook(long)
    with pytest.raises(errors.ConfigurationError, match="was told has no 'arg'; it has kind"):
        system.replay.hook(short, details={"arg[0]": 1})
    with pytest.raises(errors.ReplayFailed, match=r"at message\.before cannot be made"):
        system.replay.hook(short, details={"args[0]": 1})
    system.hooks.remove("spell")
    with pytest.raises(errors.UnknownHook, match="no hook 'spell' is here"):
        system.replay.hook(short)
    system.hooks.on("message.after", lambda_free, name="spell")
    with pytest.raises(errors.ConfigurationError, match=r"ran at message\.before; spell is at"):
        system.replay.hook(short)


def lambda_free(details: OutcomeDetails) -> None:
    """Look."""


class Handy(Desk):
    """A method at an error, where the state is that of the middle of a turn."""

    @hook("error")
    def sees(self, details: ErrorDetails) -> Skip | None:
        """Tell how far it came."""
        return Skip(self.state.open)


class Kept(Handy):
    """The same, recorded."""

    record = True


def test_a_method_in_the_middle_of_a_turn_needs_a_recorded_turn() -> None:
    """There its state is what the handler had made of it; elsewhere the point is named."""
    with AgentSystem.open(MemoryStore(), agents=[Handy, Kept]) as system:
        for kind in (Handy, Kept):
            assert system.agent(kind, "a").call(kind.assign, "bad").get() == 1
        (handy,), (kept,) = runs(system, "Handy.sees"), runs(system, "Kept.sees")
        with pytest.raises(errors.StateUnknown, match="at error its agent was in the middle"):
            system.replay.hook(handy)
        replay = system.replay.hook(kept)
        assert (replay.outcome, replay.replayed["result"]) == ("same", {"value": 1})
        changed = system.replay.hook(kept, details={"attempt": 2})
        assert changed.same
