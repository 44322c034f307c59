"""How a method takes each argument is in its schema: by position, by name, or in either way."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, MemoryStore, errors, migration, transforms
from perdure.actors.agent.agent import Agent
from perdure.actors.talk import signatures
from perdure.actors.talk.signatures import messages_of
from perdure.persistence.schema.comparison import compare
from perdure.persistence.schema.schema import read_schema
from perdure.persistence.schema.shown import shown
from tests.cli.commands import invoke, records
from tests.schema.test_rollback import (
    METHODS,
    Base,
    Method,
    behind,
    catching,
    free,
    handled,
    keyword,
    keywords,
    moved,
    named,
    one,
    placed,
    release,
)


def sent(store: Any, method: Method, *args: object, **kwargs: object) -> None:  # noqa: ANN401
    """Have one message wait."""
    sender = release(method)
    with AgentSystem.open(store, agents=[sender]) as system:
        system.agent(sender, "d").pause()
        system.agent(sender, "d").cast(sender.note, *args, **kwargs)


def kinds(parameters: inspect.Signature) -> list[tuple[str, object]]:
    """Return how each parameter takes its value."""
    return [(each.name, each.kind) for each in parameters.parameters.values()]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_shown_as_it_was_written(method: Method) -> None:
    """With the marks behind which arguments go by position or by name only."""
    member = messages_of(release(method), Agent).member("note")
    assert member is not None
    scope: dict[str, Any] = {}
    line = f"from __future__ import annotations\ndef again{shown(member.type)}: ..."
    exec(line, scope)  # noqa: S102 - Python reads its own notation
    ours, theirs = (kinds(inspect.signature(each)) for each in (scope["again"], method))
    assert ours == theirs[1:]


Case = tuple[Method, Method, tuple[Any, ...], dict[str, Any]]
REFUSED: list[tuple[Method, Method, tuple[Any, ...], dict[str, Any], str]] = [
    (one, keyword, (7, "word"), {}, r"note\(b\): by name only \(messages give it by its place"),
    (one, keywords, (7,), {}, r"note\(a\): by name only"),
    (one, behind, (7, "word"), {}, r"note\(b\): by name only"),
    (one, placed, (7,), {"b": "word"}, r"note\(b\): by position only \(messages give it by its na"),
    (free, moved, (7,), {}, r"note: order \(b, a: another place"),
    (catching, named, (7,), {"a": "more"}, r"note\(a\): by name as well"),
]
TAKEN: list[Case] = [
    (one, keyword, (7,), {"b": "word"}),
    (one, keywords, (), {"a": 7, "b": "word"}),
    (one, placed, (7, "word"), {}),
    (free, moved, (), {"a": 7, "b": "word"}),
    (keyword, one, (7,), {"b": "word"}),
    (catching, named, (7,), {"b": "word"}),
]


@pytest.mark.parametrize(("old", "new", "args", "kwargs", "told"), REFUSED)
def test_a_way_that_is_gone_is_refused_while_something_waits_that_took_it(
    old: Method, new: Method, args: tuple[Any, ...], kwargs: dict[str, Any], told: str
) -> None:
    """The system is not opened, names method and parameter, and keeps the message."""
    store = MemoryStore()
    sent(store, old, *args, **kwargs)
    with pytest.raises(errors.IncompatibleSchema, match=f"1 message or timer waits: {told}"):
        AgentSystem.open(store, agents=[release(new)])
    took = handled(store, release(old))
    assert all(value in took.values() for value in args)


@pytest.mark.parametrize(("old", "new", "args", "kwargs"), TAKEN)
def test_a_message_that_took_another_way_goes_on(
    old: Method, new: Method, args: tuple[Any, ...], kwargs: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The same change of the method is compatible for it, and nobody is warned."""
    store = MemoryStore()
    sent(store, old, *args, **kwargs)
    took = handled(store, release(new))
    assert 7 in {value for value in took.values() if isinstance(value, int)}
    assert not [each for each in caplog.records if "its methods have changed" in each.message]


def test_what_was_stored_without_ways_goes_either_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store of an earlier release of perdure: its own class opens it, a changed one may not."""
    stores = MemoryStore(), MemoryStore()
    with monkeypatch.context() as earlier:
        earlier.setattr(signatures, "_ONLY", {})
        sent(stores[0], keyword, 7, b="word")
        sent(stores[1], one, 7, "word")
        text = messages_of(release(keyword), Agent).text()
    assert "given" not in text
    now = messages_of(release(keyword), Agent)
    assert '"given":"name"' in now.text()
    (found,) = compare(read_schema(text), now).differences
    assert (found.path, found.change) == ("note(b)", "by name only")
    assert handled(stores[0], release(keyword)) == {"a": 7, "b": "word"}
    assert not [each for each in caplog.records if "its methods have changed" in each.message]
    with pytest.raises(errors.IncompatibleSchema, match="by name only"):
        AgentSystem.open(stores[1], agents=[release(keyword)])


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [(one, (7, "word"), {}), (behind, (7, 8, 9), {"b": "word"}), (keyword, (7,), {"b": "word"})],
)
def test_a_migration_gives_each_argument_in_its_way(
    method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """It sees all by name; its method is given by name what it takes only so."""
    store = MemoryStore()
    sent(store, method, *args, **kwargs)

    def note(self: Base, a: int, *rest: object, c: str) -> None:
        self._took({"a": a, "rest": rest, "c": c})

    new = release(note, "2.0.0")
    steps = [transforms.rename("b", "c")]
    if method is behind:
        steps.append(transforms.rename("*args", "*rest"))
    migration(new, "1.0.0", "2.0.0", *steps, method="note")
    assert handled(store, new) == {"a": 7, "rest": [*args[1:]] if kwargs else [], "c": "word"}


def test_the_command_tells_the_ways_apart(tmp_path: Path) -> None:
    """`perdure schema diff` between two releases that differ in nothing else."""
    store = tmp_path / "s.db"
    for method in (one, keyword):
        sender = release(method)
        with AgentSystem.open(store, agents=[sender]) as system:
            system.agent(sender, "d").cast(sender.note, 7, b="word")
    first, second = (
        str(each["number"])
        for each in records("schema", "list", "--store", store)
        if each["family"] == "messages"
    )
    assert (
        "note(b): by name only" in invoke("schema", "diff", first, second, "--store", store).output
    )
    assert "(a: int, *, b: str)" in invoke("schema", "show", second, "--store", store).output
