"""The commands about agents: list them, look at one, take a step of its life."""

from __future__ import annotations

from typing import Annotated

import typer

from ..lifecycle.status import Status
from ..persistence.errors import ConfigurationError
from .terminal.exits import ExitCode
from .terminal.options import (
    AgentsAction,
    AsJson,
    Key,
    Kind,
    Listing,
    OfKey,
    OfKind,
    Printing,
    Store,
    name,
    names,
    number,
    text,
)


def agents(
    store: Store,
    action: Annotated[
        AgentsAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = AgentsAction.LIST,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="KIND KEY", callback=names, help="Which agent; none for list."),
    ] = None,
    *,
    kind: OfKind = None,
    key: OfKey = None,
    status: Annotated[Status | None, typer.Option(help="Only agents of this status.")] = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="Delete, and overwrite what the journal has of it.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="KEY",
            callback=name,
            show_default=False,
            help="With fork: the key of the new agent.",
        ),
    ] = None,
    at: Annotated[
        int | None,
        typer.Option(
            metavar="VERSION",
            callback=number,
            show_default="the latest",
            help="With fork: as it was then.",
        ),
    ] = None,
    listing: Listing,
) -> ExitCode:
    """List the agents in a store; pause, resume, restart, stop, delete or fork one.

    `list` shows them by kind and key, or with --newest those first that have committed last; also
    those that have mail but have never committed. The other actions write: the
    process that has the store open does it, and answers when it is durable. Where nobody has, it
    is done in the store, and no method of the agent runs. `delete` takes state, mail, timers, dead
    letters and the keys of the agent's own scope; the journal keeps its entries unless --erase.
    `fork` makes a new agent of the same kind that begins with the state of another, as it is or as
    it was at a version; that one is left as it is.

    \b
    perdure agents --store desk.db --status quarantined
    perdure agents --store desk.db --limit 1000000 --json | wc -l
    perdure agents restart Desk emea --store desk.db
    perdure agents delete Desk emea --erase --store desk.db
    perdure agents fork Desk emea --as emea-before --at 3 --store desk.db
    """
    if (target is None) is (action is AgentsAction.FORK) or (at is not None and target is None):
        raise ConfigurationError("--as goes with `agents fork`, which needs it; so does --at")
    if target is not None:
        from .commands.operate import fork

        return fork(store, words or [], target, at, json=listing.json)
    if action is not AgentsAction.LIST:
        from .commands.operate import agent_step

        if erase and action is not AgentsAction.DELETE:
            raise ConfigurationError("--erase goes with `agents delete` alone")
        return agent_step(store, action, words or [], erase=erase, json=listing.json)
    from .commands.agents import list_agents
    from .commands.census import AgentFilter

    if words or erase:
        raise ConfigurationError("`agents list` takes no names; --kind and --status choose some")
    list_agents(store, AgentFilter(kind, key, status), listing)
    return ExitCode.DONE


def isolate(
    kind: Kind,
    key: Key,
    store: Store,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", callback=text, help="Why, for the audit.")],
    json: AsJson = False,
) -> ExitCode:
    """Cut an agent off from everything, in the middle of whatever it does.

    Writes: the process that has the store open does it, else it is done in the store. Its mail
    waits until `perdure restore`.

    \b
    perdure isolate Desk emea --reason "it leaks" --store desk.db
    """
    from .commands.operate import isolate as cut_off

    return cut_off(store, kind, key, reason, json=json)


def restore(kind: Kind, key: Key, store: Store, *, json: AsJson = False) -> ExitCode:
    """Let an isolated agent take part again, with all the mail that waited.

    Writes: the process that has the store open does it, else it is done in the store.

    \b
    perdure restore Desk emea --store desk.db
    """
    from .commands.operate import restore as let_go_on

    return let_go_on(store, kind, key, json=json)


def show(
    kind: Kind,
    key: Key,
    store: Store,
    *,
    items: Annotated[
        int,
        typer.Option(
            min=0, max=1_000_000, metavar="N", help="Log items, map entries, messages, commits."
        ),
    ] = 5,
    log: Annotated[str | None, typer.Option(metavar="NAME", help="Only items of this log.")] = None,
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            metavar="POSITION",
            callback=number,
            help="With --log, the first item.",
            show_default="the last items",
        ),
    ] = None,
    at: Annotated[
        int | None,
        typer.Option(
            metavar="VERSION", callback=number, help="As it was then.", show_default="as it is now"
        ),
    ] = None,
    printing: Printing,
) -> ExitCode:
    """Show one agent: its state, mail, timers and last commits.

    Of logs the last items are shown, of maps and mail the first; with --log only that log, from
    any position. The exit code is 1 if a value cannot be read; the others are shown. An agent
    of whom there is only mail or a dead letter has never committed: it has no state yet.
    With --at the state at an earlier version is built again from the journal, as far as it
    reaches; mail and timers are not in it.

    \b
    perdure show Desk emea --store desk.db
    perdure show Desk emea --store desk.db --json | jq .fields
    perdure show Desk emea --store desk.db --log transcript --from 1000 --items 100
    perdure show Desk emea --at 3 --store desk.db
    """
    if at is not None:
        from .commands.versions import show_version

        if log is not None or start is not None:
            raise ConfigurationError("--at shows the whole state: leave out --log and --from")
        return show_version(store, kind, key, at, items=items, json=printing.json)
    if log is not None:
        from .commands.log_items import show_log

        return show_log(store, kind, key, log, start=start, items=items, json=printing.json)
    if start is not None:
        raise ConfigurationError("--from needs --log NAME: the log whose items to show")
    from .commands.show import show_agent

    return show_agent(store, kind, key, items=items, json=printing.json)


def diff(
    kind: Kind,
    key: Key,
    first: Annotated[
        int | None,
        typer.Argument(
            metavar="FROM", callback=number, help="A version.", show_default="the one before TO"
        ),
    ] = None,
    last: Annotated[
        int | None,
        typer.Argument(
            metavar="TO", callback=number, help="Another.", show_default="the latest version"
        ),
    ] = None,
    *,
    store: Store,
    printing: Printing,
) -> ExitCode:
    """Show what differs between two versions of an agent.

    By path: fields, and what is inside their values; items of logs and entries of maps. Built from
    the journal, as far as it reaches. Version 0 is before the first commit. The exit code is 1 if
    a value is not known any more; the others are shown.

    \b
    perdure diff Desk emea --store desk.db         what the last commit changed
    perdure diff Desk emea 3 --store desk.db       what changed since version 3
    perdure diff Desk emea 3 5 --store desk.db --json
    """
    from .commands.versions import show_diff

    return show_diff(store, kind, key, first, last, json=printing.json)
