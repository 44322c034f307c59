"""Asynchronous exceptions at chosen moments: Ctrl-C, or one thrown into any other thread.

The interpreter looks for them at the beginning of a function, behind a call and at the end of a
loop's round, and nowhere else (``ceval.c`` of CPython 3.11 and later). A ``Striker`` is a trace
function that raises at the n-th such place.
"""

import dis
import linecache
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any

LOOKS = {"RESUME", "CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "CALL_KW"}

ENOUGH = 4
"""Rounds in a row that were over before their place was reached: there are no such places."""


HANDLERS = "perdure.actors.cell.receiver"
KIT = "perdure.testing"
"""What tests is not struck."""


class Struck(BaseException):
    """What was thrown into a thread between two lines."""


@cache
def places(code: CodeType) -> frozenset[tuple[int, int]]:
    """Return, by their offsets, the pairs of instructions between which an exception can strike.

    A trace function raises before the second of them. Where that is in another ``try`` than the
    first, the pair is left out: there no exception can strike.
    """
    protected = sorted(
        (entry.start, entry.end, entry.target)
        for entry in dis._parse_exception_table(code)  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
    )

    def handler(offset: int) -> tuple[int, int, int] | None:
        index = bisect_right(protected, (offset, sys.maxsize, 0)) - 1
        if index >= 0 and protected[index][0] <= offset < protected[index][1]:
            return protected[index]
        return None

    pairs = set()
    for one, following in pairwise(dis.get_instructions(code)):
        if one.opname in LOOKS:
            # The argument of a jump is the offset that it jumps to.
            then = one.argval if one.opname == "JUMP_BACKWARD" else following.offset
            if handler(one.offset) == handler(then):
                pairs.add((one.offset, then))
    return frozenset(pairs)


class Striker:
    """Raise ``error`` at the n-th place in the modules of perdure that one thread comes to."""

    def __init__(
        self,
        error: type[BaseException],
        at: int,
        *,
        inside: tuple[str, ...],
        told: Callable[[str], object] = str,
    ) -> None:
        """Strike in modules whose names begin with one of ``inside``; ``told`` hears where."""
        self._told = told
        self._error = error
        self._left = at
        self._inside = inside
        self.struck = ""
        """Where it struck; empty if it has not."""

    def __call__(self, frame: FrameType, _event: str, _arg: object) -> Any:  # noqa: ANN401 - as sys has it
        """Look at a function that is called."""
        name = frame.f_globals.get("__name__", "")
        if self.struck or not name.startswith(self._inside) or name.startswith(KIT):
            return None
        if _in_handler(frame):
            return None
        frame.f_trace_opcodes = True
        strikes = places(frame.f_code)
        before = -1

        def look(frame: FrameType, event: str, _arg: object) -> Any:  # noqa: ANN401
            nonlocal before
            if event == "opcode" and not self.struck:
                pair, before = (before, frame.f_lasti), frame.f_lasti
                if pair in strikes and not _returns_from_handler(frame):
                    self._left -= 1
                    if self._left <= 0:
                        self.struck = f"{name}:{frame.f_lineno} {frame.f_code.co_name}"
                        sys.settrace(None)
                        self._told(self.struck)
                        raise self._error
            return look

        return look

    def lie_in_wait(self) -> None:
        """Have the calling thread struck, also in the functions that it is in just now."""
        frame = sys._getframe(1)  # noqa: SLF001 - documented
        frame.f_trace_opcodes = True
        sys.settrace(self)
        outer: FrameType | None = frame
        while outer is not None:
            if outer.f_trace is None:
                outer.f_trace = self(outer, "call", None)
            outer = outer.f_back


def _returns_from_handler(frame: FrameType) -> bool:
    """Tell whether a handler has just returned, which is its last chance to be struck."""
    if frame.f_globals["__name__"] != HANDLERS or frame.f_code.co_name != "_run":
        return False
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return "= self._handle(" in line and threading.current_thread() is not threading.main_thread()


def _in_handler(frame: FrameType | None) -> bool:
    """Tell whether a handler is running: what is thrown into one is what it raises."""
    while frame is not None:
        if frame.f_code.co_name == "handle" and frame.f_globals["__name__"] == HANDLERS:
            return threading.current_thread() is not threading.main_thread()
        frame = frame.f_back
    return False
