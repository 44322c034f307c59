"""Options of systems and agent classes: a wrong one is refused by name, with the right form."""

import dataclasses
import inspect
import math
import random
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    Agent,
    AgentSystem,
    ArtifactLimits,
    Audit,
    AutoSave,
    Backoff,
    Breaker,
    Detector,
    Keys,
    Limits,
    MemoryStore,
    Passivation,
    Resources,
    RestartPolicy,
    Retention,
    Saving,
    State,
)
from perdure.persistence.errors import ConfigurationError


class NoteState(State):
    note: str = ""


class Note(Agent[NoteState]):
    """Be of a class that systems take."""


class Halting:
    """A clock that has stopped, and tells the time in whole seconds."""

    def now(self) -> int:
        return 1

    monotonic = call_later = start = close = now


NUMBERS = [0, -1, 2.5, "5", True, math.nan, None, [1]]
"""What is no whole number of 1 or more."""
SECONDS: list[object] = [0, -0.5, "1", True, math.nan, math.inf, 1e300, []]
"""What no clock can wait for."""

RECORDS: dict[type, dict[str, tuple[list[object], str]]] = {
    Backoff: {
        "first": ([-1, "1", math.nan, None, 31.0], "give seconds"),
        "factor": ([0.5, "2", math.inf, math.nan], "give a number, 1 or more"),
        "longest": ([-1, math.inf, math.nan], "give seconds, 0 or more"),
        "jitter": ([-0.1, 1.1, math.nan, "x"], "give a share from 0 to 1"),
    },
    Breaker: {
        "failures": (NUMBERS, "give a whole number, 1 or more"),
        "reset_after": (SECONDS, "give seconds, above 0"),
    },
    AutoSave: {"every": (SECONDS, "give seconds, above 0")},
    Saving: {
        "backoff": ([5, Backoff, None], r"give a Backoff, as in Saving\(backoff=Backoff\("),
        "breaker": ([5, Breaker], r"give a Breaker, as in Saving\(breaker=Breaker\(failures=5\)\)"),
        "auto_save": ([1.0], r"give an AutoSave, as in Saving\(auto_save=AutoSave\("),
        "most_unsaved": (NUMBERS, "give a whole number, 1 or more"),
    },
    Limits: {
        "largest_value": (NUMBERS, "give a whole number, 1 or more"),
        "mailbox_wait": ([-1, "1", math.nan, math.inf, None], "give seconds, 0 or more"),
        "artifacts": ([5, None], r"give an ArtifactLimits, as in Limits\(artifacts=Artifact"),
    },
    Resources: {
        "workers": ([*NUMBERS, 513], "give a whole number"),
        "passivation": ([300, None], r"give a Passivation, as in Resources\(passivation=Pass"),
        "scope_cache": ([-1, 0.5, "x", None], "give a whole number, 0 or more"),
        "young_generation": ([-1, 0.5, "x", None], "give a whole number, 0 or more"),
        "switch_interval": ([-1, math.nan, math.inf, "x"], "give seconds, 0 or more, or None"),
    },
    Keys: {
        "secrets": (["keys.txt", {"k": b""}], r"give a provider of keys, as in secrets=FileKeys\("),
        "pickles": (["keys.txt", 5], r"give a provider of keys, as in pickles=FileKeys\("),
        "backups": (["keys.txt", 5], r"give a provider of keys, as in backups=FileKeys\("),
    },
    Retention: {"commits": ([0, -1, "5", True], "1 or more, or None for all")},
    Audit: {
        "reads": ([1, "yes", None], "give True or False"),
        "keep": ([0, "5"], "1 or more, or None for all"),
        "key": (["key"], "give a provider of keys"),
    },
    Passivation: {
        "idle": (SECONDS, "give seconds, above 0, or None for never"),
        "limit": ([0, "5", 2.5], "1 or more, or None for no limit"),
    },
    RestartPolicy: {
        "attempts": (NUMBERS, "give a whole number, 1 or more"),
        "restarts": ([-1, "5", None], "give a whole number, 0 or more"),
        "within": ([0, -1, "60", math.nan], "give seconds above 0"),
        "backoff": ([5], r"give a Backoff, as in RestartPolicy\(backoff=Backoff\("),
    },
    Detector: {
        "policy": (["loud", 5, None], 'give "warn", "refuse" or "redact"'),
        "rules": (["x"], "give a tuple"),
        "names": ([1], "give True or False"),
        "allow": (["Box.note", ["Box.note"]], "give a Set"),
    },
    ArtifactLimits: {
        "largest": ([-1, "5", 2.5], "give a number, or None"),
        "scope": ([-1, "5"], "give a number, or None"),
        "scopes": ([5], "give a Mapping"),
    },
}
OPENING: dict[str, tuple[list[object], str]] = {
    "store": ([None, 5, b"x.db", MemoryStore], "give a path"),
    "agents": ([Note, 5, ["Note"], [Note, Note]], "agent|Agent"),
    "sync": (["maybe", None, True], 'give "power" or "process"'),
    "takeover": ([1, "yes", None], "give True or False"),
    "service": ([1, "no", None], "give True or False"),
    "saving": ([5, None, Breaker()], r"give a Saving, as in AgentSystem\.open\(saving=Saving\("),
    "limits": ([5, None], r"give a Limits, as in AgentSystem\.open\(limits=Limits\("),
    "resources": ([4, None], r"give a Resources, as in AgentSystem\.open\(resources=Resources\("),
    "keys": (["keys.txt", None], r"give a Keys, as in AgentSystem\.open\(keys=Keys\(secrets="),
    "schemas": ([5, "cart/*", [1]], "give a Mapping"),
    "retention": ([5, None], "give a Retention"),
    "audit": ([True, None], "give an Audit"),
    "history": ([5, None], "give an? HistoryRetention"),
    "detector": (["refuse", True], "give a Detector, as in .*, or None for no detector"),
    "clock": ([5, "now", Halting()], "give a clock"),
    "randomness": ([7, random], "give a Random"),
}
CLASS: dict[str, tuple[list[object], str]] = {
    "durability": (["turn", "x", None], "give a Durability, as in Odd.dura"),
    "when_unsaved": (["stop", None], r"give a WhenUnsaved, as in Odd\.when_unsaved = WhenUnsaved"),
    "autosave": ([5, 1.0], r"give an AutoSave, as in Odd\.autosave = AutoSave\(every=5\.0\), or"),
    "restarts": ([3, None], r"give a RestartPolicy, as in Odd\.restarts = RestartPolicy\(rest"),
    "unreadable": (["ignore", None], 'give "quarantine" or "rewind"'),
    "mailbox_limit": (["x", 0, 2.5, True], "give a whole number, 1 or more, or None for no limit"),
    "turn_limit": (SECONDS, "give seconds, above 0, or None for no limit"),
    "boundary": (["open", None], "give a Boundary"),
    "record": (["yes", 1, None], "give an? bool"),
    "aliases": (["Old", 5, None, [5], [""]], r"list kinds|the kind in Odd\.aliases"),
    "messages_version": (["1", 1, None, "1.0.x"], "write three numbers"),
    "mind": (["Helper", 5, str], "give a class of agents that think, or None for no mind"),
    "kind": (["", 5, None, "a\0b"], "the kind"),
}


def cases(table: dict[str, tuple[list[object], str]]) -> list[Any]:
    """Return ``(name, value, form)`` for each wrong value."""
    return [
        pytest.param(name, value, form, id=f"{name}={value!r:.20}")
        for name, (values, form) in table.items()
        for value in values
    ]


@pytest.mark.parametrize(
    ("record", "name", "value", "form"),
    [
        pytest.param(record, *case.values, id=f"{record.__name__}-{case.id}")
        for record, table in RECORDS.items()
        for case in cases(table)
    ],
)
def test_a_wrong_value_of_a_record(record: type, name: str, value: object, form: str) -> None:
    """A record names its option and the right form, where it is given."""
    with pytest.raises(ConfigurationError, match=form) as refused:
        record(**{name: value})
    assert f"{record.__name__}({name}=" in str(refused.value) or record is ArtifactLimits


@pytest.mark.parametrize(("name", "value", "form"), cases(OPENING))
def test_a_wrong_option_of_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, form: str
) -> None:
    """`open` refuses an option by name before it has touched a file."""
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"store": "new.db", "agents": [Note]} | {name: value}
    with pytest.raises(ConfigurationError, match=form) as refused:
        AgentSystem.open(options.pop("store"), **options)
    assert name in str(refused.value) or name == "agents"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "value", "form"), cases(CLASS))
@pytest.mark.parametrize("late", [False, True], ids=["declared", "set later"])
def test_a_wrong_option_of_a_class(
    tmp_path: Path, *, late: bool, name: str, value: object, form: str
) -> None:
    """A class option is refused when the class is made, one set later when a system takes it."""

    def declare() -> type[Note]:
        return type("Odd", (Note,), {} if late else {name: value})

    def take() -> None:
        odd = declare()
        setattr(odd, name, value)
        AgentSystem.open(tmp_path / "new.db", agents=[odd])

    with pytest.raises(ConfigurationError, match=form) as refused:
        take() if late or name == "kind" else declare()
    assert f"Odd.{name}" in str(refused.value) or name == "kind"
    assert list(tmp_path.iterdir()) == []


def test_the_tables_are_complete() -> None:
    """Each option of `open`, of its records and of agent classes has a wrong value above."""
    assert {*inspect.signature(AgentSystem.open).parameters} == {*OPENING}
    for record, table in RECORDS.items():
        options = {field.name for field in dataclasses.fields(record) if field.init}
        assert options == {*table}, record
    hints = inspect.get_annotations(Agent)
    assert {name for name, hint in hints.items() if str(hint).startswith("ClassVar")} == {*CLASS}


def test_the_right_forms_are_taken() -> None:
    """What the refusals tell to write is taken, and an option left out has its default."""
    saving = Saving(Backoff(first=0.1), Breaker(failures=5), AutoSave(every=1.0), 20_000)
    limits = Limits(mailbox_wait=30.0, artifacts=ArtifactLimits(scope=2**30))
    resources = Resources(passivation=Passivation(idle=300))
    with AgentSystem.open(
        "memory://",
        agents=[Note],
        saving=saving,
        limits=limits,
        resources=resources,
        retention=Retention(commits=100_000),
        audit=Audit(keep=100_000),
        detector=Detector(policy="refuse"),
        randomness=random.Random(7),
    ) as system:
        assert system.idle(10)
    assert (saving, resources) == (Saving(), Resources())
    assert limits == dataclasses.replace(Limits(), artifacts=limits.artifacts)
