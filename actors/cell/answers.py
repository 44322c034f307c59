"""What hooks answer in a recorded turn, taken down so that it can be played again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pykka.messages import ProxyCall

from ...hooks.details import MessageDetails
from ...hooks.executor import Decision, run_chain
from ...hooks.history.record import as_json
from ...hooks.history.recording import ASKED, HookAnswer, Recorder
from ...hooks.hook import HookNeeds, HookRun
from ...hooks.results import Cancel, Fork, Hold, Redirect, Replace, Result, Retry, Skip
from ...persistence.errors import HookFailed
from ..talk.messages import CallCodec
from .hooks import Chain


def run_recorded(  # noqa: PLR0917 - as run_chain, and what a message is written with
    tape: Recorder,
    calls: CallCodec,
    chain: Chain,
    details: Any,  # noqa: ANN401 - the point's
    name: str,
    agent: object,
    around: HookNeeds,
    runs: list[HookRun],
    call: int = 0,
) -> Decision[Any] | None:
    """Run the hooks of a chain, and take down what they answer.

    Methods of the agent's class are left out: they are its code, and run again. ``call`` says
    which call of ``name`` it is about, where it is about one.
    """
    place = tape.asking(chain[0].point.name, name, call)
    token = ASKED.set(place)
    try:
        decision = run_chain(chain, details, name, agent, around, runs)
    except HookFailed as error:
        if error.hook:
            text = as_json(str(error))
            failed = HookAnswer(
                place.point, place.nth, error.hook, error.priority, "failed", text,
                name=name, call=call,
            )  # fmt: skip
            tape.take("answers", failed)
        raise
    finally:
        ASKED.reset(token)
    for hook, result in () if decision is None else decision.answers:
        if not hook.method:
            called, text = _written(calls, details, result)
            verb = type(result).__name__.lower()
            answer = HookAnswer(
                place.point, place.nth, hook.name, hook.options.priority, verb, text, called,
                name, call,
            )  # fmt: skip
            tape.take("answers", answer)
    return decision


def _written(calls: CallCodec, details: Any, result: Result) -> tuple[str, str]:  # noqa: ANN401
    """Return the method that an answer's data are for, and the data as JSON."""
    if isinstance(result, Replace):
        return _replaced(calls, details, result.data)
    if isinstance(result, Redirect | Fork):
        return "", as_json((result.to.kind, result.to.key))
    if isinstance(result, Cancel | Hold):
        return "", as_json(result.reason)
    if isinstance(result, Retry):
        return "", as_json((result.delay, result.attempts))
    return "", as_json(result.value if isinstance(result, Skip) else None)


def _replaced(calls: CallCodec, details: Any, data: Any) -> tuple[str, str]:  # noqa: ANN401
    if type(details) is not MessageDetails:
        return "", as_json(data)
    message = data
    if details.name != "on_receive":
        args: Sequence[object] = data[0]
        message = ProxyCall(tuple(details.name.split(".")), tuple(args), dict(data[1]))
    try:
        name, body, _ = calls.encode(message, details.key)
    except (ValueError, TypeError, AttributeError):
        return details.name, as_json(data)
    return name, body
