"""What a script may call of its host: one table, the same for every language."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from pykka.messages import ProxyCall

from ..actors.agent.agent import Agent
from ..actors.talk.reference import AgentRef
from ..persistence.codec.explain import name_of
from ..persistence.errors import (
    ConfigurationError,
    Denied,
    PerdureError,
    ScriptLimit,
    StateError,
)
from ..persistence.names.scope import Scope
from ..shared.artifacts.artifacts import Artifacts
from ..shared.scopes.entries import ABSENT
from ..shared.scopes.state import ScopedState

logger = logging.getLogger("perdure.scripting")

MISSING: Final = ABSENT
"""An argument that is not given, an answer that is nothing: no value, and not null either."""
LARGEST: Final = 2**63
"""Integers that scripts have are below it, and not below the negative of it."""
MOST_KEYS: Final = 10_000
"""Keys that one call lists."""


class Reach(Protocol):
    """What a run may reach beside shared state; made by its host."""

    me: str
    """Who the script acts as."""

    def agent(self, kind: str, key: str) -> AgentRef[Agent[Any]]:
        """Return a reference to an agent; Denied if the script may not talk to it."""
        ...

    def ask(self, ref: AgentRef[Agent[Any]], message: ProxyCall) -> object:
        """Send a message at once, and return the reply."""
        ...

    def tell(self, ref: AgentRef[Agent[Any]], message: ProxyCall) -> None:
        """Send a message when what the script wrote commits."""
        ...

    def replay(self, turn: str) -> Mapping[str, object]:
        """Replay a recorded turn; Denied if the script may not."""
        ...

    def back_up(self, note: str) -> Mapping[str, object]:
        """Make a backup; Denied if the script may not."""
        ...


class Output:
    """What a script has logged."""

    def __init__(self, script: str, largest: int) -> None:
        """Take ``largest`` characters."""
        self.lines: list[str] = []
        self._script = script
        self._left = self._largest = largest

    def add(self, text: str) -> None:
        """Take a text; ScriptLimit if it is too much."""
        self._left -= len(text) + 1
        if self._left < 0:
            problem = f"it logs more than the {self._largest:,} characters that it may"
            raise ScriptLimit(self._script, "output", problem)
        self.lines += text.split("\n")
        logger.info("%s: %s", self._script, text)


class Calls:
    """Make the calls of one run, in the name of its principal."""

    def __init__(
        self,
        state: ScopedState,
        artifacts: Artifacts,
        reach: Reach,
        output: Output,
        largest: int,
    ) -> None:
        """Use handles that act as the principal; an answer takes ``largest`` bytes at most."""
        self.largest = largest
        self.state = state
        self.artifacts = artifacts
        self.reach = reach
        self.output = output
        self.immediate = False
        """It has done what cannot be undone: the script is not run a second time."""

    def typed(self, scope: Scope, key: str, value: object) -> object:
        """Return a value as the type that is registered for its key has it; StateError if not."""
        codec = self.state._schemas.of(scope, key)  # noqa: SLF001 - of our own handle
        if codec.declared is object:
            return value
        where = f"{scope} {key!r}"
        try:
            # As a stored text is: what is no JSON (times, numbers by text, sets) has a form there.
            made = codec.decode(msgspec.json.encode(value).decode())
        except (ValueError, RecursionError, PerdureError) as error:
            needed = name_of(codec.declared)
            raise StateError(where, f"holds {needed}, which this is not: {error}") from None
        try:
            plain(made, where)
        except StateError:
            problem = f"holds {name_of(codec.declared)}, of which a script may write none"
            raise StateError(where, problem) from None
        return made

    def untyped(self, scope: Scope, key: str, value: object) -> object:
        """Return a value as it stands in JSON; StateError for a secret."""
        made = plain(value, f"{scope} {key!r}")
        if self.state._schemas.of(scope, key).declared is object:  # noqa: SLF001 - same
            return made
        return msgspec.json.decode(msgspec.json.encode(made))  # a tuple is a list there

    def make(self, name: str, given: Sequence[object]) -> object:
        """Make a call, and return its answer; MISSING for none.

        ConfigurationError for a call that is not in the table, or with other arguments than its.
        """
        call = TABLE.get(name)
        if call is None:
            raise ConfigurationError(f"there is no call {name!r:.80}")
        names = call.parameters.split()
        needed = sum(not (name.endswith("?") or name.startswith("*")) for name in names)
        variable = names[-1:] != [] and names[-1].startswith("*")
        if not needed <= len(given) or (len(given) > len(names) and not variable):
            form = ", ".join(names).replace("?", " (may be left out)")
            raise ConfigurationError(f"{name} takes {form or 'nothing'}")
        return call.make(self, *given)


class HostCall(NamedTuple):
    """A call of the table."""

    parameters: str
    """By name, in order; ``?`` at the end of those that may be left out, ``*`` before the rest."""
    make: Callable[..., object]


def text(value: object, what: str) -> str:
    """Return an argument that must be text."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} must be text, not {_kind(value)}")
    return value


def whole(value: object, what: str) -> int:
    """Return an argument that must be a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(f"{what} must be a whole number, not {_kind(value)}")
    return value


def scope_of(value: object) -> Scope:
    """Return the scope that a script has written as text."""
    return Scope.parse(text(value, "the scope"))


def plain(value: object, path: str) -> object:
    """Return a value as JSON has it: of records, their members; StateError for a secret."""
    try:
        made: object = msgspec.to_builtins(value, str_keys=True)
    except TypeError as error:
        raise StateError(path, f"cannot be given to a script: {error}") from None
    return made


def _kind(value: object) -> str:
    return "nothing" if value is MISSING else "null" if value is None else type(value).__name__


def _seconds(value: object) -> float | None:
    return None if value is MISSING or value is None else value  # type: ignore[return-value]  # it is looked at where it counts


# State.


def _save(
    calls: Calls, scope: object, key: object, value: object = MISSING, ttl: object = MISSING
) -> object:
    if value is MISSING:
        raise ConfigurationError("there is no value to save; use null, or state.delete")
    where, name = scope_of(scope), text(key, "the key")
    return calls.state.set(where, name, calls.typed(where, name, value), ttl=_seconds(ttl))


def _load(calls: Calls, scope: object, key: object, default: object = MISSING) -> object:
    where, name = scope_of(scope), text(key, "the key")
    value = calls.state.get(where, name, default=default)
    return value if value is default else calls.untyped(where, name, value)


def _delete(calls: Calls, scope: object, key: object) -> object:
    return calls.state.delete(scope_of(scope), text(key, "the key"))


def _exists(calls: Calls, scope: object, key: object) -> object:
    return calls.state.exists(scope_of(scope), text(key, "the key"))


def _list_keys(
    calls: Calls,
    scope: object,
    prefix: object = MISSING,
    after: object = MISSING,
    limit: object = MISSING,
) -> object:
    most = MOST_KEYS if limit is MISSING else whole(limit, "the limit")
    if not 0 < most <= MOST_KEYS:
        raise ConfigurationError(f"a limit of {most} makes no sense; give 1 to {MOST_KEYS:,}")
    begin = "" if prefix is MISSING else text(prefix, "the prefix")
    place = None if after is MISSING else text(after, "the key to go on after")
    return list(calls.state.list(scope_of(scope), prefix=begin, after=place, limit=most))


def _increment(calls: Calls, scope: object, key: object, by: object = MISSING) -> object:
    step = 1 if by is MISSING else whole(by, "what is added")
    where, name = scope_of(scope), text(key, "the key")
    with calls.state.transaction():  # undone if it is refused, also where the script goes on
        made = calls.state.increment(where, name, step)
        if not -LARGEST <= made < LARGEST:
            raise StateError(f"{where} {name!r}", f"the sum {made} is beyond 64 bits")
    return made


def _compare_and_set(
    calls: Calls, scope: object, key: object, expected: object, value: object
) -> object:
    if value is MISSING:
        raise ConfigurationError("there is no value to set; use null, or state.delete")
    where, name = scope_of(scope), text(key, "the key")
    wanted = expected if expected is MISSING else calls.typed(where, name, expected)
    return calls.state.compare_and_set(where, name, wanted, calls.typed(where, name, value))


def _commit(_calls: Calls) -> object:
    raise ConfigurationError(
        "state.commit() cannot be made here: the script is a part of the turn or transaction"
        " under way, and commits with it"
    )


def _suspend(_calls: Calls, question: object) -> object:
    if question is MISSING:
        raise ConfigurationError("there is no question; use null")
    raise ConfigurationError(
        "only scripts in Python can be suspended, and only those of a DurableScriptAgent"
    )


# Agents.


def _call(calls: Calls, kind: object, key: object, method: object, *arguments: object) -> object:
    ref, name = _method(calls, kind, key, method)
    calls.immediate = True
    return calls.reach.ask(ref, ProxyCall((name,), arguments, {}))


def _tell(calls: Calls, kind: object, key: object, method: object, *arguments: object) -> object:
    ref, name = _method(calls, kind, key, method)
    calls.reach.tell(ref, ProxyCall((name,), arguments, {}))
    return MISSING


def _method(
    calls: Calls, kind: object, key: object, method: object
) -> tuple[AgentRef[Agent[Any]], str]:
    ref = calls.reach.agent(text(kind, "the kind"), text(key, "the key"))
    name = text(method, "the method")
    own = getattr(ref.actor_class, name, None)
    listed = getattr(ref.actor_class, "script_methods", None)
    left_out = hasattr(Agent, name) if listed is None else name not in listed
    if name.startswith("_") or not callable(own) or left_out:
        raise Denied(f"{ref.kind} has no method {name!r:.80} that a script may call")
    return ref, name


# Artifacts: their content is text, or any bytes, as base64.


def _save_artifact(
    calls: Calls, name: object, content: object, scope: object = MISSING, encoding: object = MISSING
) -> object:
    data, where = text(content, "the content"), None if scope is MISSING else scope_of(scope)
    binary = _is_binary(encoding)
    try:
        block = base64.b64decode(data, validate=True) if binary else data.encode()
    except ValueError:
        raise ConfigurationError("the content is no base64") from None
    return calls.artifacts.save(text(name, "the name"), block, scope=where).version


def _load_artifact(
    calls: Calls, name: object, scope: object = MISSING, encoding: object = MISSING
) -> object:
    where = None if scope is MISSING else scope_of(scope)
    binary = _is_binary(encoding)
    artifact = calls.artifacts.get(text(name, "the name"), scope=where)
    if artifact.size > calls.largest:
        raise ConfigurationError(f"{artifact.name} has {artifact.size:,} bytes, too many at once")
    data = calls.artifacts.read(artifact)
    if binary:
        return base64.b64encode(data).decode()
    try:
        return data.decode()
    except UnicodeDecodeError:
        message = f'{artifact.name} is no UTF-8 text; load it with the encoding "base64"'
        raise ConfigurationError(message) from None


def _is_binary(encoding: object) -> bool:
    if encoding is MISSING or encoding in ("utf-8", "base64"):
        return encoding == "base64"
    raise ConfigurationError('the encoding is "utf-8" or "base64"')


# What is granted to few.


def _replay(calls: Calls, turn: object) -> object:
    return calls.reach.replay(text(turn, "the turn"))


def _back_up(calls: Calls, note: object = MISSING) -> object:
    calls.immediate = True
    return calls.reach.back_up("" if note is MISSING else text(note, "the note"))


def _log(calls: Calls, line: object) -> object:
    calls.output.add(text(line, "what is logged"))
    return MISSING


TABLE: Final[dict[str, HostCall]] = {
    "state.save": HostCall("scope key value ttl?", _save),
    "state.load": HostCall("scope key default?", _load),
    "state.delete": HostCall("scope key", _delete),
    "state.exists": HostCall("scope key", _exists),
    "state.list_keys": HostCall("scope prefix? after? limit?", _list_keys),
    "state.increment": HostCall("scope key by?", _increment),
    "state.compare_and_set": HostCall("scope key expected value", _compare_and_set),
    "state.commit": HostCall("", _commit),
    "agents.call": HostCall("kind key method *arguments", _call),
    "agents.tell": HostCall("kind key method *arguments", _tell),
    "artifacts.save": HostCall("name content scope? encoding?", _save_artifact),
    "artifacts.load": HostCall("name scope? encoding?", _load_artifact),
    "hooks.replay": HostCall("turn", _replay),
    "backup.create": HostCall("note?", _back_up),
    "log": HostCall("line", _log),
    "suspend": HostCall("question", _suspend),
}
SUSPEND: Final = "suspend"
"""The call at which a script rests until somebody answers, also over restarts."""
COMMIT: Final = "state.commit"
"""The call that ends what was written so far; who runs the script makes it."""
