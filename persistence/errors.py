"""Every error perdure raises on purpose.

    PerdureError
    ├── ConfigurationError (ValueError)      a class, option or URL is declared wrongly
    ├── StateError (ValueError)              a value cannot be stored without changing it
    ├── StoreError
    │   ├── StoreUnavailable (OSError)       the store refused or failed a read or a commit
    │   ├── CommitsLost (RuntimeError)       a system was closed before all it had taken was saved
    │   ├── StoreOwned (PermissionError)     another owner holds the store's lease
    │   ├── Fenced (PermissionError)         this owner's lease was taken over
    │   ├── StoreWentBack (RuntimeError)     the store has lost commits that were durable
    │   ├── SalvageFailed (RuntimeError)     no new store could be made of a damaged one
    │   ├── NotAStore (ValueError)           the file is something else
    │   ├── StoreTooNew (ValueError)         written by a newer release
    │   ├── IncompatibleSchema (ValueError)  classes cannot read what the store holds
    │   ├── UnknownSchema (LookupError)      the store knows no such version
    │   └── CorruptState (ValueError)        stored bytes fail their checksum or do not decode
    │       └── MigrationFailed              a migration cannot take what is stored
    ├── SharedError
    │   ├── ScopeError (ValueError)          a scope, key or principal has no such form
    │   ├── Conflict (RuntimeError)          another changed first what this change was made from
    │   ├── TransactionEnded (RuntimeError)  what a call belongs to has ended
    │   ├── UnknownSession (LookupError)     there is no such session, for the caller
    │   ├── SessionExists (ValueError)       the id of a session is taken
    │   ├── SessionEnded (RuntimeError)      a session that has ended takes nothing more
    │   ├── SessionLimit (RuntimeError)      a session would take more than it may
    │   ├── ImportRefused (ValueError)       the file of a session is damaged or made up
    │   ├── Denied (PermissionError)         the caller has no right to that
    │   │   └── Isolated                     the agent was cut off from everything
    │   ├── UnknownGrant (LookupError)       there is no grant of that number
    │   ├── LimitExceeded (ValueError)       more than one call or scope may hold
    │   ├── UnknownArtifact (LookupError)    there is no such artifact, or no longer
    │   ├── QuotaExceeded (RuntimeError)     a scope or pattern would take more than it may hold
    │   └── LineageCircle (ValueError)       an artifact would come from itself
    ├── SecretError
    │   ├── KeyMissing (LookupError)         the key of a secret or a signature is not there
    │   ├── SignatureInvalid (ValueError)    a pickled object is not as it was signed
    │   └── SecretFound (ValueError)         a plain value looks like a secret
    ├── HookError
    │   ├── HookCancelled (RuntimeError)     a hook has kept something from being done
    │   ├── CallHeld (RuntimeError)          a hook wants a person to agree to a call first
    │   ├── HookFailed (RuntimeError)        a hook that guards has failed, so it was not done
    │   └── UnknownHook (LookupError)        there is no hook of that name
    ├── ReplayError
    │   ├── StateUnknown (LookupError)       the state before a recorded turn is not kept
    │   ├── UnknownReplay (LookupError)      there is no such schedule, or no such stored result
    │   ├── ReplayFailed (RuntimeError)      a recorded turn cannot run, or does not end
    │   └── NotRecorded (LookupError)        a replayed turn wants what was not recorded
    ├── BackupError
    │   ├── BackupDamaged (ValueError)       a backup, or one it builds on, is not as it was written
    │   ├── BackupFailed (OSError)           a backup could not be written, read or brought back
    │   └── UnknownBackup (LookupError)      there is no backup of that name
    ├── RunError
    │   ├── RunFailed (RuntimeError)         a run of an agent that thinks ended without an answer
    │   └── UnknownRun (LookupError)         there is no such run, or it waits for no such call
    ├── ScriptError
    │   ├── ScriptFailed (RuntimeError)      a script raised an error, or is none of its language
    │   ├── ScriptLimit (RuntimeError)       a script took more time, memory, ... than it may
    │   └── NotConfined (RuntimeError)       this machine cannot close scripts in as is asked for
    └── AgentError
        ├── UnknownAgent (LookupError)       no agent class of that name is registered
        ├── AgentExists (ValueError)         a new agent was to have a name that is taken
        ├── UnknownDeadLetter (LookupError)  there is no dead letter of that id
        ├── NotRequeued (ValueError)         a dead letter's agent cannot take it
        ├── InvalidTransition (RuntimeError) the lifecycle has no such step
        ├── AgentQuarantined (RuntimeError)  supervision gave up; the mail waits
        ├── AgentDeleted (RuntimeError)      the agent was deleted while an ask waited
        ├── MailboxFull (RuntimeError)       the receiver is behind by its mailbox limit
        ├── Deadlock (RuntimeError)          an ask would wait for itself
        ├── PoolExhausted (RuntimeError)     all threads wait for replies
        ├── TurnTimeout (TimeoutError)       a turn ran longer than its limit
        └── SystemClosed (RuntimeError)      the system no longer takes messages

Each error is one sentence that says what, where and what to do; the data stands in attributes.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

LONGEST_TEXT: Final = 4000
"""Characters kept of an error's text."""


class PerdureError(Exception):
    """Be the root of all errors raised by perdure on purpose."""


def told(error: BaseException, shown: Callable[[str], str] = str) -> str:
    """Return an error as text that can be stored, whatever its class makes of it.

    An error is anybody's: its text may be megabytes long, hold half a surrogate, or raise itself.
    ``shown`` says what of it may be stored: asked before it is cut, since half a secret looks
    like none.
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - same
        text = "(its text cannot be made)"
    text = shown(storable(text[: 2 * LONGEST_TEXT]))
    return storable(f"{type(error).__name__}: {text[:LONGEST_TEXT]}")


def storable(text: str) -> str:
    """Return a text with what no store takes (lone surrogates) written as escapes."""
    return text.encode(errors="backslashreplace").decode()


class ConfigurationError(PerdureError, ValueError):
    """Say that a class, an option or a URL is declared wrongly; nothing was opened or changed."""


class StateError(PerdureError, ValueError):
    """Say that a value cannot be stored exactly; the turn that made it is rolled back."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem
        self.turn = ""
        """The agent and what it handled, once that turn has been undone."""

    def __str__(self) -> str:
        told = f"{self.path}: {self.problem}"
        return f"{self.turn}: {told}" if self.turn else told


class StoreError(PerdureError):
    """Be the root of what goes wrong between perdure and its store."""


class StoreUnavailable(StoreError, OSError):
    """Say that a store failed; a commit it names is kept and saved when the store is back.

    ``location`` says which: a message whose handler met it waits if that is the agent's own store,
    and has failed if it is another. Without one it is taken for the agent's own.
    """

    def __init__(self, message: str, *, full: bool = False, location: str = "") -> None:
        super().__init__(message)
        self.full = full
        self.location = location


@contextlib.contextmanager
def failing_at(location: str) -> Iterator[None]:
    """Have each StoreUnavailable that leaves the block say which store failed."""
    try:
        yield
    except StoreUnavailable as error:
        error.location = error.location or location
        raise


class CommitsLost(StoreError, RuntimeError):
    """Say that a system was closed while commits it had taken could not be saved.

    Raised by its with statement, once the store was given back: open it again, and do what they
    did once more.
    """

    def __init__(self, location: str, *, commits: int, reason: str) -> None:
        super().__init__(
            f"{location} was closed with {commits} commit{'s' if commits > 1 else ''} that could"
            f" not be saved ({reason}); the"
            " store stands as it was before them, so open it again and do them once more"
        )
        self.location = location
        self.commits = commits
        self.reason = reason


class StoreOwned(StoreError, PermissionError):
    """Refuse a second writer, naming the one that holds the lease."""

    def __init__(
        self, location: str, *, host: str, pid: int, started: str, saving: bool = False
    ) -> None:
        advice = "stop that process, or open read-only"
        if saving:
            advice = (
                "it holds the file's lock in the middle of a save and cannot be fenced off; if it"
                f" is frozen, let it go on or end it (kill -9 {pid}), then open again"
            )
        if (host, pid) == (socket.gethostname(), os.getpid()):
            advice = "that is this process: use the AgentSystem it has open, or close that first"
        super().__init__(
            f"{location} is open for writing by process {pid} on {host} (started {started}); "
            f"{advice}"
        )
        self.location = location
        self.host = host
        self.pid = pid
        self.started = started


class Fenced(StoreError, PermissionError):
    """Reject a commit of an owner whose lease was taken over; its process should end."""

    def __init__(self, location: str, *, token: int, current: int) -> None:
        super().__init__(
            f"{location} was taken over: this owner's fencing token {token} is older than "
            f"{current}; nothing was written, end this process"
        )
        self.location = location
        self.token = token
        self.current = current


def durable(sequence: int, moment: float) -> str:
    """Say of a commit that it was durable."""
    when = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"commit {sequence:,} of {when} UTC was durable"


class StoreWentBack(StoreError, RuntimeError):
    """Say that commits are gone which were durable: the log was damaged, or the disk set back.

    Nothing was written. Restore a backup to that moment; or remove the witness, to go on without
    what is gone.
    """

    def __init__(self, location: str, *, last: int, seen: int, moment: float, witness: str) -> None:
        gone = f"{seen - last:,} commits or more are" if seen > last else "its end is another one:"
        super().__init__(
            f"{location} has gone back in time: {gone} gone; it ends with commit {last:,}, and"
            f" {durable(seen, moment)}. Bring it back with `perdure backup"
            f" restore --at {seen}`, or remove {witness} to go on without them"
        )
        self.last = last
        """The last commit that is there."""
        self.seen = seen
        """A later one that was durable."""


class SalvageFailed(StoreError, RuntimeError):
    """Say that no new store could be made of a damaged one, which is as it was; none is left."""


class NotAStore(StoreError, ValueError):
    """Refuse a file that is not a perdure store; the file is left as it was."""


class StoreTooNew(StoreError, ValueError):
    """Refuse a store written by a newer release; upgrade perdure to open it."""


class CorruptState(StoreError, ValueError):
    """Say that stored bytes fail their checksum or no longer decode as their declared type."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class IncompatibleSchema(StoreError, ValueError):
    """Refuse classes that cannot read what is stored: agents, and what waits for their methods.

    Nothing was changed. Mend the class, or raise its ``schema_version`` and declare a migration;
    ``perdure schema diff`` shows all differences, and ``perdure rehearse`` tries it on every agent.
    For messages and timers that wait, raise ``messages_version`` and declare one of the method.
    """

    def __init__(self, location: str, problems: list[str]) -> None:
        told = "; ".join(problems)
        advice = (
            "raise schema_version (messages_version for what waits) and declare a migration, or run"
            " the code that wrote them"
        )
        super().__init__(f"{location}: the classes cannot read what is stored: {told}; {advice}")
        self.problems = problems


class UnknownSchema(StoreError, LookupError):
    """Say that a store knows no such version of a kind; ``perdure schema list`` lists them."""


class MigrationFailed(CorruptState):
    """Say that a migration cannot take what is stored, or makes what its class cannot read.

    The agent is as it was: mend the migration. ``where`` names the agent and the path.
    """

    def __init__(self, agent: str, path: str, problem: str, step: str) -> None:
        told = f"{step}: {problem}" if step else problem
        super().__init__(f"{agent}, {path}", told)
        self.agent = agent
        self.path = path
        self.step = step
        """The migration, where one was running; "" if its outcome is what does not fit."""


class SharedError(PerdureError):
    """Be the root of what goes wrong with what agents share."""


class ScopeError(SharedError, ValueError):
    """Refuse a scope, a key or a principal that has no such form; nothing was looked up."""


class Conflict(SharedError, RuntimeError):
    """Say that another changed first what this change was made from; nothing was written."""


class TransactionEnded(SharedError, RuntimeError):
    """Refuse a call that belongs to a turn or transaction which has ended meanwhile.

    Raised in threads and tasks that go on while their turn ends; nothing was written. Wait for them
    in the turn, or call again: a call that begins afterwards is one of its own.
    """


class Denied(SharedError, PermissionError):
    """Refuse a caller without the right; it says nothing about what is there."""


class Isolated(Denied):
    """Refuse an agent that was cut off, and its callers, until ``system.access.restore()``."""


class UnknownGrant(SharedError, LookupError):
    """Say that there is no grant of that number; it was revoked, used up, or has run out."""


class LimitExceeded(SharedError, ValueError):
    """Refuse more than one call or one scope may hold; nothing was written."""


class UnknownArtifact(SharedError, LookupError):
    """Say that there is no artifact of that name and version, or that it was deleted."""


class QuotaExceeded(SharedError, RuntimeError):
    """Say that a scope's artifacts, a topic, a pipeline would take more than they may hold.

    Delete some, or send again when others have read and worked.
    """


class LineageCircle(SharedError, ValueError):
    """Refuse a source that was itself made, directly or not, from what it is to be a source of."""


class UnknownSession(SharedError, LookupError):
    """Say that there is no such session, or none that the caller may see."""


class SessionExists(SharedError, ValueError):
    """Refuse to begin a session under an id that is taken."""


class SessionEnded(SharedError, RuntimeError):
    """Refuse what a session that has ended would take; nothing was written."""

    def __init__(self, message: str, *, session: str, status: str) -> None:
        super().__init__(message)
        self.session = session
        self.status = status


class SessionLimit(SharedError, RuntimeError):
    """Refuse more than a session may take (``limit`` says of what); nothing was written."""

    def __init__(self, message: str, *, session: str, limit: str) -> None:
        super().__init__(message)
        self.session = session
        self.limit = limit


class ImportRefused(SharedError, ValueError):
    """Refuse the file of a session that is damaged or made up; nothing of it is there."""

    def __init__(self, message: str, *, file: str, line: int) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


class SecretError(PerdureError):
    """Be the root of what goes wrong with secrets and signatures; no message shows a value."""


class KeyMissing(SecretError, LookupError):
    """Say that a key is not there; it names the field and the key. Everything else works on."""

    def __init__(self, message: str, *, key_id: str) -> None:
        super().__init__(message)
        self.key_id = key_id


class SignatureInvalid(SecretError, ValueError):
    """Refuse a pickled object that is not as it was signed; not a byte of it was unpickled."""


class SecretFound(SecretError, ValueError):
    """Refuse a plain value that looks like a secret; declare the field as Secret[...]."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(
            f"{path} looks like a secret ({rule}); declare it Secret[...], or allow it by Detector"
        )
        self.path = path
        self.rule = rule


class HookError(PerdureError):
    """Be the root of what hooks keep from happening."""


class HookCancelled(HookError, RuntimeError):
    """Say that a hook has cancelled what was asked for; nothing of it was done."""

    def __init__(self, hook: str, reason: str) -> None:
        super().__init__(f"cancelled by the hook {hook}: {reason}")
        self.hook = hook
        self.reason = reason


class CallHeld(HookError, RuntimeError):
    """Say that a hook wants a person to agree to a call first, and that nobody is asked here.

    A run of an agent that thinks waits for that instead.
    """

    def __init__(self, hook: str, reason: str, args: Mapping[str, object]) -> None:
        super().__init__(f"held by the hook {hook} until a person agrees: {reason}")
        self.hook = hook
        self.reason = reason
        self.given = args
        """The arguments as the hooks left them."""


class HookFailed(HookError, RuntimeError):
    """Say that a hook that guards something failed, so it was not done."""

    hook: str = ""
    """Which, where it is the system's; empty for a method of the agent's class."""
    priority: int = 0


class UnknownHook(HookError, LookupError):
    """Say that there is no hook of that name."""


class ReplayError(PerdureError):
    """Be the root of what goes wrong when a recorded turn is to run again."""


class StateUnknown(ReplayError, LookupError):
    """Say that an agent's state before a recorded turn is not kept, or never was."""


class UnknownReplay(ReplayError, LookupError):
    """Say that there is no schedule of that name, or that no such result is kept."""


class ReplayFailed(ReplayError, RuntimeError):
    """Say that a recorded turn does not end in its replay, or cannot be begun."""


class NotRecorded(ReplayError, LookupError):
    """Say that a replayed turn wants what its recording does not have."""


class BackupError(PerdureError):
    """Be the root of what goes wrong with backups; the store is as it was."""


class BackupDamaged(BackupError, ValueError):
    """Say that a backup, or one it builds on, is not as it was written, and what of it.

    Nothing was restored from it; take another one.
    """

    def __init__(self, backup: str, problem: str) -> None:
        super().__init__(f"the backup {backup}: {problem}")
        self.backup = backup
        self.problem = problem


class BackupFailed(BackupError, OSError):
    """Say that a backup could not be written, read or brought back; nothing half done is left."""


class UnknownBackup(BackupError, LookupError):
    """Say that there is no backup of that name in a folder."""


class RunError(PerdureError):
    """Be the root of what goes wrong with the runs of agents that think."""


class RunFailed(RunError, RuntimeError):
    """Say that a run has ended without an answer, and why: failed, cancelled, over its budget."""


class UnknownRun(RunError, LookupError):
    """Say that an agent has no run of that name, or that it does not wait for that call."""


class ScriptError(PerdureError):
    """Be the root of errors about scripts; what the script wrote since it began is undone."""

    log: Sequence[str] = ()
    """What it had logged and printed before, line by line."""


class ScriptFailed(ScriptError, RuntimeError):
    """Say that a script raised an error, or is none of its language."""

    def __init__(self, script: str, line: int, kind: str, problem: str, trace: str = "") -> None:
        where = f"{script}:{line}" if line else script
        what = "" if kind == "error" else f"{kind}: "
        super().__init__(f"{where}: {what}{problem}")
        self.script = script
        self.line = line
        """Of the script's own text, from 1; 0 where that is not known."""
        self.kind = kind
        """``syntax``, ``value``, ``error``, or the error's class: of the host, or of Python."""
        self.problem = problem
        self.trace = trace
        """The calls that led there, as the language prints them."""


class ScriptLimit(ScriptError, RuntimeError):
    """Say that a script took more than it may; it was ended."""

    def __init__(self, script: str, limit: str, problem: str) -> None:
        super().__init__(f"{script}: {problem}")
        self.script = script
        self.limit = limit
        """The name of the limit, as ``ScriptLimits`` has it."""


class NotConfined(ScriptError, RuntimeError):
    """Say that this machine cannot close scripts in as the policy asks; none was run."""

    def __init__(self, language: str, missing: str) -> None:
        super().__init__(
            f"{language} scripts cannot be closed in here: {missing} is not available on this"
            " machine; run them on a Linux that has it, or, for scripts that you trust, open"
            ' Scripts(..., confinement="available")'
        )
        self.missing = missing


class AgentError(PerdureError):
    """Be the root of what goes wrong between agents and those who talk to them."""


class UnknownAgent(AgentError, LookupError):
    """Say that no agent class of that kind was given to the system."""


class AgentExists(AgentError, ValueError):
    """Say that an agent was to begin with another's state under a key that is taken."""


class UnknownDeadLetter(AgentError, LookupError):
    """Say that there is no dead letter of that id; it may have been put back or discarded."""


class NotRequeued(AgentError, ValueError):
    """Say that an agent's class cannot take a dead letter; it stays where it is."""


class InvalidTransition(AgentError, RuntimeError):
    """Refuse a lifecycle step the transition table does not have; it says who may take it."""

    def __init__(
        self, agent: str, current: str, wanted: str, allowed: str, *, things: str = "agents"
    ) -> None:
        super().__init__(
            f"{agent} is {current} and cannot be {wanted}; only {allowed} {things} can"
        )
        self.agent = agent
        self.current = current
        self.wanted = wanted


class AgentQuarantined(AgentError, RuntimeError):
    """Refuse an ask to an agent that supervision gave up on; restart() puts it back."""


class AgentDeleted(AgentError, RuntimeError):
    """Say that an ask waited for an agent that was deleted; one sent now makes a new agent."""


class MailboxFull(AgentError, RuntimeError):
    """Refuse a message because the receiver is behind by its mailbox limit; send it later."""


class Deadlock(AgentError, RuntimeError):
    """Refuse a wait that cannot end: its giver waits for the asker, or time stands still."""


class PoolExhausted(AgentError, RuntimeError):
    """Refuse to wait for a reply on the last thread that could make it; others go on.

    Raised in a handler when hundreds of them wait for replies at the same time. Use ``cast()``, or
    ``await`` the reply in an ``async def`` handler, which needs no thread.
    """

    def __init__(self, threads: int) -> None:
        """Say how many ``threads`` wait."""
        super().__init__(
            f"{threads} threads are as many as the pool may have, and the others wait for replies;"
            " use cast(), or await the reply in an async handler"
        )


class TurnTimeout(AgentError, TimeoutError):
    """Say that a turn ran longer than its limit; nothing it did was kept."""


class SystemClosed(AgentError, RuntimeError):
    """Refuse a message because the agent system is closing or closed."""
