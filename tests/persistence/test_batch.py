"""A batch of many commits leaves the store as the same commits one by one would."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.checksums import of_entry, of_item
from perdure.persistence.records.journal import shape_text
from perdure.persistence.records.records import (
    Commit,
    DeadLetter,
    Delta,
    EntryRow,
    ItemRow,
    Message,
    QuarantineRow,
    Timer,
)
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.store import Store
from tests.persistence.keeper import HERE, made

AGENTS = (1, 2)
FIELDS = ("a", "b")
KEYS = ("x", "y")
IDS = tuple(range(1, 5))


@st.composite
def commits(draw: st.DrawFn) -> list[Commit]:
    """Draw consecutive commits as agents could make them, mail and timers included."""
    drawn: list[Commit] = []
    versions = dict.fromkeys(AGENTS, 0)
    lengths = {(agent, field): 0 for agent in AGENTS for field in FIELDS}
    pending: set[int] = set()
    for sequence in range(1, draw(st.integers(1, 10)) + 1):
        agent = draw(st.sampled_from((0, *AGENTS)))
        commit = Commit()
        if agent:
            versions[agent] += 1
            delta = draw(deltas(agent, lengths, str(sequence)))
            commit = made(agent, versions[agent], sequence, delta)
            commit.status = draw(st.sampled_from(["active", "paused"]))
        commit.sequence = sequence
        add_effects(draw, commit, sequence, pending)
        drawn.append(commit)
    return drawn


@st.composite
def deltas(
    draw: st.DrawFn, agent: int, lengths: dict[tuple[int, str], int], text: str
) -> Delta | None:
    """Draw what a turn changes: fields, cut and appended logs, entries put and deleted."""
    delta = Delta(agent)
    for field in draw(st.sets(st.sampled_from(FIELDS))):
        delta.fields[field] = text
    items: list[ItemRow] = []
    for field in draw(st.sets(st.sampled_from(FIELDS))):
        length = lengths[agent, field]
        if draw(st.booleans()):
            length = delta.truncated[field] = draw(st.integers(0, length))
        for _ in range(draw(st.integers(0, 3))):
            items.append(ItemRow(agent, field, length, text, of_item(agent, field, length, text)))
            length += 1
        lengths[agent, field] = length
    delta.items = items
    for field in draw(st.sets(st.sampled_from(FIELDS))):
        key = draw(st.sampled_from(KEYS))
        crc = of_entry(agent, field, key, text)
        row = EntryRow(agent, field, key, text, crc)
        delta.entries[agent, field, key] = draw(st.sampled_from([row, None]))
    shape = {field: length for (owner, field), length in lengths.items() if owner == agent}
    delta.shape = shape_text(shape)
    return delta or None


def add_effects(draw: st.DrawFn, commit: Commit, sequence: int, pending: set[int]) -> None:
    """Draw messages, timers, dead letters: also those that come, go and come again."""
    some = st.sets(st.sampled_from(IDS), max_size=2)
    # A message is sent again under its id only after it was consumed.
    consumed = draw(some) & pending
    sent = draw(some) - pending
    pending ^= consumed | sent
    effects = commit.with_effects()
    effects.consumed = sorted(consumed)
    effects.sends = [
        Message(number, "K", "1", "go", "[]", 0, 0, float(sequence)) for number in sorted(sent)
    ]
    revived = draw(some)
    effects.revived = sorted(revived)
    effects.dead = [
        DeadLetter(number, "K", "1", "go", "[]", 0, 0, 0.0, 1, f"{sequence}", 0.0)
        for number in draw(some) - revived
    ]
    cancelled = draw(some)
    effects.cancelled = [("K", "1", str(number)) for number in sorted(cancelled)]
    effects.timers = [
        Timer("K", "1", str(number), "go", "[]", float(sequence), None, "one")
        for number in draw(some) - cancelled
    ]
    if draw(st.booleans()):
        effects.quarantined = [QuarantineRow(1, "a", "?", "bad", float(sequence))]


def content(store: Store) -> object:
    """Return everything a store holds."""
    heads = list(store.agents())
    loaded = {head.agent: store.load(head.kind, head.key) for head in heads}
    return (
        heads,
        [
            (s.fields, {field: length for field, length in s.log_lengths.items() if length})
            for s in loaded.values()
            if s is not None
        ],
        {
            (agent, field): store.log_items(agent, field, 0, length)
            for agent, stored in loaded.items()
            if stored is not None
            for field, length in stored.log_lengths.items()
            if length
        },
        {(a, f): store.map_page(a, f, None, 99) for a in AGENTS for f in FIELDS},
        store.mail("K", "1"),
        sorted(store.timers_between(-1.0, 1e9, 99)),
        store.dead_letters(),
        store.journal(limit=999),
        store.quarantined(),
    )


def same(make: Callable[[], Store], drawn: list[Commit], cuts: set[int]) -> None:
    """Write the commits one by one and in batches, and compare."""
    one, many = make(), make()
    for store in (one, many):
        store.acquire(HERE)
    for commit in drawn:
        one.commit(Batch([commit]))
    borders = [0, *sorted(cut for cut in cuts if 0 < cut < len(drawn)), len(drawn)]
    for start, stop in itertools.pairwise(borders):
        many.commit(Batch(drawn[start:stop]))
    expected, found = content(one), content(many)
    one.close()
    many.close()
    assert found == expected


@settings(max_examples=300)
@given(commits(), st.sets(st.integers(1, 9)))
def test_memory_batches_equal_single_commits(drawn: list[Commit], cuts: set[int]) -> None:
    """Folding any commits into any batches changes nothing of what the memory store holds."""
    same(MemoryStore, drawn, cuts)


@settings(max_examples=40)
@given(commits(), st.sets(st.integers(1, 9)))
def test_sqlite_batches_equal_single_commits(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Commit], cuts: set[int]
) -> None:
    """The same for the SQLite store, where the order of statements matters as well."""
    same(lambda: _on_disk(tmp_path_factory), drawn, cuts)


@settings(max_examples=40)
@given(commits())
def test_both_stores_hold_the_same(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Commit]
) -> None:
    """Whatever is committed, the memory and the SQLite store hold the same."""
    memory, disk = MemoryStore(), _on_disk(tmp_path_factory)
    for store in (memory, disk):
        store.acquire(HERE)
        store.commit(Batch(drawn))
    expected, found = content(memory), content(disk)
    disk.close()
    assert found == expected


def _on_disk(factory: pytest.TempPathFactory) -> SqliteStore:
    return SqliteStore(factory.mktemp("batch") / "store.db", sync="process")


def test_message_sent_and_consumed_inside_leaves_no_row() -> None:
    """A message whose whole life is one batch is neither inserted nor deleted."""
    send, consume = made(1, 1, 1), made(2, 1, 2)
    send.with_effects().sends = [Message(7, "K", "2", "go", "[]", 0, 7, 0.0)]
    consume.with_effects().consumed = [7]
    batch = Batch([send, consume])
    assert (batch.mail, batch.mail_gone) == ([], [])
    assert Batch([consume]).mail_gone == [7]


def test_message_knows_the_commit_that_sent_it() -> None:
    """A message without a cause gets the sequence of the agent's commit that sent it."""
    send, outside = made(1, 1, 5), Commit()
    outside.sequence = 6
    send.with_effects().sends = [Message(7, "K", "2", "go", "[]", 0, 7, 0.0)]
    outside.with_effects().sends = [Message(8, "K", "2", "go", "[]", 0, 8, 0.0)]
    assert [message.cause for message in Batch([send, outside]).mail] == [5, 0]


def test_batch_of_nothing_needs_no_transaction() -> None:
    """Commits without an agent and without lasting effects make an empty batch."""
    send, consume = Commit(), Commit()
    send.sequence, consume.sequence = 1, 2
    send.with_effects().sends = [Message(7, "K", "2", "go", "[]", 0, 7, 0.0)]
    consume.with_effects().consumed = [7]
    assert not Batch([send, consume])
    assert Batch([send])
    assert Batch([made(1, 1, 1)])


@given(commits())
def test_merged_deltas_equal_the_deltas_in_turn(drawn: list[Commit]) -> None:
    """An agent that saves many turns at once leaves the state that saving each would."""
    one, many = MemoryStore(), MemoryStore()
    for store in (one, many):
        store.acquire(HERE)
    turns = [commit for commit in drawn if commit.agent == 1]
    merged = Delta(1)
    for commit in turns:
        one.commit(Batch([made(1, commit.version, commit.sequence, commit.delta)]))
        if commit.delta is not None:
            merged.merge(commit.delta)
    if turns:
        many.commit(Batch([made(1, turns[-1].version, turns[-1].sequence, merged)]))
    assert _state(many) == _state(one)


def _state(store: Store) -> object:
    stored = store.load("K", "1")
    if stored is None:
        return None
    lengths = {field: length for field, length in stored.log_lengths.items() if length}
    logs = {field: store.log_items(1, field, 0, length) for field, length in lengths.items()}
    return stored.fields, logs, [store.map_page(1, field, None, 99) for field in FIELDS]
