"""Types of values, by patterns of keys: what is written must fit, what is read has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from ...persistence.codec.codec import Codec, check_storable, codec_of
from ...persistence.codec.explain import name_of
from ...persistence.errors import ConfigurationError, StateError
from ...persistence.names.keys import checked_pattern, matches
from ...persistence.names.scope import Scope
from ...persistence.secrets.codec import SPECIAL, codec_for
from ...persistence.secrets.place import in_scope
from ...persistence.secrets.vault import Vault

KINDS: Final = frozenset(
    {"global", "user", "agent", "workflow", "step", "session", "tool", "custom"}
)


class _Rule(NamedTuple):
    pattern: str
    kind: str | None
    codec: Codec[object]

    @property
    def rank(self) -> tuple[int, bool, bool]:
        """How closely it says which keys are meant: the longer, the closer."""
        return (
            len(self.pattern.rstrip("*")),
            not self.pattern.endswith("*"),
            self.kind is not None,
        )


class Schemas:
    """Know the types of values by key. Thread-safe; the closest pattern of a key counts.

    That is the longest one; of equally long ones an exact key before a prefix, and one for a kind
    of scopes before one for all.
    """

    def __init__(self, vault: Vault | None = None) -> None:
        """Begin with none; ``vault`` seals the secrets in values."""
        self._vault = Vault() if vault is None else vault
        self._rules: tuple[_Rule, ...] = ()
        self._plain = codec_of(object)

    def register(self, pattern: str, declared: object, kind: str | None = None) -> None:
        """Have the keys of a pattern hold values of a type, in all scopes or those of a kind.

        ConfigurationError if the type cannot be stored, or the pattern has another type already.
        """
        pattern = checked_pattern(pattern)
        if kind is not None and kind not in KINDS:
            message = f"there are no scopes of kind {kind!r}; use one of {', '.join(sorted(KINDS))}"
            raise ConfigurationError(message)
        where = f"the type of {pattern!r}"
        codec = self.codec(declared, where)
        try:
            check_storable(declared, where, SPECIAL)
        except (TypeError, NameError) as error:
            raise ConfigurationError(f"{where} is none that can be stored: {error}") from error
        for rule in self._rules:
            if (rule.pattern, rule.kind) == (pattern, kind):
                if rule.codec.declared != declared:
                    message = f"{pattern!r} holds {rule.codec.declared!r} already; it cannot change"
                    raise ConfigurationError(message)
                return
        rules = [*self._rules, _Rule(pattern, kind, codec)]
        # Replaced as a whole: whoever looks something up needs no lock.
        self._rules = tuple(sorted(rules, key=lambda rule: rule.rank, reverse=True))

    def register_all(self, patterns: Mapping[str, object]) -> None:
        """Register types by pattern, for scopes of all kinds."""
        for pattern, declared in patterns.items():
            self.register(pattern, declared)

    def codec(self, declared: object, where: str) -> Codec[object]:
        """Return the codec of a type that a caller gives."""
        return self._plain if declared is None else codec_for(declared, self._vault, where)

    def of(self, scope: Scope, key: str) -> Codec[object]:
        """Return the codec of a key's values."""
        for rule in self._rules:
            if (rule.kind is None or rule.kind == scope.kind) and matches(rule.pattern, key):
                return rule.codec.at(*in_scope(*scope.columns, key))
        return self._plain

    def encode(self, codec: Codec[object], value: object, scope: Scope, key: str) -> str:
        """Return what to store for a value of ``of(scope, key)``; StateError names its path."""
        text = codec.quick(value)
        if text is not None:
            return text
        path = f"{scope} {key!r}"
        try:
            text = codec.encode(value, path)
        except StateError as error:
            # There is no field here that could have been declared.
            problem, _, declared = error.problem.partition("; the field is declared ")
            if codec is not self._plain:
                if not declared:
                    raise
                problem += f"; the type registered for the key is {declared}"
            elif type(value).__module__ != "builtins":
                problem += f"; register its type for the key: state.register({key!r}, ...)"
            elif declared:
                problem += "; no type is registered for the key"
            raise StateError(error.path, problem) from None
        return text

    def check(self, scope: Scope, key: str, text: str, path: str) -> None:
        """Refuse a stored text that does not fit where it is to go: a copy, a sum."""
        codec = self.of(scope, key)
        if codec is self._plain:
            return
        try:
            codec.decode(text)
        except (ValueError, RecursionError) as error:
            problem = f"is no {name_of(codec.declared)}: {error}"
            raise StateError(path, problem) from None


def canonical(text: str) -> bytes:
    """Return JSON in a form in which equal values are equal: the order of members is none."""
    return msgspec.json.encode(msgspec.json.decode(text), order="deterministic")
