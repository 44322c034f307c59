"""Stop before a budget is exceeded: of turns, of tokens, of money."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ...persistence.errors import ConfigurationError, HookCancelled
from ...persistence.options import Options
from ..details import CallDetails, Details, MessageDetails
from ..hook import Declared, HookOptions
from ..points import (
    MESSAGE_BEFORE,
    MODEL_CALL_AFTER,
    MODEL_CALL_BEFORE,
    TOOL_CALL_AFTER,
    TOOL_CALL_BEFORE,
)
from ..results import Cancel
from ..sets import HookHost
from .choice import Counted, check_counted, check_names, counted_as


def _money(value: object, options: Options) -> Decimal:
    form = 'an amount from 0, as Decimal("2.50"), "2.50" or 2'
    if not isinstance(value, Decimal | int | str) or isinstance(value, bool):
        raise options.wrong("money", form)
    try:
        money = Decimal(value)
    except InvalidOperation:
        raise options.wrong("money", form) from None
    if not money.is_finite() or money < 0:
        raise options.wrong("money", form)
    return money


@dataclass(frozen=True, slots=True)
class Spent:
    """What something costs; ``money`` is in whatever currency the budget is."""

    turns: int = 0
    tokens: int = 0
    money: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        """Refuse what is no cost."""
        options = Options(self)
        options.whole("turns", least=0)
        options.whole("tokens", least=0)
        object.__setattr__(self, "money", _money(self.money, options))


NOTHING: Final = Spent()


def _free(_details: CallDetails) -> Spent:
    return NOTHING


@dataclass(frozen=True, slots=True)
class CostBudget:
    """Cancel what would exceed a budget.

    A turn is counted before it is handled, every attempt of it; a call of a tool or a model takes
    what it is expected to cost before it is made, and is settled when it has returned. What is
    spent is durable at once, whatever becomes of the turn, and stays over restarts:
    ``Scope.custom("hooks", name)`` has it, by ``per``. Delete the key to begin anew. A call
    that fails costs what was expected of it. As a part of an agent class (``hooked``) it keeps the
    totals of each agent in that agent's own scope, where the agent may change them as well.

    Args:
        turns, tokens, money: the limits; None: no limit. Money as Decimal, int or text.
        per: whose costs are added up: "all", "kind", "agent", or a function of the details.
        expect: what a call costs at most, from its name and arguments alone. Without it, calls are
            let through until the limit is reached, and the last one may exceed it.
        measure: what a call has cost, from its result.
        on: methods, tools and models that count; empty: all.
        name: of these hooks, and of the totals.
    """

    turns: int | None = None
    tokens: int | None = None
    money: Decimal | int | str | None = None
    per: Counted = "all"
    expect: Callable[[CallDetails], Spent] = _free
    measure: Callable[[CallDetails], Spent] = _free
    on: str | tuple[str, ...] = ()
    name: str = "cost_budget"

    def __post_init__(self) -> None:
        """Refuse options that make no sense, and a budget without a limit."""
        options = Options(self)
        options.whole("turns", least=0, none="no limit")
        options.whole("tokens", least=0, none="no limit")
        if self.money is not None:
            object.__setattr__(self, "money", _money(self.money, options))
        if self.turns is None and self.tokens is None and self.money is None:
            raise options.wrong("turns", "turns=, tokens= or money=")
        if self.calls and self.measure is _free and self.expect is _free:
            raise ConfigurationError(
                "CostBudget of tokens or money: say by measure= what calls cost"
            )
        check_counted(options, self.per)
        check_names(options, self.on)

    @property
    def calls(self) -> bool:
        """Whether calls of tools and models are limited."""
        return self.tokens is not None or self.money is not None

    def hooks(self, host: HookHost) -> Iterable[Declared]:
        """Return a hook for turns and those for calls, where they are limited."""
        if host.owner and self.per in ("all", "kind"):
            message = (
                f"CostBudget(per={self.per!r}) of the class {host.owner}: its agents write nothing"
                ' in common; give per="agent", or add it to system.hooks with agents='
            )
            raise ConfigurationError(message)
        account = _Account(self, host)
        # Durable totals wait for the disk: no time is too long for that.
        first = HookOptions(on=self.on, priority=30, budget=None, record=False)
        # Asked last, by the arguments with which a call is made, and only if it is.
        call = HookOptions(on=self.on, priority=950, budget=None, record=False)
        last = HookOptions(on=self.on, priority=0, budget=None, record=False)
        if self.turns is not None:
            yield Declared(MESSAGE_BEFORE, account.turn, first, self.name)
        if self.calls:
            yield Declared(MODEL_CALL_BEFORE, account.before, call, f"{self.name}.model")
            yield Declared(MODEL_CALL_AFTER, account.after, last, f"{self.name}.model_cost")
            yield Declared(TOOL_CALL_BEFORE, account.before, call, f"{self.name}.tool")
            yield Declared(TOOL_CALL_AFTER, account.after, last, f"{self.name}.tool_cost")


class _Account:
    def __init__(self, budget: CostBudget, host: HookHost) -> None:
        self._budget = budget
        self._host = host
        money = budget.money
        assert money is None or isinstance(money, Decimal)
        self._limits = {"turns": budget.turns, "tokens": budget.tokens, "money": money}

    def turn(self, details: MessageDetails) -> Cancel | None:
        """Count a turn."""
        return self._take(details, Spent(turns=1))

    def before(self, details: CallDetails) -> Cancel | None:
        """Take what a call is expected to cost."""
        return self._take(details, self._budget.expect(details))

    def after(self, details: CallDetails) -> None:
        """Put right what was expected."""
        expected, measured = self._budget.expect(details), self._budget.measure(details)
        if measured != expected:
            self._change(details, lambda totals: _moved(totals, measured, expected))

    def _take(self, details: Details, cost: Spent) -> Cancel | None:
        def taken(totals: dict[str, Decimal]) -> dict[str, Decimal]:
            new = _moved(totals, cost, NOTHING)
            for unit, limit in self._limits.items():
                # A call of which nothing is expected may not begin where nothing is left.
                gone = unit != "turns" and not cost.turns and new[unit] == limit == totals[unit]
                if limit is not None and (new[unit] > limit or gone):
                    raise HookCancelled(self._budget.name, self._exceeded(details, unit, totals))
            return new

        try:
            self._change(details, taken)
        except HookCancelled as refused:
            return Cancel(refused.reason)
        return None

    def _exceeded(self, details: Details, unit: str, totals: dict[str, Decimal]) -> str:
        whose = counted_as(self._budget.per, details)
        limit = self._limits[unit]
        return f"the budget of {whose} is {limit} {unit}, of which {totals[unit]} are spent"

    def _change(
        self, details: Details, change: Callable[[dict[str, Decimal]], dict[str, Decimal]]
    ) -> None:
        def stored(value: Any) -> object:  # noqa: ANN401 - JSON
            known = value or {}
            totals = {unit: Decimal(str(known.get(unit, 0))) for unit in self._limits}
            new = change(totals)
            whole = {unit: int(new[unit]) for unit in ("turns", "tokens")}
            return {**whole, "money": str(new["money"])}

        self._host.update(self._budget.name, counted_as(self._budget.per, details), stored)


def _moved(totals: dict[str, Decimal], up: Spent, down: Spent) -> dict[str, Decimal]:
    return {unit: total + getattr(up, unit) - getattr(down, unit) for unit, total in totals.items()}
