"""What people and programs see in the place of a secret."""

from __future__ import annotations

from .pickled import Pickled
from .secret import MASK, Secret
from .tokens import PREFIX, TOKEN


def masked(text: str) -> str:
    """Return ``text``, stored JSON or any other, with each token in it replaced by ``***``."""
    return TOKEN.sub(MASK, text) if PREFIX in text else text


def masked_value(value: object) -> object:
    """Return a plain value with each Secret in its lists, tuples and dictionaries masked.

    Records keep theirs: what shows a record shows ``***``.
    """
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Pickled):
        return repr(value)
    # Subclasses are records of somebody's own (named tuples, ...).
    if type(value) is dict:
        return {key: masked_value(item) for key, item in value.items()}
    if type(value) is list:
        return [masked_value(item) for item in value]
    if type(value) is tuple:
        return tuple(masked_value(item) for item in value)
    return value
