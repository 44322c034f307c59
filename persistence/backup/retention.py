"""Which backups are kept, and why; what nobody needs is removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ..errors import ConfigurationError
from ..options import Options
from .folder import Backup, Folder

_DAY: Final = 86_400.0
_GENERATIONS: Final = {"daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m"}
"""What two backups of one generation have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRetention:
    """Which backups are kept: each that one of these rules wants, with all that it builds on.

    Whatever the rules say: the newest good one stays, those that are pinned, and what these build
    on. So does what is younger than ``days`` where that is given.
    """

    newest: int | None = None
    """So many, the newest ones."""
    days: float | None = None
    """Those younger than this."""
    daily: int = 0
    """The last one of each of so many days, of those that have any."""
    weekly: int = 0
    monthly: int = 0
    importance: int | None = None
    """Those that were given at least this importance, however old."""
    size: int | None = None
    """Bytes that all together may take: the least important go first, of these the oldest, until
    they do."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense, and a rule that keeps nothing."""
        options = Options(self)
        options.whole("newest", least=1, none="no such rule")
        options.number("days", "days, above 0, or None for no such rule", none="no such rule")
        for name in _GENERATIONS:
            options.whole(name, least=0)
        options.whole("importance", least=1, none="no such rule")
        options.whole("size", least=1, none="as many as there are")
        if not (self.size or self.others):
            message = "BackupRetention() says nothing: give newest=, days=, daily=, ... or size="
            raise ConfigurationError(message)

    @property
    def others(self) -> bool:
        """Whether there is any other rule than a limit of size."""
        rules = (self.newest, self.days, self.daily, self.weekly, self.monthly, self.importance)
        return any(rules)


@dataclass(frozen=True, slots=True)
class BackupVerdict:
    """What becomes of one backup."""

    name: str
    kept: bool
    why: str
    bytes: int


def judged(backups: Sequence[Backup], rules: BackupRetention, now: float) -> list[BackupVerdict]:
    """Return what becomes of each backup, the oldest first."""
    kept = dict(_wanted(backups, rules, now))
    firm = dict(_firm(backups))
    total = sum(each.bytes for each in backups if each.name in _closed(backups, kept | firm))
    if rules.size is not None:
        for each in sorted(backups, key=lambda backup: backup.importance):
            if total <= rules.size:
                break
            kept.pop(each.name, None)
            left = _closed(backups, kept | firm)
            total = sum(other.bytes for other in backups if other.name in left)
    final = _closed(backups, kept | firm)
    nothing = "no rule keeps it" if rules.size is None or total <= rules.size else "too much"
    return [
        BackupVerdict(each.name, each.name in final, final.get(each.name, nothing), each.bytes)
        for each in backups
    ]


def _wanted(
    backups: Sequence[Backup], rules: BackupRetention, now: float
) -> Iterator[tuple[str, str]]:
    """Give the backups that a rule wants, each with that rule; the last word counts."""
    for generation, form in _GENERATIONS.items():
        for name in _last_of_each(backups, form, getattr(rules, generation)):
            yield name, generation
    for each in backups:
        if rules.days is not None and now - each.made < rules.days * _DAY:
            yield each.name, f"younger than {rules.days:g} days"
        elif rules.size is not None and not rules.others:
            yield each.name, "there is room"
        if rules.importance is not None and each.importance >= rules.importance:
            yield each.name, f"importance {each.importance}"
    for each in backups[-rules.newest :] if rules.newest else ():
        yield each.name, f"one of the newest {rules.newest}"


def needed(backups: Sequence[Backup], rules: BackupRetention, now: float) -> int:
    """Return the bytes of what is to be kept whatever room there is.

    Once that is more than the limit of size, this takes away what other rules want, or is not kept.
    """
    wanted = dict(_wanted(backups, rules, now)) if rules.others else {}
    kept = _closed(backups, wanted | dict(_firm(backups)))
    return sum(each.bytes for each in backups if each.name in kept)


def _last_of_each(backups: Sequence[Backup], form: str, count: int) -> list[str]:
    """Return the last good backup of each of so many days, weeks or months."""
    found: dict[str, str] = {}
    for each in backups:
        if not each.problem:
            found[datetime.fromtimestamp(each.made, UTC).strftime(form)] = each.name
    return [*found.values()][-count:] if count else []


def _firm(backups: Sequence[Backup]) -> Iterator[tuple[str, str]]:
    good = [each.name for each in backups if not each.problem]
    for name in good[-1:]:
        yield name, "the newest good one"
    for each in backups:
        if each.pinned:
            yield each.name, f"pinned: {each.pinned}"


def _closed(backups: Sequence[Backup], kept: dict[str, str]) -> dict[str, str]:
    """Return what is kept with all that it builds on."""
    parents = {each.name: each.parent for each in backups}
    found = dict(kept)
    for name in kept:
        parent = parents.get(name, "")
        while parent and parent not in found:
            found[parent] = f"{name} builds on it"
            parent = parents.get(parent, "")
    return found


def prune(
    folder: Folder,
    rules: BackupRetention,
    now: float,
    *,
    dry_run: bool = False,
    tell: Callable[[BackupVerdict], object] = lambda _verdict: None,
) -> list[BackupVerdict]:
    """Remove the backups that nothing keeps, and return what became of each.

    Those that build on others go first, so that one who is killed half way leaves nothing that
    lacks what it builds on. ``tell`` is called before each removal. With ``dry_run`` nothing is
    removed. BackupFailed if one is brought back or made just now, or cannot be removed.
    """
    if dry_run:
        return judged(folder.list(), rules, now)
    with folder.locked(), folder.alone():
        verdicts = judged(folder.list(), rules, now)
        for verdict in reversed(verdicts):
            if not verdict.kept:
                tell(verdict)
                folder.remove(verdict.name)
    return verdicts
