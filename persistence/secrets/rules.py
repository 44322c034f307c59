"""The shapes of secrets that services hand out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """Describe one shape.

    ``pattern`` is searched in JSON text only if one of ``needles`` stands in it. It may match no
    quote and no half of an escape, so that what it matches can be replaced.
    """

    name: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]


# Where a token begins: not within a word; a letter before it may be the second half of an escape.
_START: Final = r"(?:(?<![A-Za-z0-9_\\])|(?<=\\[nrtbf]))"


def _rule(name: str, needles: str, pattern: str) -> Rule:
    return Rule(name, tuple(needles.split()), re.compile(_START + pattern))


# A part of a token that is no word of a language: it has a digit.
_MIXED: Final = r"(?=[A-Za-z_-]*\d)"

DEFAULT_RULES: Final = (
    _rule("AWS access key", "AKIA ASIA", r"(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    _rule("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,}"),
    _rule("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{40,}"),
    _rule("GitLab token", "glpat-", r"glpat-[A-Za-z0-9_-]{20,}"),
    _rule("Slack token", "xox", rf"xox[abeoprs]-{_MIXED}[A-Za-z0-9-]{{11,}}"),
    _rule("Slack webhook", "hooks.slack.com/", r"hooks\.slack\.com/services/[A-Za-z0-9/]{24,}"),
    _rule("Stripe key", "k_live_ k_test_", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _rule("Anthropic key", "sk-ant-", r"sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{20,}"),
    _rule(
        "OpenAI key", "sk-",
        rf"sk-(?!ant-){_MIXED}(?:[a-z]+-)?[A-Za-z0-9_]{{20}}[A-Za-z0-9_-]*",
    ),
    _rule("Google key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _rule("Google token", "ya29. GOCSPX-", r"(?:ya29\.|GOCSPX-)[A-Za-z0-9_-]{20,}"),
    _rule("SendGrid key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    _rule("npm token", "npm_", r"npm_[A-Za-z0-9]{36}\b"),
    _rule("PyPI token", "pypi-", r"pypi-[A-Za-z0-9_-]{50,}"),
    _rule("Hugging Face token", "hf_", rf"hf_{_MIXED}[A-Za-z0-9]{{30,}}"),
    _rule("JWT", "eyJ", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    _rule("private key", "PRIVATE KEY", r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^\"\\]|\\.)*"),
    _rule("bearer token", "earer ", rf"[Bb]earer {_MIXED}[A-Za-z0-9._~+/-]{{20,}}=*"),
    _rule("basic credentials", "Basic ", r"Authorization: Basic [A-Za-z0-9+/]{12,}=*"),
    _rule(
        "password in a URL", "://",
        r"[a-z][a-z0-9+.-]*://[^\s/:@\"\\?#]*:(?![*<${%]|x+@)[^\s/@\"\\?#]+(?=@)",
    ),
)  # fmt: skip
"""What is looked for unless a Detector is given other rules."""
