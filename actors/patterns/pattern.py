"""What all shared things of a name are: made once, owned, with parts for others to play."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import msgspec
from pykka.messages import ProxyCall

from ...persistence.errors import ConfigurationError, Conflict, Denied, LimitExceeded, UnknownAgent
from ...persistence.names.scope import Principal
from ...shared.ledger.guard import Standing
from ...shared.ledger.unit import Unit
from .quota import Quota
from .rows import Office, Rows, in_turn, scope_of
from .rules import Members, admit, checked_principal, deny, is_one_of, recorded, roles_of

logger = logging.getLogger("perdure.actors")

HEAD: Final = "head"
MOST_AT_ONCE: Final = 10_000
"""Rows that deleting a shared thing may take in one commit."""
Wakes = dict[str, str]
Method = str | Callable[..., object]


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shared thing as it was declared."""

    owner: str
    items: int
    bytes: int
    ttl: float | None = None
    stages: list[str] = []
    roles: dict[str, list[str]] = {}
    """Who may play a part; one that is not named is everybody's."""

    @property
    def quota(self) -> Quota:
        """How much it may hold."""
        return Quota(self.items, self.bytes, self.ttl)


class Pattern:
    """A shared thing with a name; made by the first who asks for it, who owns it from then on."""

    pattern: ClassVar[str]

    def __init__(
        self,
        office: Office,
        name: str,
        *,
        quota: Quota | None,
        owner: Principal | None,
        stages: list[str] | None = None,
        roles: Mapping[str, Members] | None = None,
    ) -> None:
        """Find it, or make it as described."""
        if quota is not None and not isinstance(quota, Quota):
            raise ConfigurationError(f"quota must be a Quota, not {quota!r:.40}")
        if owner is not None:
            checked_principal(owner, "owner")
        self._office = office
        self._rows = Rows(office, scope_of(self.pattern, name))
        self.name = self._rows.scope.part
        self._quota = quota
        self._owner = owner
        self._stages = stages or []
        self._roles = None if roles is None else roles_of(roles)
        if self._found(office.desk.unit()) is None:
            office.run(self._make)

    @property
    def owner(self) -> Principal:
        """Who owns it."""
        return Principal.parse(self._office.run(self._head).owner)

    def delete(self) -> None:
        """Remove it with all it holds; only its owner may. LimitExceeded above 10,000 rows."""

        def cleared(unit: Unit) -> None:
            self._require(unit, self._head(unit), None, "delete")
            for count, (key, _) in enumerate(self._rows.rows(unit, "")):
                if count >= MOST_AT_ONCE:
                    message = f"{self} holds more than {MOST_AT_ONCE:,} rows; let it run dry first"
                    raise LimitExceeded(message)
                self._rows.remove(unit, key)

        self._office.run(cleared)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return f"{self.pattern} {self.name!r}"

    def _found(self, unit: Unit | None) -> Head | None:
        # Held firm: whoever loses a part meanwhile does not act in it.
        text = self._rows.firm(unit, HEAD)
        if text is None:
            return None
        head = msgspec.json.decode(text, type=Head)
        self._check(head)
        return head

    def _head(self, unit: Unit) -> Head:
        """Return the declaration."""
        found = self._found(unit)
        if found is None:
            # Deleted, or made by a turn that was undone. To make it here would give it another
            # owner.
            raise Conflict(f"{self} is not there any more; ask system.sharing for it again")
        return found

    def _make(self, unit: Unit) -> None:
        """Declare it, unless it is there by now."""
        if self._found(unit) is not None:
            return
        standing = admit(self._office, unit, self._rows.scope, "make")
        self._office.desk.plain.name(self.name, f"the name of a {self.pattern}")
        quota = self._quota or Quota()
        head = Head(
            str(self._owner or standing.principal), quota.items, quota.bytes, quota.ttl,
            self._stages, self._roles or {},
        )  # fmt: skip
        self._rows.put(unit, HEAD, msgspec.json.encode(head).decode())

    def _check(self, head: Head) -> None:
        """Refuse another declaration of the same name."""
        asked = (
            ("quota", head.quota, self._quota),
            ("roles", head.roles, self._roles),
            ("stages", head.stages, self._stages or None),
            ("owner", head.owner, None if self._owner is None else str(self._owner)),
        )
        for what, there, here in asked:
            if here is not None and there != here:
                message = (
                    f"{self} is there with {what} {there}, not {here}; leave that out, or take"
                    " another name"
                )
                raise ConfigurationError(message)

    def _is_owner(self, standing: Standing, head: Head) -> bool:
        return standing.principal == Principal.SYSTEM or str(standing.principal) == head.owner

    def _require(self, unit: Unit, head: Head, role: str | None, operation: str) -> Standing:
        """Return in whose name the call runs; Denied unless that may play the part.

        ``None`` is the owner's part alone. The owner and the system may play every part.
        """
        standing = self._admit(unit, operation)
        if self._is_owner(standing, head):
            return standing
        members = None if role is None else head.roles.get(role)
        if role is not None and (members is None or is_one_of(standing.principal, members)):
            return standing
        why = "it is the owner's to do" if role is None else "that part is played by others"
        raise self._deny(unit, operation, why)

    def _admit(self, unit: Unit, operation: str) -> Standing:
        return admit(self._office, unit, self._rows.scope, operation)

    def _saw(self, unit: Unit, operation: str, head: Head) -> None:
        """Have it stand in the audit that somebody has seen what another owns."""
        if not self._is_owner(unit.standing, head) and self._office.desk.guard.reads:
            scope = self._rows.scope
            seen = recorded(self._office, unit, scope, operation, "reader", "allowed")
            unit.audit.append(seen)

    def _deny(self, unit: Unit, operation: str, why: str) -> Denied:
        return deny(self._office, unit, self._rows.scope, operation, why)

    def _report(self, key: str, what: str, error: Exception) -> None:
        """Have it stand in the log, once, that something stored does not decode."""
        place = self._rows.place(key)
        if place not in self._office.damaged:
            self._office.damaged.add(place)
            logger.error("%s: %s does not decode: %s", self, what, error)

    # Waking: an agent is told by a message that leaves with the commit.

    def _listen(self, unit: Unit, key: str, who: Principal, wake: Method | None) -> None:
        """Have an agent's method called, or no longer."""
        if wake is not None and who.kind != "agent":
            message = f"{self}: only agents can be woken, and {who} is none; leave wake out"
            raise ConfigurationError(message)
        if wake is not None:
            check_method(self._office, who, wake)

        def entered(text: str | None) -> str | None:
            wakes = _wakes(text)
            wakes.pop(str(who), None)
            if wake is not None:
                wakes[str(who)] = method_name(wake)
            return msgspec.json.encode(wakes).decode() if wakes else None

        self._rows.change(unit, key, entered)  # entries commute: no need to look first

    def _listeners(self, unit: Unit, key: str) -> list[tuple[Principal, str]]:
        # Held firm: who comes to listen meanwhile is woken, too.
        wakes = _wakes(self._rows.firm(unit, key))
        return [(Principal.parse(who), method) for who, method in sorted(wakes.items())]

    def _tell_again(self, unit: Unit, key: str) -> None:
        """Tell the caller once more, if it listens: it has left something."""
        who = unit.standing.principal
        method = _wakes(self._rows.peek(unit, key)).get(str(who))
        if method is not None:
            self._tell(unit, who, method, within=True)  # it is in that session already

    def _tell_one(
        self,
        unit: Unit,
        number: int,
        listeners: list[tuple[Principal, str]],
        *,
        within: bool = False,
    ) -> None:
        """Tell one of those who listen, another for each number; one that rests only if all do.

        ``within`` the session of the unit, where the owner has named who works there.
        """
        among = in_turn(number, listeners)
        who, method = next((one for one in among if not self._rests(one[0])), among[0])
        self._tell(unit, who, method, within=within)

    def _rests(self, who: Principal) -> bool:
        try:
            return self._office.post.rests(self._office.reference(who.id, who.part))
        except UnknownAgent:
            return True

    def _tell(
        self, unit: Unit, who: Principal, method: str, *args: object, within: bool = False
    ) -> None:
        try:
            ref = self._office.reference(who.id, who.part)
            self._office.tell(unit, ref, ProxyCall((method,), args, {}), within=within)
        except (UnknownAgent, AttributeError, TypeError) as error:
            # Its class has changed since, or is not there: no reason to fail whoever brings news.
            logger.warning("%s: %s is not told: %s", self, who, error)


def _wakes(text: str | None) -> Wakes:
    return {} if text is None else msgspec.json.decode(text, type=Wakes)


def check_method(office: Office, who: Principal, method: Method, arguments: int = 0) -> None:
    """Refuse a method that the agent does not have, or that takes other arguments."""
    name, agent_class = method_name(method), office.reference(who.id, who.part).actor_class
    handler = getattr(agent_class, name, None)
    if name.startswith("_") or not callable(handler):
        raise ConfigurationError(f"{agent_class.__name__} has no method {name!r} to be woken by")
    try:
        inspect.signature(handler).bind(None, *[None] * arguments)
    except TypeError as error:
        message = f"{agent_class.__name__}.{name} cannot be woken: {error}"
        raise ConfigurationError(message) from None


def method_name(method: Method) -> str:
    """Return the name by which a method is called."""
    name = method if isinstance(method, str) else getattr(method, "__name__", "")
    if not name.isidentifier():
        raise ConfigurationError(f"{method!r} is no method; give one, as in wake=Desk.work")
    return name
