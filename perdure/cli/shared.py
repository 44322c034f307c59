"""The commands about what agents share, and who may touch it."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import (
    ArtifactsAction,
    AsJson,
    AuditAction,
    Listing,
    OfChain,
    Sealed,
    SecretKeys,
    SecretsAction,
    SessionsAction,
    StateAction,
    Store,
    name,
    names,
    number,
    text,
)


def audit(
    store: Store,
    action: Annotated[
        AuditAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = AuditAction.LIST,
    *,
    who: Annotated[
        str | None, typer.Option(metavar="WHO", help="Only of agent:KIND/KEY, user:ID or system.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(metavar="SCOPE", help="Only about a scope, as workflow:ID.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(metavar="OUTCOME", help="Only allowed, refused or undone.")
    ] = None,
    operation: Annotated[
        str | None, typer.Option(metavar="OPERATION", help="Only of an operation, as read.")
    ] = None,
    correlation: OfChain = None,
    keys: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", help="A key file, env:VARIABLE or keyring:SERVICE.", show_default=False
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="NUMBER:HASH", help="A head that was noted before.")
    ] = None,
    listing: Listing,
) -> ExitCode:
    """List decisions about access; verify their chain; print its head; put a new key in force.

    `list` shows the last ones, the newest at the end; with --oldest from the first one on, with
    --newest from the last one back. `verify` reads every decision; the exit code is 1 if a row was
    changed, is missing or does not belong there, and each is named. With --head it also finds out
    whether the newest rows were cut off since that head was noted; --keys has the key of a chain
    that was made with one. `seal` has the first of --keys hold from here on, after the keys were
    changed; it writes, so the store must not be open. Compare a noted head before: what stands
    there counts as good then.

    \b
    perdure audit --store desk.db --outcome refused
    perdure audit head --store desk.db
    perdure audit verify --store desk.db --head 41:9f2c...
    perdure audit seal --store desk.db --keys audit-keys.txt
    """
    from .commands.audit import AuditFilter, handle

    wanted = AuditFilter(who, scope, outcome, operation, correlation)
    return handle(store, action, wanted, listing, keys=keys, head=head)


def state(
    store: Store,
    action: Annotated[
        StateAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = StateAction.LIST,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORDS", callback=names, help="SCOPE, KEY and JSON; for files, FILE and SCOPE."
        ),
    ] = None,
    *,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", callback=text, help="Only keys that begin so.")
    ] = "",
    ttl: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long a key that is set lives.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Import only keys that are not there yet.")
    ] = False,
    sealed: Sealed = False,
    force: Annotated[
        bool, typer.Option("--force", help="Set a key also where it holds a secret.")
    ] = False,
    listing: Listing,
) -> ExitCode:
    """List, read and write what agents share.

    `list` without a scope lists the scopes; with --newest those come first that were changed last.
    Scopes are written as `global`, `user:mira`,
    `workflow:w1`, `workflow:w1/step:parse`, `session:s1`, `tool:search`, `agent:Desk/emea`,
    `custom:NAME/ID`, values as JSON. `set`, `delete`, `clear` and `import` write, so the store
    must not be open: the process that owns it is named otherwise. An import verifies the whole
    file before it writes. An export to - goes to standard output; the exit code is 1 if keys are
    damaged, which are not in it. Types that a program registers for keys are not known here: `set`
    writes any JSON, but nothing over a secret without --force.

    \b
    perdure state list workflow:w1 --prefix out/ --store desk.db
    perdure state get user:mira language --store desk.db
    perdure state set user:mira language '"en"' --ttl 86400 --store desk.db
    perdure state delete user:mira language --store desk.db
    perdure state clear workflow:w1 --store desk.db
    perdure state export shared.jsonl --store desk.db
    perdure state import shared.jsonl --keep --store other.db
    """
    from .commands.state import StateCommand, handle

    asked = StateCommand(words or [], prefix, ttl, keep, sealed, force, listing)
    return handle(store, action, asked)


def sharing(
    store: Store,
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="PATTERN", callback=name, help="Only of one, as pipeline."),
    ] = None,
    *,
    listing: Listing,
) -> None:
    """List topics, pipelines, requests, documents and families.

    Each with what it holds: the items of each stage and those dropped, the places of readers, and
    so on. By pattern and name; with --newest those come first that were changed last.

    \b
    perdure sharing --store desk.db
    perdure sharing pipeline --store desk.db
    """
    from .commands.sharing import list_patterns

    list_patterns(store, pattern, listing)


def sessions(
    store: Store,
    action: Annotated[
        SessionsAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = SessionsAction.LIST,
    what: Annotated[
        str | None,
        typer.Argument(metavar="ID", callback=name, help="Which session; for import, a FILE."),
    ] = None,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", callback=name, help="Where to export to.")
    ] = None,
    *,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only active, suspended, ... ones.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="WHO", help="Only of agent:KIND/KEY, user:ID or system.")
    ] = None,
    parent: Annotated[
        str | None, typer.Option(metavar="ID", callback=name, help="Only those nested in one.")
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="BY", help="By created, changed or name.")
    ] = "created",
    new_id: Annotated[
        str | None,
        typer.Option("--as", metavar="ID", callback=name, help="Import under another id."),
    ] = None,
    sealed: Sealed = False,
    listing: Listing,
) -> None:
    """List sessions, show one, move one from store to store.

    `list` shows the last ones first, unless --oldest is given; `history` shows the commits of a
    session, the first one first. `export` writes it to one file, `import` reads such a
    file after all of it was verified, `archive` puts an ended session away. The last two write,
    so the store must not be open: the process that owns it is named otherwise.

    \b
    perdure sessions --store desk.db --status active
    perdure sessions history chat-7 --store desk.db
    perdure sessions export chat-7 chat-7.perdure --store desk.db
    perdure sessions import chat-7.perdure --as copy --store other.db
    """
    from .commands.sessions import SessionsCommand, handle

    asked = SessionsCommand(what, file, status, owner, parent, sort, new_id, sealed, listing)
    handle(store, action, asked)


def secrets(
    store: Store,
    action: Annotated[
        SecretsAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = SecretsAction.STATUS,
    *,
    keys: SecretKeys = None,
    pickles: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", help="The same for the keys of pickled objects.", show_default=False
        ),
    ] = None,
    json: AsJson = False,
) -> ExitCode:
    """Show the keys of secrets; seal them with another; find plain ones.

    `status` counts the sealed secrets by key; with --keys the exit code is 1 if one of those
    keys is missing, or is another one than they were sealed with. `rotate` seals all with the
    first key of --keys, and signs pickled objects again with the first of --pickles; it writes,
    so the store must not be open. `scan` looks for secrets in
    plain values; the exit code is 1 if it finds some. No action shows a secret.

    \b
    perdure secrets --store desk.db --keys keys.txt
    perdure secrets rotate --store desk.db --keys env:PERDURE_KEYS
    perdure secrets scan --store desk.db --json
    """
    from .commands.secrets import handle

    return handle(store, action, keys=keys, pickles=pickles, json=json)


def artifacts(
    store: Store,
    action: Annotated[
        ArtifactsAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = ArtifactsAction.LIST,
    artifact: Annotated[
        str | None, typer.Argument(metavar="NAME", callback=name, help="The artifact's name.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Where bytes go to or come from; - is a pipe."),
    ] = None,
    *,
    scope: Annotated[
        str | None,
        typer.Option(metavar="SCOPE", help="Such as user:mira.", show_default="global"),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(
            metavar="N", callback=number, help="Which version.", show_default="the newest"
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="What it is.", show_default=False),
    ] = None,
    media: Annotated[str, typer.Option(metavar="TYPE", help="Such as text/csv.")] = "",
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="To be found by.", show_default=False)
    ] = None,
    listing: Listing,
) -> None:
    """List artifacts; show one, get its bytes, put new ones, delete.

    `get` verifies what it writes, makes a new file and replaces none; without FILE, bytes go to
    standard output, and `put` takes them from standard input. `sources` shows what an artifact
    was made from, directly and indirectly. `list` shows those of all scopes unless one is named,
    the oldest first. Types: agent-output, tool-result, user-input, system, custom. `put` and
    `delete` write, so the store must not be open.

    \b
    perdure artifacts --store desk.db --tag report
    perdure artifacts get report.csv report.csv --scope user:mira --store desk.db
    perdure artifacts put scan.tif scan.tif --type user-input --store desk.db
    """
    from .commands.artifacts import ArtifactsCommand, handle

    tags = tuple(tag or ())
    asked = ArtifactsCommand(artifact, file, scope, version, kind, media, tags, listing)
    handle(store, action, asked)
