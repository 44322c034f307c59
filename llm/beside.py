"""What a tool sees as ``self`` beside the turns of its agent: the agent without its state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final

from ..persistence.errors import ConfigurationError

_OF_TURNS: Final = frozenset(
    {"state", "turn", "after", "every", "cancel", "pause", "stop", "delete_self", "random"}
)


class AgentBeside:
    """Stand for an agent where no turn of it is under way: all of it but what belongs to turns."""

    def __init__(self, agent: Any) -> None:  # noqa: ANN401 - a ThinkingAgent, which is above
        """Stand for ``agent``."""
        object.__setattr__(self, "_agent", agent)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the agent's
        """Return an attribute of the agent; its methods work here as the tool does."""
        agent = object.__getattribute__(self, "_agent")
        if name in _OF_TURNS:
            message = (
                f"{agent}: self.{name} belongs to turns, and a tool runs beside them; mark it"
                ' @tool(effect="turn"), or ask the agent: await self.actor_ref.call(...)'
            )
            raise ConfigurationError(message)
        found = getattr(agent, name)
        ours = isinstance(found, MethodType) and isinstance(found.__func__, FunctionType)
        return partial(_function(found), self) if ours and found.__self__ is agent else found

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse it: tools of several processes and threads would meet there."""
        agent = object.__getattribute__(self, "_agent")
        message = f"{agent}: a tool sets self.{name} beside the turns; have it done by a turn"
        raise ConfigurationError(message)

    def __str__(self) -> str:
        return str(object.__getattribute__(self, "_agent"))


def _function(method: MethodType) -> Callable[..., Any]:
    function: Callable[..., Any] = method.__func__
    return function
