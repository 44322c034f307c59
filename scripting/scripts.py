"""Scripts of a system: run in the name of a principal, in workers of their own."""

from __future__ import annotations

import asyncio
import copy
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, cast

from ..actors.talk.turn import under_way
from ..persistence.errors import ConfigurationError, Conflict, Deadlock
from ..persistence.names.scope import Principal
from ..persistence.options import Options, by_keyword
from .language import Language
from .options import Confinement, ScriptLimits, ScriptRights
from .pool import WorkerPool
from .process import Worker
from .reach import Host, SystemReach
from .run import Committing, Ended, ScriptRun, Suspended
from .script import Script, ScriptResult
from .session import ScriptSession

LIMITS: Final = ScriptLimits()
RIGHTS: Final = ScriptRights()
_OPEN: Final[weakref.WeakKeyDictionary[object, Scripts]] = weakref.WeakKeyDictionary()
"""The scripts of each system, for those who have the system alone."""
WORKERS: Final = 8
"""Scripts that run at once, unless it is said otherwise."""


class Scripts:
    """Run scripts. Thread-safe; use as a context manager, inside that of the system.

    A script acts as the principal that its host gives, with that principal's rights. What it
    writes commits together at its end, or at ``state.commit()``; nothing of it if it fails. In a
    handler it is a part of the turn: it acts as the agent, and commits with the turn.
    """

    def __init__(
        self,
        system: Host,
        *,
        limits: ScriptLimits = LIMITS,
        confinement: Confinement | str = Confinement.REQUIRED,
        rights: ScriptRights = RIGHTS,
        workers: int = WORKERS,
        warm: int = 1,
    ) -> None:
        """Run scripts over ``system``.

        Args:
            system: whose state, artifacts and agents they reach.
            limits: how much each run may take.
            confinement: ``"required"``, or ``"available"`` for scripts that you trust.
            rights: what they may reach beside what is shared.
            workers: how many run at once; more wait.
            warm: processes kept ready for each language that was used.
        """
        self.workers, self.warm, self.confinement = workers, warm, confinement
        options = Options(self)
        options.whole("workers", least=1)
        options.whole("warm", least=0)
        options.among("confinement", *Confinement)
        self.limits, self.rights = limits, rights
        options.kind("limits", ScriptLimits, "ScriptLimits(seconds=1)")
        options.kind("rights", ScriptRights, "ScriptRights(replay=True)")
        _OPEN[system] = self
        self.system = system
        self.pool = WorkerPool(limits, Confinement(confinement), at_once=workers, warm=warm)

    @staticmethod
    def of(system: object) -> Scripts:
        """Return the scripts that were opened last over a system; ConfigurationError if none.

        In a replay, those of the system whose turn it is, over the one in which that is replayed;
        if the store alone is there, scripts of its own that may talk to all agents, as what others
        answered is recorded.
        """
        original, ends = getattr(system, "original", None), getattr(system, "ends", None)
        found = _OPEN.get(system if original is None else original)
        if found is None:
            if original is not None or ends is None:
                message = "no scripts run on this system; open Scripts(system) first"
                raise ConfigurationError(message)
            rights = ScriptRights(agents=system._opening.agents)  # type: ignore[attr-defined]  # noqa: SLF001 - of a floor above
            found = Scripts(cast("Host", system), rights=rights, warm=0)
            ends(found.close)
        return found if original is None else found._over(cast("Host", system))

    def _over(self, system: Host) -> Scripts:
        """Return the same scripts, by the same workers, over another system."""
        other = copy.copy(self)
        other.system = system
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def session(self, language: Language | str, *, principal: Principal) -> ScriptSession:
        """Return a session of inputs in a language, in the name of ``principal``."""
        reach = SystemReach(self.system, self.rights, principal)
        return ScriptSession(self.pool, self.limits, Language.named(language), reach)

    def warm_up(self, *languages: Language | str) -> None:
        """Have the processes of some languages started and ready, before the first script comes."""
        for language in languages:
            self.pool.warm_up(Language.named(language))

    def close(self) -> None:
        """End all workers; idempotent."""
        if _OPEN.get(self.system) is self:
            del _OPEN[self.system]
        self.pool.close()

    def run(
        self,
        script: Script,
        *,
        principal: Principal | None = None,
        entry: str = "",
        arguments: Sequence[object] = (),
    ) -> ScriptResult:
        """Run a script and return what came of it, when what it wrote is durable.

        Outside of turns ``principal`` says who acts; in a handler it is the agent. If another
        changed meanwhile what the script has read, it is run again from its beginning, as
        transactions are, as long as it has called no agent.

        Args:
            script: what to run.
            principal: who acts.
            entry: a function of the script, called with ``arguments`` when the script has run.
            arguments: JSON-like values; without ``entry`` the script itself takes them.

        Raises:
            ScriptFailed: it raised an error; ``line`` says where, ``log`` what it logged before.
            ScriptLimit: it took more than it may, and was killed; ``log`` as well.
            NotConfined: this machine cannot close it in.
            Conflict: others were first, each time.
            ConfigurationError: the extra is not installed; no principal is given.
            Deadlock: called in an event loop, which would stand still.
        """
        return self._result(_Asked(script, principal, entry, arguments))

    def run_durably(
        self,
        script: Script,
        *,
        entry: str = "",
        arguments: Sequence[object] = (),
        dump: bytes = b"",
    ) -> ScriptResult:
        """Run a script in Python in a handler as ``run`` does; it may rest at ``suspend``.

        Then ``dump`` of the result is what it was, and ``value`` its question. Given again, with
        one argument as the answer, it goes on there, in another process. Who changes a dump
        changes what runs: take none that was not signed.
        """
        if under_way() is None:
            raise ConfigurationError("only a handler runs scripts durably: it keeps what they were")
        return self._result(_Asked(script, None, entry, arguments, dump, rests=True))

    def _result(self, asked: _Asked) -> ScriptResult:
        _refuse_in_event_loop()
        with self.system.blocking():
            return _Runs(self, asked).result()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be run."""

    script: Script
    principal: Principal | None
    entry: str
    arguments: Sequence[object]
    dump: bytes = b""
    rests: bool = False
    """It may be suspended."""

    def __post_init__(self) -> None:
        options = Options(self, by_keyword("run"))
        options.kind("script", Script, 'Script("lua", "return 1")')
        options.kind("entry", str, '"main"')
        given: object = self.arguments  # whatever a caller gives
        if not isinstance(given, Sequence) or isinstance(given, str | bytes):
            raise options.wrong("arguments", 'a list of JSON-like values, as in [1, "two"]')


class _Runs:
    """One call of ``run``: the script runs until its changes fit to what others did."""

    def __init__(self, scripts: Scripts, asked: _Asked) -> None:
        self._scripts = scripts
        self._asked = asked
        self._limits = scripts.limits
        self._reach = SystemReach(scripts.system, scripts.rights, asked.principal)
        self._begun = 0.0

    def result(self) -> ScriptResult:
        """Return what came of it."""
        if not self._reach.in_turn:
            return self._alone()
        with self._scripts.pool.worker(self._asked.script.language) as worker:
            run = self._run(worker)
            with run.logged(), self._reach.state.transaction():
                ended = run.go_on(commits=False, rests=self._asked.rests)
            assert not isinstance(ended, Committing), "a part of a turn does not commit"
            return self._came(run, ended)

    def _alone(self) -> ScriptResult:
        """Run it in transactions of its own."""
        for attempt in range(1, self._limits.attempts + 1):
            with self._scripts.pool.worker(self._asked.script.language) as worker:
                run = self._run(worker)
                try:
                    with run.logged():
                        return self._came(run, run.in_parts())
                except Conflict:
                    if attempt == self._limits.attempts or run.calls.immediate:
                        raise
        raise AssertionError("the last attempt returns or raises")

    def _run(self, worker: Worker) -> ScriptRun:
        asked, limits = self._asked, self._limits
        if not self._begun:  # waiting for a worker does not count
            self._begun = time.monotonic()
        deadline = self._begun + limits.seconds
        run = ScriptRun(worker, asked.script, self._reach, limits, deadline)
        run.begin(asked.entry, asked.arguments, dump=asked.dump)
        return run

    def _came(self, run: ScriptRun, ended: Ended | Suspended) -> ScriptResult:
        seconds, log = time.monotonic() - self._begun, tuple(run.calls.output.lines)
        if isinstance(ended, Suspended):
            return ScriptResult(ended.question, log, run.made, seconds, ended.dump)
        return ScriptResult(ended.value, log, run.made, seconds)


def _refuse_in_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    message = (
        "a script would hold up the event loop; run it in a thread:"
        " await asyncio.to_thread(scripts.run, script, ...)"
    )
    raise Deadlock(message)
