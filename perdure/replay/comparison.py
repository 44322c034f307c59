"""What differs between a recorded turn and its replay, and how much that matters."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ..hooks.history.record import HookRecord
from ..persistence.options import Options
from ..persistence.records.shared_tables import SHARED_TABLES
from ..persistence.secrets.masking import masked
from ..persistence.upkeep.difference import MISSING, Difference, Path, differences
from .outcome import Mode, Outcome, Replay, ReplayFinding, Severity
from .paths import shown
from .turn import RecordedTurn

_SEVERITY: Final[dict[str, Severity]] = {
    "outcome": "high", "error": "high", "result": "high", "delta": "high", "sends": "medium",
    "timers": "medium", "steps": "medium", "changes": "medium",
}  # fmt: skip
_PASSING: Final = {"sequence", "made", "created", "changed", "ended", "since"}
"""Columns that say when or where a row was written."""
_COLUMNS: Final = {table.name: table.names for table in SHARED_TABLES}


@dataclass(frozen=True, slots=True)
class ReplayRules:
    """How replays are compared."""

    ignore: tuple[str, ...] = ()
    """Paths that do not count, as globs: ``delta.set.updated``, ``sends[*].body``, ``calls*``."""
    tolerance: float = 0.0
    """By how much numbers may differ, as a share of the larger one."""
    any_order: tuple[str, ...] = ()
    """Paths, as globs, of arrays whose order does not count; what is ignored of items orders none.
    A tolerance does not pair items."""

    def __post_init__(self) -> None:
        """Refuse what are no such rules."""
        options = Options(self)
        for name in ("ignore", "any_order"):
            paths: object = getattr(self, name)
            if not isinstance(paths, tuple) or not all(isinstance(path, str) for path in paths):
                raise options.wrong(name, 'a tuple of paths, as in ("delta.set.updated",)')
        options.number("tolerance", "a share from 0 to 1", zero=True, most=1.0)


def told(turn: RecordedTurn) -> dict[str, Any]:
    """Return what a turn made, in the form in which it is compared.

    Secrets are ``***``: each time they are sealed they look different, and nobody is to see them.
    """
    recording = turn.recording
    result = "" if recording.failed else _json(recording.result)
    made = {
        "outcome": "failed" if recording.failed else "ok",
        "error": recording.result if recording.failed else "",
        "result": result,
        "delta": turn.delta or {},
        "sends": [
            {"to": f"{kind}/{key}", "method": name, "body": _json(body)}
            for kind, key, name, body in recording.sends
        ],
        "timers": [
            {"name": name, "method": method, "body": _json(body), "interval": interval}
            for name, method, body, interval in recording.timers
        ],
        "steps": list(recording.steps),
        "changes": [_change(*change) for change in recording.changes],
        "calls": [[call.name, call.error or _json(call.result)] for call in recording.outside],
        "asks": [[call.name, call.error or _json(call.result)] for call in recording.asks],
    }
    text = msgspec.json.encode(made).decode()
    hidden = masked(text)
    return made if hidden == text else msgspec.json.decode(hidden, type=dict[str, Any])


def compare(
    turn: RecordedTurn, replayed: RecordedTurn, missing: list[str], rules: ReplayRules, mode: Mode
) -> Replay:
    """Compare a turn with its replay."""
    before, after = told(turn), told(replayed)
    if turn.delta is None:  # the journal does not know it any more
        before["delta"] = after["delta"] = {}
    findings = [*_findings(before, after, rules)]
    return Replay(
        turn.id, turn.kind, turn.key, turn.name, mode,
        _outcome(before, after, findings, exact=turn.recording.exact),
        score=_score(before, after, findings), findings=findings,
        missing=list(dict.fromkeys(missing)), recorded=before,
        replayed=before if after == before else after,  # one copy: a batch keeps all of them
        exact=turn.recording.exact,
    )  # fmt: skip


def _outcome(
    before: dict[str, Any], after: dict[str, Any], findings: list[ReplayFinding], *, exact: bool
) -> Outcome:
    if findings:
        return "different" if exact else "unclear"
    return "failed" if "failed" in (before["outcome"], after["outcome"]) else "same"


def compare_runs(
    record: HookRecord, again: HookRecord, missing: list[str], rules: ReplayRules, mode: Mode,
    *, exact: bool,
) -> Replay:  # fmt: skip
    """Compare an execution of a hook with its replay."""
    before, after = _told_of_run(record), _told_of_run(again)
    findings = [*_findings(before, after, rules)]
    return Replay(
        record.id, record.kind, record.key, record.hook, mode,
        _outcome(before, after, findings, exact=exact),
        score=_score(before, after, findings), findings=findings, missing=missing,
        recorded=before, replayed=after, exact=exact, point=record.point,
    )  # fmt: skip


def _told_of_run(record: HookRecord) -> dict[str, Any]:
    return {
        "outcome": record.outcome, "error": record.error,
        "result": _json(record.result) if record.result else None,
    }  # fmt: skip


def _findings(
    before: dict[str, Any], after: dict[str, Any], rules: ReplayRules
) -> Iterable[ReplayFinding]:
    if rules.any_order:
        before, after = _sorted(before, rules, ()), _sorted(after, rules, ())
    for each in differences(before, after):
        path = shown(each.path)
        if _matches(path, rules.ignore) or _close(each, rules.tolerance):
            continue
        severity = _SEVERITY.get(str(each.path[0]), "low")
        yield ReplayFinding(path, _value(each.before), _value(each.after), severity)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a path, or one it is below of, fits a pattern; only ``*`` and ``?`` are wild."""
    for pattern in patterns:
        glob = pattern.replace("[", "[[]")
        if fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path, f"{glob}[.[]*"):
            return True
    return False


def _close(each: Difference, tolerance: float) -> bool:
    pair = (each.before, each.after)
    if not tolerance or any(isinstance(v, bool) or not isinstance(v, int | float) for v in pair):
        return False
    return bool(abs(pair[0] - pair[1]) <= tolerance * max(abs(pair[0]), abs(pair[1])))


def _sorted(value: Any, rules: ReplayRules, path: Path) -> Any:  # noqa: ANN401 - JSON
    """Return a value without what is ignored, with arrays sorted whose order does not count."""
    if isinstance(value, dict):
        return {
            name: _sorted(each, rules, (*path, name))
            for name, each in value.items()
            if not _matches(shown((*path, name)), rules.ignore)
        }
    if isinstance(value, list):
        items = [_sorted(each, rules, (*path, at)) for at, each in enumerate(value)]
        if _matches(shown(path), rules.any_order):
            items.sort(key=msgspec.json.encode)
        return items
    return value


def _score(before: dict[str, Any], after: dict[str, Any], findings: list[ReplayFinding]) -> float:
    if not findings:
        return 1.0
    leaves = max(_leaves(before), _leaves(after), len(findings))
    return round(1 - len(findings) / leaves, 4) if leaves else 0.0


def _leaves(value: object) -> int:
    if isinstance(value, dict):
        return sum(map(_leaves, value.values()))
    if isinstance(value, list):
        return sum(map(_leaves, value))
    return 1


def _change(table: str, key: list[Any], row: list[Any] | None) -> dict[str, Any]:
    names = _COLUMNS.get(table, ())
    kept = (
        None
        if row is None
        else {n: v for n, v in zip(names, row, strict=False) if n not in _PASSING}
    )
    return {"table": table, "key": key, "row": kept}


def _json(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _value(value: object) -> object:
    return None if value is MISSING else value
