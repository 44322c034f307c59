"""Messages, dead letters and timers that wait go over to the methods of a newer class."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    MemoryStore,
    RestartPolicy,
    State,
    VirtualClock,
    errors,
    migration,
    open_reader,
    transforms,
)
from tests.cli.commands import invoke, records
from tests.kit.deadline import DEADLINE


class Notes(State):
    lines: list[str] = []  # noqa: RUF012 - msgspec copies it


class Desk(Agent[Notes]):
    """The first release."""

    def assign(self, name: str, count: int = 1) -> None:
        self.state.lines.append(f"{name} {count}")

    def later(self, name: str) -> None:
        self.after(60, self.assign, name, 2, name="once")
        self.every(60, self.assign, name, name="often")

    def on_receive(self, message: object) -> None:
        self.state.lines.append(str(message))

    def read(self) -> list[str]:
        return self.state.lines


def newer(*, failing: bool = False, kind: str = "Desk") -> Any:  # noqa: ANN401 - made here
    """Return the second release: a name is two texts, the method has another name."""

    class Second(Agent[Notes]):
        messages_version = "2.0.0"
        restarts = RestartPolicy(attempts=1, backoff=Backoff(first=0.0, longest=0.0))
        failing = False

        def give(self, first: str, last: str, count: int = 1) -> None:
            if self.failing:
                raise RuntimeError(first)
            self.state.lines.append(f"{last}, {first}: {count}")

        def later(self, first: str, last: str) -> None:
            self.after(60, self.give, first, last, name="new")

        def on_receive(self, message: dict[str, str]) -> None:
            self.state.lines.append(message["text"])

        def read(self) -> list[str]:
            return self.state.lines

    Second.kind = kind
    split = transforms.split("name", ("first", "last"), lambda n: n.split(" "), "{} {}".format)
    migration(Second, "1.0.0", "2.0.0", split, method="assign", becomes="give")

    @migration(Second, "1.0.0", "2.0.0", method="on_receive")
    def into_a_record(data: dict[str, Any]) -> None:
        if failing:
            raise RuntimeError("no")
        data["message"] = {"text": data["message"]}

    @into_a_record.reverse
    def out_of_it(data: dict[str, Any]) -> None:
        data["message"] = data["message"]["text"]

    return Second


def fill(store: object, clock: VirtualClock) -> None:
    """Have mail, a dead letter and timers wait for the agent d."""
    with AgentSystem.open(store, agents=[Desk], clock=clock) as system:  # type: ignore[arg-type]
        desk = system.agent(Desk, "d")
        desk.call(Desk.later, "ada byron").get()
        desk.pause()
        desk.cast(Desk.assign, "mira noor", count=3)
        desk.tell("hello")


FIRST = ["noor, mira: 3", "hello"]
AFTERWARDS = [*FIRST, "byron, ada: 1", "byron, ada: 2"]


def run(store: object, agent_class: Any, clock: VirtualClock) -> list[str]:  # noqa: ANN401 - same
    """Have everything delivered that is due within 90 seconds; return what the agent noted."""
    with AgentSystem.open(store, agents=[agent_class], clock=clock) as system:  # type: ignore[arg-type]
        desk = system.agent(agent_class, "d")
        desk.resume()
        assert system.idle(30)
        clock.advance(90)
        assert system.idle(30)
        assert not system.dead_letters.list()
        lines: list[str] = desk.call(agent_class.read).get()
        return [*lines[:2], *sorted(lines[2:])]


def test_what_waits_is_migrated_when_it_is_delivered() -> None:
    """Mail of methods and of on_receive, and the arguments of timers: also of those that repeat."""
    store, clock = MemoryStore(), VirtualClock()
    fill(store, clock)
    assert run(store, newer(), clock) == AFTERWARDS


def test_the_command_rewrites_what_waits(tmp_path: Path) -> None:
    """Once: what it has rewritten is delivered as it is, also by code that declares nothing."""
    store, clock = tmp_path / "s.db", VirtualClock()
    fill(store, clock)
    code = ("--code", f"{__name__}:SECOND", "--store", store)
    (told,) = records("migrate", *code, "--dry-run")
    assert told["waiting"] == {"Desk": 4}
    for count in (4, 0):
        (told,) = records("migrate", *code)
        assert told["waiting"] == ({"Desk": count} if count else {})

    third = type("Third", (SECOND[0],), {"kind": "Desk"})
    assert run(store, third, clock) == AFTERWARDS


def test_each_timer_is_migrated_once(tmp_path: Path) -> None:
    """Where no message waits, and beside timers that the second release has set since."""
    store, clock = tmp_path / "s.db", VirtualClock()
    second, code = SECOND[0], ("--code", f"{__name__}:SECOND", "--store", store)
    with AgentSystem.open(store, agents=[Desk], clock=clock) as system:
        system.agent(Desk, "d").call(Desk.later, "ada byron").get()
    with AgentSystem.open(store, agents=[second], clock=clock) as system:
        system.agent(second, "d").call(second.later, "mira", "noor").get()
        system.agent(second, "d").pause()
    for count in ({"Desk": 2}, {}, {}):
        (told,) = records("migrate", *code)
        assert told["waiting"] == count
    bodies = sorted(['[["ada","byron"],{}]', '[["ada","byron",2],{}]', '[["mira","noor"],{}]'])
    assert sorted(waiting(store)) == bodies
    lines = sorted(run(store, second, clock))
    assert lines == ["byron, ada: 1", "byron, ada: 2", "noor, mira: 1"]


def test_what_waits_goes_over_to_another_kind(tmp_path: Path) -> None:
    """The class has another name in the release in which its methods change."""
    store, clock = tmp_path / "s.db", VirtualClock()
    fill(store, clock)
    table = newer(kind="Table")
    table.aliases = ["Desk"]
    assert run(store, table, clock) == AFTERWARDS


def test_the_command_takes_what_waits_back(tmp_path: Path) -> None:
    """There and back: the older class is given what it was sent."""
    store, clock = tmp_path / "s.db", VirtualClock()
    fill(store, clock)
    code = ("--code", f"{__name__}:SECOND", "--store", store)
    before = waiting(store)
    assert invoke("migrate", *code).exit_code == 0
    assert waiting(store) != before
    back = ("--kind", "Desk", "--messages-to", "1.0.0")
    (told,) = records("migrate", *code, *back)
    assert told["waiting"] == {"Desk": 4}
    assert [body.replace("[]", "") for body in waiting(store)] == [
        '[["mira noor",3],{}]', '"hello"', '[["ada byron",2],{}]', '[["ada byron"],{}]'
    ]  # fmt: skip
    assert run(store, Desk, clock) == ["mira noor 3", "hello", "ada byron 1", "ada byron 2"]


def waiting(store: Path) -> list[str]:
    """Return the bodies of all that waits."""
    with closing(open_reader(store)) as reader:
        timers = sorted(reader.timers(), key=lambda timer: timer.name, reverse=True)
        return [*(m.body for m in reader.mailbox()), *(t.body for t in timers)]


def test_a_message_of_each_release_is_taken_for_what_it_is() -> None:
    """Sent by the first, the second, and the first again: each by its own schema."""
    store, clock = MemoryStore(), VirtualClock()
    second = newer()
    second.failing = True
    releases = (
        (Desk, "assign", ("a b",)),
        (second, "give", ("c", "d")),
        (Desk, "assign", ("e f",)),
    )
    for key, (agent_class, method, words) in enumerate(releases):
        with AgentSystem.open(store, agents=[agent_class], clock=clock) as system:
            desk = system.agent(agent_class, str(key))
            if agent_class is Desk:
                desk.pause()
            desk.cast(getattr(agent_class, method), *words)
            assert system.idle(DEADLINE)
    second.failing = False
    with AgentSystem.open(store, agents=[second], clock=clock) as system:
        (dead,) = system.dead_letters.list()  # which kept no older class from opening the store
        system.dead_letters.requeue(dead.id)
        assert system.idle(DEADLINE)
        system.agent(second, "1").pause()
        desks = [system.agent(second, str(key)) for key in range(3)]
        for desk in desks:
            desk.resume()
        found = [desk.call(second.read).get() for desk in desks]
    assert found == [["b, a: 1"], ["d, c: 1"], ["f, e: 1"]]


def test_a_failing_migration_keeps_the_message() -> None:
    """It goes to the dead letters as it was sent, with the reason; it comes once that is mended."""
    store, clock = MemoryStore(), VirtualClock()
    fill(store, clock)
    broken = newer(failing=True)
    with AgentSystem.open(store, agents=[broken], clock=clock) as system:
        system.agent(broken, "d").resume()
        assert system.idle(30)
        (dead,) = system.dead_letters.list()
        assert "Desk/d, message" in dead.reason
        assert "RuntimeError: no" in dead.reason
        assert dead.body == '"hello"'
    mended = newer()
    with AgentSystem.open(store, agents=[mended], clock=clock) as system:
        system.dead_letters.requeue(dead.id)
        assert system.idle(30)
        assert system.agent(mended, "d").call(mended.read).get() == FIRST


def test_a_failing_migration_keeps_the_timer(caplog: pytest.LogCaptureFixture) -> None:
    """It stays where it is stored, loudly, and falls due once the migration is mended."""
    store, clock = MemoryStore(), VirtualClock()
    with AgentSystem.open(store, agents=[Desk], clock=clock) as system:
        system.agent(Desk, "d").call(Desk.later, "ada byron").get()
        system.agent(Desk, "d").pause()
    broken = type("Broken", (SECOND[0],), {"kind": "Desk"})

    @migration(broken, "1.0.0", "2.0.0", method="assign", becomes="give")
    def fails(_data: dict[str, Any]) -> None:
        """Fail for each."""
        raise RuntimeError("no")

    assert run(store, broken, clock) == []
    assert len([each for each in caplog.records if "stays where it is stored" in each.message]) == 2
    assert {*run_on(store, SECOND[0], clock)} == {"byron, ada: 1", "byron, ada: 2"}


def run_on(store: object, agent_class: Any, clock: VirtualClock) -> list[str]:  # noqa: ANN401 - same
    """Go on as ``run`` does, for an agent that is active already."""
    with AgentSystem.open(store, agents=[agent_class], clock=clock) as system:  # type: ignore[arg-type]
        system.agent(agent_class, "d").pause()
    return run(store, agent_class, clock)


def test_a_run_that_would_fail_changes_nothing(tmp_path: Path) -> None:
    """The command names agent, message and reason, and leaves all as it was."""
    store = tmp_path / "s.db"
    fill(store, VirtualClock())
    before = waiting(store)
    (told,) = records("migrate", "--code", f"{__name__}:BROKEN", "--store", store, code=1)
    (failure,) = told["not_migrated"]
    assert (failure["kind"], failure["key"]) == ("Desk", "d")
    assert "RuntimeError: no" in failure["reason"]
    assert waiting(store) == before
    (found,) = records("rehearse", "--code", f"{__name__}:BROKEN", "--store", store, code=1)
    assert found["counts"]["messages failed"] == 1
    (found,) = records("rehearse", "--migrate", "--code", f"{__name__}:SECOND", "--store", store)
    assert (found["counts"]["messages migrated"], found["counts"]["timers migrated"]) == (2, 2)


def test_a_message_migration_that_makes_no_sense_is_refused() -> None:
    """One without a method, one with a method of a state."""
    for owner, more in ((Desk, {}), (Notes, {"method": "read"})):
        with pytest.raises(errors.ConfigurationError, match="messages of an Agent class"):
            migration(owner, "1.0.0", "2.0.0", transforms.add("a", 1), **more)


SECOND = [newer()]
BROKEN = [newer(failing=True)]
