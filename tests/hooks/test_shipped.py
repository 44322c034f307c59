"""The hooks that come with perdure, each on a real system and with its real library."""

import logging
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from perdure import (
    Agent,
    AgentSystem,
    Auditing,
    Breakpoint,
    Caching,
    CostBudget,
    ErrorDetails,
    HookSet,
    Logging,
    MessageDetails,
    OpenTelemetryMetrics,
    OpenTelemetrySpans,
    Principal,
    PrometheusMetrics,
    RateLimit,
    Redaction,
    Retry,
    Retrying,
    Scope,
    Spent,
    State,
    Validation,
    hooked,
)
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import ConfigurationError, HookCancelled
from tests.kit.deadline import DEADLINE

TOKEN = "ghp_" + "a1B2" * 9
"""What a detector takes for a token of GitHub."""


class Total(State):
    total: int = 0
    text: str = ""


class Desk(Agent[Total]):
    def add(self, number: int) -> int:
        self.state.total += number
        return self.state.total

    def note(self, text: str) -> str:
        self.state.text = text
        return f"{text} {TOKEN}"

    def fail(self, times: int) -> int:
        if self.turn.attempt <= times:
            raise OSError("the line is down")
        return self.turn.attempt

    def on_receive(self, message: object) -> object:
        return message


class Other(Desk):
    pass


def ask(system: AgentSystem, method: Callable[..., Any], *args: Any, key: str = "a") -> Any:  # noqa: ANN401 - what a hook makes of it
    """Ask a desk."""
    return system.agent(Desk, key).call(method, *args).get(timeout=DEADLINE)


def open_system(path: Path | str = "memory://", clock: VirtualClock | None = None) -> AgentSystem:
    """Open a system with desks."""
    return AgentSystem.open(path, agents=[Desk, Other], clock=clock)


def test_validation_refuses_arguments_and_changes_that_do_not_fit() -> None:
    """Types are checked by place and by name, sizes as JSON, and fields when they change."""
    positive = Annotated[int, msgspec.Meta(ge=0)]
    small = Annotated[int, msgspec.Meta(le=100)]
    with open_system() as system:
        names = system.hooks.add(
            Validation({"add": {"number": positive}}, fields={"total": small}, largest=50),
            agents=Desk,
        )
        assert names == ("Desk.validation", "Desk.validation.state")
        assert ask(system, Desk.add, 60) == 60
        with pytest.raises(HookCancelled, match=r"argument number of add: Expected `int` >= 0"):
            ask(system, Desk.add, -1)
        with pytest.raises(HookCancelled, match="argument number of add: Expected `int`, got"):
            system.agent(Desk, "a").call(Desk.add, number="x").get(timeout=DEADLINE)  # type: ignore[call-overload]
        with pytest.raises(HookCancelled, match=r"state\.total: Expected `int` <= 100"):
            ask(system, Desk.add, 60)
        with pytest.raises(HookCancelled, match="note has arguments of 69 characters"):
            ask(system, Desk.note, "x" * 60)
        assert ask(system, Desk.add, 0) == 60
        assert system.agent(Other, "a").call(Desk.add, -1).get(timeout=DEADLINE) == -1


def test_auditing_says_who_handled_what(tmp_path: Path) -> None:
    """What committed stands in the audit once, each attempt that failed beside it."""
    with open_system(tmp_path / "s.db") as system:
        system.hooks.add(Auditing(), agents=Desk)
        for _ in range(3):
            ask(system, Desk.add, 1)
        with pytest.raises(OSError, match="line is down"):
            ask(system, Desk.fail, 9)
        assert system.idle(DEADLINE)
        found = system.audit.list(scope=Scope.agent("Desk", "a"))
        assert [(each.key, each.outcome) for each in found if each.operation == "handle"].count(
            ("add", "allowed")
        ) == 3
        (refused,) = [each for each in found if each.outcome == "refused"]
        assert (refused.who, refused.key) == (Principal.agent("Desk", "a"), "fail")
        assert "the line is down" in refused.reason
        assert system.audit.verify().faults == ()


def test_prometheus_counts_and_measures() -> None:
    """Turns are counted by kind, method and outcome, in the registry that was given."""
    registry = CollectorRegistry()
    with open_system() as system:
        system.hooks.add(PrometheusMetrics(registry))
        for _ in range(3):
            ask(system, Desk.add, 1)
        with pytest.raises(OSError, match="line is down"):
            ask(system, Desk.fail, 9)
    where = {"kind": "Desk", "method": "add"}
    assert registry.get_sample_value("perdure_turns_total", {**where, "outcome": "handled"}) == 3
    assert registry.get_sample_value("perdure_turn_seconds_count", where) == 3
    failed = {"kind": "Desk", "method": "fail", "outcome": "failed"}
    assert registry.get_sample_value("perdure_turns_total", failed) == 1


def test_opentelemetry_counts_and_measures() -> None:
    """The instruments belong to the provider that was given."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    with open_system() as system:
        system.hooks.add(OpenTelemetryMetrics(provider))
        for _ in range(3):
            ask(system, Desk.add, 1)
        with pytest.raises(OSError, match="line is down"):
            ask(system, Desk.fail, 9)
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        (metric.name, *sorted((point.attributes or {}).values(), key=str)): point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    provider.shutdown()
    assert getattr(found["perdure.turns", "Desk", "add", "handled"], "value", 0) == 3
    assert getattr(found["perdure.turns", "Desk", "fail", "failed"], "value", 0) == 1
    assert getattr(found["perdure.turn.duration", "Desk", "add"], "count", 0) == 3


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("prometheus_client", PrometheusMetrics, "prometheus"),
        ("opentelemetry.metrics", OpenTelemetryMetrics, "opentelemetry"),
        ("opentelemetry.trace", OpenTelemetrySpans, "opentelemetry"),
        ("structlog", lambda: Logging(structured=True), "structlog"),
    ],
)
def test_a_library_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, make: Callable[[], object], extra: str
) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf'pip install "perdure\[{extra}\]"'):
        make()


def test_turns_are_logged_by_the_standard_library(caplog: pytest.LogCaptureFixture) -> None:
    """What was handled is an info with its fields, what failed a warning with its error."""
    caplog.set_level(logging.INFO, "desk")
    with open_system() as system:
        system.hooks.add(Logging("desk"))
        ask(system, Desk.note, "private")
        with pytest.raises(OSError, match="line is down"):
            ask(system, Desk.fail, 9)
    handled, failed = (each for each in caplog.records if each.name == "desk")
    assert (handled.levelno, failed.levelno) == (logging.INFO, logging.WARNING)
    assert handled.message.startswith("handled kind=Desk key=a method=note")
    assert failed.__dict__["agent_error"] == "OSError: the line is down"
    assert "private" not in caplog.text


def test_turns_are_events_of_structlog() -> None:
    """With ``structured`` the fields are the event's."""
    with open_system() as system, capture_logs() as events:
        system.hooks.add(Logging(structured=True))
        ask(system, Desk.add, 1)
    structlog.reset_defaults()
    (event,) = events
    assert (event["event"], event["log_level"], event["method"]) == ("handled", "info", "add")


def test_caching_answers_from_the_last_result() -> None:
    """The same arguments are answered once in a while, per agent or for all of a kind."""
    clock = VirtualClock()
    with open_system(clock=clock) as system:
        names = system.hooks.add(Caching("add", seconds=10), agents=Desk)
        assert [ask(system, Desk.add, n) for n in (1, 1, 2, 1)] == [1, 1, 3, 1]
        assert ask(system, Desk.add, 1, key="b") == 1
        clock.advance(11)
        assert ask(system, Desk.add, 1) == 4
        system.hooks.remove(*names)
        system.hooks.add(Caching("add", shared=True))
        assert [ask(system, Desk.add, 5, key=key) for key in "abc"] == [9, 9, 9]


def allowed(times: list[float], rate: float, burst: int) -> list[bool]:
    """Return what a token bucket lets through: the reference, in exact steps."""
    left, last, found = float(burst), 0.0, []
    for time in times:
        left, last = min(burst, left + (time - last) * rate), time
        found.append(left >= 1)
        left -= found[-1]
    return found


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 4.0]), max_size=30),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(1, 4),
)
def test_a_rate_limit_is_a_token_bucket(steps: list[float], rate: float, burst: int) -> None:
    """Whatever the times, what is let through is what a bucket lets through."""

    class Host:
        time = 0.0
        owner = ""

        def monotonic(self) -> float:
            return self.time

        def update(self, what: str, key: str, change: Callable[[object], object]) -> None:
            raise AssertionError

        def note(self, details: object, operation: str, reason: str, *, allowed: bool) -> None:
            raise AssertionError

        def spanned(self) -> None:
            raise AssertionError

    host, times, found = Host(), [], []
    (declared,) = RateLimit(rate, burst=burst).hooks(host)
    details = MessageDetails("Desk", "a", 0, 0, "add", (), {}, 0, 1, asked=True)
    for step in steps:
        host.time += step
        times.append(host.time)
        found.append(declared.function(details) is None)
    assert found == allowed(times, rate, burst)


def test_rate_limits_count_for_whom_they_say() -> None:
    """Buckets are of an agent, a kind, all, or of what a function names; time refills them."""
    clock = VirtualClock()

    def fits(key: str, number: int = 0) -> bool:
        try:
            ask(system, Desk.add, number, key=key)
        except HookCancelled:
            return False
        return True

    with open_system(clock=clock) as system:
        (name,) = system.hooks.add(RateLimit(2, 10), agents=Desk)
        assert [fits(key) for key in "aabaabb"] == [True] * 3 + [False, False, True, False]
        clock.advance(5)
        assert [fits(key) for key in "aab"] == [True, False, True]
        system.hooks.remove(name)
        system.hooks.add(RateLimit(2, 10, per="kind", name="kind"))
        assert [fits(key) for key in "abc"] == [True, True, False]
        system.hooks.remove("kind")
        system.hooks.add(RateLimit(1, 10, per=lambda details: str(details.args)))  # type: ignore[attr-defined]
        assert [fits("a", n) for n in (1, 1, 2, 2)] == [True, False, True, False]


def test_what_failed_is_tried_again_up_to_its_attempts() -> None:
    """Only errors of the named classes are tried again, and the last attempt's error is told."""
    with open_system() as system:
        (name,) = system.hooks.add(Retrying(attempts=4, delay=0))
        assert ask(system, Desk.fail, 3) == 4
        with pytest.raises(OSError, match="line is down"):
            ask(system, Desk.fail, 4)
        system.hooks.remove(name)
        system.hooks.add(Retrying((ValueError,), attempts=4, delay=0))
        with pytest.raises(OSError, match="line is down"):
            ask(system, Desk.fail, 1)


def test_each_delay_is_longer_up_to_the_longest() -> None:
    """Delays grow by the factor, are bounded, and stay numbers whatever the attempt."""

    def delay(attempt: int) -> float:
        told = ErrorDetails(
            "Desk", "a", 0, 0, "add", (), {}, 0, attempt, asked=True, error=OSError()
        )
        answer: Retry = declared.function(told)
        return answer.delay

    with open_system() as system:
        retrying = Retrying(attempts=10**9, delay=1, factor=3, longest=20)
        (declared,) = retrying.hooks(system.hooks._host(""))
    assert [delay(attempt) for attempt in (1, 2, 3, 4, 10**6)] == [1, 3, 9, 20, 20]


def test_a_budget_of_turns_stops_before_it_is_exceeded(tmp_path: Path) -> None:
    """The total is durable: another process goes on with it; who resets it begins anew."""
    for _ in range(2):
        with open_system(tmp_path / "s.db") as system:
            system.hooks.add(CostBudget(turns=4, per="kind"), agents=Desk)
            for _ in range(2):
                ask(system, Desk.add, 1)
    with open_system(tmp_path / "s.db") as system:
        system.hooks.add(CostBudget(turns=4, per="kind"), agents=Desk)
        with pytest.raises(HookCancelled, match="the budget of Desk is 4 turns, of which 4 are"):
            ask(system, Desk.add, 1)
        scope = Scope.custom("hooks", "cost_budget")
        assert system.state.get(scope, "Desk") == {"turns": 4, "tokens": 0, "money": "0"}
        system.state.delete(scope, "Desk")
        assert ask(system, Desk.add, 1) == 5


def test_a_budget_of_money_and_tokens_is_taken_before_and_settled_after() -> None:
    """A call takes what it is expected to cost; what it has cost is put right behind it."""

    def cost(text: object) -> Spent:
        return Spent(tokens=10, money=Decimal(str(text)))

    budget = CostBudget(
        tokens=100, money="1.00",
        expect=lambda details: cost(details.args["most"]),
        measure=lambda details: cost(details.result),
    )  # fmt: skip
    with open_system() as system:
        system.hooks.add(budget)

        def model(most: str) -> str:
            with pytest.raises(HookCancelled, match=r"is 1\.00 money, of which 0\.60 are spent"):
                system.hooks.call_tool("search", failing, most="0.50")
            return "0.10"

        def failing(most: str) -> str:
            raise OSError(most)

        assert system.hooks.call_model("large", model, most="0.60") == "0.10"
        with pytest.raises(OSError, match=r"0\.50"):
            system.hooks.call_tool("search", failing, most="0.50")
        found = system.state.get(Scope.custom("hooks", "cost_budget"), "all")
        assert found == {"turns": 0, "tokens": 20, "money": "0.60"}


def test_redaction_takes_secrets_out_of_arguments_and_results() -> None:
    """Texts lose what looks like a secret, wherever it stands; the state never sees one."""
    with open_system() as system:
        system.hooks.add(Redaction())
        assert ask(system, Desk.note, f"token {TOKEN} here") == "token *** here ***"
        nested = {"deep": [{"password": "hunter22!x"}, (TOKEN, 5)], "plain": "text"}
        answer = system.agent(Desk, "a").ask(nested, timeout=DEADLINE)
        assert answer == {"deep": [{"password": "***"}, ("***", 5)], "plain": "text"}
        seen: list[str] = []

        def tool(token: str) -> str:
            seen.append(token)
            return TOKEN

        assert system.hooks.call_tool("look", tool, token=TOKEN) == "***"
        assert seen == ["***"]


def test_a_breakpoint_stops_where_and_when_it_is_told() -> None:
    """The turn stands while it is looked at; an error of what looks harms nothing."""
    stopped: list[str] = []

    def stop(details: MessageDetails) -> None:
        stopped.append(f"{type(details).__name__} {details.args}")
        raise RuntimeError("quit")

    with open_system() as system:
        system.hooks.add(
            Breakpoint("add", after=True, error=True, when=lambda d: d.args == (2,), stop=stop)
        )
        assert [ask(system, Desk.add, n) for n in (1, 2, 3)] == [1, 3, 6]
        assert stopped == ["MessageDetails (2,)", "OutcomeDetails (2,)"]


def test_the_default_breakpoint_is_that_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``stop`` it is ``sys.breakpointhook`` that is called."""
    called: list[int] = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: called.append(1))
    with open_system() as system:
        system.hooks.add(Breakpoint())
        ask(system, Desk.add, 1)
    assert called == [1]


def test_a_set_acts_for_the_class_that_is_hooked() -> None:
    """A decorated class brings its hooks along, under its name; another class has none of them."""

    @hooked(RateLimit(1, 1000), CostBudget(turns=1, per="agent"))
    class Guarded(Desk):
        pass

    with AgentSystem.open("memory://", agents=[Desk, Guarded]) as system:
        assert [(each.name, each.owner, each.agents) for each in system.hooks.list()] == [
            ("Guarded.rate_limit", "Guarded", "Guarded"),
            ("Guarded.cost_budget", "Guarded", "Guarded"),
        ]
        guarded = system.agent(Guarded, "a")
        assert guarded.call(Desk.add, 1).get(timeout=DEADLINE) == 1
        with pytest.raises(HookCancelled, match="too many messages of Guarded/a"):
            guarded.call(Desk.add, 1).get(timeout=DEADLINE)
        own = system.state.get(Scope.agent("Guarded", "a"), "hooks/cost_budget/Guarded/a")
        assert own == {"turns": 1, "tokens": 0, "money": "0"}
        assert [ask(system, Desk.add, 1) for _ in range(3)] == [1, 2, 3]


def test_a_set_is_registered_whole_or_not_at_all() -> None:
    """A name that is taken leaves nothing of the set behind."""
    with open_system() as system:

        @system.hooks.on("error", name="logging.error")
        def mine(details: object) -> None:
            return None

        with pytest.raises(ConfigurationError, match=r"a hook 'logging\.error' already"):
            system.hooks.add(Logging())
        assert [each.name for each in system.hooks.list()] == ["logging.error"]
        system.hooks.add(Logging(), agents=Desk)
        system.hooks.add(Logging(), agents=system.agent(Desk, "a"))
        with pytest.raises(ConfigurationError, match="give an object with hooks"):
            system.hooks.add(RateLimit)  # type: ignore[arg-type]


WRONG: list[tuple[Callable[[], HookSet], str]] = [
    (Validation, "arguments=, fields= or largest="),
    (lambda: Validation(largest=0), r"Validation\(largest=0\)"),
    (lambda: Auditing(on=5), r"Auditing\(on=5\)"),  # type: ignore[arg-type]
    (lambda: Logging(level=-1), r"Logging\(level=-1\)"),
    (lambda: Caching(()), "the methods whose results"),
    (lambda: Caching("add", most=0), r"Caching\(most=0\)"),
    (lambda: RateLimit(0), r"RateLimit\(calls=0\)"),
    (lambda: RateLimit(1, per="person"), r"RateLimit\(per='person'\)"),
    (lambda: RateLimit(1, burst=0), r"RateLimit\(burst=0\)"),
    (lambda: Retrying((5,)), r"Retrying\(errors=\(5,\)\)"),  # type: ignore[arg-type]
    (lambda: Retrying(attempts=1), r"Retrying\(attempts=1\)"),
    (CostBudget, "turns=, tokens= or money="),
    (lambda: CostBudget(tokens=5), "say by measure= what calls cost"),
    (lambda: CostBudget(money="much"), r"CostBudget\(money='much'\)"),
    (lambda: Redaction(arguments=False, results=False), "nothing is looked at"),
    (lambda: Breakpoint(before=False), "unless after=True or error=True"),
]


@pytest.mark.parametrize(("make", "told"), WRONG)
def test_options_that_make_no_sense_are_refused(make: Callable[[], HookSet], told: str) -> None:
    """A wrong option is refused where it is given, by name, with the right form."""
    with pytest.raises(ConfigurationError, match=told):
        make()
