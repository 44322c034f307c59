"""Supervision groups: who else is restarted when one fails, and who hears when that is no use."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ..persistence.errors import ConfigurationError
from .restart import Intensity, RestartPolicy, Strategy

Member = tuple[str, str]
"""An agent as (kind, key)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What supervision decided about a failure."""

    restart: tuple[Member, ...]
    """Members to begin again, in this order."""
    quarantine: tuple[Member, ...]
    """Members that are given up."""
    count: int
    """Restarts in the period so far, for the backoff."""
    policy: RestartPolicy


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A supervision group as it stands."""

    name: str
    strategy: str
    parent: str | None
    members: tuple[Member, ...]
    restarts: int
    """Restarts within the period of its policy."""
    allowed: int
    """Restarts its policy allows within that period."""


@dataclass(slots=True)
class Group:
    """A supervised set of agents; groups may be members of a parent group."""

    name: str
    strategy: Strategy
    policy: RestartPolicy
    parent: Group | None
    members: list[Member] = field(default_factory=list)
    children: list[Group] = field(default_factory=list)
    intensity: Intensity = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no restarts."""
        self.intensity = Intensity(self.policy)

    def everyone(self) -> list[Member]:
        """Return the members of this group and of the groups below it."""
        return [*self.members, *(m for child in self.children for m in child.everyone())]

    def forgive(self) -> None:
        """Forget the restarts of this group and of the groups below it."""
        self.intensity.clear()
        for child in self.children:
            child.forgive()


class SupervisionTree:
    """Decide what happens when an agent fails. Thread-safe.

    An agent in no group is supervised alone, under its own class's policy.
    """

    def __init__(self) -> None:
        """Make a tree without groups."""
        self._lock = threading.Lock()
        self._groups: dict[str, Group] = {}
        self._group_of: dict[Member, Group] = {}

    def group(
        self,
        name: str,
        members: list[Member],
        *,
        strategy: Strategy,
        policy: RestartPolicy,
        parent: str | None,
    ) -> None:
        """Make a group; ConfigurationError if the name is taken or a member is in another."""
        with self._lock:
            if name in self._groups:
                message = f"there is a supervision group {name!r} already"
                raise ConfigurationError(message)
            if parent is not None and parent not in self._groups:
                message = f"the parent group {parent!r} of {name!r} does not exist; make it first"
                raise ConfigurationError(message)
            if len(set(members)) < len(members):
                message = f"the supervision group {name!r} names a member twice"
                raise ConfigurationError(message)
            for member in members:
                if member in self._group_of:
                    where = self._group_of[member].name
                    message = f"{'/'.join(member)} is in the group {where!r} already"
                    raise ConfigurationError(message)
            above = self._groups[parent] if parent is not None else None
            group = Group(name, strategy, policy, above, list(members))
            if above is not None:
                above.children.append(group)
            self._groups[name] = group
            self._group_of.update((member, group) for member in members)

    def failed(self, member: Member, own: Intensity, policy: RestartPolicy, now: float) -> Verdict:
        """Decide about a failure; ``own`` and ``policy`` are those of an agent in no group."""
        with self._lock:
            group = self._group_of.get(member)
            if group is None:
                count = own.record(now)
                if count is None:
                    return Verdict((), (member,), 0, policy)
                return Verdict((member,), (), count, policy)
            count = group.intensity.record(now)
            if count is not None:
                return Verdict(tuple(_affected(group, member)), (), count, group.policy)
            return self._escalate(group, now)

    def forgive(self, member: Member) -> None:
        """Forget the restarts of a member's group; called when a person restarts it."""
        with self._lock:
            group = self._group_of.get(member)
            while group is not None:
                group.intensity.clear()
                group = group.parent

    def describe(self, now: float) -> tuple[GroupDescription, ...]:
        """Return every group, parents first."""
        with self._lock:
            return tuple(
                GroupDescription(
                    group.name,
                    group.strategy,
                    group.parent.name if group.parent is not None else None,
                    tuple(group.members),
                    group.intensity.count(now),
                    group.policy.restarts,
                )
                for group in self._groups.values()
            )

    def _escalate(self, group: Group, now: float) -> Verdict:
        """Give a group's failure to its parent; above the top everybody in it is given up.

        A group that its parent restarts begins with no restarts counted, and so does every group
        below it: otherwise the next failure would escalate at once. Each step goes up, so this
        ends.
        """
        while group.parent is not None:
            failed, group = group, group.parent
            count = group.intensity.record(now)
            if count is not None:
                affected = _affected_groups(group, failed)
                for child in affected:
                    child.forgive()
                again = (
                    group.everyone()
                    if group.strategy is Strategy.ONE_FOR_ALL
                    else [member for child in affected for member in child.everyone()]
                )
                return Verdict(tuple(again), (), count, group.policy)
        return Verdict((), tuple(group.everyone()), 0, group.policy)


def _affected(group: Group, member: Member) -> list[Member]:
    if group.strategy is Strategy.ONE_FOR_ONE:
        return [member]
    everyone = group.everyone()
    if group.strategy is Strategy.ONE_FOR_ALL:
        return everyone
    # The groups below were made after this one, so they joined after all its members.
    return everyone[everyone.index(member) :]


def _affected_groups(parent: Group, failed: Group) -> list[Group]:
    if parent.strategy is Strategy.ONE_FOR_ONE:
        return [failed]
    if parent.strategy is Strategy.ONE_FOR_ALL:
        return parent.children
    return parent.children[parent.children.index(failed) :]
