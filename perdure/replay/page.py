"""A report as one HTML page, with both sides of each turn; it loads nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from html import escape
from typing import Any, Final

import msgspec

from .outcome import Replay
from .report import ReplayReport

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --gone: #d0000022; --new: #00a04a22; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem } code, td, pre { font: 13px/1.4 ui-monospace, monospace }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .5rem .8rem }
summary { cursor: pointer } .high { font-weight: 700 } .low { opacity: .7 }
table { border-collapse: collapse; width: 100%; table-layout: fixed; margin: .6rem 0 }
td, th { border-top: 1px solid var(--line); padding: .15rem .5rem; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; white-space: pre-wrap }
.gone { background: var(--gone) } .new { background: var(--new) }
"""


def page(report: ReplayReport) -> str:
    """Return a report as a page: what differs is open, the rest are names."""
    turns = "".join(_turn(replay) for replay in report.differing)
    unclear = [replay for replay in report.replays if replay.outcome == "unclear"]
    rest = [replay for replay in report.replays if replay.same]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Replay</title>'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src'
        " 'unsafe-inline'\">"
        f"<style>{_STYLE}</style><h1>Replay</h1><p>{_text(report.summary())}</p>{turns}"
        f"{_names('unclear, not recorded as they were', unclear)}{_names('as recorded', rest)}"
        "</html>\n"
    )


def _turn(replay: Replay) -> str:
    head = f"<b>{_text(replay)}</b> {_text(replay.outcome)}, score {replay.score:.2f}"
    error = f"<p>{_text(replay.error)}</p>" if replay.error else ""
    missing = "".join(f"<p>not in the recording: {_text(each)}</p>" for each in replay.missing)
    findings = "".join(
        f'<tr class="{finding.severity}"><td>{finding.severity}<td>{_text(finding.path)}'
        f'<td class="gone">{_json(finding.before)}<td class="new">{_json(finding.after)}'
        for finding in replay.findings
    )
    table = (
        f"<table><tr><th>severity<th>where<th>recorded<th>replayed{findings}</table>"
        if findings
        else ""
    )
    sides = "".join(_sides(replay)) if replay.recorded else ""
    both = f"<details><summary>both sides</summary><table>{sides}</table></details>"
    return (
        f"<details open><summary>{head}</summary>{error}{table}{missing}"
        f"{both if sides else ''}</details>"
    )


def _sides(replay: Replay) -> Iterator[str]:
    """Give the rows of a table with both sides, line by line."""
    before, after = (_lines(each) for each in (replay.recorded, replay.replayed))
    yield "<tr><th>recorded<th>replayed"
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for tag, start, end, other, until in matcher.get_opcodes():
        left, right = before[start:end], after[other:until]
        for at in range(max(len(left), len(right))):
            old = left[at] if at < len(left) else ""
            new = right[at] if at < len(right) else ""
            gone, come = ("", "") if tag == "equal" else (' class="gone"', ' class="new"')
            yield f"<tr><td{gone if old else ''}>{_text(old)}<td{come if new else ''}>{_text(new)}"


def _names(what: str, replays: list[Replay]) -> str:
    if not replays:
        return ""
    names = "\n".join(_text(replay) for replay in replays)
    return f"<details><summary>{len(replays):,} {what}</summary><pre>{names}</pre></details>"


def _lines(value: dict[str, Any]) -> list[str]:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode().splitlines()


def _json(value: object) -> str:
    return _text(msgspec.json.encode(value).decode())


def _text(value: object) -> str:
    return escape(str(value))
