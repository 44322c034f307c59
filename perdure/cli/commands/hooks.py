"""``perdure hooks``: what each hook does, by who runs it or by the history; what hooks did."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec

from ...hooks.history.history import History, RunSelection
from ...hooks.history.queue import DeferredCall, calls_in
from ...hooks.history.record import HookRecord
from ...hooks.history.summary import summed
from ...persistence.errors import ConfigurationError, UnknownHook
from ...service.client import find_owner
from ...service.protocol import DeferredWish, HooksWish
from ...url import open_reader, path_of
from ..terminal.exits import NotFound
from ..terminal.listing import Lines, behind, refuse_times, show
from ..terminal.options import HooksAction, Listing
from ..terminal.screen import Screen, print_json
from ..terminal.text import moment, seconds_of
from ..terminal.values import line, parse
from .census import AgentFilter

Facts = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Executions:
    """Which executions of hooks the options choose."""

    hook: str | None
    point: str | None
    of: AgentFilter
    correlation: int | None
    outcome: str | None
    since: str | None
    until: str | None
    longer: float | None

    def selection(self) -> RunSelection:
        """Return them as the history takes them; ConfigurationError for what is no time."""
        given: Facts = {
            "hook": self.hook, "point": self.point, "kind": self.of.kind, "key": self.of.key,
            "correlation": self.correlation, "outcome": self.outcome, "longer": self.longer,
        }  # fmt: skip
        for name in ("since", "until"):
            given[name] = seconds_of(getattr(self, name), f"--{name}")
        chosen: Any = {name: value for name, value in given.items() if value is not None}
        return chosen  # type: ignore[no-any-return]


def handle(
    store: str, action: HooksAction, run: str | None, wanted: Executions, listing: Listing
) -> None:
    """Do what was asked for."""
    chosen = wanted.selection()
    if run is not None and action is not HooksAction.SHOW:
        message = f"`hooks {action}` takes no ID; `hooks show ID` shows one execution"
        raise ConfigurationError(message)
    if chosen and action is not HooksAction.RUNS:
        raise ConfigurationError(f"only `hooks runs` takes --{next(iter(chosen))}")
    if action is HooksAction.LIST:
        _list(store, listing)
    elif action is HooksAction.RUNS:
        _runs(store, chosen, listing)
    elif action is HooksAction.WAITING:
        _waiting(store, listing)
    elif run is None:
        raise ConfigurationError("`hooks show` needs the ID of an execution; `runs` lists them")
    else:
        _show(store, run, json=listing.json)


def _list(store: str, listing: Listing) -> None:
    refuse_times(listing, "hooks", "in the order in which they run")
    owner = find_owner(path_of(store))
    if owner is not None:
        found = [{"source": "process", **facts} for facts in owner.ask(HooksWish())]
    else:
        with closing(open_reader(store)) as reader:
            found = [_remembered(hook) for hook in summed(_executions(History(reader), {}))]
        note = "nobody has it open: this is what the history has of hooks, which knows no breakers"
        Screen(error=True).say(note, "dim")
    show(behind(found, listing, itemgetter("name")), listing, _HOOKS)


def _waiting(store: str, listing: Listing) -> None:
    refuse_times(listing, "waiting calls", "in the order of their commits")
    owner = find_owner(path_of(store))
    if owner is not None:
        found = owner.ask(DeferredWish(listing.after))
        show((msgspec.convert(each, DeferredCall) for each in found), listing, _WAITING)
        return
    with closing(open_reader(store)) as reader:
        show(calls_in(reader, lambda _row: _NOBODY, listing.after), listing, _WAITING)


def _remembered(facts: Facts) -> Facts:
    unknown = dict.fromkeys(
        ("owner", "agents", "priority", "enabled", "breaker", "slow", "passed"), None
    )
    return {"source": "history", **facts, **unknown}


def _hook_row(facts: Facts) -> tuple[object, ...]:
    runs, outcomes = facts["runs"], facts["outcomes"]
    went_on = outcomes.get("continue", 0)
    changed = runs - went_on - facts["failures"]
    mean = facts["seconds"] / runs if runs else 0.0
    state = facts["breaker"] if facts["enabled"] is not False else "disabled"
    return (
        facts["name"], facts["point"], facts["agents"] or "", state or "", runs, changed,
        facts["failures"], _took(mean), _took(facts["longest"]),
    )  # fmt: skip


def _took(seconds: float) -> str:
    return f"{1000 * seconds:,.3f}"


def _executions(history: History, chosen: RunSelection, **order: Any) -> Iterator[HookRecord]:  # noqa: ANN401
    """Iterate over what hooks did; whole turns that are recorded stand beside it."""
    return (record for record in history.each(**order, **chosen) if record.hook)


def _runs(store: str, chosen: RunSelection, listing: Listing) -> None:
    tail = listing.after is None and listing.newest is None
    newest = tail or bool(listing.newest)
    with closing(open_reader(store)) as reader:
        found = _executions(History(reader), chosen, after=listing.after, newest=newest)
        try:
            show(found, listing, _RUNS, tail=tail)
        except UnknownHook:
            message = f"--after {listing.after!r:.40}: give the ID of an execution, as 17.0"
            raise ConfigurationError(message) from None


def _show(store: str, run: str, *, json: bool) -> None:
    with closing(open_reader(store)) as reader:
        try:
            found = History(reader).get(run)
        except UnknownHook as error:
            raise NotFound(str(error)) from None
    facts = record(found)
    if json:
        print_json(facts)
        return
    facts["time"] = moment(found.time)
    facts |= {name: line(facts[name]) for name in ("context", "result")}
    Screen().table([("", "word"), ("", "name")], list(facts.items()), head=False)


def record(found: HookRecord) -> Facts:
    """Return an execution for programs."""
    where = f"execution {found.id}"
    facts = {name: getattr(found, name) for name in found.__struct_fields__ if name != "weight"}
    given = {name: parse(facts[name], where) if facts[name] else None for name in _JSON}
    return {"id": found.id, **facts, **given}


def _run_row(found: HookRecord) -> tuple[object, ...]:
    agent = f"{found.kind}/{found.key}" if found.kind else ""
    return (
        found.id, moment(found.time), found.hook, found.point, agent, found.name, found.outcome,
        _took(found.seconds), found.error or found.result,
    )  # fmt: skip


_JSON: Final = ("context", "result")
_NOBODY: Final = "nobody has the store open"
_WAITING: Final = Lines(
    columns=[
        ("ID", "word"), ("TIME (UTC)", "word"), ("HOOK", "name"), ("POINT", "word"),
        ("AGENT", "name"), ("WAITS, AS", "value"),
    ],
    cells=lambda call: (
        call.id, moment(call.time), call.hook, call.point,
        f"{call.kind}/{call.key}" if call.kind else "", call.reason,
    ),
    record=msgspec.to_builtins, place=attrgetter("id"), none="no calls of deferred hooks wait",
)  # fmt: skip
_HOOKS: Final = Lines(
    columns=[
        ("HOOK", "name"), ("POINT", "word"), ("AGENTS", "name"), ("BREAKER", "word"),
        ("RUNS", "number"), ("INTERVENED", "number"), ("FAILED", "number"), ("MEAN ms", "number"),
        ("LONGEST ms", "number"),
    ],
    cells=_hook_row, record=dict, place=itemgetter("name"), none="no hooks",
)  # fmt: skip
_RUNS: Final = Lines(
    columns=[
        ("ID", "word"), ("TIME (UTC)", "word"), ("HOOK", "name"), ("POINT", "word"),
        ("AGENT", "name"), ("AT", "name"), ("OUTCOME", "word"), ("ms", "number"),
        ("ANSWER", "value"),
    ],
    cells=_run_row, record=record, place=attrgetter("id"),
    none="no such executions of hooks in the history",
)  # fmt: skip
