"""Turn rounds into a row's outcome: medians, the fastest peer, ratios, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from .model import Better, Compare, Outcome, Row, Value, Verdict
from .runner import Rounds


class _MissingError(Exception):
    """A value without a single good round; its text is the note of the row."""


def judge(experiment: str, row: Row, results: Mapping[str, Rounds]) -> Outcome:
    """Make a row's outcome. A row whose figure cannot be made says why: it is never left out."""
    reasons: list[str] = []
    ours, peer, peer_name = None, None, None
    try:
        ours = _series(row.ours, results)
    except _MissingError as error:
        reasons.append(str(error))
    try:
        peer_name, peer = _fastest(row, results)
    except _MissingError as error:
        reasons.append(str(error))
    if ours is None or reasons:
        return Outcome(
            experiment,
            row,
            Verdict.ERROR,
            ours=median(_good(ours)) if ours else None,
            peer=median(_good(peer)) if peer else None,
            peer_name=peer_name,
            note="; ".join(reasons),
        )
    figures = _figures(row, ours, peer)
    figure = median(figures)
    return Outcome(
        experiment,
        row,
        _verdict(row, figure),
        figure=figure,
        low=min(figures),
        high=max(figures),
        ours=median(_good(ours)),
        peer=median(_good(peer)) if peer else None,
        peer_name=peer_name,
        rounds=len(figures),
        note=_note(row, results),
    )


def _series(value: Value, results: Mapping[str, Rounds]) -> list[float | None]:
    rounds = results[value.measure]
    series = [None if figures is None else figures.get(value.key) for figures in rounds.figures]
    if not _good(series):
        reason = rounds.errors[0] if rounds.errors else f"no figure named {value.key}"
        raise _MissingError(f"{value.measure}: {reason}")
    return series


def _good(series: list[float | None]) -> list[float]:
    return [figure for figure in series if figure is not None]


def _fastest(
    row: Row, results: Mapping[str, Rounds]
) -> tuple[str | None, list[float | None] | None]:
    """Choose the peer's best set-up: we compare with what it can do, not with its default."""
    if not row.peers:
        return None, None
    candidates = [(value.measure, _series(value, results)) for value in row.peers]
    choose = max if row.better is Better.HIGHER else min
    return choose(candidates, key=lambda candidate: median(_good(candidate[1])))


def _figures(row: Row, ours: list[float | None], peer: list[float | None] | None) -> list[float]:
    """Compare round with round, because the rounds are neighbours in time; medians come after."""
    if row.compare is Compare.PLAIN or peer is None:
        return _good(ours)
    pairs = [
        (a, b) for a, b in zip(ours, peer, strict=False) if a is not None and b is not None
    ] or [(median(_good(ours)), median(_good(peer)))]
    if row.compare is Compare.RATIO:
        return [a / b for a, b in pairs]
    if row.compare is Compare.ADDED:
        return [a - b for a, b in pairs]
    return [100.0 * (a / b - 1.0) for a, b in pairs]


def _verdict(row: Row, figure: float) -> Verdict:
    if row.floor is None:
        return Verdict.INFORMATION
    sign = 1.0 if row.better is Better.HIGHER else -1.0
    if row.aim is not None and sign * figure >= sign * row.aim:
        return Verdict.AIM
    return Verdict.FLOOR if sign * figure >= sign * row.floor else Verdict.BELOW


def _note(row: Row, results: Mapping[str, Rounds]) -> str:
    failed = {name: results[name] for name in sorted(row.measures) if results[name].errors}
    return "; ".join(
        f"{name}: {len(rounds.errors)} of {len(rounds.figures)} rounds failed ({rounds.errors[0]})"
        for name, rounds in failed.items()
    )
