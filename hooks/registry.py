"""The hooks of a system: who listens where, in which order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ..persistence.errors import ConfigurationError, UnknownHook
from .hook import DECLARED, Declared, Hook
from .points import Point


class Registry:
    """Keep hooks in order, and tell when that changes. Thread-safe."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._hooks: tuple[Hook, ...] = ()
        self._chains: dict[tuple[Point[Any], str, str], tuple[Hook, ...]] = {}
        self._single: set[tuple[str, str]] = set()
        """Agents with hooks of their own."""
        self._numbers = itertools.count()
        self.changed: Callable[[], None] = lambda: None
        """Called when other hooks listen than before; not under the lock."""

    def add(
        self, declared: Declared, *, owner: str = "", kind: str = "", key: str = "",
        method: bool = False,
    ) -> Hook:  # fmt: skip
        """Register a hook; ConfigurationError if there is one of that name."""
        with self._lock:
            if any(hook.name == declared.name for hook in self._hooks):
                message = f"there is a hook {declared.name!r} already; give another name=..."
                raise ConfigurationError(message)
            hook = Hook(
                declared, next(self._numbers), owner=owner, kind=kind, key=key, method=method
            )
            self._set((*self._hooks, hook))
        self.changed()
        return hook

    def put(self, hook: Hook) -> None:
        """Register a hook that is made already, beside those of its name."""
        with self._lock:
            self._set((*self._hooks, hook))
        self.changed()

    def add_class(self, kind: str, agent_class: type) -> None:
        """Register the methods of an agent class that are declared as hooks."""
        for name in dir(agent_class):
            function = getattr(agent_class, name, None)
            declared = getattr(function, DECLARED, None)
            if isinstance(declared, Declared):
                if declared.options.deferred:
                    message = (
                        f"hook {kind}.{name}: a method runs in its agent's turn and cannot be"
                        " deferred; send the agent a message"
                    )
                    raise ConfigurationError(message)
                named = Declared(
                    declared.point, declared.function, declared.options, f"{kind}.{name}"
                )
                self.add(named, owner=kind, kind=kind, method=True)

    def remove(self, name: str) -> None:
        """Forget a hook; UnknownHook if there is none of that name."""
        gone = self.get(name)
        with self._lock:
            self._set(hook for hook in self._hooks if hook is not gone)
        self.changed()

    def enable(self, name: str, *, enabled: bool = True) -> None:
        """Have a hook run, or not; UnknownHook if there is none of that name."""
        with self._lock:
            self.get(name).enabled = enabled
            self._set(self._hooks)
        self.changed()

    def get(self, name: str) -> Hook:
        """Return a hook; UnknownHook if there is none of that name."""
        for hook in self._hooks:
            if hook.name == name:
                return hook
        raise UnknownHook(f"there is no hook {name!r}; see hooks.list()")

    def list(self) -> tuple[Hook, ...]:
        """Return all hooks, in the order in which they run."""
        return self._hooks

    def has_own(self, kind: str, key: str) -> bool:
        """Tell whether an agent has hooks that run for it alone."""
        return (kind, key) in self._single

    def chain(self, point: Point[Any], kind: str, key: str) -> tuple[Hook, ...]:
        """Return the hooks that run at a point of an agent's work, in order."""
        place = (point, kind, key if self.has_own(kind, key) else "")
        chains = self._chains  # first: one that is found in older hooks must not get into the next
        chain = chains.get(place)
        if chain is None:
            chain = chains[place] = tuple(
                hook
                for hook in self._hooks
                if hook.point.name == point.name and hook.runs_for(kind, key)
            )
        return chain

    def at_programs_points(self, kind: str, key: str) -> tuple[Hook, ...]:
        """Return the hooks that run for an agent wherever a program says so, in order."""
        return tuple(
            hook for hook in self._hooks if hook.point.programs and hook.runs_for(kind, key)
        )

    def _set(self, hooks: Iterable[Hook]) -> None:
        self._hooks = tuple(sorted(hooks, key=lambda hook: (hook.options.priority, hook.number)))
        self._single = {(hook.kind, hook.key) for hook in self._hooks if hook.key}
        self._chains = {}
