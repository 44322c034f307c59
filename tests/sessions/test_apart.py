"""Two sessions never see each other's state, whatever way the work in them takes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import MemoryStore, VirtualClock
from perdure.shared.sessions.records import SessionLimits
from tests.kit.deadline import DEADLINE
from tests.kit.threads import at_once
from tests.sessions.agents import Desk, keys, opened, words

WAYS = ("call", "cast", "chain-ask", "chain-tell", "async", "timer", "block", "nested", "outside")
STEPS = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(WAYS)), max_size=12)


@settings(max_examples=60)
@given(steps=STEPS)
def test_sessions_stay_apart(  # noqa: C901 - a way after the other
    steps: list[tuple[str, str]],
) -> None:
    """Each session knows exactly the words that were sent in it, over every way of sending."""
    clock = VirtualClock()
    with opened(MemoryStore(), clock) as system:
        sessions = {name: system.sessions.create(name) for name in "ABC"}
        expected: dict[str, set[str]] = {name: set() for name in "ABC"}
        for number, (name, way) in enumerate(steps):
            session, word = sessions[name], f"{name}{number}"
            desk = session.agent(Desk, "shared")
            heard = [word]
            match way:
                case "call":
                    desk.call(Desk.note, word).get(timeout=DEADLINE)
                case "cast":
                    desk.cast(Desk.note, word)
                case "chain-ask" | "chain-tell":
                    heard = [word, f"{word}x", f"{word}y"]
                    desk.cast(Desk.pass_on, heard, ask=way == "chain-ask")
                case "async":
                    desk.call(Desk.later, word).get(timeout=DEADLINE)
                case "timer":
                    desk.call(Desk.remind, word).get(timeout=DEADLINE)
                case "block":
                    with session:
                        system.agent(Desk, word).cast(Desk.note, word)
                case "nested":
                    inner = system.sessions.create(word, parent=session)
                    inner.agent(Desk, "shared").cast(Desk.note, word)
                    assert words(system, inner) == [word]
                    heard = []
                case "outside":
                    heard = []
                    assert system.agent(Desk, "shared").call(Desk.note, word).get() == ""
            expected[name].update(heard)
        system.idle(DEADLINE)
        clock.advance(11)
        for name, session in sessions.items():
            # Sets: a turn that was overtaken begins again, and what it asks is asked again.
            assert set(words(system, session)) == expected[name]


def test_sessions_stay_apart_when_many_threads_work_in_them() -> None:
    """Threads that are in different sessions at once share agents, and no words."""
    with opened() as system:
        sessions = [system.sessions.create(str(number)) for number in range(6)]

        def work(number: int) -> None:
            with sessions[number]:
                for turn in range(20):
                    key = str((number + turn) % 3)
                    system.agent(Desk, key).cast(Desk.note, f"{number}")
                    system.agent(Desk, key).call(Desk.note, f"{number}").get(timeout=DEADLINE)

        at_once(6, work)
        for number, session in enumerate(sessions):
            assert words(system, session) == [str(number)] * 40


def test_an_interval_timer_of_a_session_keeps_it() -> None:
    """Every tick of a timer that was set in a session belongs to it."""
    clock = VirtualClock()
    with opened(clock=clock) as system:
        chat = system.sessions.create("chat")
        chat.agent(Desk, "a").call(Desk.remind, "one").get()
        system.agent(Desk, "a").call(Desk.remind, "two").get()
        clock.advance(11)
        assert words(system, chat) == ["one"]


@pytest.mark.parametrize("attempts", [3])
def test_a_turn_that_is_tried_again_is_in_its_session_again(attempts: int) -> None:
    """A message that fails and is tried again, and its dead letter, keep their session."""
    with opened() as system:
        chat = system.sessions.create("chat", limits=SessionLimits(bytes=10))
        chat.agent(Desk, "a").cast(Desk.put, "key", "far too long for it")
        system.idle(60)
        letters = system.dead_letters.list()
        assert [letter.correlation for letter in letters] == [chat.correlation]
        assert letters[0].attempts == attempts
        system.state.set(chat.scope, "a", 1)
        assert keys(system, "chat") == ["a"]
