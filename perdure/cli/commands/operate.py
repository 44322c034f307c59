"""Commands that act on agents: by the owner of the store, or where there is none in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from ...persistence.errors import (
    ConfigurationError,
    UnknownAgent,
    UnknownDeadLetter,
    UnknownReplay,
)
from ...service.client import find_owner
from ...service.operator import Operator
from ...service.protocol import (
    Flush,
    ForkWish,
    Isolate,
    LifecycleWish,
    OperatorWish,
    Restore,
    StatusWish,
)
from ...url import open_reader, path_of
from ..terminal.exits import ExitCode, NotFound
from ..terminal.options import AgentsAction
from ..terminal.screen import Screen, print_json
from .owned import owned

FLUSH_SECONDS = 60.0


def _nothing() -> None:
    """Get nothing ready."""


def do(
    url: str, wish: OperatorWish, ready: Callable[[], object] = _nothing
) -> Iterator[dict[str, Any]]:
    """Have the owner of a store do something, or open the store and do it; yield what was done.

    ``ready`` gets ready what it takes to do it here, before the store is opened.
    """
    try:
        owner = find_owner(path_of(url))
        if owner is not None:
            yield from owner.ask(wish)
            return
        ready()
        with owned(url) as system:
            runtime = system._runtime  # noqa: SLF001
            yield from Operator(runtime, system.dead_letters, system.replay).do(wish)
    except (UnknownAgent, UnknownDeadLetter, UnknownReplay) as error:
        raise NotFound(str(error)) from None


def agent_step(
    url: str, action: AgentsAction, words: list[str], *, erase: bool, json: bool
) -> ExitCode:
    """Take a step of an agent's life."""
    try:
        kind, key = words
    except ValueError:
        raise ConfigurationError(f"`agents {action}` needs a KIND and a KEY") from None
    verb = "erase" if erase else action.value
    return _say(do(url, LifecycleWish(kind, key, verb)), json=json)


def fork(url: str, words: list[str], target: str, version: int | None, *, json: bool) -> ExitCode:
    """Have a new agent begin with what another was."""
    try:
        kind, key = words
    except ValueError:
        raise ConfigurationError("`agents fork` needs a KIND and a KEY") from None
    return _say(do(url, ForkWish(kind, key, target, version)), json=json)


def isolate(url: str, kind: str, key: str, reason: str, *, json: bool) -> ExitCode:
    """Cut an agent off."""
    return _say(do(url, Isolate(kind, key, reason)), json=json)


def restore(url: str, kind: str, key: str, *, json: bool) -> ExitCode:
    """Let an agent go on."""
    return _say(do(url, Restore(kind, key)), json=json)


def flush(url: str, *, json: bool) -> ExitCode:
    """Wait until all that was sent and changed is durable."""
    owner = find_owner(path_of(url))
    if owner is None:
        with closing(open_reader(url)):
            done: dict[str, Any] = {"action": "flush", "done": True, "owner": None}
        text = "nobody has it open: all that was acknowledged is durable"
    else:
        (done,) = owner.ask(Flush(FLUSH_SECONDS))
        done["owner"] = owner.pid
        text = "durable" if done["done"] else f"not durable within {FLUSH_SECONDS:g} seconds"
    if json:
        print_json(done)
    else:
        Screen().say(text)
    return ExitCode.DONE if done["done"] else ExitCode.PROBLEMS


def stats(url: str, *, watch: float | None, json: bool) -> None:
    """Show how the system does that has a store open."""
    owner = find_owner(path_of(url))
    if owner is None:
        open_reader(url).close()
        if json:
            print_json({"owner": None})
        else:
            Screen(error=True).say("nobody has it open: nothing runs")
        return
    for facts in owner.ask(StatusWish(watch)):
        if json:
            print_json(facts)
        else:
            _print(facts, line=watch is not None)


def _print(facts: dict[str, Any], *, line: bool) -> None:
    saves = facts.pop("saves")
    facts |= {"unsaved": saves["backlog"], "breaker": saves["breaker"]}
    if saves["last_error"]:
        facts["last error"] = saves["last_error"]
    if line:
        Screen().say("  ".join(f"{name} {value}" for name, value in facts.items()))
    else:
        Screen().table([("", "word"), ("", "name")], list(facts.items()), head=False)


_DONE = {
    "pause": "paused", "resume": "resumed", "restart": "restarted", "stop": "stopped",
    "delete": "deleted", "erase": "deleted and erased", "isolate": "isolated",
    "restore": "restored", "fork": "forked",
}  # fmt: skip


def _say(dones: Iterator[dict[str, Any]], *, json: bool) -> ExitCode:
    code = ExitCode.DONE
    for done in dones:
        name, action = f"{done['kind']}/{done['key']}", str(done["action"])
        if not done["done"] and action in ("delete", "erase"):
            raise NotFound(f"there is no agent {name}; `perdure agents` lists those there are")
        if json:
            print_json(done)
        else:
            Screen().say(f"{name} {'is' if done['done'] else 'was already'} {_DONE[action]}")
    return code
