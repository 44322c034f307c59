"""Requests and answers, paired by number; a timeout is a value.

An open request is one row, an answer or a timeout that waits for its asker another. Answering
removes the one and writes the other in the commit of the turn that found the answer.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar, overload

import msgspec

from ...persistence.codec.codec import Codec
from ...persistence.errors import ConfigurationError, CorruptState, Denied, QuotaExceeded
from ...persistence.names.scope import Principal
from ...shared.ledger.ledger import Stale
from ...shared.ledger.unit import Unit
from .amounts import checked_limit, checked_seconds
from .pattern import Head, Method, Pattern, check_method, method_name
from .quota import Counts, Quota, counted, size_of
from .rows import Office, codec_for, number_of, numbered, salvaged
from .rules import Members, checked_principal, is_one_of

T = TypeVar("T")

RESPONDERS: Final = "responders"
COUNTS: Final = "counts"
KEPT: Final = 86_400.0
"""Seconds for which an outcome waits for its asker, unless the quota's ttl says otherwise."""
TIDIED_AT_ONCE: Final = 1_000


class Request(msgspec.Struct, Generic[T], frozen=True):
    """A question that was taken; may be kept in an agent's state while its lease lasts."""

    number: int
    value: T
    asker: Principal
    deadline: float
    """Seconds since the epoch; an answer that comes later is refused."""
    correlation: int
    """Of the turn that asked."""
    lease: int = 0
    """Names the lease; 0 without one."""


class Waiting(msgspec.Struct, frozen=True):
    """There is no answer yet."""

    deadline: float


class Answered(msgspec.Struct, Generic[T], frozen=True):
    """The answer."""

    value: T
    by: Principal


class TimedOut(msgspec.Struct, frozen=True):
    """The deadline went by without an answer."""

    deadline: float


Outcome: TypeAlias = Waiting | Answered[T] | TimedOut


class _Lease(msgspec.Struct):
    number: int
    holder: str
    until: float


class _Unleased(msgspec.Struct, omit_defaults=True):
    value: msgspec.Raw
    asker: str
    deadline: float
    correlation: int = 0
    to: str = ""
    wake: str = ""


class _Open(_Unleased, omit_defaults=True):
    lease: _Lease | None = None


class _Asked(msgspec.Struct):
    asker: str


class _Done(msgspec.Struct, omit_defaults=True):
    asker: str
    deadline: float
    until: float
    """When it goes if the asker has not collected it."""
    size: int = 0
    by: str = ""
    """Who has answered; nobody if it timed out."""
    answer: msgspec.Raw = msgspec.Raw(b"null")
    to: str = ""
    """Whom it was sent to."""


class Requests(Pattern):
    """Ask and answer; made by ``system.sharing.requests(name)``."""

    pattern: ClassVar[str] = "requests"

    def __init__(
        self,
        office: Office,
        name: str,
        *,
        quota: Quota | None = None,
        owner: Principal | None = None,
        responders: Members = None,
    ) -> None:
        """Find the board of requests, or make it; ``responders`` answer, else its owner alone."""
        roles = None if responders is None else {RESPONDERS: responders}
        super().__init__(office, name, quota=quota, owner=owner, roles=roles)

    def send(
        self,
        value: object,
        *,
        to: Principal | None = None,
        timeout: float = 60.0,
        wake: Method | None = None,
    ) -> int:
        """Ask something and return the request's number.

        ``to`` names the one who is to answer; else any responder may. ``wake`` is a method of the
        asking agent, called with the number when there is an answer; for a timeout set a timer.
        QuotaExceeded while too many are open, or have outcomes that nobody collected.
        """
        seconds = checked_seconds(timeout, f"{self}: a timeout")
        if to is not None:
            checked_principal(to, "to")
        text = self._office.text(value, str(self))
        method = "" if wake is None else method_name(wake)
        return self._office.run(lambda unit: self._send(unit, text, to, seconds, method))

    @overload
    def take(self, *, limit: int = 1, lease: float | None = None) -> list[Request[Any]]: ...
    @overload
    def take(
        self,
        *,
        limit: int = 1,
        lease: float | None = None,
        type: type[T],
    ) -> list[Request[T]]: ...
    def take(
        self,
        *,
        limit: int = 1,
        lease: float | None = None,
        type: type[Any] | None = None,  # noqa: A002 - same
    ) -> list[Request[Any]]:
        """Return up to ``limit`` requests that the caller may answer, oldest first.

        Without a lease they are the turn's (or the transaction's): what it does not answer stays
        open. With one nobody else gets them for so many seconds. Outside of turns and transactions
        a lease is needed. What does not decode as it was stored is left out.
        """
        wanted = checked_limit(limit, str(self))
        if lease is not None:
            lease = checked_seconds(lease, f"{self}: a lease")
        if lease is None and self._office.desk.unit() is None:
            message = "outside of turns and transactions take() needs a lease: take(lease=60)"
            raise ConfigurationError(message)
        codec = codec_for(type)
        return self._office.run(lambda unit: self._take(unit, wanted, lease, codec))

    def answer(self, request: Request[Any] | int, value: object) -> bool:
        """Answer a request; False if that came too late: it has timed out, or is answered."""
        text = self._office.text(value, str(self))
        return self._office.run(lambda unit: self._answer(unit, request, text))

    @overload
    def outcome(self, number: int) -> Outcome[Any]: ...
    @overload
    def outcome(self, number: int, type: type[T]) -> Outcome[T]: ...
    def outcome(self, number: int, type: type[Any] | None = None) -> Outcome[Any]:  # noqa: A002 - same
        """Return how a request of the caller's stands; it may be asked again."""
        codec = codec_for(type)
        return self._office.run(lambda unit: self._outcome(unit, number, codec, take=False))

    @overload
    def collect(self, number: int) -> Outcome[Any]: ...
    @overload
    def collect(self, number: int, type: type[T]) -> Outcome[T]: ...
    def collect(self, number: int, type: type[Any] | None = None) -> Outcome[Any]:  # noqa: A002 - same
        """Return how a request of the caller's stands; an answer or a timeout goes with that."""
        codec = codec_for(type)
        return self._office.run(lambda unit: self._outcome(unit, number, codec, take=True))

    def serve(self, wake: Method | None) -> None:
        """Have a method of the calling agent called when there is something to answer.

        One responder is told of each request, or whom it was sent to; one that takes up to its
        limit and leaves some is told again. None ends it.
        """

        def served(unit: Unit) -> None:
            head, standing = self._head(unit), self._admit(unit, "serve")
            who = standing.principal
            if not is_one_of(who, [head.owner, *head.roles.get(RESPONDERS, ())]):
                raise self._deny(unit, "serve", "that part is played by others")
            self._listen(unit, "wakes", who, wake)

        self._office.run(served)

    # Underneath.

    def _send(self, unit: Unit, text: str, to: Principal | None, timeout: float, wake: str) -> int:
        head = self._head(unit)
        standing = self._admit(unit, "ask in")
        if wake and standing.principal.kind != "agent":
            raise ConfigurationError(f"{self}: only agents can be woken; leave wake out")
        if wake:
            check_method(self._office, standing.principal, wake, arguments=1)
        size = size_of(text)
        if self._overrun(unit, head, size):
            self._tidy(unit)
        if problem := self._overrun(unit, head, size):
            raise QuotaExceeded(f"{self} is at {problem}; ask again when some were answered")
        number, now = self._office.number(), self._now()
        asked = _Open(
            msgspec.Raw(text.encode()), str(standing.principal), now + timeout,
            standing.correlation, "" if to is None else str(to), wake,
        )  # fmt: skip
        self._rows.put(unit, numbered("open", number), _text(asked))
        counts = Counts({"items": 1, "bytes": size})

        def within(before: str | None) -> str:
            after = counts(before)
            sums = counted(after)
            # Others have filled it since this turn looked: begin again, and be refused there.
            if head.quota.overrun(sums["items"], sums["bytes"]):
                raise Stale(f"{self} was filled by others; try again")
            return after

        self._rows.change(unit, COUNTS, within)
        self._wake(unit, number, to)
        return number

    def _overrun(self, unit: Unit, head: Head, size: int) -> str:
        sums = counted(self._rows.peek(unit, COUNTS))
        return head.quota.overrun(sums.get("items", 0) + 1, sums.get("bytes", 0) + size)

    def _wake(self, unit: Unit, number: int, to: Principal | None) -> None:
        listeners = self._listeners(unit, "wakes")
        if to is not None:
            listeners = [one for one in listeners if is_one_of(one[0], [str(to)])]
        if listeners:
            self._tell_one(unit, number, listeners)

    def _take(
        self, unit: Unit, limit: int, lease: float | None, codec: Codec[T]
    ) -> list[Request[T]]:
        head = self._head(unit)
        standing = self._admit(unit, "take from")
        now, who = self._now(), standing.principal
        taken: list[Request[T]] = []
        for key, seen in self._rows.rows(unit, "open/"):
            place, number = self._rows.place(key), number_of(key)
            found = self._open(key, seen)
            if found is None or not self._is_for(head, who, found.to):
                continue
            if self._office.claims.holds(place, unit):
                continue
            if len(taken) == limit:
                self._tell_again(unit, "wakes")
                break
            text = self._rows.look(unit, key)
            asked = None if text is None else self._open(key, text)
            if asked is None or (asked.lease is not None and asked.lease.until > now):
                continue
            self._office.claims.claim(place, unit)
            if asked.deadline <= now:
                self._time_out(unit, number, asked)
                continue
            request = self._request(number, asked, codec)
            if lease is not None:
                asked.lease = _Lease(self._office.number(), str(who), now + lease)
                self._rows.put(unit, key, _text(asked))
                request = msgspec.structs.replace(request, lease=asked.lease.number)
            taken.append(request)
        return taken

    def _request(self, number: int, asked: _Open, codec: Codec[T]) -> Request[T]:
        value = codec.load(bytes(asked.value).decode(), f"{self} request {number}")
        asker = Principal.parse(asked.asker)
        return Request(number, value, asker, asked.deadline, asked.correlation)

    def _answer(self, unit: Unit, request: Request[Any] | int, text: str) -> bool:
        head = self._head(unit)
        standing = self._admit(unit, "answer in")
        number = request if isinstance(request, int) else request.number
        lease = 0 if isinstance(request, int) else request.lease
        now, key = self._now(), numbered("open", number)
        found = self._rows.look(unit, key)
        asked = None if found is None else self._open(key, found)
        if asked is None or not self._is_for(head, standing.principal, asked.to):
            return self._not_theirs(unit, head, number, there=asked is not None)
        if asked.deadline <= now:
            return False
        held = asked.lease
        if held is not None and held.until > now:
            mine = held.holder == str(standing.principal) and lease in (0, held.number)
            if not mine:
                return False
        self._rows.remove(unit, key)
        size, by = size_of(text), str(standing.principal)
        answer = msgspec.Raw(text.encode())
        done = _Done(
            asked.asker, asked.deadline, now + self._kept(head), size, by, answer, asked.to
        )  # fmt: skip
        self._rows.put(unit, numbered("done", number), _text(done))
        before = size_of(bytes(asked.value).decode())
        self._rows.change(unit, COUNTS, Counts({"bytes": size - before}))
        if asked.wake:
            self._tell(unit, Principal.parse(asked.asker), asked.wake, number)
        return True

    def _not_theirs(self, unit: Unit, head: Head, number: int, *, there: bool) -> bool:
        """Refuse an answer to a request that is not the caller's to answer, or not there.

        Both alike: False to who may answer here, Denied to who may not, but for one that was sent
        to the caller and is over.
        """
        who = unit.standing.principal
        text = self._rows.peek(unit, numbered("done", number))
        done = None if text is None else self._done(numbered("done", number), text)
        over = done is not None and bool(done.to) and self._is_for(head, who, done.to)
        if not over and (there or not self._is_for(head, who, "")):
            denied = self._deny(unit, "answer in", "it has no such request to answer")
            if not self._is_for(head, who, ""):
                raise denied
        return False

    def _outcome(self, unit: Unit, number: int, codec: Codec[T], *, take: bool) -> Outcome[T]:
        standing = self._admit(unit, "see requests of")
        text = self._rows.look(unit, numbered("done", number))
        if text is not None:
            done = self._done(numbered("done", number), text)
            if done is None:
                raise self._damaged(unit, number, text)
            self._check_asker(unit, number, done.asker)
            if take:
                self._forget(unit, "done", number, done.size)
            if not done.by:
                return TimedOut(done.deadline)
            value = codec.load(bytes(done.answer).decode(), f"{self} answer {number}")
            return Answered(value, Principal.parse(done.by))
        text = self._rows.look(unit, numbered("open", number))
        if text is None:
            raise self._unknown(standing.principal, number)
        asked = self._open(numbered("open", number), text)
        if asked is None:
            raise self._damaged(unit, number, text)
        self._check_asker(unit, number, asked.asker)
        if asked.deadline > self._now():
            return Waiting(asked.deadline)
        if take:
            self._forget(unit, "open", number, size_of(bytes(asked.value).decode()))
        return TimedOut(asked.deadline)

    def _check_asker(self, unit: Unit, number: int, asker: str) -> None:
        who = unit.standing.principal
        if who != Principal.SYSTEM and str(who) != asker:
            raise self._unknown(who, number)

    def _unknown(self, who: Principal, number: int) -> Denied:
        # One sentence for both: whether another has asked it is none of the caller's business.
        return Denied(f"{who} has no request {number} in {self}, or has collected it already")

    def _time_out(self, unit: Unit, number: int, asked: _Open) -> None:
        """Take a request out of the way of those who answer; its asker still learns of it."""
        self._rows.remove(unit, numbered("open", number))
        until = asked.deadline + self._kept(self._head(unit))
        done = _Done(asked.asker, asked.deadline, until, to=asked.to)
        self._rows.put(unit, numbered("done", number), _text(done))
        size = size_of(bytes(asked.value).decode())
        self._rows.change(unit, COUNTS, Counts({"bytes": -size}))

    def _tidy(self, unit: Unit) -> None:
        """Let go of outcomes that nobody has collected in time."""
        now, kept = self._now(), self._kept(self._head(unit))
        for count, (key, text) in enumerate(self._rows.rows(unit, "done/")):
            done = self._done(key, text)
            if (done is None or done.until <= now) and self._rows.look(unit, key) is not None:
                self._forget(unit, "done", number_of(key), 0 if done is None else done.size)
            if count >= TIDIED_AT_ONCE:
                return
        for key, text in self._rows.rows(unit, "open/"):
            asked = self._open(key, text)
            over = asked is None or asked.deadline + kept <= now
            if over and self._rows.look(unit, key) is not None:
                value = salvaged(text) if asked is None else asked.value
                size = size_of(bytes(value).decode())
                self._forget(unit, "open", number_of(key), size)

    def _forget(self, unit: Unit, where: str, number: int, size: int) -> None:
        self._rows.remove(unit, numbered(where, number))
        self._rows.change(unit, COUNTS, Counts({"items": -1, "bytes": -size}))

    def _is_for(self, head: Head, who: Principal, to: str) -> bool:
        """Tell whether a request that was sent ``to`` somebody, or to nobody, is ``who``'s."""
        if to:
            return who == Principal.SYSTEM or is_one_of(who, [to])
        names = [head.owner, *head.roles.get(RESPONDERS, ())]
        return who == Principal.SYSTEM or is_one_of(who, names)

    def _open(self, key: str, text: str) -> _Open | None:
        """Return a request; None if it does not decode. A lease that does not decode is over."""
        try:
            return msgspec.json.decode(text, type=_Open)
        except ValueError as error:
            number, problem = number_of(key), error
        try:
            asked = msgspec.json.decode(text, type=_Unleased)
        except ValueError as error:
            self._report(key, f"request {number}", error)
            return None
        self._report(key, f"the lease on request {number}", problem)
        return _Open(*msgspec.structs.astuple(asked))

    def _done(self, key: str, text: str) -> _Done | None:
        try:
            return msgspec.json.decode(text, type=_Done)
        except ValueError as error:
            self._report(key, f"the outcome of request {number_of(key)}", error)
            return None

    def _damaged(self, unit: Unit, number: int, text: str) -> CorruptState:
        try:
            asker = msgspec.json.decode(text, type=_Asked).asker
        except ValueError:
            asker = ""  # nobody's any more: only the system is told
        self._check_asker(unit, number, asker)
        return CorruptState(f"{self} request {number}", "it does not decode; ask again")

    def _kept(self, head: Head) -> float:
        return KEPT if head.ttl is None else head.ttl

    def _now(self) -> float:
        return self._office.now()


def _text(record: msgspec.Struct) -> str:
    return msgspec.json.encode(record).decode()
