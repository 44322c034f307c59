"""Values round trip equally in all three languages: one table of cases for all."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, cast

import msgspec
import pytest

from perdure import AgentSystem, Keys, Scope, Secret, StaticKeys, new_key
from perdure.persistence.errors import ScriptFailed, StateError
from perdure.scripting.language import Language
from perdure.scripting.script import Script
from perdure.scripting.scripts import Scripts
from tests.scripting.conftest import MIRA

HERE: Final = Scope.user("mira")

STORED: Final[dict[str, object]] = {
    "true": True,
    "false": False,
    "null": None,
    "zero": 0,
    "negative": -7,
    "2^53 - 1": 2**53 - 1,
    "2^53": 2**53,
    "2^53 + 1": 2**53 + 1,
    "-2^53 - 1": -(2**53) - 1,
    "2^63 - 1": 2**63 - 1,
    "-2^63": -(2**63),
    "fraction": 0.1,
    "negative zero": -0.0,
    "large float": 1e300,
    "float of 2^53": float(2**53),
    "small float": 5e-324,
    "empty text": "",
    "text": "plain",
    "quotes": 'a "b" \\ c / d',
    "control characters": "\0\x01\t\n\r\x1f\x7f",
    "text of escapes": "\\u0041 \\n \\\\u0041",
    "beyond the basic plane": "\U0001f600 \u00e9 \u4e2d \U0010ffff",
    "text of a number": "12345678901234567890",
    "empty list": [],
    "empty object": {},
    "list": [1, "two", None, [3], {"four": 4}],
    "nested empties": {"list": [], "object": {}, "of both": [[], {}]},
    "object": {"a": 1, "b": {"c": [None, True]}},
    "keys that look like numbers": {"1": "one", "2": "two"},
    "keys of other languages": {"__proto__": 1, "constructor": 2, "__class__": 3, "nil": 4},
    "odd keys": {"": 1, "a b": 2, '"': 3, "\n": 4, "\U0001f600": 5},
    "large integers inside": {"ids": [2**60, -(2**60), 3], "text": "12345678901234567890"},
    "deep": [[[[[[[[[[{"deep": [[]]}]]]]]]]]]],
}
"""What a host stores; a script loads it and saves it again, and nothing has changed."""

COPY: Final = {
    Language.LUA: """
        for _, key in ipairs(state.list_keys("user:mira", "in ")) do
            state.save("user:mira", "out" .. key:sub(3), state.load("user:mira", key))
        end""",
    Language.JAVASCRIPT: """
        for (const key of await state.list_keys("user:mira", "in ")) {
            await state.save("user:mira", "out" + key.slice(2), await state.load("user:mira", key))
        }""",
    Language.PYTHON: """
for key in state.list_keys("user:mira", "in "):
    state.save("user:mira", "out" + key[2:], state.load("user:mira", key))
""",
}

NOT: Final = "(not stored)"

WRITTEN: Final[dict[str, tuple[str, str, str | None, object]]] = {
    # Name: as Lua, JavaScript and Python write it, and what is stored of it.
    "null": ("null", "null", "None", None),
    "missing": ("missing", "missing", "missing", NOT),
    "nothing": ("nil", "undefined", "missing", NOT),
    "integer": ("3", "3", "3", 3),
    "float without a fraction": ("3.0", "3.0", "3.0", 3),
    "beyond 2^53": ("9007199254740993", "9007199254740993n", "9007199254740993", 2**53 + 1),
    "beyond 64 bits": ("2^64", "2**64", "float(2**64)", float(2**64)),
    "nan": ("0/0", "NaN", "float('nan')", NOT),
    "infinity": ("-math.huge", "-Infinity", "float('-inf')", NOT),
    "empty object": ("{}", "{}", "{}", {}),
    "empty list": ("array()", "[]", "[]", []),
    "list": ("{1, 2}", "[1, 2]", "[1, 2]", [1, 2]),
    "marked list": ("array{1, 2}", "[1, 2]", "(1, 2)", [1, 2]),
    "null in a list": ("{1, null, 3}", "[1, null, 3]", "[1, None, 3]", [1, None, 3]),
    "a hole in a list": ("{1, nil, 3}", "[1, undefined, 3]", "[1, missing, 3]", NOT),
    "null in an object": ("{a = null}", "{a: null}", "{'a': None}", {"a": None}),
    "a function": ("print", "print", "print", NOT),
    "half a text": ("'\\xff'", "'\\ud800'", None, NOT),  # Monty's texts are always whole
    "an integer as key": ("{[5] = 1}", "new Map([[5, 1]])", "{5: 1}", NOT),
    "a set": ("{[{}] = 1}", "new Set([1])", "{1}", NOT),
    "what contains itself": (
        "(function() local t = {} t.t = t return t end)()",
        "(() => { const t = {}; t.t = t; return t })()",
        "[loop for loop in [[]] if loop.append(loop) is None]",
        NOT,
    ),
}
"""What a script writes; NOT where the call is an error, in each language."""

TRY: Final = {
    Language.LUA: (
        'if not pcall(function() state.save("user:mira", "{key}", {value}) end) then'
        ' state.save("user:mira", "{key}", "(not stored)") end'
    ),
    Language.JAVASCRIPT: (
        'try {{ await state.save("user:mira", "{key}", {value}) }} catch {{'
        ' await state.save("user:mira", "{key}", "(not stored)") }}'
    ),
    Language.PYTHON: (
        'try:\n    state.save("user:mira", "{key}", {value})\nexcept Exception:\n'
        '    state.save("user:mira", "{key}", "(not stored)")'
    ),
}


def like(value: object) -> object:
    """Return a value such that equal ones of different types are not equal."""
    if isinstance(value, list):
        return [like(item) for item in value]
    if isinstance(value, dict):
        return {key: like(member) for key, member in value.items()}
    return type(value), repr(value)


@pytest.mark.parametrize("language", Language)
def test_what_is_stored_round_trips(
    system: AgentSystem, scripts: Scripts, language: Language
) -> None:
    """What a script loads and saves again is what it was, in value and type."""
    for name, value in STORED.items():
        system.state.set(HERE, f"in {name}", value)
    scripts.run(Script(language, COPY[language]), principal=MIRA)
    for name, value in STORED.items():
        assert like(system.state.get(HERE, f"out {name}")) == like(value), name


@pytest.mark.parametrize("language", Language)
def test_what_is_written_is_decided_equally(
    system: AgentSystem, scripts: Scripts, language: Language
) -> None:
    """What each language writes for a value is stored as the same, or refused by each."""
    column = list(Language).index(language)
    lines = [
        TRY[language].format(key=name, value=row[column])
        for name, row in WRITTEN.items()
        if isinstance(row[column], str)
    ]
    scripts.run(Script(language, "\n".join(lines)), principal=MIRA)
    for name, row in WRITTEN.items():
        if row[column] is not None:
            assert like(system.state.get(HERE, name)) == like(row[3]), name


ASKED: Final = {
    Language.LUA: """
        local given = ...
        return {given, state.load("user:mira", "none", "default"),
            state.load("user:mira", "none") == nil, state.load("user:mira", "null") == null}""",
    Language.JAVASCRIPT: """
        const [given] = arguments
        return [given, await state.load("user:mira", "none", "default"),
            await state.load("user:mira", "none") === undefined,
            await state.load("user:mira", "null") === null]""",
    Language.PYTHON: """
[arguments[0], state.load("user:mira", "none", "default"),
 state.load("user:mira", "none") is None, state.load("user:mira", "null") is None]""",
}


@pytest.mark.parametrize("language", Language)
def test_missing_is_not_null(system: AgentSystem, scripts: Scripts, language: Language) -> None:
    """A key that is missing gives the default, else nothing; one that holds null gives null."""
    system.state.set(HERE, "null", None)
    given: dict[str, object] = {"ids": [2**60, 0.5], "none": None, "list": [], "object": {}}
    result = scripts.run(Script(language, ASKED[language]), principal=MIRA, arguments=[given])
    assert result.value == [given, "default", True, True]


class Order(msgspec.Struct):
    cents: int
    tags: list[str] = []
    card: Secret[str] | None = None


def test_values_of_a_registered_type(scripts: Scripts, system: AgentSystem) -> None:
    """A record is an object in a script, and what a script writes becomes one, or is refused."""
    system.state.register("order/*", Order)
    system.state.set(HERE, "order/1", Order(5, ["a"]))
    source = """
        local order = state.load("user:mira", "order/1")
        order.cents = order.cents + 1
        state.save("user:mira", "order/2", order)
        local good, failure = pcall(state.save, "user:mira", "order/3", {cents = "x"})
        return {order, failure.kind, state.compare_and_set("user:mira", "order/1", {cents = 5,
            tags = {"a"}, card = null}, {cents = 7, tags = array()})}"""
    result = scripts.run(Script(Language.LUA, source), principal=MIRA)
    assert result.value == [{"cents": 6, "tags": ["a"], "card": None}, "StateError", True]
    assert system.state.get(HERE, "order/2", Order) == Order(6, ["a"])
    assert system.state.get(HERE, "order/1", Order) == Order(7, [])


def test_no_secret_reaches_a_script() -> None:
    """A value that holds a secret is refused to a script, also where its principal may read it."""
    keys = Keys(secrets=StaticKeys({"k": new_key()}))
    with (
        AgentSystem.open("memory://", agents=[], keys=keys, schemas={"order/*": Order}) as system,
        Scripts(system, warm=0) as scripts,
    ):
        system.state.set(HERE, "order/1", Order(5, [], Secret("4111-x")))
        with pytest.raises(ScriptFailed, match="cannot be given to a script") as caught:
            scripts.run(Script(Language.LUA, 'state.load(me, "order/1")'), principal=MIRA)
        assert "4111" not in str(caught.value)


TYPED: Final[dict[str, tuple[object, object, object]]] = {
    "time": (datetime, "2031-05-06T07:08:09Z", datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)),
    "price": (Decimal, "12.50", Decimal("12.50")),
    "ids": (set[int], [3], {3}),
    "names": (dict[int, str], {"7": "seven"}, {7: "seven"}),
    "bytes": (bytes, "AAE=", b"\0\1"),
    "pair": (tuple[int, str], [1, "a"], (1, "a")),
    "language": (Language, "lua", Language.LUA),
}
"""By key: the type, what a script writes and reads, what the store has."""


@pytest.mark.parametrize("key", TYPED)
def test_a_value_of_another_type_than_json_has(
    scripts: Scripts, system: AgentSystem, key: str
) -> None:
    """A script writes and reads it as it stands in JSON; what does not fit is refused by name."""
    declared, written, stored = TYPED[key]
    system.state.register(key, declared)
    source = f"""
        local value = ...
        state.save(me, "{key}", value)
        local good, failure = pcall(state.save, me, "{key}", {{no = {{"such"}}}})
        local same = state.compare_and_set(me, "{key}", value, value)
        return {{state.load(me, "{key}"), good, failure.message, same}}"""
    result = scripts.run(Script(Language.LUA, source), principal=MIRA, arguments=[written])
    value, good, problem, same = cast("list[object]", result.value)
    assert (value, good, same) == (written, False, True)
    assert "which this is not" in str(problem)
    assert system.state.get(HERE, key) == stored


@pytest.mark.parametrize("text", ["4111-x", "perdure:secret:2:k:AAAA"])
def test_a_script_writes_no_secret(text: str) -> None:
    """Where a type holds one, what a script writes is refused, whatever it looks like."""
    keys = Keys(secrets=StaticKeys({"k": new_key()}))
    with (
        AgentSystem.open("memory://", agents=[], keys=keys, schemas={"order/*": Order}) as system,
        Scripts(system, warm=0) as scripts,
    ):
        source = f'state.save(me, "order/1", {{cents = 5, card = "{text}"}})'
        with pytest.raises(ScriptFailed, match="holds Order, "):
            scripts.run(Script(Language.LUA, source), principal=MIRA)
        assert not system.state.exists(HERE, "order/1")


BEYOND: Final = {
    Language.LUA: "state.load(me, 'a')",
    Language.JAVASCRIPT: "await state.load(me, 'a')",
    Language.PYTHON: "state.load(me, 'a')",
}
ADDED: Final = {
    Language.LUA: "pcall(state.increment, me, 'n')",
    Language.JAVASCRIPT: "try { await state.increment(me, 'n') } catch {}",
    Language.PYTHON: "try:\n    state.increment(me, 'n')\nexcept Exception:\n    pass",
}


@pytest.mark.parametrize("language", Language)
def test_no_script_has_an_integer_beyond_64_bits(
    system: AgentSystem, scripts: Scripts, language: Language
) -> None:
    """What a host has of them is given to none: in Lua it was a float; and no sum is one."""
    system.state.set(HERE, "a", {"ids": [1, 2**63]})
    system.state.set(HERE, "n", 2**63 - 1)
    with pytest.raises(ScriptFailed, match="has an integer beyond 64 bits"):
        scripts.run(Script(language, BEYOND[language]), principal=MIRA)
    with pytest.raises(StateError, match="has an integer beyond 64 bits"):
        scripts.run(Script(language, ""), principal=MIRA, arguments=[-(2**63) - 1])
    scripts.run(Script(language, ADDED[language]), principal=MIRA)
    assert system.state.get(HERE, "n") == 2**63 - 1


@pytest.mark.parametrize("language", Language)
def test_what_nests_deeply_round_trips(
    system: AgentSystem, scripts: Scripts, language: Language
) -> None:
    """A value of 500 levels is read and written in each language, and no more than that."""
    value: object = 1
    for _ in range(500):
        value = [value]
    system.state.set(HERE, "in deep", value)
    scripts.run(Script(language, COPY[language]), principal=MIRA)
    assert system.state.get(HERE, "out deep") == value
