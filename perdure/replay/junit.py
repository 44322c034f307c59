"""Results as JUnit XML, which systems for continuous integration read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

from .outcome import Replay
from .report import ReplayReport, line

_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class JUnitCase:
    """One thing that was tried."""

    group: str
    name: str
    problem: Literal["", "failure", "error", "skipped"] = ""
    told: str = ""
    """What went wrong; its first line is what lists show."""


def junit(report: ReplayReport) -> str:
    """Return a report as one test suite: each replayed turn is a test case."""
    return suite("perdure replay", map(_case, report.replays), report.seconds)


def suite(name: str, cases: Iterable[JUnitCase], seconds: float) -> str:
    """Return one test suite."""
    made = list(cases)
    count = {problem: sum(case.problem == problem for case in made) for problem in _PROBLEMS}
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name={_attribute(name)} tests="{len(made)}"'
        f' failures="{count["failure"]}" errors="{count["error"]}"'
        f' skipped="{count["skipped"]}" time="{seconds:.3f}">\n'
        f"{''.join(map(_written, made))}</testsuite>\n"
    )


_PROBLEMS: Final = ("failure", "error", "skipped")


def _case(replay: Replay) -> JUnitCase:
    text = replay.error or "\n".join(line(finding) for finding in replay.findings)
    name = str(replay) if replay.point else f"{replay.id} {replay.key}.{replay.name}"
    problem = _OUTCOMES.get(replay.outcome, "")
    return JUnitCase(replay.kind, name, problem, text)


_OUTCOMES: Final[dict[str, Literal["", "failure", "error", "skipped"]]] = {
    "different": "failure", "error": "error", "unclear": "skipped",
}  # fmt: skip


def _written(case: JUnitCase) -> str:
    head = f"  <testcase classname={_attribute(case.group)} name={_attribute(case.name)}"
    if not case.problem:
        return f"{head}/>\n"
    message, text = _attribute(case.told.partition("\n")[0]), escape(_clean(case.told))
    tag = case.problem
    return f"{head}>\n    <{tag} message={message}>{text}</{tag}>\n  </testcase>\n"


def _attribute(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
