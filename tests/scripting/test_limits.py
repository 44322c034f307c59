"""What a script may take is bounded in each way its language has to take more."""

import threading
from typing import Final

import pytest

from perdure import AgentSystem, Scope
from perdure.persistence.errors import ConfigurationError, ScriptError, ScriptFailed, ScriptLimit
from perdure.scripting.language import Language
from perdure.scripting.options import ScriptLimits
from perdure.scripting.script import Script
from perdure.scripting.scripts import Scripts
from tests.kit.deadline import DEADLINE
from tests.scripting.conftest import MIRA

LUA, JAVASCRIPT, PYTHON = Language
TIGHT: Final = ScriptLimits(
    seconds=DEADLINE, memory=8 << 20, output=1000, calls=20, message=10_000
)  # fmt: skip

LIMITED: Final = [
    (LUA, "memory", 'local t = {} while true do t[#t + 1] = ("x"):rep(10000) .. #t end'),
    (LUA, "memory", 'return ("x"):rep(1 << 29)'),
    (LUA, "output", 'for i = 1, 19 do print(("x"):rep(100)) end'),
    (LUA, "calls", 'while true do pcall(state.load, "user:mira", "a") end'),
    (JAVASCRIPT, "memory", "const t = []; for (;;) t.push('x'.repeat(10000) + t.length)"),
    (JAVASCRIPT, "memory", "new Uint8Array(1 << 30)"),
    (JAVASCRIPT, "output", "for (let i = 0; i < 19; i++) log('x'.repeat(100))"),
    (JAVASCRIPT, "calls", "for (;;) try { await state.load('user:mira', 'a') } catch {}"),
    (PYTHON, "memory", "t = []\nwhile True:\n    t.append('x' * 10000 + str(len(t)))"),
    (PYTHON, "memory", "'x' * (1 << 40)"),
    (PYTHON, "output", "for i in range(19):\n    log('x' * 100)"),
    (PYTHON, "output", "while True:\n    print('x' * 100)"),
    (
        PYTHON,
        "calls",
        (
            "while True:\n    try:\n        state.load('user:mira', 'a')\n"
            "    except Exception:\n        pass"
        ),
    ),
]


@pytest.mark.parametrize(("language", "limit", "source"), LIMITED)
def test_more_than_a_script_may_take_ends_it(
    system: AgentSystem, language: Language, limit: str, source: str
) -> None:
    """Memory, output and calls are bounded, whatever takes them."""
    with (
        Scripts(system, limits=TIGHT, warm=0) as scripts,
        pytest.raises(ScriptLimit) as caught,
    ):
        scripts.run(Script(language, source), principal=MIRA)
    assert caught.value.limit == limit


def test_what_a_script_is_given_is_bounded(system: AgentSystem) -> None:
    """Arguments that are too large are refused by name, and a long script is none of them."""
    with Scripts(system, limits=TIGHT, warm=0) as scripts:
        with pytest.raises(ScriptLimit, match="what it is given takes more than 10,000 bytes"):
            scripts.run(Script(LUA, ""), principal=MIRA, arguments=["x" * 20_000])
        long = Script(LUA, "-- \u4e2d" * 100_000 + "\nreturn 1", "n" * 100)
        assert scripts.run(long, principal=MIRA).value == 1
        with pytest.raises(ScriptFailed, match=f"^{'n' * 100}:1: no$"):
            scripts.run(Script(LUA, 'error("no")', "n" * 100), principal=MIRA)


@pytest.mark.parametrize("language", Language)
def test_a_message_is_bounded(system: AgentSystem, language: Language) -> None:
    """A call that is too large ends its script; an answer that is too large is an error in it."""
    system.state.set(Scope.user("mira"), "large", "x" * 20_000)
    large = {LUA: '("x"):rep(50000)', JAVASCRIPT: "'x'.repeat(50000)", PYTHON: "'x' * 50000"}
    wait = "await " if language is JAVASCRIPT else ""
    with Scripts(system, limits=TIGHT, warm=0) as scripts:
        for call in (f"state.save('user:mira', 'a', {large[language]})",):
            with pytest.raises(ScriptFailed, match="frame"):
                scripts.run(Script(language, wait + call), principal=MIRA)
        with pytest.raises(ScriptFailed, match="takes more than 10,000 bytes"):
            scripts.run(Script(language, f"{wait}state.load('user:mira', 'large')"), principal=MIRA)


ENDLESS: Final = [
    (LUA, "local c = coroutine.wrap(function() while true do end end) c()"),
    (LUA, "while true do pcall(function() while true do end end) end"),
    (LUA, '("a"):rep(40):find(("a*"):rep(40) .. "b")'),
    (LUA, "setmetatable({}, {__gc = function() while true do end end}) collectgarbage()"),
    (LUA, ("local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k)"
      " return t[k] end while true do pcall(function() return t.x end) end")),
    (LUA, "local function f() return f() end f()"),
    (LUA, ("local c c = coroutine.create(function() local d <close> = setmetatable({}, {__close ="
      " function() while true do end end}) error() end) coroutine.resume(c) coroutine.close(c)")),
    (LUA, "table.sort({3, 1, 2}, function() while true do end end)"),
    (JAVASCRIPT, "for (;;) await null"),
    (JAVASCRIPT, "const f = () => Promise.resolve().then(f); f(); await new Promise(() => {})"),
    (JAVASCRIPT, "/(a+)+$/.test('a'.repeat(60) + 'b')"),
    (JAVASCRIPT, "try { for (;;) {} } finally { for (;;) {} }"),
    (JAVASCRIPT, "function* g() { for (;;) yield 1 } for (const x of g()) {}"),
    (JAVASCRIPT, "[...{ [Symbol.iterator]: () => ({ next: () => ({ done: false }) }) }]"),
    (JAVASCRIPT, "await { then() { for (;;) {} } }"),
    (JAVASCRIPT, "return { get x() { for (;;) {} } }"),
    (JAVASCRIPT, "throw { toString() { for (;;) {} } }"),
    (JAVASCRIPT, "let s = 1n; for (;;) s = s * 3n % (2n ** 4096n)"),
    (PYTHON, ("while True:\n    try:\n        while True:\n            pass\n"
      "    except BaseException:\n        pass")),
    (PYTHON, "x = 3\nwhile True:\n    x = x * x % (2 ** 4096)"),
    (PYTHON, "import re\nre.search('(a|aa)+$', 'a' * 60 + 'b')\nwhile True:\n    pass"),
    (PYTHON, "sorted([3, 1, 2], key=lambda x: [0 for y in range(10 ** 12)])"),
    (PYTHON, "sum([1 for x in range(10 ** 12)])"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("language", "source"), ENDLESS)
def test_no_loop_goes_on(system: AgentSystem, language: Language, source: str) -> None:
    """Whatever way a language has to go on for ever ends at the deadline, or before."""
    with (
        Scripts(system, limits=ScriptLimits(seconds=1.0), warm=0) as scripts,
        pytest.raises((ScriptLimit, ScriptFailed)),
    ):
        scripts.run(Script(language, source), principal=MIRA)


DEEP: Final = [
    (LUA, "local function f() return 1 + f() end f()"),
    (LUA, 'local s = ("("):rep(100000) .. "1" return load("return " .. s)()'),
    (LUA, 'return ("x"):rep(100000):gsub(("("):rep(40) .. "x", "")'),
    (LUA, "local t = {} for i = 1, 1000 do t = {t} end return t"),
    (LUA, "local t = {} t.t = t return t"),
    (LUA, "local function f() coroutine.wrap(f)() end f()"),
    (JAVASCRIPT, "function f() { return 1 + f() } f()"),
    (JAVASCRIPT, "return JSON.parse('['.repeat(1000000))"),
    (JAVASCRIPT, "let t = []; for (let i = 0; i < 1000; i++) t = [t]; return t"),
    (JAVASCRIPT, "const t = {}; t.t = t; return t"),
    (JAVASCRIPT, "new RegExp('('.repeat(100000))"),
    (JAVASCRIPT, "const a = []; a[0] = a; String(a); return a"),
    (PYTHON, "def f():\n    return 1 + f()\nf()"),
    (PYTHON, "(" * 5000 + "1" + ")" * 5000),
    (PYTHON, "t = []\nfor i in range(1000):\n    t = [t]\nt"),
    (PYTHON, "t = []\nt.append(t)\nstate.save('user:mira', 'a', t)"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("language", "source"), DEEP)
def test_depth_is_an_error(scripts: Scripts, language: Language, source: str) -> None:
    """What nests or calls too deeply fails its script alone; the next one runs as ever."""
    with pytest.raises((ScriptFailed, ScriptLimit)):
        scripts.run(Script(language, source), principal=MIRA)
    scripts.run(Script(language, ""), principal=MIRA)


@pytest.mark.slow
def test_a_thousand_scripts_at_once(system: AgentSystem) -> None:
    """A thousand scripts that are begun at once all run, a few at a time, and none is lost."""
    source = 'state.increment("user:mira", "n")'
    wait = {LUA: source, JAVASCRIPT: f"await {source}", PYTHON: source}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        language = list(Language)[number % 3]
        try:
            scripts.run(Script(language, wait[language]), principal=MIRA)
        except ScriptError as error:
            errors.append(error)

    limits = ScriptLimits(seconds=DEADLINE, attempts=1000)
    with Scripts(system, limits=limits) as scripts:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(1000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert system.state.get(Scope.user("mira"), "n") == 1000


def test_limits_that_make_no_sense_are_refused() -> None:
    """A limit is refused where it is given, by name and with the right form."""
    for wrong in ({"seconds": 0}, {"memory": 5}, {"calls": -1}, {"output": 0.5}, {"attempts": 0}):
        (name,) = wrong
        with pytest.raises(ConfigurationError, match=rf"ScriptLimits\({name}=.*\) makes no sense"):
            ScriptLimits(**wrong)
