"""Scopes, principals and keys: one exact form each, and one sentence for everything else."""

import enum
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import AgentSystem, Principal, Scope
from perdure.persistence.errors import ScopeError
from perdure.persistence.names.keys import checked_key, checked_pattern, matches
from tests.shared.agents import WORK

text = st.text(max_size=12)
hostile = st.one_of(
    text,
    st.text(st.sampled_from("ab/:%*.\\ é\u0301\u2028\0\ud800"), max_size=8),
    st.builds("".join, st.lists(st.sampled_from(
        ["global", "user", "workflow", "agent", "custom", "step", "sharing", ":", "/", "%2F", "%2f",
         "%", "step:", "a", "", "é", "e\u0301", "system", "agents"]), max_size=7)),
)  # fmt: skip
names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40)
agents = names.map(lambda name: unicodedata.normalize("NFC", name))  # as names of agents must be


def scopes() -> st.SearchStrategy[Scope]:
    """Any valid scope."""
    return st.one_of(
        st.just(Scope.GLOBAL),
        st.builds(Scope.user, names), st.builds(Scope.workflow, names),
        st.builds(Scope.session, names), st.builds(Scope.tool, names),
        st.builds(Scope.agent, agents, agents), st.builds(Scope.custom, names, names),
        st.builds(lambda w, s: Scope.workflow(w).step(s), names, names),
    )  # fmt: skip


@given(scopes())
def test_a_scope_is_read_back_from_its_form(scope: Scope) -> None:
    """parse(str(scope)) is the scope, whatever its ids hold."""
    assert Scope.parse(str(scope)) == scope
    assert str(scope).isascii()


@given(scopes(), scopes())
def test_different_scopes_have_different_forms(one: Scope, other: Scope) -> None:
    """The form tells scopes apart exactly as the scope does."""
    assert (str(one) == str(other)) == (one == other)


@given(hostile)
def test_any_text_is_a_scope_exactly_or_an_error(form: str) -> None:
    """A text is the exact form of a scope, or ScopeError; never anything else."""
    try:
        scope = Scope.parse(form)
    except ScopeError:
        pass
    else:
        assert str(scope) == form


@given(hostile)
def test_any_text_is_a_principal_exactly_or_an_error(form: str) -> None:
    """The same for principals."""
    try:
        principal = Principal.parse(form)
    except ScopeError:
        pass
    else:
        assert str(principal) == form


@pytest.mark.parametrize(
    "form",
    [
        "", ":", "global:", "user", "user:", "user:a/b", "user:%61", "user:%C3", "user:a%2f",
        "agent:a", "agent:a/", "agent:a/b/c", "step:w/s", "workflow:w/parse", "workflow:w/step:",
        "custom:a", "sharing:a/b", "unknown:a", "GLOBAL", "user:e\u0301", "user:a\n", " global",
        "workflow:w/step:s/step:t",
    ],
)  # fmt: skip
def test_other_forms_are_refused(form: str) -> None:
    """Unknown kinds, missing, surplus and differently written parts are errors."""
    with pytest.raises(ScopeError):
        Scope.parse(form)


@given(
    st.one_of(hostile, st.none(), st.integers(), st.binary(max_size=3), st.lists(st.integers())),
    st.one_of(hostile, st.none(), st.integers()),
    st.one_of(hostile, st.none(), st.integers()),
)
def test_nothing_but_scopes_can_be_made(kind: object, scope_id: object, part: object) -> None:
    """Scope(...) and Principal(...) of anything are valid and have a form, or raise ScopeError."""
    for made in (Scope, Principal):
        try:
            value = made(kind, scope_id, part)  # type: ignore[arg-type]
        except ScopeError:
            continue
        if value.kind != "sharing":
            assert type(value).parse(str(value)) == value
        assert all(type(column) is str for column in value.columns)


@given(st.one_of(hostile, names))
def test_keys_are_normal_or_refused(key: str) -> None:
    """A key is taken in NFC, and what it becomes is a key that stays as it is."""
    try:
        normal = checked_key(key)
    except ScopeError:
        return
    assert normal == unicodedata.normalize("NFC", key)
    assert checked_key(normal) == normal
    assert 1 <= len(normal.encode()) <= 256


@pytest.mark.parametrize(
    "key",
    [
        "", "..", "a/../b", "..a", "a\\b", "a//b", "//", "\0", "a\nb", "\x7f", "\x85", "\u2028",
        "\u2029", "\ud800", "perdure.x", "a" * 257, "é" * 129, "\U0001f600" * 65,
        None, 7, b"k", [], ("a",), 1.5,
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused_everywhere(key: object) -> None:
    """Every call refuses what can be no key with ScopeError, before anything is looked up."""
    with AgentSystem.open("memory://", agents=[]) as system:
        s = system.state
        k: str = key  # type: ignore[assignment]
        calls: list[Callable[[], object]] = [
            lambda: s.get(WORK, k), lambda: s.set(WORK, k, 1), lambda: s.delete(WORK, k),
            lambda: s.exists(WORK, k), lambda: s.increment(WORK, k), lambda: s.add(WORK, k),
            lambda: s.entry(WORK, k), lambda: s.get_many(WORK, ["ok", k]),
            lambda: s.copy(WORK, k, WORK, "x"), lambda: s.compare_and_set(WORK, k, 1, 2),
        ]  # fmt: skip
        if isinstance(key, str):
            calls.append(lambda: s.set_many(WORK, {"ok": 1, k: 1}))
            calls.append(lambda: s.move(WORK, "ok", WORK, k))
        for call in calls:
            with pytest.raises(ScopeError):
                call()
        assert s.list(WORK) == []


def test_sizes_are_those_of_the_normal_form() -> None:
    """256 bytes of UTF-8 in NFC are a key and an id, 257 are not."""
    decomposed = "e\u0301" * 128  # 384 bytes, 256 in NFC
    for longest in ("a" * 256, "é" * 128, decomposed, "\U0001f600" * 64):
        assert len(checked_key(longest).encode()) == 256
        assert Scope.user(longest).id == checked_key(longest)
    for long in ("a" * 257, decomposed + "a"):
        with pytest.raises(ScopeError, match="257 bytes"):
            checked_key(long)
        with pytest.raises(ScopeError, match="257 bytes"):
            Scope.user(long)


def test_equal_texts_are_one_key() -> None:
    """A key is the same in whatever normal form it is written; so are prefix and after."""
    nfc, nfd = "caf\u00e9", "cafe\u0301"
    with AgentSystem.open("memory://", agents=[]) as system:
        system.state.set(WORK, nfd, 1)
        assert system.state.get(WORK, nfc) == 1
        assert system.state.list(WORK) == [nfc]
        assert system.state.list(WORK, prefix=nfd) == [nfc]
        assert system.state.list(WORK, after=nfd) == []
        assert system.state.set(WORK, nfc, 2) == 2
        assert system.state.set(Scope.user(nfd), "k", 1) == 1
        assert system.state.exists(Scope.user(nfc), "k")


def test_subclasses_of_text_are_their_text() -> None:
    """An enumeration's member is the key of its text, and methods of a subclass are not asked."""

    class Name(enum.StrEnum):
        KEY = "key"

    class Liar(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("key")

        def startswith(self, *_: object) -> bool:
            return False

    with AgentSystem.open("memory://", agents=[]) as system:
        system.state.set(WORK, Name.KEY, 1)
        assert system.state.get(WORK, "key") == 1
        assert not system.state.exists(WORK, Liar("other"))
        with pytest.raises(ScopeError):
            system.state.get(WORK, Liar("perdure.x"))


@pytest.mark.parametrize("kind", [Scope, Principal])
def test_nothing_passes_for_a_scope_or_a_principal(kind: type) -> None:
    """Neither has subclasses, whose own equality or columns would stand for those of another."""
    with pytest.raises(TypeError, match=f"{kind.__name__} has no subclasses"):
        type("Other", (kind,), {"__slots__": (), "__eq__": lambda *_: True})


@given(st.sampled_from(["a*", "*", "a/b", "a/*", "é*"]), names)
def test_patterns_match_by_prefix(pattern: str, key: str) -> None:
    """A pattern is a key, or a prefix and a star at its end."""
    assert checked_pattern(pattern) == pattern
    wanted = key.startswith(pattern[:-1]) if pattern.endswith("*") else key == pattern
    assert matches(pattern, key) == wanted
