"""What an agent is to those who refer to it: an actor with a kind and a key."""

from __future__ import annotations

from typing import ClassVar

from ..pool.pooled import PooledActor


class Identified(PooledActor):
    """Be an actor with an identity; references and the agents they lead to agree on this much."""

    kind: ClassVar[str]
    key: str
