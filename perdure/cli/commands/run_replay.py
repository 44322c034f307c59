"""``perdure runs replay``: a run gone through again, without a provider, under some code."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from ...actors.agent.program import load_program
from ...llm.agent import ThinkingAgent
from ...llm.playback import RunReplay, play
from ...llm.stored import StoredThinker
from ...persistence.errors import ConfigurationError
from ...url import open_reader
from ..terminal.exits import ExitCode
from ..terminal.screen import ColumnStyle, Screen, print_json
from ..terminal.text import count
from ..terminal.values import short

_COLUMNS: Final[list[tuple[str, ColumnStyle]]] = [
    ("MODEL CALL", "number"), ("WHAT", "word"), ("RECORDED", "value"), ("NOW", "value"),
]  # fmt: skip


def replay(
    store: str, kind: str, key: str, run: str, against: str | None, *, json: bool
) -> ExitCode:
    """Go through a run again; PROBLEMS if it does not come out as it was."""
    agent_class = _class_of(kind, against)
    with closing(open_reader(store)) as reader:
        thinker = StoredThinker(reader, kind, key)
        found, steps = thinker.run(run), [step for _, step in thinker.steps()]
    played = asyncio.run(play(agent_class, found, steps))
    if json:
        facts = msgspec.structs.asdict(played)
        differs = [msgspec.structs.asdict(each) for each in facts.pop("differences")]
        print_json({"kind": kind, "key": key, **facts, "same": played.same, "differs": differs})
    else:
        _print(f"{kind}/{key} {run}", played)
    return ExitCode.DONE if played.same else ExitCode.PROBLEMS


def _class_of(kind: str, against: str | None) -> type[Any]:
    """Return the class that is named alone, or the one of a list that has the kind."""
    if against is None:
        message = "`runs replay` needs --against MODULE:NAME, the code whose model would be asked"
        raise ConfigurationError(message)
    agents = load_program(against, Path.cwd()).agents
    named = agents if len(agents) == 1 else [each for each in agents if each.kind == kind]
    if not named or not issubclass(named[0], ThinkingAgent):
        message = f"{against} has no class of agents that think of kind {kind!r}; name one"
        raise ConfigurationError(message)
    return named[0]


def _print(run: str, played: RunReplay) -> None:
    screen = Screen()
    calls = count(played.models, "model call", "model calls")
    tools = count(played.tools, "tool", "tools")
    verdict = "as it was recorded" if played.same else "not as it was recorded"
    screen.say(f"{run}: {calls} and {tools} answered as they were; {verdict}")
    if played.differences:
        rows = [(d.nth, d.what, short(d.recorded), short(d.now)) for d in played.differences]
        screen.table(_COLUMNS, rows)
    if played.error:
        screen.say(f"it failed: {played.error}")
