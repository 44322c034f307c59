"""The commands about schemas: what a store was written with, and migrations."""

from __future__ import annotations

from typing import Annotated

import typer

from .terminal.exits import ExitCode
from .terminal.options import AsJson, OfKind, SchemaAction, Store, names


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
