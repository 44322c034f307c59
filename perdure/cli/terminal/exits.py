"""How a command ends: exit codes, and errors as one sentence.

=====  ==========================================================================
0      done; for ``run``: stopped and drained
1      the answer is bad news: problems found, values unreadable, not drained
2      the command line is wrong, or names a program that cannot be loaded or a file
       that cannot be read
3      the store cannot be used: missing, damaged, no store, too new, no permission
4      the store belongs to another live process
5      what was named is not in the store
70     a defect in perdure itself
130    interrupted (Ctrl-C)
143    ``run`` was told to stop twice and left at once
=====  ==========================================================================
"""

from __future__ import annotations

import enum
import errno
from pathlib import Path
from typing import Final

from ...persistence.errors import (
    ConfigurationError,
    Fenced,
    PerdureError,
    ScopeError,
    StoreError,
    StoreOwned,
    UnknownBackup,
    UnknownRun,
)


class ExitCode(enum.IntEnum):
    """The exit codes that are ours to give."""

    DONE = 0
    PROBLEMS = 1
    USAGE = 2
    STORE = 3
    OWNED = 4
    NOT_FOUND = 5
    DEFECT = 70


_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Of what is no store's error: the answer, or what is unpacked to be looked at, has no room."""


class NotFound(Exception):
    """Say that what was named is not in the store, and how to find what is."""


def exit_code(error: Exception) -> ExitCode:
    """Return the exit code for an error; DEFECT for one nobody foresaw."""
    for kind, code in (
        (NotFound, ExitCode.NOT_FOUND),
        (UnknownBackup, ExitCode.NOT_FOUND),
        (UnknownRun, ExitCode.NOT_FOUND),
        (ConfigurationError, ExitCode.USAGE),
        (ScopeError, ExitCode.USAGE),
        (StoreOwned, ExitCode.OWNED),
        (Fenced, ExitCode.OWNED),
        (StoreError, ExitCode.STORE),
        (PerdureError, ExitCode.PROBLEMS),
    ):
        if isinstance(error, kind):
            return code
    return ExitCode.PROBLEMS if _has_no_room(error) else ExitCode.DEFECT


def readable(file: str) -> None:
    """Refuse a file on the command line that cannot be read."""
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None


def sentence(error: Exception) -> str:
    """Return what to tell a person about an error."""
    if _has_no_room(error):
        return f"no room for the answer, or for what is unpacked to give it: {error}; make some"
    if exit_code(error) is not ExitCode.DEFECT:
        return str(error)
    return (
        f"this is a defect in perdure: {type(error).__name__}: {error};"
        " please report it with what it prints when PERDURE_TRACEBACK=1 set"
    )


def _has_no_room(error: Exception) -> bool:
    return type(error) is OSError and error.errno in _NO_ROOM
