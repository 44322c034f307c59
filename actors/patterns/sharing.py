"""What agents share by pattern: ``system.sharing``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ...persistence.names.scope import Principal
from .document import Document
from .family import Family
from .pipeline import Pipeline
from .quota import Quota
from .requests import Requests
from .rows import Office
from .rules import Members
from .topic import Topic

T = TypeVar("T")


class Sharing:
    """Find or make shared things by name.

    The first call with a name makes the thing; its caller owns it, or gives it to an ``owner``. In
    a turn all is part of the turn: done when it commits, undone with it. Outside the system acts:
    each call is a commit of its own and returns when that is durable. Refused calls raise Denied,
    a full thing QuotaExceeded, another declaration of a name ConfigurationError.
    """

    def __init__(self, office: Office) -> None:
        """Work in ``office``."""
        self._office = office

    def acting_as(self, principal: Principal) -> Sharing:
        """Return a handle that acts as ``principal`` outside of turns.

        Denied on a handle that acts as somebody else.
        """
        return Sharing(self._office.acting_as(principal))

    def __repr__(self) -> str:
        who = self._office.desk.standing().principal
        return f"<Sharing acting as {who}: topic, pipeline, requests, document, family>"

    def topic(
        self,
        name: str,
        *,
        quota: Quota | None = None,
        owner: Principal | None = None,
        readers: Members = None,
    ) -> Topic:
        """Return a topic: its owner publishes, ``readers`` (else everybody) may subscribe."""
        return Topic(self._office, name, quota=quota, owner=owner, readers=readers)

    def pipeline(
        self,
        name: str,
        stages: Sequence[str] | None = None,
        *,
        quota: Quota | None = None,
        owner: Principal | None = None,
        roles: Mapping[str, Members] | None = None,
    ) -> Pipeline:
        """Return a pipeline of ``stages``, which may be left out once it is there.

        ``roles`` says who may work at a stage, and as ``"sources"`` who may put items in; a part
        that it does not name is everybody's.
        """
        return Pipeline(self._office, name, stages, quota=quota, owner=owner, roles=roles)

    def requests(
        self,
        name: str,
        *,
        quota: Quota | None = None,
        owner: Principal | None = None,
        responders: Members = None,
    ) -> Requests:
        """Return a board of requests: ``responders`` answer, else its owner alone."""
        return Requests(self._office, name, quota=quota, owner=owner, responders=responders)

    def document(
        self,
        name: str,
        type: type[T],  # noqa: A002 - as msgspec has it
        *,
        initial: T,
        quota: Quota | None = None,
        owner: Principal | None = None,
        readers: Members = None,
        writers: Members = None,
    ) -> Document[T]:
        """Return a document that several change; ``initial`` is what it is before any change."""
        return Document(
            self._office,
            name,
            type,
            initial=initial,
            quota=quota,
            owner=owner,
            readers=readers,
            writers=writers,
        )

    def family(self) -> Family:
        """Return who is below whom among the agents."""
        return Family(self._office)
