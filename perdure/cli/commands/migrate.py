"""``perdure migrate``: every stored agent is brought to the schema of its class, or back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from ...actors.agent.blueprint import Catalogue
from ...actors.agent.program import load_agents, load_types
from ...actors.system.migrated_calls import WaitingCalls
from ...actors.system.migrated_values import KeptValues, Types, kept_values
from ...actors.system.options import Limits
from ...persistence.errors import ConfigurationError
from ...persistence.schema.aliases import carry_over
from ...persistence.schema.evolution import Evolution
from ...persistence.schema.registry import Registry
from ...persistence.schema.trial import MigrationReport, Progress, Tell, tried
from ...persistence.secrets.vault import Vault
from ...persistence.store.lease import Owner
from ...persistence.store.store import StoreReader
from ...url import open_reader, open_store
from ..terminal.exits import ExitCode
from ..terminal.screen import Screen, print_json, working
from ..terminal.values import line
from .keys import keys_of
from .owned import owned


@dataclass(frozen=True, slots=True)
class MigrationWish:
    """What is to be migrated."""

    kinds: Sequence[str]
    values: str | None
    """A pattern of shared values that goes to ``version``, and nothing else."""
    metadata: str | None
    """The same, of artifacts."""
    version: str | None
    messages: str | None
    dry: bool
    keys: str | None

    def check(self) -> None:
        """Raise ConfigurationError for what makes no sense together."""
        named = [bool(self.kinds), self.values is not None, self.metadata is not None]
        if sum(named) > 1 or (any(named[1:]) and self.messages):
            raise ConfigurationError("--kind, --values and --metadata are given one at a time")
        if any(named[1:]) and self.version is None:
            raise ConfigurationError("--values and --metadata need the version: --to VERSION")
        if self.version and not any(named[1:]) and len(self.kinds) != 1:
            message = "--to is a version of one: give --kind, --values or --metadata as well"
            raise ConfigurationError(message)
        if self.messages and len(self.kinds) != 1:
            raise ConfigurationError("--messages-to is a version of one kind: give --kind as well")

    @property
    def one_pattern(self) -> bool:
        """Whether it is about the values of one pattern, and no agents."""
        return (self.values or self.metadata) is not None

    def kept(self, store: StoreReader, registry: Registry, types: Types) -> list[KeptValues]:
        """Return the values that are migrated."""
        if self.kinds:
            return []
        found = kept_values(store, registry, types)
        if not self.one_pattern:
            return found
        chosen, pattern = (
            (found[1], self.metadata) if self.values is None else (found[0], self.values)
        )
        assert pattern is not None
        assert self.version is not None
        chosen.aim(pattern, self.version)
        return [chosen]


def migrate(url: str, code: str, wish: MigrationWish, *, json: bool) -> ExitCode:
    """Migrate the agents of a store; PROBLEMS if one cannot be: then none is."""
    wish.check()
    vault = Vault(keys_of(wish.keys), None)
    catalogue = Catalogue(load_agents(code), largest=Limits().largest_value, vault=vault)
    types = load_types(code)
    with working("migrating", 0) as progress:

        def tell(done: int, total: int, kind: str) -> None:
            progress.at(done, total, f"migrating {kind}")

        run = _dry if wish.dry else _wet
        report = run(url, catalogue, types, wish, tell)
    _print(report, json=json)
    return ExitCode.DONE if report.complete else ExitCode.PROBLEMS


def _kinds(evolution: Evolution, wish: MigrationWish) -> list[str]:
    if wish.one_pattern:
        return []
    unknown = {*wish.kinds} - {*evolution.kinds()}
    if unknown:
        raise ConfigurationError(f"the code has no class of kind {min(unknown)!r}")
    return list(wish.kinds) or evolution.kinds()


def _dry(
    url: str, catalogue: Catalogue, types: Types, wish: MigrationWish, tell: Tell
) -> MigrationReport:
    with closing(open_reader(url)) as reader:
        evolution = Evolution(Registry.only_read(reader), catalogue.stored())
        goals = {kind: evolution.number(kind, wish.version) for kind in _kinds(evolution, wish)}
        progress = Progress(reader, goals, tell)
        largest = Limits().largest_value
        report = tried(reader, evolution, goals, progress, largest=largest)
        for kind in goals:
            WaitingCalls(reader, evolution, kind, wish.messages).tried(report)
        for kept in wish.kept(reader, evolution.registry, types):
            kept.tried(report)
        return report


def _wet(
    url: str, catalogue: Catalogue, types: Types, wish: MigrationWish, tell: Tell
) -> MigrationReport:
    _carry_over(url, catalogue)
    with owned(url) as system:
        runtime = system._runtime  # noqa: SLF001 - a part of the project
        evolution = Evolution(runtime.evolution.registry, catalogue.stored())
        kinds = _kinds(evolution, wish)
        values = wish.kept(runtime.store, evolution.registry, types)
        return runtime.migrations.run(
            evolution,
            kinds=kinds,
            version=wish.version,
            messages=wish.messages,
            values=values,
            tell=tell,
        )


def _carry_over(url: str, catalogue: Catalogue) -> None:
    """Carry over what is stored under kinds that the classes had before."""
    aliases = catalogue.aliases()
    if not aliases:
        return
    open_reader(url).close()  # opening for writing would make a store where there is none
    with closing(open_store(url, sync="power")) as store:
        counters = store.acquire(Owner.this_process())
        carry_over(store, counters, aliases, catalogue.vault.sealer, time.time())


def _print(report: MigrationReport, *, json: bool) -> None:
    if json:
        print_json(report.record())
        return
    screen = Screen()
    verb = "would be" if report.dry or not report.complete else "are"
    for kind in sorted({*report.migrated, *report.compatible}):
        counts = f"{report.migrated[kind]:,} agents of {kind} {verb} migrated"
        screen.say(f"{counts}, {report.compatible[kind]:,} {verb} read as they are")
    for kind, count in sorted(report.waiting.items()):
        screen.say(f"{count:,} messages and timers that wait for {kind} {verb} migrated")
    for told, count in sorted(report.values.items()):
        screen.say(f"{count:,} {told} {verb} migrated")
    for name, count in sorted(report.left.items()):
        screen.say(f"left behind: {name}, {count:,} times, stays in the store and is not read")
    for sample in report.samples:
        screen.say(
            f"{sample.kind}/{sample.key}: {line(sample.before)} becomes {line(sample.after)}"
        )
    for failure in report.failures:
        screen.say(f"cannot be migrated: {failure.reason}", "red")
    if not report.complete:
        screen.say(f"{len(report.failures):,} cannot be migrated: nothing was changed")
    elif not report.migrated and not (report.compatible or report.waiting or report.values):
        screen.say("nothing to do: all is written with that schema already")
