"""A model that is reminded of what was said before a run, of which the run itself knows nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic_ai.messages import (
    ModelMessage,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
    repair_messages,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel

from .job import Before, Job

_PLAIN: Final = UserPromptPart | ToolReturnPart | TextPart | ThinkingPart | ToolCallPart
"""Parts that mean the same wherever they stand: what is made of others depends on those before."""


class Reminded(WrapperModel):
    """Put what was said before a run in front of its messages, as they are made ready to be sent.

    A run of pydantic-ai looks at all messages that it knows several times for each model call, and
    that is most of what a step takes in a long conversation. So it is given its own only, and what
    was said before is looked at once. Where plain messages stay as they are when they are made
    ready, they do so behind and before others that do.
    """

    def __init__(self, model: Model | str, job: Callable[[], Job | None]) -> None:
        """Remind ``model`` of what the run at work knows of before."""
        super().__init__(model)
        self._job = job

    def prepare_messages(
        self,
        messages: list[ModelMessage],
        model_request_parameters: ModelRequestParameters | None = None,
    ) -> list[ModelMessage]:
        """Return all that the model is told."""
        job = self._job()
        if job is not None and job.answered:
            return messages  # nobody is asked
        before = Before() if job is None else job.before
        if not before.messages:
            return super().prepare_messages(messages, model_request_parameters)
        if self._stays(messages, model_request_parameters):
            more = before.messages[before.plain :]
            if self._stays(more, model_request_parameters):
                before.plain += len(more)
                return [*before.messages, *messages]
        whole = repair_messages([*before.messages, *messages])
        return super().prepare_messages(whole, model_request_parameters)

    def _stays(self, messages: list[ModelMessage], parameters: Any) -> bool:  # noqa: ANN401 - as above
        """Tell whether messages are plain, and stay as they are when they are made ready."""
        if not all(isinstance(part, _PLAIN) for message in messages for part in message.parts):
            return False
        ready = super().prepare_messages(messages, parameters)
        return len(ready) == len(messages) and all(map(_same, ready, messages))


def _same(one: ModelMessage, other: ModelMessage) -> bool:
    return one is other
