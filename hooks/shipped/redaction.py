"""Take secrets out of what agents are given, and out of what they answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...persistence.options import Options
from ...persistence.secrets.detector import DEFAULT_DETECTOR, Detector
from ..details import CallDetails, MessageDetails, OutcomeDetails
from ..hook import Declared, HookOptions
from ..points import (
    MESSAGE_AFTER,
    MESSAGE_BEFORE,
    MODEL_CALL_AFTER,
    MODEL_CALL_BEFORE,
    TOOL_CALL_AFTER,
    TOOL_CALL_BEFORE,
)
from ..results import Replace
from ..sets import HookHost
from .choice import check_names


@dataclass(frozen=True, slots=True)
class Redaction:
    """Put ``***`` in the place of what looks like a secret, in texts wherever they stand.

    Looked at are arguments and results of messages and of calls of tools and models: texts, and
    texts in lists, tuples and mappings. A ``Secret`` is none: it takes care of itself. What a
    handler answers is looked at after the handler: its state is left as it is.

    Args:
        detector: what a secret looks like.
        arguments: look at what comes in.
        results: look at what goes out.
        on: methods, tools and models; empty: all.
        name: of these hooks.
    """

    detector: Detector = DEFAULT_DETECTOR
    arguments: bool = True
    results: bool = True
    on: str | tuple[str, ...] = ()
    name: str = "redaction"

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        options = Options(self)
        options.kind("detector", Detector, "Detector()")
        options.flag("arguments")
        options.flag("results")
        check_names(options, self.on)
        if not (self.arguments or self.results):
            raise options.wrong("results", "True where arguments=False: else nothing is looked at")

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return the hooks: first before, so that no other sees a secret, and last after."""
        name = self.name
        # What went into the history before this hook was redacted by the system.
        before = HookOptions(on=self.on, priority=0, record=False)
        after = HookOptions(on=self.on, priority=1000, record=False)
        if self.arguments:
            yield Declared(MESSAGE_BEFORE, self._message, before, name)
            yield Declared(TOOL_CALL_BEFORE, self._arguments, before, f"{name}.tool")
            yield Declared(MODEL_CALL_BEFORE, self._arguments, before, f"{name}.model")
        if self.results:
            yield Declared(MESSAGE_AFTER, self._result, after, f"{name}.result")
            yield Declared(TOOL_CALL_AFTER, self._result, after, f"{name}.tool_result")
            yield Declared(MODEL_CALL_AFTER, self._result, after, f"{name}.model_result")

    def _message(self, details: MessageDetails) -> Replace | None:
        args = tuple(map(self._clean, details.args))
        kwargs = self._clean(details.kwargs)
        same = all(one is other for one, other in zip(args, details.args, strict=True))
        if same and kwargs is details.kwargs:
            return None
        return Replace(args[0] if details.name == "on_receive" else (args, kwargs))

    def _arguments(self, details: CallDetails) -> Replace | None:
        args = self._clean(details.args)
        return None if args is details.args else Replace(args)

    def _result(self, details: OutcomeDetails | CallDetails) -> Replace | None:
        result = self._clean(details.result)
        return None if result is details.result else Replace(result)

    def _clean(self, value: object, name: str = "") -> object:
        """Return a value without secrets; itself if it has none."""
        if isinstance(value, str):
            return self._text(value, name)
        if isinstance(value, Mapping):
            clean = {key: self._clean(each, str(key)) for key, each in value.items()}
            return value if all(clean[key] is value[key] for key in clean) else clean
        if isinstance(value, list) or type(value) is tuple:
            items = [self._clean(each, name) for each in value]
            if all(one is other for one, other in zip(items, value, strict=True)):
                return value
            return tuple(items) if isinstance(value, tuple) else items
        return value

    def _text(self, text: str, name: str) -> str:
        before = json.dumps(text, ensure_ascii=False)
        after = self.detector.redacted(before, name)
        return text if after == before else str(json.loads(after))
