"""Golden files: a state as one version of its class stored it, read by every later one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from ..persistence.schema.schema import Schema, numbers_of, schema_of
from ..persistence.state.state import State, layout_of
from .migrations import assert_migrates

_AGAIN: Final = "run pytest with --golden-update to write it"


class _File(msgspec.Struct):
    """What stands in a golden file."""

    schema: Schema
    values: dict[str, Any]


class Golden:
    """The golden files of a folder, one for each version of a class: ``DeskState-1.0.0.json``."""

    def __init__(self, folder: Path, *, update: bool = False) -> None:
        """Read the files of ``folder``; with ``update`` write those of the versions of today."""
        self._folder = folder
        self._update = update

    def check(self, example: State) -> dict[str, dict[str, Any]]:
        """Compare an example with the file of its version, and migrate those of all earlier ones.

        AssertionError if the class stores it otherwise than it did under the same version, or
        cannot read what an earlier one has stored. Returns what becomes of each file, by version.
        """
        state_class, written = type(example), values_of(example)
        name, now = state_class.__name__, schema_of(state_class)
        path = self._folder / f"{name}-{now.version}.json"
        if self._update:
            self._write(path, now, written)
        assert path.exists(), f"there is no {path}: {_AGAIN}"
        found = _read(path)
        told = f"{name} {now.version} is not as in {path}; give it another schema_version, or"
        assert found.schema.fingerprint == now.fingerprint, f"{told} {_AGAIN} anew"
        assert found.values == written, (
            f"{path} has {found.values}, the example {written}: {_AGAIN}"
        )
        files = [_read(each) for each in self._folder.glob(f"{name}-*.json")]
        files.sort(key=lambda each: numbers_of(each.schema.version, name))
        return {
            each.schema.version: assert_migrates(state_class, each.values, written=each.schema)
            for each in files
        }

    def _write(self, path: Path, schema: Schema, values: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        whole = msgspec.to_builtins(_File(schema, values))
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def values_of(state: State) -> dict[str, Any]:
    """Return the fields of a state as they are stored, as plain values."""
    layout = layout_of(type(state))
    found: dict[str, Any] = {}
    for plain in layout.plain:
        text = plain.codec.encode(getattr(state, plain.name), plain.path)
        found[plain.name] = msgspec.json.decode(text)
    for log in layout.logs:
        items = getattr(state, log.name)
        found[log.name] = [msgspec.json.decode(log.codec.encode(each, log.name)) for each in items]
    for mapping in layout.maps:
        entries = getattr(state, mapping.name).items()
        found[mapping.name] = {
            str(key): msgspec.json.decode(mapping.codec.encode(each, mapping.name))
            for key, each in entries
        }
    return found


def _read(path: Path) -> _File:
    return msgspec.json.decode(path.read_bytes(), type=_File)
