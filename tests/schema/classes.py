"""Classes of several versions: a desk as one release after the other declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perdure import Agent, State


def state(
    fields: Mapping[str, tuple[Any, Any]],
    version: str = "1.0.0",
    name: str = "DeskState",
    **more: object,
) -> type[State]:
    """Return a state class with fields of declared types and defaults."""
    annotations = {field: declared for field, (declared, _) in fields.items()}
    defaults = {field: default for field, (_, default) in fields.items()}
    meta: Any = type(State)
    members = {
        "__annotations__": annotations, "__module__": __name__, "schema_version": version,
        **defaults, **more,
    }  # fmt: skip
    made: type[State] = meta(name, (State,), members)
    return made


def desk(state_class: type[State], **more: object) -> Any:  # noqa: ANN401 - a class made here
    """Return a class of the kind Desk with a state, which puts and reads its fields."""

    class Desk(Agent[state_class]):  # type: ignore[valid-type]
        def put(self, values: dict[str, object]) -> None:
            for name, value in values.items():
                held = getattr(self.state, name)
                if hasattr(held, "extend") and not isinstance(held, list):
                    held.extend(value)
                elif hasattr(held, "update") and not isinstance(held, dict | set):
                    held.update(value)
                else:
                    setattr(self.state, name, value)

        def read(self) -> dict[str, object]:
            found: dict[str, object] = {}
            for name in state_class.__struct_fields__:
                held: Any = getattr(self.state, name)
                if type(held).__name__ == "Log":
                    held = list(held)
                elif type(held).__name__ == "Map":
                    held = dict(held.items())
                found[name] = held
            return found

    for name, value in more.items():
        setattr(Desk, name, value)
    return Desk
