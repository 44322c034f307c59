"""The grammar of the command line: commands, options, help. What they do is imported when used."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

from ..hooks.timeline.event import EventKind
from ..lifecycle.status import Status
from ..persistence.errors import ConfigurationError
from .exits import ExitCode, exit_code, sentence
from .options import (
    Action,
    AgentsAction,
    AnyKey,
    AnyKind,
    ArtifactsAction,
    AsJson,
    AuditAction,
    Key,
    Kind,
    Level,
    Limit,
    Newest,
    SecretsAction,
    SessionsAction,
    StateAction,
    Store,
    Sync,
    TimelineFormat,
    Wide,
    name,
    names,
    number,
    numbers,
    text,
    widen,
)

P = ParamSpec("P")

app = typer.Typer(
    name="perdure",
    no_args_is_help=True,
    # Plain help: it starts faster than boxes do, and reads the same in a pipe.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def main() -> None:
    """Run the command line of this process."""
    # A reader that goes away (`| head`) ends this process without a word, as it does with others.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    app(prog_name="perdure")


def command(function: Callable[P, ExitCode | None]) -> Callable[P, None]:
    """Register a command; its errors become one sentence and an exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from .screen import Screen, prepare_streams

        prepare_streams()
        try:
            code = function(*args, **kwargs)
            sys.stdout.flush()
        except Exception as error:  # noqa: BLE001 - never a traceback: DEFECT says what to do
            if os.environ.get("PERDURE_TRACEBACK"):
                traceback.print_exc()
            Screen(error=True).say(f"perdure: {sentence(error)}", "red")
            code = exit_code(error)
        raise typer.Exit(code or ExitCode.DONE)

    # `dead_letters` is typed as `dead-letters`; the list of commands is in the order below.
    # One that takes the context looks at surplus arguments itself, to give better advice.
    surplus = "context" in inspect.signature(function).parameters
    settings = {"allow_extra_args": surplus}
    app.command(function.__name__.replace("_", "-"), context_settings=settings)(run)
    return run


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        from importlib import metadata

        try:
            version = metadata.version("perdure")
        except metadata.PackageNotFoundError:
            version = "(not installed: run from its sources)"
        typer.echo(f"perdure {version}")
        raise typer.Exit


@app.callback()
def perdure(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Run durable agents, and look into the stores they leave behind.

    Every command but `run` only reads, unless its help says that it writes: it may be used while
    another process runs agents on the store.

    \b
    perdure run desk:Desk --store desk.db     run agents until Ctrl-C or SIGTERM
    perdure agents --store desk.db            list the agents in a store
    perdure show Desk emea --store desk.db    look at one of them
    export PERDURE_STORE=desk.db              and leave --store out

    \b
    Exit codes: 0 done, 1 problems found or not drained, 2 wrong usage,
    3 the store cannot be used, 4 another process owns the store,
    5 not in the store, 70 a defect in perdure.
    """


@command
def run(
    context: typer.Context,
    program: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME", help="An Agent subclass, a list of them, a function."
        ),
    ],
    store: Store,
    *,
    sync: Annotated[
        Sync, typer.Option(help="What an acknowledged turn survives: power loss, or kill -9.")
    ] = Sync.POWER,
    drain: Annotated[
        float, typer.Option(min=0, max=86400, metavar="SECONDS", help="How long a drain may take.")
    ] = 10.0,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=512, metavar="N", help="Threads that run handlers.", show_default=False
        ),
    ] = None,
    log_level: Annotated[Level, typer.Option(help="The least of what is logged.")] = Level.INFO,
) -> ExitCode:
    """Run agents until SIGTERM or Ctrl-C, then drain.

    MODULE is imported from the current directory or from where Python looks. NAME is an Agent
    subclass, a list of them, or a function: it is called once with the open system, beside the
    agents, and the module's `agents` lists the classes. The system goes on when it returns, and
    stops if it raises.

    The first signal drains: turns under way end and are saved, messages that wait stay in the
    store, and the exit code is 0; it is 1 when that took longer than --drain. A second signal
    ends the process at once; nothing that was acknowledged is lost.

    \b
    perdure run desk:Desk --store desk.db
    perdure run shop.agents:AGENTS --store sqlite:////var/lib/shop.db --drain 30
    """
    from .program import refuse_several
    from .run import run as serve

    refuse_several(program, context.args)
    level = log_level.value
    return serve(program, store, sync=sync.value, drain=drain, workers=workers, level=level)


@command
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
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", callback=name, help="Only agents of this kind.")
    ] = None,
    status: Annotated[Status | None, typer.Option(help="Only agents of this status.")] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="KIND/KEY", callback=name, help="Only those behind this one."),
    ] = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="Delete, and overwrite what the journal has of it.")
    ] = False,
    limit: Limit = 50,
    wide: Wide = False,
    json: AsJson = False,
) -> ExitCode:
    """List the agents in a store; pause, resume, restart, stop or delete one.

    `list` also shows those that have mail but have never committed. The other actions write: the
    process that has the store open does it, and answers when it is durable. Where nobody has, it
    is done in the store, and no method of the agent runs. `delete` takes state, mail, timers, dead
    letters and the keys of the agent's own scope; the journal keeps its entries unless --erase.

    \b
    perdure agents --store desk.db --status quarantined
    perdure agents --store desk.db --limit 1000000 --json | wc -l
    perdure agents restart Desk emea --store desk.db
    perdure agents delete Desk emea --erase --store desk.db
    """
    widen(wide)
    if action is not AgentsAction.LIST:
        from .operate import agent_step

        if erase and action is not AgentsAction.DELETE:
            raise ConfigurationError("--erase goes with `agents delete` alone")
        return agent_step(store, action, words or [], erase=erase, json=json)
    from .agents import list_agents

    if words or erase:
        raise ConfigurationError("`agents list` takes no names; --kind and --status choose some")
    chosen = None if status is None else status.value
    list_agents(store, kind=kind, status=chosen, after=after, limit=limit, json=json)
    return ExitCode.DONE


@command
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
    from .operate import isolate as cut_off

    return cut_off(store, kind, key, reason, json=json)


@command
def restore(kind: Kind, key: Key, store: Store, *, json: AsJson = False) -> ExitCode:
    """Let an isolated agent take part again, with all the mail that waited.

    Writes: the process that has the store open does it, else it is done in the store.

    \b
    perdure restore Desk emea --store desk.db
    """
    from .operate import restore as let_go_on

    return let_go_on(store, kind, key, json=json)


@command
def stats(
    store: Store,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, with a line every --every seconds.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, max=86400, metavar="SECONDS", help="How often.")
    ] = 1.0,
    json: AsJson = False,
) -> None:
    """Show how the system does that has the store open: turns, mail, saves.

    Asks the process that has it open, which goes on; where nobody has, nothing runs.

    \b
    perdure stats --store desk.db
    perdure stats --watch --json --store desk.db | jq .turns
    """
    from .operate import stats as show_stats

    show_stats(store, watch=every if watch else None, json=json)


@command
def flush(store: Store, *, json: AsJson = False) -> ExitCode:
    """Wait until all that agents were told and have done so far is durable.

    Asks the process that has the store open; where nobody has, there is nothing to wait for.

    \b
    perdure flush --store desk.db
    """
    from .operate import flush as wait

    return wait(store, json=json)


@command
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
    wide: Wide = False,
    json: AsJson = False,
) -> ExitCode:
    """Show one agent: its state, mail, timers and last commits.

    Of logs the last items are shown, of maps and mail the first; with --log only that log, from
    any position. The exit code is 1 if a value cannot be read; the others are shown. An agent
    of whom there is only mail or a dead letter has never committed: it has no state yet.

    \b
    perdure show Desk emea --store desk.db
    perdure show Desk emea --store desk.db --json | jq .fields
    perdure show Desk emea --store desk.db --log transcript --from 1000 --items 100
    """
    widen(wide)
    if log is not None:
        from .log_items import show_log

        return show_log(store, kind, key, log, start=start, items=items, json=json)
    if start is not None:
        raise ConfigurationError("--from needs --log NAME: the log whose items to show")
    from .show import show_agent

    return show_agent(store, kind, key, items=items, json=json)


@command
def journal(
    store: Store,
    kind: AnyKind = None,
    key: AnyKey = None,
    *,
    after: Annotated[
        int | None,
        typer.Option(
            metavar="SEQUENCE",
            callback=number,
            help="The first commits after this one.",
            show_default="the newest commits",
        ),
    ] = None,
    limit: Limit = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with those to come.")
    ] = False,
    wide: Wide = False,
    json: AsJson = False,
) -> None:
    """Show the commits of a store, a kind or an agent.

    The newest are shown, oldest first; with --after those that follow a commit.

    \b
    perdure journal --store desk.db
    perdure journal Desk emea --store desk.db --follow
    perdure journal --store desk.db --after 0 --limit 1000 --json
    """
    widen(wide)
    from .journal import show_journal

    show_journal(store, kind=kind, key=key, after=after, limit=limit, follow=follow, json=json)


@command
def timeline(
    store: Store,
    kind: AnyKind = None,
    key: AnyKey = None,
    *,
    correlation: Annotated[
        int | None, typer.Option(metavar="ID", help="Only of a chain of messages.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", callback=name, help="Only of a session.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from then on: seconds, or a date.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only up to then.")] = None,
    what: Annotated[
        list[EventKind] | None, typer.Option(help="Only such events.", show_default=False)
    ] = None,
    text: Annotated[
        str, typer.Option(metavar="TEXT", callback=text, help="Only those that hold it somewhere.")
    ] = "",
    tree: Annotated[bool, typer.Option("--tree", help="Draw what caused what.")] = False,
    form: Annotated[
        TimelineFormat | None,
        typer.Option("--format", help="Write all of it for another program.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="With --format, a new file."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="ID", callback=name, help="Only those behind this one."),
    ] = None,
    newest: Newest = False,
    limit: Limit = 50,
    wide: Wide = False,
    json: AsJson = False,
) -> None:
    """Show what happened, and what caused what, in a store, of a kind or an agent.

    Events are commits, with the hooks, decisions and artifacts that belong to them, and dead
    letters. The oldest come first. --tree draws each below what led to it; --format writes a
    picture: `chrome` opens in Perfetto, `html` is one page that needs no network.

    \b
    perdure timeline --newest --store desk.db
    perdure timeline --correlation 1099511627776 --tree --store desk.db
    perdure timeline Desk emea --text T-7 --store desk.db
    perdure timeline --format html --output desk.html --store desk.db
    """
    widen(wide)
    from . import timeline as timelines

    chosen = timelines.Asked(kind, key, correlation, session, since, until, what or (), text)
    if output is not None and form is None:
        raise ConfigurationError("--output needs --format: what to write into the file")
    if form is not None:
        timelines.export_timeline(store, chosen, form, output)
    elif tree:
        timelines.draw_timeline(store, chosen)
    else:
        timelines.show_timeline(store, chosen, after=after, newest=newest, limit=limit, json=json)


@command
def why(
    kind: Kind,
    key: Key,
    field: Annotated[
        str, typer.Argument(metavar="FIELD", callback=name, help="A field of its state.")
    ],
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH", callback=name, help="An entry, a position, a member, as [3].owner."
        ),
    ] = None,
    *,
    store: Store,
    wide: Wide = False,
    json: AsJson = False,
) -> ExitCode:
    """Show why a value of an agent is what it is.

    The turn that set it last, with the hooks that ran and the artifacts it came from, and what led
    to that turn, from outside of the system on. The exit code is 5 if the journal does not go back
    so far.

    \b
    perdure why Desk emea open --store desk.db
    perdure why Desk emea owners T-1 --store desk.db
    perdure why Desk emea transcript [-1] --store desk.db
    """
    widen(wide)
    from .why import explain

    return explain(store, kind, key, field, path, json=json)


@command
def mail(
    store: Store,
    kind: AnyKind = None,
    key: AnyKey = None,
    *,
    after: Annotated[
        int | None,
        typer.Option(metavar="ID", callback=number, help="Only those behind this one."),
    ] = None,
    newest: Newest = False,
    limit: Limit = 50,
    wide: Wide = False,
    json: AsJson = False,
) -> None:
    """List the messages that wait, of a store, a kind or an agent.

    The oldest come first. Mail of VOLATILE agents is in memory only, and not in the store.

    \b
    perdure mail --store desk.db
    perdure mail Desk emea --newest --store desk.db
    """
    widen(wide)
    from .waiting import list_mail

    list_mail(store, kind=kind, key=key, after=after, newest=newest, limit=limit, json=json)


@command
def timers(
    store: Store,
    kind: AnyKind = None,
    key: AnyKey = None,
    *,
    after: Annotated[
        str | None,
        typer.Option(metavar="PLACE", callback=name, help="Only those behind this one."),
    ] = None,
    newest: Newest = False,
    limit: Limit = 50,
    wide: Wide = False,
    json: AsJson = False,
) -> None:
    """List the timers of a store, a kind or an agent.

    Those due first come first; with --newest those due last.

    \b
    perdure timers --store desk.db
    perdure timers Desk --limit 5 --json --store desk.db
    """
    widen(wide)
    from .waiting import list_timers

    list_timers(store, kind=kind, key=key, after=after, newest=newest, limit=limit, json=json)


@command
def dead_letters(
    store: Store,
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="What to do.")] = Action.LIST,
    ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="ID", callback=numbers, help="Which letters; none for list."),
    ] = None,
    *,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            callback=name,
            help="Only of this kind; with requeue and discard all of it.",
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(metavar="ID", callback=number, help="Only those behind this one."),
    ] = None,
    newest: Newest = False,
    every: Annotated[bool, typer.Option("--all", help="All letters there are.")] = False,
    limit: Limit = 50,
    wide: Wide = False,
    json: AsJson = False,
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
    widen(wide)
    from .dead_letters import LetterFilter, Which, handle

    which, wanted = Which(ids or [], every, kind), LetterFilter(kind, after, newest, limit)
    handle(store, action, which, wanted, json=json)


@command
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
    correlation: Annotated[
        int | None, typer.Option(metavar="ID", help="Only of a chain of messages.")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", callback=number, help="Those behind a number, not the newest."
        ),
    ] = None,
    keys: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", help="A key file, env:VARIABLE or keyring:SERVICE.", show_default=False
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="NUMBER:HASH", help="A head that was noted before.")
    ] = None,
    limit: Limit = 20,
    wide: Wide = False,
    json: AsJson = False,
) -> ExitCode:
    """List decisions about access; verify their chain; print its head; put a new key in force.

    `verify` reads every decision; the exit code is 1 if a row was changed, is missing or does not
    belong there, and each is named. With --head it also finds out whether the newest rows were
    cut off since that head was noted; --keys has the key of a chain that was made with one.
    `seal` has the first of --keys hold from here on, after the keys were changed; it writes, so
    the store must not be open. Compare a noted head before: what stands there counts as good then.

    \b
    perdure audit --store desk.db --outcome refused
    perdure audit head --store desk.db
    perdure audit verify --store desk.db --head 41:9f2c...
    perdure audit seal --store desk.db --keys audit-keys.txt
    """
    widen(wide)
    from .audit import AuditFilter, handle

    wanted = AuditFilter(who, scope, outcome, operation, correlation, after, limit)
    return handle(store, action, wanted, keys=keys, head=head, json=json)


@command
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
    after: Annotated[
        str, typer.Option(metavar="KEY", callback=text, help="Only keys behind this one.")
    ] = "",
    ttl: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long a key that is set lives.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Import only keys that are not there yet.")
    ] = False,
    sealed: Annotated[
        bool, typer.Option("--sealed", help="Export secrets, too, as encrypted as they are stored.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Set a key also where it holds a secret.")
    ] = False,
    limit: Limit = 50,
    wide: Wide = False,
    json: AsJson = False,
) -> ExitCode:
    """List, read and write what agents share.

    `list` without a scope lists the scopes. Scopes are written as `global`, `user:mira`,
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
    widen(wide)
    from .state import StateCommand, handle

    asked = StateCommand(words or [], prefix, after, ttl, keep, sealed, force, limit)
    return handle(store, action, asked, json=json)


@command
def sharing(
    store: Store,
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="PATTERN", callback=name, help="Only of one, as pipeline."),
    ] = None,
    *,
    after: Annotated[
        str | None,
        typer.Option(metavar="PATTERN/NAME", callback=name, help="Only those behind this one."),
    ] = None,
    limit: Limit = 50,
    wide: Wide = False,
    json: AsJson = False,
) -> None:
    """List topics, pipelines, requests, documents and families.

    Each with what it holds: the items of each stage and those dropped, the places of readers, and
    so on.

    \b
    perdure sharing --store desk.db
    perdure sharing pipeline --store desk.db
    """
    widen(wide)
    from .sharing import list_patterns

    list_patterns(store, pattern=pattern, after=after, limit=limit, json=json)


@command
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
        str, typer.Option(metavar="BY", help="By created, changed or name, last ones first.")
    ] = "created",
    after: Annotated[
        str | None,
        typer.Option(metavar="WHERE", help="Behind a session; for history, behind a commit."),
    ] = None,
    new_id: Annotated[
        str | None,
        typer.Option("--as", metavar="ID", callback=name, help="Import under another id."),
    ] = None,
    sealed: Annotated[
        bool, typer.Option("--sealed", help="Export secrets, too, as encrypted as they are stored.")
    ] = False,
    limit: Limit = 20,
    wide: Wide = False,
    json: AsJson = False,
) -> None:
    """List sessions, show one, move one from store to store.

    `history` shows the commits of a session. `export` writes it to one file, `import` reads such a
    file after all of it was verified, `archive` puts an ended session away. The last two write,
    so the store must not be open: the process that owns it is named otherwise.

    \b
    perdure sessions --store desk.db --status active
    perdure sessions history chat-7 --store desk.db
    perdure sessions export chat-7 chat-7.perdure --store desk.db
    perdure sessions import chat-7.perdure --as copy --store other.db
    """
    widen(wide)
    from .sessions import SessionsCommand, handle

    asked = SessionsCommand(what, file, status, owner, parent, sort, after, new_id, sealed, limit)
    handle(store, action, asked, json=json)


@command
def secrets(
    store: Store,
    action: Annotated[
        SecretsAction, typer.Argument(metavar="ACTION", help="What to do.")
    ] = SecretsAction.STATUS,
    *,
    keys: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", help="A key file, env:VARIABLE or keyring:SERVICE.", show_default=False
        ),
    ] = None,
    json: AsJson = False,
) -> ExitCode:
    """Show the keys of secrets; seal them with another; find plain ones.

    `status` counts the sealed secrets by key; with --keys the exit code is 1 if one of those
    keys is missing, or is another one than they were sealed with. `rotate` seals all with the
    first key of --keys; it writes, so the store must not be open. `scan` looks for secrets in
    plain values; the exit code is 1 if it finds some. No action shows a secret.

    \b
    perdure secrets --store desk.db --keys keys.txt
    perdure secrets rotate --store desk.db --keys env:PERDURE_KEYS
    perdure secrets scan --store desk.db --json
    """
    from .secrets import handle

    return handle(store, action, keys=keys, json=json)


@command
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
    after: Annotated[
        int, typer.Option(metavar="NUMBER", callback=number, help="List those after this one.")
    ] = 0,
    limit: Limit = 50,
    wide: Wide = False,
    json: AsJson = False,
) -> None:
    """List artifacts; show one, get its bytes, put new ones, delete.

    `get` verifies what it writes, makes a new file and replaces none; without FILE, bytes go to
    standard output, and `put` takes them from standard input. `sources` shows what an artifact
    was made from, directly and indirectly. `list` shows those of all scopes unless one is named.
    Types: agent-output, tool-result, user-input, system, custom. `put` and `delete` write, so the
    store must not be open.

    \b
    perdure artifacts --store desk.db --tag report
    perdure artifacts get report.csv report.csv --scope user:mira --store desk.db
    perdure artifacts put scan.tif scan.tif --type user-input --store desk.db
    """
    widen(wide)
    from .artifacts import ArtifactsCommand, handle

    tags = tuple(tag or ())
    asked = ArtifactsCommand(artifact, file, scope, version, kind, media, tags, after, limit)
    handle(store, action, asked, json=json)


@command
def growth(store: Store, *, limit: Limit = 10, json: AsJson = False) -> None:
    """Show what uses the space: by field, by agent, in the file.

    Sizes of fields and agents are those of the stored values; the file also holds indexes, keys
    and free pages. Reads the whole store.

    \b
    perdure growth --store desk.db
    perdure growth --store desk.db --json | jq .journal.share
    """
    from .growth import show_growth

    show_growth(store, limit=limit, json=json)


@command
def doctor(store: Store, *, limit: Limit = 20, json: AsJson = False) -> ExitCode:
    """Examine a store for damage.

    Reads every row and changes nothing: every checksum, the file's structure, the owner. The exit
    code is 1 if something is damaged.

    \b
    perdure doctor --store desk.db
    perdure doctor --store desk.db --json | jq .healthy
    """
    from .doctor import examine_store

    return examine_store(store, limit=limit, json=json)
