"""Sessions from their beginning to their end."""

import contextlib
import threading
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from perdure import Agent, AgentSystem, MemoryStore, Principal, Scope, VirtualClock
from perdure.persistence.errors import (
    ConfigurationError,
    Conflict,
    Denied,
    InvalidTransition,
    LimitExceeded,
    ScopeError,
    SessionEnded,
    SessionExists,
    SessionLimit,
    StateError,
    UnknownSession,
)
from perdure.persistence.records.shared_tables import OWNERS
from perdure.shared.ledger.guard import Decision, OpenGuard, Right, Standing, Use
from perdure.shared.ledger.unit import Unit
from perdure.shared.sessions.records import Cleanup, SessionInfo, SessionLimits
from perdure.testing import FaultyStore
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.kit.threads import at_once, together
from tests.sessions.agents import Desk, DeskState, Quick, Saved, keys, opened, words


def test_what_is_sent_in_a_session_belongs_to_it() -> None:
    """In a with block and over the session's references turns know their session; others none."""
    with opened() as system:
        with system.sessions.create("chat-7") as chat:
            assert system.agent(Desk, "emea").call(Desk.note, "a").get() == "chat-7"
            assert system.sessions.current() == chat
        assert chat.agent(Desk, "apac").call(Desk.note, "b").get() == "chat-7"
        chat.agent(Desk, "apac").cast(Desk.note, "c")
        assert system.agent(Desk, "emea").call(Desk.note, "d").get() == ""
        assert system.sessions.current() is None
        assert words(system, chat) == ["a", "b", "c"]


@pytest.mark.parametrize("kind", [Quick, Saved])
def test_sessions_reach_agents_of_every_durability(kind: type[Quick]) -> None:
    """Bare messages and calls to VOLATILE and SNAPSHOT agents belong to the session as well."""
    with opened() as system:
        with system.sessions.create("chat-7") as chat:
            agent = system.agent(kind, "1")
            agent.tell("told")
            agent.cast(kind.note, "cast")
            agent.call(kind.note, "called").get()
        system.idle(DEADLINE)
        assert keys(system, chat.id) == ["called", "cast", "told"]


def test_a_session_goes_on_after_a_restart(tmp_path: Path) -> None:
    """State, status and correlation of a session are there in the next process."""
    store = tmp_path / "a.db"
    with opened(store) as system:
        chat = system.sessions.create("chat-7", name="seven", meta={"topic": "wings"})
        chat.agent(Desk, "emea").call(Desk.note, "a").get()
        chat.suspend("lunch")
    with opened(store) as system:
        again = system.sessions.get("chat-7")
        assert again.correlation == chat.correlation
        assert again.info().status == "suspended"
        assert again.info().meta == {"topic": "wings"}
        again.resume()
        again.agent(Desk, "emea").call(Desk.note, "b").get()
        assert words(system, again) == ["a", "b"]
        assert [entry.name for entry in again.history.list()] == [
            "(session created)", "note", "(session suspended)", "(session resumed)", "note",
        ]  # fmt: skip


def test_mail_of_a_session_is_handled_in_it_after_a_restart(tmp_path: Path) -> None:
    """A message and a timer that wait when the process ends keep their session."""
    store = tmp_path / "a.db"
    with opened(store, VirtualClock()) as system:
        chat = system.sessions.create("chat-7")
        system.agent(Desk, "emea").call(Desk.note, "x").get()
        system.agent(Desk, "emea").pause()
        chat.agent(Desk, "emea").cast(Desk.note, "waits")
        chat.agent(Desk, "apac").call(Desk.remind, "timer").get()
    clock = VirtualClock()
    with opened(store, clock) as system:
        system.agent(Desk, "emea").resume()
        system.idle(DEADLINE)
        clock.advance(11)
        assert sorted(words(system, system.sessions.get("chat-7"))) == ["timer", "waits"]


def test_the_history_is_the_journal_cut_by_the_correlation() -> None:
    """The history holds exactly the journal's entries of the session, in pages."""
    with opened() as system:
        one, two = system.sessions.create("one"), system.sessions.create("two")
        for number in range(20):
            session = (one, two)[number % 2]
            session.agent(Desk, str(number % 3)).call(Desk.note, str(number)).get()
        system.agent(Desk, "0").call(Desk.note, "outside").get()
        one.complete()
        expected = [
            entry.sequence
            for entry in system.journal.list(limit=1000)
            if entry.correlation == one.correlation
        ]
        assert [entry.sequence for entry in one.history.list()] == expected
        assert len(expected) == 12
        first = one.history.list(limit=5)
        rest = one.history.list(after=first[-1].sequence)
        assert [entry.sequence for entry in (*first, *rest)] == expected


def test_a_write_from_outside_in_the_block_is_part_of_the_history() -> None:
    """What the system itself writes inside a with block carries the session's correlation."""
    with opened() as system, system.sessions.create("s") as session:
        system.state.set(session.scope, "k", 1)
        assert [entry.name for entry in session.history.list()] == ["(session created)", "(shared)"]


def test_a_block_left_by_an_error_is_left() -> None:
    """After an exception, and in nested blocks, the session around counts again."""
    with opened() as system:
        one, two = system.sessions.create("one"), system.sessions.create("two")
        with one:
            with pytest.raises(KeyError), two:
                raise KeyError
            assert system.sessions.current() == one
            with two, one, two:
                assert system.sessions.current() == two
            assert system.sessions.current() == one


class Careless(Agent[DeskState]):
    def enter(self) -> None:
        self.system.sessions.create("left-open").__enter__()

    def here(self) -> str:
        session = self.system.sessions.current()
        return "" if session is None else session.id


def test_a_block_that_a_handler_never_leaves_ends_with_its_turn() -> None:
    """The next turn of the same agent is not in a session that an earlier one has entered."""
    with AgentSystem.open(MemoryStore(), agents=[Careless]) as system:
        agent = system.agent(Careless, "a")
        agent.call(Careless.enter).get()
        assert agent.call(Careless.here).get() == ""


def test_a_session_begun_in_a_turn_is_part_of_it() -> None:
    """A session created in a handler is there when its turn commits, and not at all if it fails."""
    with opened() as system:
        desk = system.agent(Desk, "emea")
        with pytest.raises(ValueError, match="never"):
            desk.call(Desk.open, "never", "never", fail=True).get()
        with pytest.raises(UnknownSession):
            system.sessions.get("never")
        assert desk.call(Desk.open, "inner", "word").get() == "inner"
        session = system.sessions.get("inner")
        assert words(system, session) == ["word"]
        assert session.info().owner == Principal.agent("Desk", "emea")


def test_an_agent_may_end_the_session_of_its_turn() -> None:
    """A turn completes its own session; the step commits with the turn."""
    with opened() as system:
        chat = system.sessions.create("chat-7")
        chat.agent(Desk, "emea").call(Desk.end, "over").get()
        assert (chat.info().status, chat.info().note) == ("completed", "over")


class Owner(Agent[DeskState]):
    def begin(self) -> None:
        self.system.sessions.create("mine")

    def write(self, scope: str) -> None:
        self.scopes.set(Scope.session(scope), "k", 1)


def test_a_session_is_its_owners_and_its_turns() -> None:
    """Its owner and turns in it may use a session's scope; other agents, and other turns, not."""
    with AgentSystem.open(MemoryStore(), agents=[Owner, Desk]) as system:
        owner, other = system.agent(Owner, "a"), system.agent(Owner, "b")
        owner.call(Owner.begin).get()
        owner.call(Owner.write, "mine").get()
        system.sessions.create("other")
        for agent, scope in ((other, "mine"), (owner, "other"), (other, "absent")):
            with pytest.raises(Denied):
                agent.call(Owner.write, scope).get()
        within = system.sessions.get("mine").agent(Owner, "b")
        within.call(Owner.write, "mine").get()
        with pytest.raises(Denied):
            within.call(Owner.write, "other").get()


def test_agents_see_their_own_sessions_alone() -> None:
    """An agent sees those it created and the one of its turn; others are unknown to it."""
    with opened() as system:
        system.sessions.create("secret")
        other = system.sessions.create("other")
        desk = system.agent(Desk, "emea")
        desk.call(Desk.open, "mine", "word").get()
        assert desk.call(Desk.seen_sessions).get() == ["mine"]
        assert other.agent(Desk, "emea").call(Desk.seen_sessions).get() == ["mine", "other"]
        assert other.agent(Desk, "apac").call(Desk.seen_sessions).get() == ["other"]
        texts = []
        for wanted in ("secret", "absent"):
            with pytest.raises(UnknownSession) as caught:
                desk.call(Desk.find, wanted).get()
            texts.append(str(caught.value).replace(wanted, "X"))
        assert texts[0] == texts[1]
        assert len(system.sessions.list()) == 3


def test_only_the_system_creates_for_others() -> None:
    """The system says whose a session is."""
    mira = Principal.user("mira")
    with opened() as system:
        system.sessions.create("s", owner=mira)
        assert [info.id for info in system.sessions.list(owner=mira)] == ["s"]
        assert system.sessions.list(owner=Principal.user("noor")) == []


class Greedy(Agent[DeskState]):
    def take(self) -> None:
        self.system.sessions.create("s", owner=Principal.user("mira"))


def test_an_agent_does_not_create_for_others() -> None:
    """An agent's sessions are its own."""
    with (
        AgentSystem.open(MemoryStore(), agents=[Greedy]) as system,
        pytest.raises(Denied, match="may not create a session for user:mira"),
    ):
        system.agent(Greedy, "a").call(Greedy.take).get()


def test_an_id_is_given_once() -> None:
    """A second session of an id is refused, also when several threads begin it at once."""
    with opened() as system:
        won: list[str] = []

        def begin() -> None:
            with contextlib.suppress(SessionExists):
                won.append(system.sessions.create("one").id)

        together(*[begin] * 8)
        assert won == ["one"]
        assert system.sessions.create().id != system.sessions.create().id


def test_hostile_ids_are_refused_and_strange_ones_are_ids() -> None:
    """An id that no scope can have is ScopeError; anything else is only a name."""
    with opened() as system:
        for bad in ("", "a\nb", "x" * 257):
            with pytest.raises(ScopeError):
                system.sessions.create(bad)
        session = system.sessions.create("../../etc/passwd")
        assert system.sessions.get("../../etc/passwd") == session
        assert system.sessions.create("caf\u00e9") == system.sessions.get("cafe\u0301")
        with pytest.raises(ScopeError):
            system.sessions.get("a\nb")
        with pytest.raises(StateError):
            system.sessions.create("n", name="\ud800")
        with pytest.raises(StateError, match="meta of session m"):
            system.sessions.create("m", meta={"x": "y" * 70_000})


def test_a_suspended_session_is_not_entered_and_an_ended_one_takes_nothing() -> None:
    """Sending raises while a session is suspended and after its end; so do writes to its scope."""
    with opened() as system:
        chat = system.sessions.create("chat-7")
        desk = chat.agent(Desk, "emea")
        chat.suspend()
        with pytest.raises(InvalidTransition, match="suspended and cannot be entered; only active"):
            desk.cast(Desk.note, "a")
        chat.resume()
        desk.call(Desk.note, "a").get()
        chat.fail("tired")
        with pytest.raises(SessionEnded, match=r"failed \(tired\) and takes nothing more"):
            desk.call(Desk.note, "b")
        with pytest.raises(SessionEnded), chat:
            pass
        with pytest.raises(SessionEnded):
            system.state.set(chat.scope, "k", 1)
        assert system.state.delete(chat.scope, "words")


def test_a_turn_that_outlives_its_session_writes_nothing_into_it() -> None:
    """A turn under way when its session ends is undone at its commit."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Agent[DeskState]):
        def work(self) -> None:
            session = self.system.sessions.current()
            assert session is not None
            self.state.seen = ["changed"]
            self.scopes.set(session.scope, "late", 1)
            begun.set()
            assert go_on.wait(DEADLINE)

        def look(self) -> list[str]:
            return self.state.seen

    with AgentSystem.open(MemoryStore(), agents=[Slow]) as system:
        chat = system.sessions.create("chat-7")
        reply = chat.agent(Slow, "a").call(Slow.work)
        system.agent(Slow, "b")

        def end() -> None:
            begun.wait(DEADLINE)
            chat.complete()
            go_on.set()

        waiter = threading.Thread(target=end)
        waiter.start()
        with pytest.raises(SessionEnded):
            reply.get()
        waiter.join(DEADLINE)
        assert system.agent(Slow, "a").call(Slow.look).get() == []
        assert keys(system, "chat-7") == []


def test_an_end_takes_the_nested_ones_along_first() -> None:
    """Ending a session ends those inside it, the innermost first; each has its own marker."""
    with opened() as system:
        outer = system.sessions.create("outer")
        middle = system.sessions.create("middle", parent=outer)
        inner = system.sessions.create("inner", parent="middle")
        done = system.sessions.create("done", parent="middle")
        done.complete("before")
        outer.fail("enough")
        ends = [
            (entry.correlation, entry.name)
            for entry in system.journal.list(limit=100)
            if entry.name == "(session failed)"
        ]
        assert [correlation for correlation, _ in ends] == [
            inner.correlation, middle.correlation, outer.correlation,
        ]  # fmt: skip
        assert inner.info().note == "with session middle"
        assert done.info().note == "before"
        with pytest.raises(SessionEnded):
            system.sessions.create("more", parent=outer)


def test_no_child_is_left_open_in_a_parent_that_ends() -> None:
    """Children begun while their parent ends are ended with it, or refused."""
    with opened() as system:
        outer = system.sessions.create("outer")
        begun: list[str] = []
        ready = threading.Barrier(5)

        def begin(name: str) -> None:
            ready.wait(DEADLINE)
            for number in range(20):
                try:
                    begun.append(system.sessions.create(f"{name}-{number}", parent=outer).id)
                except SessionEnded:
                    return

        threads = [threading.Thread(target=begin, args=(str(n),)) for n in range(4)]
        for thread in threads:
            thread.start()
        ready.wait(DEADLINE)
        outer.complete()
        for thread in threads:
            thread.join(DEADLINE)
        statuses = {system.sessions.info(child).status for child in begun}
        assert statuses <= {"completed"}
        assert outer.info().status == "completed"


def test_nesting_has_a_limit() -> None:
    """Sessions are nested 16 deep, not deeper; an unknown parent is unknown."""
    with opened() as system:
        parent = system.sessions.create("0")
        for level in range(1, 16):
            parent = system.sessions.create(str(level), parent=parent)
        with pytest.raises(LimitExceeded, match="16 deep"):
            system.sessions.create("16", parent=parent)
        with pytest.raises(UnknownSession):
            system.sessions.create("lost", parent="nowhere")


def test_two_who_end_a_session_race_to_one_end() -> None:
    """Of many who end a session at once, one does; the others get InvalidTransition."""
    with opened() as system:
        chat = system.sessions.create("chat-7")
        outcomes: list[str] = []

        def end(number: int) -> None:
            try:
                chat.complete(str(number))
                outcomes.append(str(number))
            except (InvalidTransition, Conflict):
                outcomes.append("")

        at_once(8, end)
        assert len(outcomes) == 8
        assert [note for note in outcomes if note] == [chat.info().note]


def test_lists_are_filtered_sorted_and_paged() -> None:
    """Each filter and order gives what a plain filter over all sessions gives, page by page."""
    clock = VirtualClock()
    mira = Principal.user("mira")
    with opened(clock=clock) as system:
        for number in range(30):
            clock.advance(1)
            session = system.sessions.create(
                f"s{number:02}", name=f"n{number * 7 % 30:02}",
                parent="s00" if number % 5 == 1 else None,
                owner=mira if number % 3 == 0 else None,
            )  # fmt: skip
            if number % 4 == 2:
                session.suspend()
        everything = system.sessions.list(limit=100)
        assert [info.id for info in everything] == [f"s{number:02}" for number in range(29, -1, -1)]
        cases: list[dict[str, Any]] = [
            {}, {"status": "suspended"}, {"owner": mira}, {"parent": "s00"}, {"parent": ""},
            {"status": "active", "owner": mira}, {"since": clock.now() - 10},
        ]  # fmt: skip
        sorts: tuple[Literal["created", "changed", "name"], ...] = ("created", "changed", "name")
        for case in cases:
            for sort in sorts:
                for descending in (True, False):
                    expected = [
                        info
                        for info in everything
                        if case.get("status") in (None, str(info.status))
                        and case.get("owner") in (None, info.owner)
                        and case.get("parent") in (None, info.parent)
                        and info.changed >= float(str(case.get("since", 0.0)))
                    ]
                    expected.sort(
                        key=lambda info: (getattr(info, sort), info.id), reverse=descending
                    )
                    found: list[SessionInfo] = []
                    last = None
                    while page := system.sessions.list(
                        **case,
                        sort=sort,
                        newest=descending,
                        after=last,
                        limit=4,
                    ):
                        found += page
                        last = page[-1]
                    assert [i.id for i in found] == [i.id for i in expected], (case, sort)
                    assert system.sessions.count(**case) == len(expected), case
            hers = system.sessions.acting_as(mira)
            assert hers.count(**case) == len(list(hers.each(**case))), case
        with pytest.raises(ConfigurationError, match="is no status of a session; use active"):
            system.sessions.list(status="asleep")
        with pytest.raises(ConfigurationError, match="sort='size' is unknown"):
            system.sessions.list(sort="size")  # type: ignore[arg-type]


def test_pages_stay_where_they_are_while_sessions_are_begun() -> None:
    """A page goes on behind the last one seen, whatever was created meanwhile."""
    with opened() as system:
        for number in range(6):
            system.sessions.create(f"b{number}")
        first = system.sessions.list(sort="name", newest=False, limit=3)
        by_id = [info.id for info in first]
        system.sessions.create("a")
        rest = system.sessions.list(sort="name", newest=False, after=first[-1])
        assert by_id + [info.id for info in rest] == [f"b{number}" for number in range(6)]


def test_limits_that_make_no_sense_are_refused() -> None:
    """Limits are numbers above 0, and keep goes with Cleanup.EXPIRE."""
    with opened() as system:
        for bad in (0, -1, float("nan"), float("inf")):
            with pytest.raises(ConfigurationError, match="makes no sense"):
                SessionLimits(duration=bad)
        wrong: list[tuple[str, Any]] = [
            ("duration", "5"), ("duration", True), ("bytes", 1.5), ("bytes", float("inf")),
            ("artifacts", "1"), ("artifacts", 10**400),
        ]  # fmt: skip
        for field, value in wrong:
            with pytest.raises(ConfigurationError, match=f"{field}=.* makes no sense"):
                SessionLimits(**{field: value})
        with pytest.raises(ConfigurationError, match="go together"):
            system.sessions.create(limits=SessionLimits(keep=3))
        with pytest.raises(ConfigurationError, match="go together"):
            system.sessions.create(cleanup=Cleanup.EXPIRE)


def test_a_session_that_lasts_too_long_fails() -> None:
    """At its deadline a session takes nothing more, and fails by itself."""
    clock = VirtualClock()
    with opened(clock=clock) as system:
        chat = system.sessions.create("chat-7", limits=SessionLimits(duration=60))
        chat.agent(Desk, "emea").call(Desk.note, "a").get()
        clock.advance(59)
        chat.agent(Desk, "emea").call(Desk.note, "b").get()
        clock.advance(1)
        system.idle(DEADLINE)
        info = chat.info()
        assert info.status == "failed"
        assert info.note == "session chat-7 has lasted the 60 seconds it may"
        with pytest.raises(SessionEnded, match="has lasted the 60 seconds"):
            chat.agent(Desk, "emea").call(Desk.note, "c")


def test_a_deadline_counts_before_anybody_has_seen_to_it() -> None:
    """Whoever uses a session after its deadline is refused, also before it was ended."""
    clock = VirtualClock()
    with opened(clock=clock) as system:
        chat = system.sessions.create("chat-7", limits=SessionLimits(duration=60))
        clock._now += 61  # no call is made
        with pytest.raises(SessionLimit, match="has lasted the 60 seconds it may") as caught:
            chat.agent(Desk, "emea").call(Desk.note, "c")
        assert caught.value.limit == "duration"
        with pytest.raises(SessionLimit):
            system.state.set(chat.scope, "k", 1)


def test_a_deadline_counts_over_a_restart(tmp_path: Path) -> None:
    """A session whose time ran out while nothing ran is ended at the next opening."""
    store = tmp_path / "a.db"
    with opened(store, VirtualClock(1_000.0)) as system:
        system.sessions.create("chat-7", limits=SessionLimits(duration=60))
    with opened(store, VirtualClock(2_000.0)) as system:
        system.idle(DEADLINE)
        assert system.sessions.info("chat-7").status == "failed"


def test_the_bytes_of_a_session_are_limited() -> None:
    """A write beyond the limit is refused with both figures, and undoes its turn."""
    with opened() as system:
        chat = system.sessions.create("chat-7", limits=SessionLimits(bytes=100))
        desk = chat.agent(Desk, "emea")
        desk.call(Desk.put, "k", "x" * 80).get()
        message = "session chat-7 would hold 123 bytes, more than the 100 it may"
        with pytest.raises(SessionLimit, match=message) as caught:
            desk.call(Desk.put, "other", "y" * 33).get()
        assert (caught.value.session, caught.value.limit) == ("chat-7", "bytes")
        assert keys(system, "chat-7") == ["k"]
        system.state.set(chat.scope, "k", "x" * 10)
        desk.call(Desk.put, "other", "y" * 33).get()


def test_the_count_of_bytes_is_exact_under_concurrency() -> None:
    """However many write at once, a session never holds more than it may, and no less."""
    with opened() as system:
        chat = system.sessions.create("chat-7", limits=SessionLimits(bytes=60))
        refused = []

        def write(name: str) -> None:
            for number in range(5):
                try:
                    system.state.set(chat.scope, f"{name}{number}", 1234)
                except SessionLimit:
                    refused.append(name)

        together(*(partial(write, name) for name in "abcdef"))
        assert len(keys(system, "chat-7")) == 10
        assert len(refused) == 20


def test_the_count_of_bytes_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What a session holds from an earlier process counts."""
    store = tmp_path / "a.db"
    with opened(store) as system:
        chat = system.sessions.create("chat-7", limits=SessionLimits(bytes=50))
        system.state.set(chat.scope, "k", "x" * 40)
    with opened(store) as system, pytest.raises(SessionLimit, match="would hold 55 bytes"):
        system.state.set(Scope.session("chat-7"), "l", "x" * 9)


def test_artifacts_of_a_session_are_limited() -> None:
    """The artifact after the last allowed one is refused, and so are bytes beyond the limit."""
    with opened() as system:
        limits = SessionLimits(artifacts=2, bytes=1000)
        with system.sessions.create("chat-7", limits=limits) as chat:
            for name in ("a", "b"):
                system.artifacts.save(name, b"123", scope=chat.scope)
            with pytest.raises(SessionLimit, match="would hold 3 artifacts, more than the 2"):
                system.artifacts.save("c", b"123", scope=chat.scope)


def test_keys_are_deleted_when_the_session_says_so() -> None:
    """KEEP keeps, DELETE deletes at the end, EXPIRE a while after it."""
    clock = VirtualClock()
    with opened(clock=clock) as system:
        cases = {
            "keep": system.sessions.create("keep"),
            "delete": system.sessions.create("delete", cleanup=Cleanup.DELETE),
            "expire": system.sessions.create(
                "expire", cleanup=Cleanup.EXPIRE, limits=SessionLimits(keep=100)
            ),
        }
        for session in cases.values():
            system.state.set_many(session.scope, {f"k{number}": number for number in range(700)})
            session.complete()
        system.idle(DEADLINE)
        assert [len(keys(system, name)) for name in cases] == [700, 0, 700]
        clock.advance(100)
        system.idle(DEADLINE)
        assert [len(keys(system, name)) for name in cases] == [700, 0, 0]
        assert [entry.name for entry in cases["delete"].history.list(newest=True)][:2] == [
            "(session cleaned)"
        ] * 2


def test_an_interrupted_cleanup_goes_on_at_the_next_opening(tmp_path: Path) -> None:
    """Keys whose deletion was due while nothing ran are deleted when the system opens."""
    store = tmp_path / "a.db"
    with opened(store, VirtualClock(1_000.0)) as system:
        session = system.sessions.create(
            "s", cleanup=Cleanup.EXPIRE, limits=SessionLimits(keep=100)
        )
        system.state.set_many(session.scope, {str(number): number for number in range(700)})
        session.complete()
    with opened(store, VirtualClock(2_000.0)) as system:
        system.idle(DEADLINE)
        assert keys(system, "s") == []
        assert system.sessions.info("s").status == "completed"


def test_a_far_deadline_is_waited_for_in_pieces(tmp_path: Path) -> None:
    """A deadline in the year 30,000 harms no clock, also after a restart."""
    for _ in range(2):
        with opened(tmp_path / "a.db") as system:
            system.sessions.create(limits=SessionLimits(duration=1e12))
            assert system.idle(DEADLINE)
    clock = VirtualClock()
    with opened(clock=clock) as system:
        chat = system.sessions.create(limits=SessionLimits(duration=200_000))
        for _ in range(3):
            clock.advance(86_400)
            system.idle(DEADLINE)
        assert chat.info().status == "failed"


def test_steps_are_told() -> None:
    """Each step is told once, when it is taken, outside of every turn; one undone is not."""
    with Told("session_changed") as told, opened() as system:
        chat = system.sessions.create("chat")
        chat.agent(Desk, "emea").call(Desk.note, "a").get()
        chat.suspend("later")
        with pytest.raises(InvalidTransition):
            chat.suspend()
        chat.resume()
        chat.agent(Desk, "emea").call(Desk.end, "over").get()
        with pytest.raises(ValueError, match="never"):
            system.agent(Desk, "emea").call(Desk.open, "never", "never", fail=True).get()
        events = [
            (event.session, event.status, event.note) for event in told.events("session_changed")
        ]
    assert events == [
        ("chat", "active", ""), ("chat", "suspended", "later"), ("chat", "active", ""),
        ("chat", "completed", "over"),
    ]  # fmt: skip


def test_steps_in_a_transaction_are_all_or_none() -> None:
    """Sessions are created and ended with keys in one commit, or none of it happens."""
    with opened() as system:
        one = system.sessions.create("one")
        with system.state.transaction():
            system.state.set(one.scope, "last", 1)
            one.complete("both")
            system.sessions.create("two", parent=None)
        assert (keys(system, "one"), one.info().note) == (["last"], "both")
        assert system.sessions.get("two").info().status == "active"

        def in_vain() -> None:
            with system.state.transaction():
                system.sessions.get("two").fail("no")
                system.sessions.create("three")
                raise KeyError

        with pytest.raises(KeyError):
            in_vain()
        assert system.sessions.info("two").status == "active"
        with pytest.raises(UnknownSession):
            system.sessions.get("three")


class Setter(Agent[DeskState]):
    def begin(self) -> None:
        with self.system.sessions.create("inner"):
            self.after(5, "look", name="look")

    def look(self) -> None:
        session = self.system.sessions.current()
        self.state.seen = [*self.state.seen, "" if session is None else session.id]

    def seen(self) -> list[str]:
        return self.state.seen


def test_a_timer_set_in_a_block_of_a_handler_belongs_to_that_session() -> None:
    """Timers follow the block they are set in, as messages do."""
    clock = VirtualClock()
    with AgentSystem.open(MemoryStore(), agents=[Setter], clock=clock) as system:
        agent = system.agent(Setter, "a")
        agent.call(Setter.begin).get()
        clock.advance(6)
        system.idle(DEADLINE)
        assert agent.call(Setter.seen).get() == ["inner"]


class Lister(Agent[DeskState]):
    def work(self, sort: Literal["created", "changed", "name"]) -> list[str]:
        sessions = self.system.sessions
        begun = [sessions.create(f"{sort}-{number}", name=f"n{9 - number}") for number in range(3)]
        sessions.create(f"{sort}-inner", parent=begun[0])
        begun[0].complete("early")
        found: list[SessionInfo] = []
        after = None
        while page := sessions.list(sort=sort, after=after, limit=2):
            found += page
            after = page[-1]
        in_order = sorted(found, key=lambda info: (getattr(info, sort), info.id), reverse=True)
        assert found == in_order
        assert sessions.get(f"{sort}-inner").info().status == "completed"
        return [info.id for info in found if info.status == "active"]


@pytest.mark.parametrize("sort", ["created", "changed", "name"])
def test_a_turn_sees_in_lists_what_it_has_done(
    sort: Literal["created", "changed", "name"],
) -> None:
    """Lists in a turn hold what it has created and ended so far, in order and in pages."""
    with AgentSystem.open(MemoryStore(), agents=[Lister]) as system:
        agent = system.agent(Lister, "a")
        before = {f"before-{n}" for n in range(3)}
        for key in sorted(before):
            system.sessions.create(key, owner=Principal.agent("Lister", "a"))
        found = agent.call(Lister.work, sort).get()
        assert set(found) == before | {f"{sort}-1", f"{sort}-2"}


def test_references_of_a_session_are_references() -> None:
    """They compare, pause, resume and describe as others do, and differ by their session."""
    with opened() as system:
        one, two = system.sessions.create("one"), system.sessions.create("two")
        desk = one.agent(Desk, "emea")
        assert desk == one.agent(Desk, "emea")
        assert desk not in {two.agent(Desk, "emea"), system.agent(Desk, "emea")}
        assert one == system.sessions.get("one") != two
        assert len({one, system.sessions.get("one")}) == 1
        assert (repr(one), desk.is_alive()) == ("<Session one>", True)
        desk.call(Desk.note, "a").get()
        desk.pause()
        assert desk.describe().status == "paused"
        desk.resume()
        assert one.agent(Quick, "q").ask("bare") == "one"


def test_cleanup_is_tried_again_while_the_store_fails() -> None:
    """What is due in an outage is done when the store is back."""
    store, clock = FaultyStore(), VirtualClock()
    with opened(store.open(), clock) as system:
        chat = system.sessions.create("chat-7", limits=SessionLimits(duration=60))
        store.fail()
        clock.advance(61)
        store.mend()
        for _ in range(20):
            clock.advance(5)
            system.idle(DEADLINE)
        assert chat.info().status == "failed"


def test_a_named_principal_sees_its_own_sessions() -> None:
    """A handle of a user creates in that name, and knows no other sessions, whatever they hold."""
    mira = Principal.user("mira")
    with opened() as system:
        system.sessions.create("other")
        mine = system.sessions.acting_as(mira)
        chat = mine.create("mine")
        assert chat.agent(Desk, "emea").call(Desk.note, "a").get() == "mine"
        assert chat.info().owner == mira
        assert [info.id for info in mine.list()] == ["mine"]
        assert len(system.sessions.list()) == 2
        for wanted in ("other", "absent"):
            with pytest.raises(UnknownSession):
                mine.get(wanted)
        with pytest.raises(Denied):
            mine.create("noors", owner=Principal.user("noor"))
        with pytest.raises(UnknownSession):
            mine.create("inside", parent="other")
        chat.complete()
        assert system.state.acting_as(mira).list(chat.scope) == ["words"]
        with pytest.raises(Denied):
            system.state.acting_as(Principal.user("noor")).list(chat.scope)


class Host(Agent[DeskState]):
    """Begins and ends sessions, and works in their scopes in the same turn."""

    def begin(self, session_id: str) -> list[str]:
        session = self.system.sessions.create(session_id)
        self.scopes.set(session.scope, "a", 1)
        self.scopes.increment(session.scope, "a")
        self.system.artifacts.save("note", b"1", scope=session.scope)
        found = (
            *self.system.artifacts.list(scope=session.scope),
            *self.system.artifacts.list(),
        )
        return [*self.scopes.list(session.scope), *(artifact.name for artifact in found)]

    def end(self, session_id: str, *, after: bool) -> None:
        session = self.system.sessions.get(session_id)
        self.scopes.set(session.scope, "before", 1)
        self.scopes.set(session.scope, "gone", 1)
        session.complete("x")
        self.scopes.delete(session.scope, "gone")
        if after:
            self.scopes.set(session.scope, "after", 1)

    def end_and_save(self) -> None:
        session = self.system.sessions.current()
        assert session is not None
        kept = self.system.artifacts.save("before", b"1")
        session.complete("x")
        self.system.artifacts.tag(kept, "tagged")
        self.system.artifacts.save("after", b"1")

    def end_and_file(self) -> None:
        session = self.system.sessions.create("filed")
        session.complete("x")
        self.system.artifacts.save("after", b"1", scope=session.scope)

    def pry(self, session_id: str) -> None:
        self.scopes.set(Scope.session(session_id), "a", 2)


def test_a_new_session_is_its_creators_in_the_same_turn() -> None:
    """Who creates a session in a turn may use its scope at once; others may not, then or later."""
    with AgentSystem.open(MemoryStore(), agents=[Host]) as system:
        host = system.agent(Host, "h")
        assert host.call(Host.begin, "s").get() == ["a", "note", "note"]
        assert system.state.get(Scope.session("s"), "a") == 2
        with pytest.raises(SessionExists):
            host.call(Host.begin, "s").get()
        host.call(Host.pry, "s").get()
        with pytest.raises(Denied):
            system.agent(Host, "other").call(Host.pry, "s").get()


def test_an_isolated_agent_owns_no_new_session() -> None:
    """Isolation comes before what a turn has just begun."""
    scope = Scope.session("s")
    owner = (*scope.columns, "agent", "Host", "h", 0)
    unit = Unit(Standing(Principal.agent("Host", "h")), 0)
    unit.change((OWNERS, scope.columns), lambda _: owner, checked=False)
    use = Use(Right.WRITE, scope, "a", "write")

    class Refusing(OpenGuard):
        isolated = False

        def check(self, *_: object) -> Decision:
            return Decision(allowed=False, reason="no", isolated=self.isolated)

    guard = Refusing()
    assert unit.ask(guard, use).allowed
    guard.isolated = True
    assert not unit.ask(guard, use).allowed


def test_nothing_is_written_behind_the_end_in_a_turn() -> None:
    """A turn may write and then end its session, and delete; what it writes later undoes it."""
    with AgentSystem.open(MemoryStore(), agents=[Host]) as system:
        host = system.agent(Host, "h")
        host.call(Host.begin, "s").get()
        with pytest.raises(SessionEnded, match=r"session s is completed \(x\)"):
            host.call(Host.end, "s", after=True).get()
        assert system.sessions.info("s").status == "active"
        assert keys(system, "s") == ["a"]
        with pytest.raises(SessionEnded):
            system.sessions.get("s").agent(Host, "h").call(Host.end_and_save).get()
        with pytest.raises(SessionEnded):
            host.call(Host.end_and_file).get()
        assert [found.name for found in system.artifacts.list()] == ["note"]
        host.call(Host.end, "s", after=False).get()
        assert system.sessions.info("s").status == "completed"
        assert keys(system, "s") == ["a", "before"]


def test_no_artifact_is_saved_into_the_scope_of_an_ended_session() -> None:
    """Nor from outside of the session, where limits do not count it."""
    with opened() as system:
        chat = system.sessions.create("chat-7")
        kept = system.artifacts.save("a", b"1", scope=chat.scope)
        chat.complete("done")
        with pytest.raises(SessionEnded, match="is completed"):
            system.artifacts.save("b", b"1", scope=chat.scope)
        system.artifacts.delete(kept)


def test_mail_of_a_session_that_has_ended_is_handled() -> None:
    """What was sent before the end is handled; only a turn that writes into the scope is undone."""
    with opened() as system:
        chat = system.sessions.create("chat-7")
        system.agent(Desk, "a").call(Desk.seen_sessions).get()
        system.agent(Desk, "a").pause()
        looked = chat.agent(Desk, "a").call(Desk.find, "chat-7")
        noted = chat.agent(Desk, "a").call(Desk.note, "late")
        chat.complete("done")
        system.agent(Desk, "a").resume()
        assert looked.get() == "completed"
        with pytest.raises(SessionEnded):
            noted.get()
        assert words(system, chat) == []


def test_a_name_holds_no_control_characters() -> None:
    """The name of a session is one line of text."""
    with opened() as system, pytest.raises(StateError, match="control character"):
        system.sessions.create("s", name="a\x1b[2J")
