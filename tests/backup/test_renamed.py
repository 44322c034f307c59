"""Kinds with another name, and messages that are of another version, between two backups."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from perdure import Agent, AgentSystem, Backups, State, migration, open_reader, transforms
from perdure.persistence.errors import ConfigurationError
from perdure.persistence.store.lease import Owner
from perdure.persistence.upkeep.doctor import examine
from perdure.url import open_store
from tests.backup.stores import contents
from tests.backup.test_recovery import exact, pictures
from tests.cli.commands import invoke


class Seats(State):
    """Those that were sold, in the order of their sale."""

    sold: tuple[int, ...] = ()


class Ticket(Agent[Seats]):
    """Sells, with the price in euros; under its first name."""

    def sell(self, price: int) -> tuple[int, ...]:
        """Sell one."""
        self.state.sold = (*self.state.sold, price)
        return self.state.sold

    def later(self) -> None:
        """Have something wait, as mail and as a timer."""
        self.after(3_600_000.0, Ticket.sell, 1, name="later")
        self.scopes.set(self.scopes.own, "last", self.key)


class Pass(Agent[Seats]):
    """The same under another name."""

    aliases: ClassVar[Sequence[str]] = ("Ticket",)

    def sell(self, price: int) -> tuple[int, ...]:
        """Sell one."""
        self.state.sold = (*self.state.sold, price)
        return self.state.sold


class Card(Pass):
    """And a third."""

    kind = "Card"
    aliases: ClassVar[Sequence[str]] = ("Pass", "Ticket")


class InCents(Agent[Seats]):
    """Sells, with the price in cents."""

    kind = "Ticket"
    messages_version = "2.0.0"

    def sell(self, price: int) -> tuple[int, ...]:
        """Sell one."""
        self.state.sold = (*self.state.sold, price)
        return self.state.sold


migration(
    InCents, "1.0.0", "2.0.0",
    transforms.convert("price", lambda euros: euros * 100, lambda cents: cents // 100),
    method="sell",
)  # fmt: skip


def opened(path: Path, agents: type[Agent[Any]]) -> AgentSystem:
    """Open a store of one kind of agents."""
    return AgentSystem.open(path, agents=[agents], sync="process", service=False)


def test_agents_have_the_kind_that_they_had(tmp_path: Path) -> None:
    """Behind any commit each agent is of its kind of then, also one that came since."""
    path, backups = tmp_path / "seats.db", Backups(tmp_path / "backups")
    with opened(path, Ticket) as system:
        system.agent(Ticket, "a").call(Ticket.sell, 1).get()
    backups.create(path)
    seen = {}
    with opened(path, Ticket) as system:
        system.agent(Ticket, "a").call(Ticket.later).get()
        system.agent(Ticket, "b").call(Ticket.sell, 2).get()
        system.agent(Ticket, "gone").call(Ticket.sell, 3).get()
    for kind in (Pass, Card):
        last, seen[last] = pictures(path)
        with opened(path, kind) as system:
            last, seen[last] = pictures(path)
            system.agent(kind, "b").call(kind.sell, 4).get()
            if kind is Pass:
                system.agent(kind, "gone").delete()
    last, seen[last] = pictures(path)
    for sequence in range(min(seen), last + 1):
        target = tmp_path / f"{sequence}.db"
        found = backups.recover(target, sequence=sequence, store=path)
        assert not found.unknown
        with closing(open_reader(target)) as reader:
            assert examine(reader).healthy
        if sequence in seen:
            there = contents(target)
            assert exact(there) == exact(seen[sequence])
            assert there["schemas"] == seen[sequence]["schemas"]


def test_what_waits_is_migrated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a migration of what waits, a store that is brought back knows that it was done."""
    path, backups = tmp_path / "seats.db", Backups(tmp_path / "backups")
    with opened(path, Ticket) as system:
        ticket = system.agent(Ticket, "a")
        ticket.call(Ticket.sell, 1).get()
        ticket.pause()
        ticket.cast(Ticket.sell, 2)
    before = backups.create(path).name
    with opened(path, InCents) as system:
        system.agent(InCents, "b").cast(InCents.sell, 500)
        assert system.idle(20)
    backups.create(path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "cents.py").write_text("from tests.backup.test_renamed import InCents\n")
    assert invoke("migrate", "--code", "cents", "--store", path).exit_code == 0
    with opened(path, InCents) as system:
        system.agent(InCents, "b").call(InCents.sell, 600).get()
    last, rows = pictures(path)
    backups.recover(tmp_path / "then.db", sequence=last, store=path)
    assert contents(tmp_path / "then.db")["schemas"] == rows["schemas"]
    with opened(tmp_path / "then.db", InCents) as system:
        again = system.agent(InCents, "a")
        again.resume()
        assert again.call(InCents.sell, 300).get() == (1, 200, 300)
    back = partial(backups.bring_back, path, agents=[("Ticket", "a")], name=before)
    with opened(path, InCents) as system:
        system.agent(InCents, "a").resume()
        assert system.idle(20)
    rows = contents(path)
    with pytest.raises(ConfigurationError, match="was migrated since"):
        back(mail=True)
    assert contents(path) == rows
    assert back().counts.left == 1


@pytest.mark.parametrize("trimmed", [False, True])
def test_who_is_erased_is_found_by_names_of_before(tmp_path: Path, *, trimmed: bool) -> None:
    """A backup has an agent as of a kind that has had two other names since: it is erased there."""
    path, backups = tmp_path / "seats.db", Backups(tmp_path / "backups")
    with opened(path, Ticket) as system:
        for key in ("a", "b"):
            system.agent(Ticket, key).call(Ticket.sell, 1).get()
    names = [backups.create(path).name]
    with opened(path, Pass):
        pass
    names.append(backups.create(path, incremental=True).name)
    with opened(path, Card) as system:
        system.agent(Card, "a").delete(erase=True)
        if trimmed:
            system.agent(Card, "b").call(Card.sell, 2).get()
            system.flush()
    if trimmed:
        with closing(open_store(path, sync="process")) as store:
            newest = store.acquire(Owner.this_process()).sequence
            assert store.trim_journal(newest, 1_000)
    with closing(open_reader(path)) as reader:
        assert examine(reader).healthy
    backups.create(path)
    for number, (name, kind) in enumerate(zip(names, ("Ticket", "Pass"), strict=True)):
        found = backups.restore(tmp_path / f"{number}.db", name)
        assert found.erased == (f"{kind}/a",)
    assert len(backups.rewrite()) == 2
