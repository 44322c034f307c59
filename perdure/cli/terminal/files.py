"""Files that commands write."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from ...persistence.errors import ConfigurationError, PerdureError

STANDARD: Final = "-"
"""Stands for standard input or output where a file is named."""


@contextlib.contextmanager
def new_file(file: str) -> Iterator[BinaryIO]:
    """Open what was named for writing; a file that is there already is not replaced.

    It is as private as the store that it comes from, and removed if it is not written whole.
    """
    if file == STANDARD:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except OSError as error:
            if not isinstance(error, PerdureError):
                # What was not written stays in the buffer, which is flushed once more at the exit.
                with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - it is no path
                    os.dup2(nowhere.fileno(), sys.stdout.fileno())
            raise unwritten("the standard output", error) from None
        return
    try:
        # Only a file that was not there: what is there may be anybody's, or a link to it.
        target = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        message = f"{file} is there already; name another file, or remove it"
        raise ConfigurationError(message) from None
    except OSError as error:
        raise unwritten(file, error) from error
    try:
        with target:
            yield target
    except OSError as error:
        Path(file).unlink(missing_ok=True)
        raise unwritten(file, error) from None
    except BaseException:
        Path(file).unlink(missing_ok=True)
        raise


def write_report(file: str, text: str) -> None:
    """Write a report to a file, in the place of the one before."""
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritten(file, error) from None


def unwritten(what: str, error: OSError) -> Exception:
    """Return the error for what cannot be written; one of the store is none of those."""
    if isinstance(error, PerdureError):
        return error
    return ConfigurationError(f"{what} cannot be written: {error.strerror}")
