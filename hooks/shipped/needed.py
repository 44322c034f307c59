"""Libraries that an extra of perdure needs, and perdure itself does not."""

from __future__ import annotations

import importlib
from typing import Any

from ...persistence.errors import ConfigurationError


def needed(module: str, extra: str, who: str) -> Any:  # noqa: ANN401 - a module
    """Return a module of an extra; ConfigurationError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f'{who} needs {module}: pip install "perdure[{extra}]" ({error})'
        raise ConfigurationError(message) from error
