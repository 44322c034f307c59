"""What may be set in an agent class; looked at when it is made, and when a system takes it."""

from __future__ import annotations

from typing import Any

from ...lifecycle.durability import AutoSave, Durability, WhenUnsaved
from ...lifecycle.restart import RestartPolicy
from ...persistence.errors import ConfigurationError
from ...persistence.names.keys import check_name
from ...persistence.options import Options, by_class
from ...persistence.schema.schema import numbers_of
from ...persistence.upkeep.repair import UNREADABLE
from ...shared.access.boundaries import checked_boundary


def check_options(agent_class: type[Any]) -> None:
    """Refuse the first option that makes no sense; ConfigurationError names it."""
    name = agent_class.__name__
    options = Options(agent_class, by_class(name))
    options.kind("durability", Durability, "Durability.SNAPSHOT")
    options.kind("when_unsaved", WhenUnsaved, "WhenUnsaved.CONTINUE")
    options.kind("autosave", AutoSave, "AutoSave(every=5.0)", none="that of the system")
    options.kind("restarts", RestartPolicy, "RestartPolicy(restarts=3)")
    options.among("unreadable", *UNREADABLE)
    options.kind("record", bool, "True")
    options.whole("mailbox_limit", least=1, none="no limit")
    options.seconds("turn_limit", none="no limit")
    if not isinstance(agent_class.aliases, list | tuple):
        message = f"{name}.aliases is {agent_class.aliases!r}; list kinds, as in ['OldName']"
        raise ConfigurationError(message)
    for alias in agent_class.aliases:
        check_name(f"kind in {name}.aliases", alias)
    mind = agent_class.mind
    if mind is not None and not (isinstance(mind, type) and hasattr(mind, "think")):
        message = f"{name}.mind is {mind!r}; give a class of agents that think, or None for no mind"
        raise ConfigurationError(message)
    numbers_of(agent_class.messages_version, f"{name}.messages_version")
    checked_boundary(name, agent_class.boundary)
