"""Requests and answers: paired by number, with timeouts as a value."""

import math
from typing import Any

import pytest
from msgspec import field

from perdure import Agent, AgentSystem, Principal, State, VirtualClock
from perdure.actors.patterns.quota import Quota
from perdure.actors.patterns.requests import Answered, Outcome, Request, Requests, TimedOut, Waiting
from perdure.actors.patterns.rows import numbered
from perdure.persistence.errors import (
    ConfigurationError,
    CorruptState,
    Denied,
    QuotaExceeded,
    ScopeError,
)
from tests.kit.deadline import DEADLINE

ADA, BOB = Principal.agent("Clerk", "ada"), Principal.agent("Clerk", "bob")


class Desk(State):
    """What was asked, and what came back."""

    answers: list[tuple[int, int]] = field(default_factory=list)
    held: list[Request[int]] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)


class Clerk(Agent[Desk]):
    def board(self) -> Requests:
        return self.system.sharing.requests("board")

    def ask_for(self, value: int, *, to: str = "", timeout: float = 60.0) -> int:
        who = Principal.agent("Clerk", to) if to else None
        return self.board().send(value, to=who, timeout=timeout, wake=Clerk.told)

    def ask_quietly(self, value: int, *, to: str = "") -> int:
        who = Principal.agent("Clerk", to) if to else None
        return self.board().send(value, to=who, timeout=60.0)

    def try_to_ask(self, value: int) -> bool:
        try:
            self.ask_for(value)
        except QuotaExceeded:
            return False
        return True

    def told(self, number: int) -> None:
        outcome = self.board().collect(number, type=int)
        assert isinstance(outcome, Answered)
        self.state.answers = [*self.state.answers, (number, outcome.value)]

    def serve(self) -> None:
        self.board().serve(Clerk.work)

    def work(self) -> list[int]:
        taken = self.board().take(limit=2, type=int)
        for request in taken:
            assert self.board().answer(request, request.value * 2)
            assert not self.board().answer(request, 0)
        self.state.seen += [request.value for request in taken]
        return [request.value for request in taken]

    def work_and_fail(self) -> None:
        self.work()
        raise LookupError("no")

    def hold(self) -> int:
        self.state.held = self.board().take(limit=5, lease=60, type=int)
        return len(self.state.held)

    def finish(self) -> list[bool]:
        return [self.board().answer(request, 7) for request in self.state.held]

    def outcome(self, number: int) -> Outcome[int]:
        return self.board().outcome(number, type=int)

    def correlation(self, number: int) -> tuple[int, list[int]]:
        requests = self.board().take(limit=9)
        return number, [request.correlation for request in requests]

    def answers(self) -> list[tuple[int, int]]:
        return self.state.answers

    def seen(self) -> list[int]:
        return self.state.seen


class AsyncClerk(Agent[Desk]):
    async def serve(self) -> None:
        self.system.sharing.requests("board").serve("work")

    async def work(self) -> None:
        board = self.system.sharing.requests("board")
        for request in board.take(type=int):
            board.answer(request, request.value * 2)


def opened(clock: VirtualClock | None = None, quota: Quota | None = None) -> AgentSystem:
    """Open a system with clerks, of whom bob and all async ones answer."""
    system = AgentSystem.open("memory://", agents=[Clerk, AsyncClerk], clock=clock)
    responders = [BOB, Principal.agents("AsyncClerk")]
    system.sharing.requests("board", quota=quota, responders=responders)
    return system


def test_a_request_finds_its_answer() -> None:
    """Each asker gets the answer to its own request, woken in the commit that gives it."""
    with opened() as system:
        system.agent(Clerk, "bob").proxy().serve().get()
        system.agent(AsyncClerk, "eve").proxy().serve().get()
        ada, cy = (system.agent(Clerk, key).proxy() for key in ("ada", "cy"))
        asked = {
            key: [ref.ask_for(n).get() for n in range(6)] for key, ref in (("a", ada), ("c", cy))
        }
        assert system.idle(DEADLINE)
        for key, ref in (("a", ada), ("c", cy)):
            expected = [(number, 2 * n) for n, number in enumerate(asked[key])]
            assert sorted(ref.answers().get()) == expected


def test_one_may_be_asked_by_name() -> None:
    """A request to somebody is for that one alone, whatever part others have."""
    with opened() as system:
        ada, bob, cy = (system.agent(Clerk, key).proxy() for key in ("ada", "bob", "cy"))
        number = ada.ask_for(1, to="cy").get()
        assert bob.work().get() == []
        assert not system.sharing.acting_as(BOB).requests("board").answer(number, 5)
        (refused,) = system.audit.list(who=BOB, outcome="refused")
        assert refused.operation == "answer in"
        assert cy.work().get() == [1]
        system.idle(DEADLINE)
        assert ada.answers().get() == [(number, 2)]


def test_only_responders_answer() -> None:
    """Whoever is no responder is given nothing, and refused as one who would serve."""
    with opened() as system:
        ada, cy = (system.agent(Clerk, key).proxy() for key in ("ada", "cy"))
        number = ada.ask_for(1).get()
        assert cy.work().get() == []
        with pytest.raises(Denied, match="Clerk/cy may not serve requests 'board'"):
            cy.serve().get()
        with pytest.raises(Denied, match="may not answer in"):
            system.sharing.acting_as(Principal.user("mira")).requests("board").answer(number, 1)


def test_an_answer_does_not_tell_what_exists() -> None:
    """Open, sent to another, answered or never asked: all the same to who may not answer it."""
    with opened() as system:
        ada, cy = (system.agent(Clerk, key).proxy() for key in ("ada", "cy"))
        asked = [ada.ask_quietly(1), ada.ask_quietly(1, to="cy"), ada.ask_quietly(2)]
        numbers = [number.get() for number in asked]  # nobody collects: an answer stays
        board = system.sharing.requests("board")
        assert board.answer(numbers[2], 4)
        mira = system.sharing.acting_as(Principal.user("mira")).requests("board")
        texts = set()
        for number in [*numbers, 1]:
            with pytest.raises(Denied) as raised:
                mira.answer(number, 1)
            texts.add(str(raised.value))
        assert len(texts) == 1
        bob = system.sharing.acting_as(BOB).requests("board")
        assert [bob.answer(number, 1) for number in (numbers[1], numbers[2], 1)] == [False] * 3
        assert cy.work().get() == [1]
        late = system.sharing.acting_as(Principal.agent("Clerk", "cy")).requests("board")
        assert not late.answer(numbers[1], 1)


@pytest.mark.parametrize("rest", ["pause", "isolate"])
def test_who_rests_is_not_woken_while_another_can_answer(rest: str) -> None:
    """A request goes to a responder that takes mail, and to one that rests only if all do."""
    with opened() as system:
        for key in ("bob", "eve"):
            agent = system.agent(Clerk if key == "bob" else AsyncClerk, key)
            agent.proxy().serve().get()
        bob = system.agent(Clerk, "bob")
        if rest == "pause":
            bob.pause()
        else:
            system.access.isolate(bob, "a test")
        ada = system.agent(Clerk, "ada").proxy()
        asked = [ada.ask_for(n).get() for n in range(6)]
        assert system.idle(DEADLINE)
        assert sorted(ada.answers().get()) == [(number, 2 * n) for n, number in enumerate(asked)]
        assert bob.describe().waiting == 0


def test_a_timeout_is_a_value() -> None:
    """Before its deadline a request waits, after it has timed out, and no answer counts."""
    clock = VirtualClock()
    with opened(clock) as system:
        ada, bob = (system.agent(Clerk, key).proxy() for key in ("ada", "bob"))
        number = ada.ask_for(1, timeout=30).get()
        deadline = clock.now() + 30
        assert ada.outcome(number).get() == Waiting(deadline)
        assert bob.hold().get() == 1
        clock.advance(30)
        assert ada.outcome(number).get() == TimedOut(deadline)
        assert bob.finish().get() == [False]
        assert bob.work().get() == []
        assert ada.outcome(number).get() == TimedOut(deadline)
        board = system.sharing.acting_as(ADA).requests("board")
        assert board.collect(number) == TimedOut(deadline)
        with pytest.raises(Denied, match="has no request"):
            board.collect(number)


def test_an_outcome_is_the_askers_alone() -> None:
    """Another's request and one that never was are refused in the same words."""
    with opened() as system:
        number = system.agent(Clerk, "ada").proxy().ask_for(1).get()
        cy = system.agent(Clerk, "cy").proxy()
        for asked in (number, 12345):
            with pytest.raises(Denied, match=f"Clerk/cy has no request {asked} in"):
                cy.outcome(asked).get()


def test_a_turn_that_fails_has_answered_nothing() -> None:
    """What a failed turn has answered is still open."""
    with opened() as system:
        ada, bob = (system.agent(Clerk, key).proxy() for key in ("ada", "bob"))
        number = ada.ask_for(4).get()
        with pytest.raises(LookupError):
            bob.work_and_fail().get()
        assert isinstance(ada.outcome(number).get(), Waiting)
        assert bob.work().get() == [4]
        assert system.idle(DEADLINE)
        assert ada.answers().get() == [(number, 8)]


def test_a_leased_request_is_nobody_elses() -> None:
    """Who has a lease answers in a later turn; when it is over another may."""
    clock = VirtualClock()
    with opened(clock) as system:
        ada, bob, eve = (system.agent(Clerk, key).proxy() for key in ("ada", "bob", "eve"))
        board = system.sharing.requests("board")
        first = ada.ask_for(1, timeout=600).get()
        assert bob.hold().get() == 1
        assert board.take(lease=10) == []
        assert not board.answer(first, 3)
        assert bob.finish().get() == [True]
        second = ada.ask_for(2, timeout=600).get()
        bob.hold().get()
        clock.advance(61)
        (request,) = board.take(lease=10, type=int)
        assert bob.finish().get() == [False]
        assert board.answer(request, 5)
        assert system.idle(DEADLINE)
        assert ada.answers().get() == [(first, 7), (second, 5)]
        assert eve.work().get() == []


def test_a_request_carries_its_askers_correlation() -> None:
    """What is taken knows the chain of messages that asked."""
    with opened() as system:
        number = system.agent(Clerk, "ada").proxy().ask_for(1, to="cy").get()
        _, (correlation,) = system.agent(Clerk, "cy").proxy().correlation(number).get()
        asking = [e for e in system.journal.list("Clerk", "ada") if e.name == "ask_for"]
        assert [entry.correlation for entry in asking] == [correlation]


def test_a_full_board_refuses_and_recovers() -> None:
    """Open requests and outcomes nobody collected count; collecting and time make room."""
    clock = VirtualClock()
    with opened(clock, Quota(items=2, ttl=3600)) as system:
        board = system.sharing.requests("board")
        first, second = board.send(1), board.send(2)
        with pytest.raises(QuotaExceeded, match="quota of 2 items; ask again when some"):
            board.send(3)
        assert board.answer(first, "done")
        with pytest.raises(QuotaExceeded):
            board.send(3)
        assert board.collect(first) == Answered("done", Principal.SYSTEM)
        third = board.send(3)
        assert isinstance(board.outcome(second), Waiting)
        clock.advance(60 + 3600)
        board.send(4)
        with pytest.raises(Denied):
            board.outcome(third)


def test_mistakes_are_told() -> None:
    """A timeout that makes no sense, a wake of nobody, and a take that holds nothing."""
    with opened() as system:
        board = system.sharing.requests("board")
        with pytest.raises(ConfigurationError, match="a timeout of 0 seconds"):
            board.send(1, timeout=0)
        with pytest.raises(ConfigurationError, match="to must be a Principal, not 'bob'"):
            board.send(1, to="bob")  # type: ignore[arg-type]
        with pytest.raises(ScopeError, match=r"^the name of requests must not be empty$"):
            system.sharing.requests("")
        with pytest.raises(ConfigurationError, match="only agents can be woken"):
            board.send(1, wake=Clerk.told)
        with pytest.raises(ConfigurationError, match="needs a lease"):
            board.take()


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 1e10, -1.0, True, "60"])
def test_leases_and_timeouts_are_times_that_end(seconds: Any) -> None:  # noqa: ANN401 - whatever a caller gives
    """What is no time in seconds is refused, and nothing is stored that nobody can read."""
    with opened() as system:
        board = system.sharing.requests("board")
        with pytest.raises(ConfigurationError, match=r"requests 'board': a timeout of .* makes no"):
            board.send(1, timeout=seconds)
        board.send(1)
        with pytest.raises(ConfigurationError, match=r"requests 'board': a lease of .* makes no"):
            board.take(lease=seconds)
        assert [request.value for request in board.take(lease=60)] == [1]


@pytest.mark.parametrize("limit", [0, -1, True, 1.0, "many"])
def test_a_limit_is_a_number(limit: Any) -> None:  # noqa: ANN401 - same
    """A limit below one, or that is no number, is refused."""
    refused = pytest.raises(ConfigurationError, match=r"requests 'board': a limit of .* makes no")
    with opened() as system, refused:
        system.sharing.requests("board").take(limit=limit, lease=60)


def damage(board: Requests, key: str, text: str) -> None:
    """Store something else in place of a row."""
    board._office.run(lambda unit: board._rows.put(unit, key, text))


def test_a_lease_that_does_not_decode_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """Its request is given out again, and the log knows it once."""
    with opened() as system:
        board = system.sharing.requests("board")
        number = board.send(1)
        lease = '{"number":1,"holder":"system","until":null}'
        text = f'{{"value":1,"asker":"system","deadline":9e9,"lease":{lease}}}'
        damage(board, numbered("open", number), text)
        assert [request.value for request in board.take(lease=60)] == [1]
        assert board.answer(number, "done")
    assert caplog.text.count(f"the lease on request {number} does not decode") == 1


def test_what_does_not_decode_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Responders get the others; its asker is told, and it goes when room is needed."""
    with opened(quota=Quota(items=3)) as system:
        board = system.sharing.requests("board")
        first, second, third = (board.send(n) for n in range(3))
        board.answer(second, "done")
        damage(board, numbered("open", first), '{"value":0,"asker":5}')
        damage(board, numbered("done", second), "[]")
        for _ in range(2):
            with system.state.transaction():
                assert [request.number for request in board.take(limit=5)] == [third]
        assert not board.answer(first, "done")
        for number in (first, second):
            with pytest.raises(CorruptState, match=f"request {number}: it does not decode; ask"):
                board.outcome(number)
        damage(board, numbered("open", third), '{"asker":"user:mira"}')
        mira, ben = (
            system.sharing.acting_as(Principal.user(who)).requests("board")
            for who in ("mira", "ben")
        )
        with pytest.raises(CorruptState):
            mira.outcome(third)
        for another, number in ((mira, first), (ben, third)):
            with pytest.raises(Denied, match="has no request"):
                another.outcome(number)
        board.send(3)
        with pytest.raises(Denied, match="has no request"):
            board.outcome(first)
    assert caplog.text.count(f"requests 'board': request {first} does not decode") == 1
    assert caplog.text.count(f"the outcome of request {second} does not decode") == 1


def test_what_has_timed_out_is_out_of_the_way() -> None:
    """Responders do not get it any more; its asker still learns of it, and in time it goes."""
    clock = VirtualClock()
    with opened(clock, Quota(items=3, ttl=3600)) as system:
        ada, bob = (system.agent(Clerk, key).proxy() for key in ("ada", "bob"))
        board = system.sharing.requests("board")
        lost = [ada.ask_for(n, timeout=30).get() for n in range(2)]
        deadline = clock.now() + 30
        clock.advance(31)
        later = ada.ask_for(2, timeout=30).get()
        assert bob.work().get() == [2]
        assert system.idle(DEADLINE)
        assert ada.answers().get() == [(later, 4)]
        assert ada.outcome(lost[0]).get() == TimedOut(deadline)
        ada_outside = system.sharing.acting_as(ADA).requests("board")
        assert ada_outside.collect(lost[0]) == TimedOut(deadline)
        for _ in range(2):
            board.send(0, timeout=1)
        with pytest.raises(QuotaExceeded):
            board.send(0)
        clock.advance(3600)
        board.send(0)
        with pytest.raises(Denied):
            ada_outside.outcome(lost[1])


def test_a_responder_is_told_until_nothing_is_left() -> None:
    """One that takes two at a time is told again while some are left."""
    with opened() as system:
        system.agent(Clerk, "bob").proxy().serve().get()
        with system.state.transaction():
            for n in range(7):
                system.sharing.requests("board").send(n)
        assert system.idle(DEADLINE)
        assert system.agent(Clerk, "bob").proxy().seen().get() == list(range(7))


def test_the_quota_is_exact_among_many() -> None:
    """Of many who ask at once as many succeed as there is room."""
    with opened(quota=Quota(items=10)) as system:
        clerks = [system.agent(Clerk, str(n)) for n in range(8)]
        futures = [clerk.call(Clerk.try_to_ask, n) for n in range(4) for clerk in clerks]
        assert sum(future.get(timeout=DEADLINE) for future in futures) == 10
