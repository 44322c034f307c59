"""The commands about schemas: what a store was written with, and migrations."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import (
    AsJson,
    JUnitFile,
    OfKind,
    SchemaAction,
    SecretKeys,
    Store,
    names,
    text,
)


def schema(
    store: Store,
    action: Annotated[
        SchemaAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = SchemaAction.LIST,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NUMBER]...", callback=names, help="Which: by number, or KIND for its latest."
        ),
    ] = None,
    *,
    kind: OfKind = None,
    json: AsJson = False,
) -> ExitCode | None:
    """List, show and compare the schemas that a store was ever written with.

    A schema is what a class stores: its fields, their types and defaults. `show` writes Markdown;
    with --json there is JSON Schema in it. `diff` says what differs from one to another, and
    whether values of the first are read by the class of the second: its exit code is 1 if they
    need a migration.

    \b
    perdure schema list --store desk.db
    perdure schema show 2 --store desk.db
    perdure schema diff 1 2 --store desk.db
    """
    from .commands.schemas import diff_schemas, list_schemas, show_schema

    if action is SchemaAction.LIST:
        list_schemas(store, kind, json=json)
        return None
    if action is SchemaAction.SHOW:
        show_schema(store, words or [], json=json)
        return None
    return diff_schemas(store, words or [], json=json)


Code = Annotated[
    str,
    typer.Option(
        metavar="MODULE",
        callback=text,
        show_default=False,
        help="The code: a module, or MODULE:NAME for an Agent subclass or a list of them.",
    ),
]


def migrate(
    store: Store,
    *,
    code: Code,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", callback=names, show_default=False, help="Only these; repeatable."
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            show_default=False,
            help="To another version than that of the class, by the ways back; with --kind,"
            " --values or --metadata.",
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            show_default=False,
            help="With --to: the shared values of this pattern of SCHEMAS, and nothing else.",
        ),
    ] = None,
    metadata: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            show_default=False,
            help="With --to: the metadata of artifacts of this pattern of METADATA, nothing else.",
        ),
    ] = None,
    messages_to: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            show_default=False,
            help="What waits to another version than that of the class; with --kind.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")
    ] = False,
    keys: SecretKeys = None,
    json: AsJson = False,
) -> ExitCode:
    """Bring all that is stored to the schemas of its classes. This command writes.

    Agents are migrated when they wake up; this does it now, for all of them, and nothing of them
    runs. First it is tried on every agent: if one cannot be migrated, none is, and each is named
    with the path of the value and the reason. A run that is killed goes on with the next one: each
    agent is migrated whole or not at all.

    Messages that wait, dead letters and the arguments of timers are brought to the methods of their
    classes then, where migrations are declared for those; without --kind so are shared values and
    the metadata of artifacts, to the types that the module names in SCHEMAS and METADATA.

    `--to` goes back, before an older release is started again, and `--messages-to` does so with
    what waits: the migrations of the code given must have their ways back. With `--values` or
    `--metadata` it takes back what is stored by one pattern. `--dry-run` only reads,
    also while another process runs agents on the store, and shows a few agents before and after.

    The exit code is 0 if all are migrated, 1 if some cannot be, 4 if a process has the store open.

    \b
    perdure migrate --code desk --dry-run --store desk.db
    perdure migrate --code desk --store desk.db
    perdure migrate --code desk --kind Desk --to 1.2.0 --store desk.db
    perdure migrate --code desk --values "cart/*" --to 1.0.0 --store desk.db
    """
    from .commands.migrate import MigrationWish
    from .commands.migrate import migrate as migrate_agents

    return migrate_agents(
        store,
        code,
        MigrationWish(kind or (), values, metadata, to, messages_to, dry_run, keys),
        json=json,
    )


def rehearse(
    store: Store,
    *,
    code: Code,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Also run the migrations, in memory.")
    ] = False,
    keys: SecretKeys = None,
    junit: JUnitFile = None,
    json: AsJson = False,
) -> ExitCode:
    """Try some code on everything that is stored, and tell what would fail.

    Every agent is loaded under the classes given, with all items and entries; every message and
    every timer that waits is decoded for its method, and shared values and the metadata of
    artifacts by the types that the module names in SCHEMAS and METADATA. The store is only read,
    also while another process runs agents on it; nothing is changed and nothing of an agent runs.
    Agents that take a migration are skipped, and with `--migrate` migrated in memory.

    The exit code is 0 if all of it is read, 1 if something would fail, 2 for a wrong command line.

    \b
    perdure rehearse --code desk --store desk.db
    perdure rehearse --code desk:AGENTS --migrate --store desk.db --junit rehearsal.xml
    """
    from .commands.rehearse import rehearse_store

    return rehearse_store(store, code, migrate=migrate, keys=keys, junit=junit, json=json)
