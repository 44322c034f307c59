"""The commands about what happens to agents: commits, mail, timers, dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.options import Action, Listing, OfKey, OfKind, Store, numbers


def journal(
    store: Store,
    *,
    kind: OfKind = None,
    key: OfKey = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with those to come.")
    ] = False,
    listing: Listing,
) -> None:
    """List the commits of a store, a kind or an agent.

    The last ones, the newest at the end; with --oldest from the first one on, with --newest from
    the last one back. A place is the sequence of a commit; without --newest those follow it.

    \b
    perdure journal --store desk.db
    perdure journal --kind Desk --key emea --store desk.db --follow
    perdure journal --store desk.db --oldest --limit 1000 --json
    """
    from .commands.census import AgentFilter
    from .commands.journal import show_journal

    show_journal(store, AgentFilter(kind, key), listing, follow=follow)


def mail(
    store: Store,
    *,
    kind: OfKind = None,
    key: OfKey = None,
    listing: Listing,
) -> None:
    """List the messages that wait, of a store, a kind or an agent.

    The oldest come first. Mail of VOLATILE agents is in memory only, and not in the store.

    \b
    perdure mail --store desk.db
    perdure mail --kind Desk --key emea --newest --store desk.db
    """
    from .commands.census import AgentFilter
    from .commands.waiting import list_mail

    list_mail(store, AgentFilter(kind, key), listing)


def timers(
    store: Store,
    *,
    kind: OfKind = None,
    key: OfKey = None,
    listing: Listing,
) -> None:
    """List the timers of a store, a kind or an agent.

    Those due first come first; with --newest those due last.

    \b
    perdure timers --store desk.db
    perdure timers --kind Desk --limit 5 --json --store desk.db
    """
    from .commands.census import AgentFilter
    from .commands.waiting import list_timers

    list_timers(store, AgentFilter(kind, key), listing)


def dead_letters(
    store: Store,
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="What to do.")] = Action.LIST,
    ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="ID", callback=numbers, help="Which letters; none for list."),
    ] = None,
    *,
    kind: OfKind = None,
    key: OfKey = None,
    every: Annotated[bool, typer.Option("--all", help="All letters there are.")] = False,
    listing: Listing,
) -> None:
    """List messages nobody could handle; put them back.

    `requeue` puts letters into their agents' mail again, `discard` removes them for good and
    prints what it removed: those of the IDs, or with --all or --kind all there are. Both write: the
    process that has the store open does it, one letter after the other; where nobody has, all
    are moved in one commit.

    \b
    perdure dead-letters --store desk.db
    perdure dead-letters show 1099511627777 --store desk.db
    perdure dead-letters requeue 1099511627777 --store desk.db
    perdure dead-letters discard --kind Desk --store desk.db
    """
    from .commands.census import AgentFilter
    from .commands.dead_letters import Which, handle

    handle(store, action, Which(ids or [], every, AgentFilter(kind, key)), listing)
