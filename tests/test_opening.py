"""An opening that fails leaves nothing behind: no lease, no thread, no connection."""

import inspect
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import perdure.system
from perdure import Agent, AgentSystem, Keys, MemoryStore, Resources, State, StaticKeys, new_key
from perdure.actors.cell.timers import TimerService
from perdure.actors.pool.agenda import Agenda
from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.pool.garbage import YoungGeneration
from perdure.actors.system.attendant import Attendant
from perdure.actors.system.dead_letters import DeadLetters
from perdure.actors.system.runtime import Runtime
from perdure.lifecycle.clock import SystemClock
from perdure.lifecycle.supervisor import PersistenceSupervisor
from perdure.persistence.errors import ConfigurationError, StoreOwned
from perdure.persistence.sqlite import schema
from perdure.persistence.sqlite.place import StoreFile
from perdure.persistence.sqlite.reader import SqliteReader
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.committer import Committer
from perdure.persistence.store.store import Store
from perdure.persistence.upkeep.retention import Janitor
from perdure.service.server import Service
from perdure.shared.access.policy import Policy
from perdure.shared.scopes.schemas import Schemas
from perdure.shared.secrets.office import SecretsOffice
from perdure.system import open_systems

DEADLINE = 20.0
ROOM = 24
"""Descriptors with which a store can be opened for certain."""


class CountState(State):
    count: int = 0


class Counter(Agent[CountState]):
    """Count, and be woken by mail."""

    def add(self) -> int:
        self.state.count += 1
        return self.state.count


KEYS = Keys(secrets=StaticKeys({"k": new_key()}))
STEPS: list[tuple[Any, str]] = [
    (schema, "check"),
    (StoreFile, "__init__"),
    (schema, "set_up_writer"),
    (schema, "create_or_check"),
    (StoreFile, "remember_the_log"),
    (SqliteReader, "__init__"),
    (SqliteStore, "acquire"),
    (SqliteStore, "_chain"),
    (perdure.system, "gone_on"),
    (PersistenceSupervisor, "__init__"),
    (Janitor, "__init__"),
    (Committer, "__init__"),
    (Runtime, "__init__"),
    (Policy, "__init__"),
    (Schemas, "register_all"),
    (DeadLetters, "__init__"),
    (SecretsOffice, "__init__"),
    (YoungGeneration, "ask"),
    (PersistenceSupervisor, "start"),
    (Committer, "start"),
    (SystemClock, "call_later"),
    (Runtime, "start"),
    (Dispatcher, "start"),
    (TimerService, "start"),
    (Agenda, "begin"),
    (Dispatcher, "submit"),
    (Attendant, "start"),
    (SystemClock, "start"),
    (SecretsOffice, "resume"),
    (Service, "start"),
]
"""What an opening takes or begins, in about that order."""


class Interrupted(BaseException):
    """Strike anywhere, as Ctrl-C does."""


def opened(store: Store | Path) -> AgentSystem:
    """Open a store as these tests do."""
    return AgentSystem.open(
        store, agents=[Counter], keys=KEYS, sync="process", resources=Resources(workers=2)
    )


def works(store: Store | Path) -> None:
    """Open a store and have an agent count in it."""
    with opened(store) as system:
        before = system.agent(Counter, "a").call(Counter.add).get(timeout=DEADLINE)
        after = system.agent(Counter, "a").call(Counter.add).get(timeout=DEADLINE)
        assert after == before + 1


def ours() -> set[threading.Thread]:
    """Return the threads of systems that run now."""
    return {each for each in threading.enumerate() if each.name.startswith("perdure")}


def none_left() -> bool:
    """Wait for threads that are about to end; tell whether all did, and no system is open."""
    for thread in ours():
        thread.join(DEADLINE)
    return not ours() and not open_systems()


def descriptors() -> int:
    """Count the open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a store with an agent and with mail that waits for it."""
    path = tmp_path / "store.db"
    works(path)
    with opened(path) as system:
        system.agent(Counter, "b").pause()
        system.agent(Counter, "b").cast(Counter.add)
    return path


@contextmanager
def failing(where: object, name: str, *, begun: bool, error: BaseException) -> Iterator[list[str]]:
    """Have a step fail once, before it has begun or when it is done; tell whether it was met."""
    real: Callable[..., object] = getattr(where, name)
    met: list[str] = []

    def step(*args: object, **kwargs: object) -> object:
        if met:
            return real(*args, **kwargs)
        if begun:
            real(*args, **kwargs)
        met.append(name)
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, step)
        yield met


@pytest.mark.parametrize(
    ("begun", "error"),
    [(False, OSError(24, "Too many open files")), (True, Interrupted())],
    ids=["fails", "interrupted behind"],
)
@pytest.mark.parametrize(
    ("where", "name"), [pytest.param(*s, id=f"{s[0].__name__}.{s[1]}") for s in STEPS]
)
def test_a_step_that_fails(
    path: Path, where: object, name: str, *, begun: bool, error: BaseException
) -> None:
    """Whichever step fails, before or behind its work: the same store opens again at once."""
    if name == "create_or_check":  # of a new file only
        path.unlink()
    before = descriptors()
    with failing(where, name, begun=begun, error=error) as met, pytest.raises(type(error)):
        opened(path)
    assert met, "this step is none"
    assert none_left()
    assert descriptors() == before
    works(path)


@pytest.mark.parametrize("begun", [False, True], ids=["before", "behind"])
def test_making_the_tables_fails(tmp_path: Path, *, begun: bool) -> None:
    """A new file whose tables could not be made, or just were, opens again at once."""
    path, before = tmp_path / "new.db", descriptors()
    with (
        failing(schema, "create_or_check", begun=begun, error=Interrupted()) as met,
        pytest.raises(Interrupted),
    ):
        opened(path)
    assert met
    assert none_left()
    assert descriptors() == before
    works(path)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("begun", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("name", ["acquire", "gone_on", "start"])
def test_a_store_object_is_given_back_open(
    tmp_path: Path, kind: str, name: str, *, begun: bool
) -> None:
    """A Store object that somebody else has opened is given back as it was, to be used again."""
    store: Store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "own.db")
    where = {"acquire": type(store), "gone_on": perdure.system, "start": SystemClock}[name]
    with (
        failing(where, name, begun=begun, error=Interrupted()),
        pytest.raises(Interrupted),
    ):
        opened(store)
    assert none_left()
    with opened(store) as system:
        assert system.agent(Counter, "a").call(Counter.add).get(timeout=DEADLINE) == 1


def test_who_is_refused_takes_nothing_away() -> None:
    """A second opening of the same object is refused, and the first keeps its lease."""
    store = MemoryStore()
    with opened(store) as system:
        for _ in range(2):
            with pytest.raises(StoreOwned):
                opened(store)
        assert system.agent(Counter, "a").call(Counter.add).get(timeout=DEADLINE) == 1


@pytest.mark.parametrize("number", range(1, 6))
def test_threads_that_do_not_start(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """An opening without one of its threads is refused and undone, or goes on without a worker."""
    real, tries = threading.Thread.start, [0]

    def start(thread: threading.Thread) -> None:
        tries[0] += thread.name.startswith("perdure")
        if tries[0] == number:
            message = "can't start new thread"
            raise RuntimeError(message)
        real(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        try:
            system = opened(path)
        except RuntimeError:
            assert none_left()
        else:
            system.close()
    works(path)


@pytest.mark.parametrize("more", range(8))
def test_too_few_descriptors(path: Path, more: int) -> None:
    """With too few descriptors the opening fails whole, and with enough of them it works."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + more, hard))
    refusal = "Too many open files"
    try:
        opened(path).close()
    except OSError as error:
        assert more < ROOM
        refusal = str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Too many open files" in refusal or "ulimit -n" in refusal
    assert none_left()
    assert descriptors() == before
    works(path)


def test_a_catalogue_that_is_wrong_touches_nothing(tmp_path: Path) -> None:
    """Wrong classes and schemas are refused before there is a file."""

    class Stateless(Agent[Any]):
        pass

    for agents, schemas in (([Stateless], {}), ([Counter], {"cart": object()})):
        with pytest.raises(ConfigurationError):
            AgentSystem.open(tmp_path / "new.db", agents=agents, schemas=schemas)
    assert list(tmp_path.iterdir()) == []


UNTOUCHED = {
    "_start_text.<locals>.<genexpr>",  # nobody is told of what is raised where a generator ends
    "open_store",  # nobody has the store yet: Python closes what nobody has
    "SqliteStore.__init__",  # same
    "ReaderPool._connect",  # same, of a connection
    "AgentSystem.open",  # it is done: the system is the caller's, or closed at exit
}


def interrupted(event: str, number: int, run: Callable[[], AgentSystem]) -> AgentSystem | None:
    """Interrupt a call at the ``number``-th call or return of ours; None if that was done."""
    left = number

    def look(frame: FrameType, happened: str, _argument: object) -> None:
        nonlocal left
        code = frame.f_code
        # What is raised at a yield passes by the generator's own clean-up; no interrupt does.
        yields = event == "return" and code.co_flags & inspect.CO_GENERATOR
        if happened == event and "/perdure/" in code.co_filename and not yields:
            left -= 1
            if left <= 0 and code.co_qualname not in UNTOUCHED:
                sys.setprofile(None)
                raise Interrupted

    sys.setprofile(look)
    try:
        return run()
    except Interrupted:
        return None
    finally:
        sys.setprofile(None)


def attack(path: Path, event: str, step: int) -> int:
    """Interrupt an opening at every ``step``-th place; return how many there were."""
    for count, number in enumerate(range(1 + step // 2, 100_000, step)):
        before = descriptors()
        system = interrupted(event, number, lambda: opened(path))
        if system is not None:
            system.close()
            return count
        assert none_left(), number
        assert descriptors() == before, number
        works(path)
    raise AssertionError("an opening never came to its end")


@pytest.mark.parametrize("event", ["call", "return"])
def test_an_interrupt_anywhere(path: Path, event: str) -> None:
    """Wherever an interrupt strikes in an opening, nothing is left and the store opens again."""
    assert attack(path, event, 23) > 10


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("event", ["call", "return"])
def test_an_interrupt_everywhere(path: Path, event: str) -> None:
    """The same at each single call and return."""
    assert attack(path, event, 1) > 300
