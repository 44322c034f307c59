"""Turns that store, send and share secrets, replayed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    Keys,
    Log,
    Map,
    MemoryStore,
    Principal,
    Right,
    Scope,
    Secret,
    State,
    StaticKeys,
    new_key,
)
from tests.kit.deadline import DEADLINE

VALUE = "correct horse battery"
SHELF = Scope.custom("shelf", "1")


class Box(State):
    token: Secret[str] | None = None
    used: Log[Secret[str]] = Log.field()
    by_name: Map[str, Secret[str]] = Map.field()
    count: int = 0


class Keeper(Agent[Box]):
    record = True

    def take(self, token: Secret[str]) -> int:
        """Keep a secret wherever state can hold it."""
        self.state.token = token
        self.state.used.append(token)
        self.state.by_name["one"] = token
        return len(token.reveal())

    def send(self, to: str) -> None:
        """Give the secret on: in a message, and by a timer."""
        assert self.state.token is not None
        self.system.agent(Keeper, to).cast(Keeper.take, self.state.token)
        self.after(3600, Keeper.take, self.state.token, name="later")

    def share(self) -> None:
        """Put the secret where others find it."""
        self.system.state.set(SHELF, "token", self.state.token)

    def count(self) -> int:
        """Change what is no secret."""
        self.state.count += 1
        return self.state.count


class More(Keeper):
    kind = "Keeper"

    def count(self) -> int:
        """Count otherwise."""
        self.state.count += 2
        return self.state.count


@pytest.mark.parametrize("handler", ["take", "send", "share"])
def test_a_turn_with_a_secret_is_the_same_and_shows_none(handler: str) -> None:
    """Wherever a turn puts a secret, its replay is the same, and neither side holds it."""
    keys = Keys(secrets=StaticKeys({"k": new_key()}))
    schemas = {"token": Secret[str]}
    with AgentSystem.open(MemoryStore(), agents=[Keeper], keys=keys, schemas=schemas) as system:
        system.access.grant(Principal.agents("Keeper"), SHELF, Right.ALL)
        keeper = system.agent(Keeper, "a")
        keeper.call(Keeper.take, Secret(VALUE)).get(timeout=DEADLINE)
        if handler != "take":
            args: tuple[Any, ...] = ("b",) if handler == "send" else ()
            keeper.call(getattr(Keeper, handler), *args).get(timeout=DEADLINE)
        keeper.call(Keeper.count).get(timeout=DEADLINE)
        system.idle(DEADLINE)
        report = system.replay.batch().report()
        assert report.same, report.text()
        changed = system.replay.batch(agents=[More]).report()
        assert changed.counts["different"] == 1
        both = [
            msgspec.json.encode(system.replay.turn(each.id)).decode() for each in report.replays
        ]
        assert "***" in "".join(both)
        for text in (report.json(), changed.json(), *both):
            assert VALUE not in text
            assert "perdure:secret" not in text
