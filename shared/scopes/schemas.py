"""Types of values, by patterns of keys: what is written must fit, what is read has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from ...persistence.codec.codec import Codec, check_storable, codec_of
from ...persistence.codec.explain import name_of
from ...persistence.errors import (
    ConfigurationError,
    IncompatibleSchema,
    MigrationFailed,
    StateError,
)
from ...persistence.names.keys import checked_pattern, closeness, matches
from ...persistence.names.scope import Scope
from ...persistence.schema.registry import Registry
from ...persistence.schema.schema import Family
from ...persistence.schema.values import StoredValues
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
    values: StoredValues | None

    @property
    def rank(self) -> tuple[int, bool, bool]:
        """How closely it says which keys are meant: the longer, the closer."""
        return closeness(self.pattern, self.kind)


class Schemas:
    """Know the types of values by key. Thread-safe; the closest pattern of a key counts.

    That is the longest one; of equally long ones an exact key before a prefix, and one for a kind
    of scopes before one for all.
    """

    def __init__(
        self, vault: Vault | None = None, registry: Registry | None = None,
        family: Family = "values",
    ) -> None:  # fmt: skip
        """Begin with none; ``vault`` seals the secrets in values, ``registry`` knows earlier types.

        ``family`` is what the values are.
        """
        self._registry = registry
        self._family: Family = family
        self.look: Callable[[], None] = _nothing
        """Refuses the types as they are, if they cannot read what is stored."""
        self.aged = False
        """Whether there may be values of an earlier type."""
        self._vault = Vault() if vault is None else vault
        self._rules: tuple[_Rule, ...] = ()
        self._plain = codec_of(object)

    def register(self, pattern: str, declared: object, kind: str | None = None) -> None:
        """Have the keys of a pattern hold values of a type, in all scopes or those of a kind.

        ConfigurationError if the type cannot be stored, or the pattern has another type already;
        IncompatibleSchema if it cannot read what is stored.
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
        values = None
        if self._registry is not None:
            name = pattern if kind is None else f"{kind}: {pattern}"
            values = StoredValues(self._registry, self._family, name, declared)
            self.aged = self.aged or values.aged
        rules = [*self._rules, _Rule(pattern, kind, codec, values)]
        # Replaced as a whole: whoever looks something up needs no lock.
        before = self._rules
        self._rules = tuple(sorted(rules, key=lambda rule: rule.rank, reverse=True))
        try:
            self.look()
        except IncompatibleSchema:
            self._rules = before
            raise

    def register_all(self, patterns: Mapping[str, object]) -> None:
        """Register types by pattern, for scopes of all kinds."""
        for pattern, declared in patterns.items():
            self.register(pattern, declared)

    def aim(self, pattern: str, version: str) -> None:
        """Bring the values of one pattern to another version, by the ways back, and no others.

        ConfigurationError if no type is registered for the pattern; UnknownSchema as
        ``StoredValues.aim``.
        """
        found = [rule for rule in self._rules if rule.pattern == pattern and rule.values]
        if not found:
            message = f"the code declares no type of {self._family} for {pattern!r}; name a pattern"
            raise ConfigurationError(f"{message} as its {self._family.upper()} say it")
        for rule in found:
            assert rule.values is not None
            rule.values.aim(version)
        self._rules, self.aged = tuple(found), True

    def codec(self, declared: object, where: str) -> Codec[object]:
        """Return the codec of a type that a caller gives."""
        return self._plain if declared is None else codec_for(declared, self._vault, where)

    def of(self, scope: Scope, key: str) -> Codec[object]:
        """Return the codec of a key's values."""
        rule = self._rule(scope.kind, key)
        if rule is None:
            return self._plain
        if rule.values is not None and rule.values.unused:
            rule.values.use()
        return rule.codec.at(*in_scope(*scope.columns, key))

    def fresh(self, kind: str, key: str, text: str, sequence: int, where: str) -> str:
        """Return a stored text as the type of today reads it; ask only where some are ``aged``.

        MigrationFailed as ``StoredValues.fresh``.
        """
        rule = self._rule(kind, key)
        if rule is None or rule.values is None:
            return text
        made = rule.values.fresh(text, sequence, where)
        return made if made is text or rule.values.aimed else _decoded(rule, made, where)

    def brought(self, kind: str, key: str, text: str, version: str, where: str) -> str:
        """Return a text of another store, written by a version of its type, as it is read here.

        "" is a version that is not known: then it stays as it is. MigrationFailed as ``fresh``, and
        where no type is registered and values here are of another version.
        """
        rule = self._rule(kind, key)
        if version and rule is not None and rule.values is not None:
            made = rule.values.brought(text, version, where)
            return made if made is text else _decoded(rule, made, where)
        here = self._newest(kind, key) if version and rule is None else version
        if here and here != version:
            reason = f"it is of version {version}, and values here are of {here}: register the type"
            raise MigrationFailed(where, "value", reason, "")
        return text

    def _newest(self, kind: str, key: str) -> str:
        """Return the version of what was written last of a key's pattern; "" if none was."""
        return (
            "" if self._registry is None else Versions(self._registry, self._family).of(kind, key)
        )

    def use(self) -> None:
        """Have all types stored with the next commit, which may write by any of them."""
        for rule in self._rules:
            if rule.values is not None:
                rule.values.use()

    def refuse_unreadable(
        self, location: str, rows: Callable[[], Iterator[tuple[str, str, int]]]
    ) -> None:
        """Refuse types that cannot read what is stored; IncompatibleSchema names each difference.

        ``rows`` gives the kind, the key and the commit of each value. Costs a look at what was
        ever written with where nothing hinders.
        """
        hindering = {
            rule.values.pattern: rule.values.hindering() for rule in self._rules if rule.values
        }
        if not any(hindering.values()):
            return
        counts: Counter[tuple[str, int]] = Counter()
        for kind, key, sequence in rows():
            rule = self._rule(kind, key)
            if rule is not None and rule.values is not None:
                written = rule.values.written_with(sequence)
                counts[rule.values.pattern, written.number if written else 0] += 1
        problems = [
            f"{self._family} {pattern} {old.schema.version}, {count:,} stored: {told}"
            for pattern, found in hindering.items()
            for old, differences in found
            if (count := counts[pattern, old.number])
            for told in map(str, differences)
        ]
        if problems:
            raise IncompatibleSchema(location, problems)

    def knows(self, kind: str, key: str) -> bool:
        """Tell whether a type is declared for a key in scopes of a kind."""
        return self._rule(kind, key) is not None

    def _rule(self, kind: str, key: str) -> _Rule | None:
        for rule in self._rules:
            if (rule.kind is None or rule.kind == kind) and matches(rule.pattern, key):
                return rule
        return None

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


class Versions:
    """By which versions of their types values were written, where only the store knows of types."""

    def __init__(self, registry: Registry, family: Family) -> None:
        """Look into the schemas that a store has."""
        self._registry = registry
        self._family: Family = family
        found = [(name, *_parted(name)) for name in registry.kinds(family)]
        self._patterns = sorted(found, key=lambda each: closeness(each[2], each[1]), reverse=True)

    def of(self, kind: str, key: str, sequence: int = 2**63 - 1) -> str:
        """Return the version by which a commit has written a value, or the newest; "" if none."""
        for name, only, pattern in self._patterns:
            if only in {None, kind} and matches(pattern, key):
                written = self._registry.of_commit(name, self._family, sequence)
                return "" if written is None else written.schema.version
        return ""


def _parted(name: str) -> tuple[str | None, str]:
    """Return the kind of scopes and the pattern that a schema is stored under."""
    kind, colon, pattern = name.partition(": ")
    return (kind, pattern) if colon and kind in KINDS else (None, name)


def _decoded(rule: _Rule, made: str, where: str) -> str:
    """Return what migrations have made; MigrationFailed if the type does not read it."""
    try:
        rule.codec.decode(made)
    except (ValueError, RecursionError) as error:
        reason = f"the migrations made of it what is no {name_of(rule.codec.declared)}"
        raise MigrationFailed(where, "value", f"{reason}: {error}", "") from error
    return made


def _nothing() -> None:
    """Stand for nobody who looks."""


def canonical(text: str) -> bytes:
    """Return JSON in a form in which equal values are equal: the order of members is none."""
    return msgspec.json.encode(msgspec.json.decode(text), order="deterministic")
