"""What a detector must find and must leave alone; tokens are made of shapes, none was ever real."""

import json
import random
import re
import string
from typing import NamedTuple

_SLOT = re.compile(r"\{(\w):(\d+)\}")
_ALPHABETS = {
    "A": string.ascii_letters + string.digits,
    "B": string.ascii_letters + string.digits + "_-",
    "b": string.ascii_letters + string.digits + "+/",
    "D": string.digits,
    "H": "0123456789abcdef",
    "U": string.ascii_uppercase + "234567",
    "L": string.ascii_lowercase,
}


class Case(NamedTuple):
    """A value as JSON, and the name of the field it stands in."""

    name: str
    text: str


def made(value: object, name: str = "") -> Case:
    """Return a case with its slots (``{A:36}``: 36 letters and digits) filled, always alike."""
    shape = json.dumps(value, ensure_ascii=False)
    noise = random.Random(shape)
    filled = _SLOT.sub(
        lambda slot: "".join(noise.choice(_ALPHABETS[slot[1]]) for _ in range(int(slot[2]))), shape
    )
    return Case(name, filled)
