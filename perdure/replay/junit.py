"""A report as JUnit XML, which systems for continuous integration read."""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from .outcome import Replay
from .report import ReplayReport, line

_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: ReplayReport) -> str:
    """Return a report as one test suite: each replayed turn is a test case."""
    counts = report.counts
    cases = "".join(_case(replay) for replay in report.replays)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="perdure replay" tests="{len(report.replays)}"'
        f' failures="{counts.get("different", 0)}" errors="{counts.get("error", 0)}"'
        f' skipped="{counts.get("unclear", 0)}" time="{report.seconds:.3f}">\n'
        f"{cases}</testsuite>\n"
    )


def _case(replay: Replay) -> str:
    name = _attribute(f"{replay.id} {replay.key}.{replay.name}")
    head = f"  <testcase classname={_attribute(replay.kind)} name={name}"
    text = replay.error or "\n".join(line(finding) for finding in replay.findings)
    tag = {"different": "failure", "error": "error", "unclear": "skipped"}.get(replay.outcome)
    if tag is None:
        return f"{head}/>\n"
    message = _attribute(text.partition("\n")[0])
    return f"{head}>\n    <{tag} message={message}>{escape(_clean(text))}</{tag}>\n  </testcase>\n"


def _attribute(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
