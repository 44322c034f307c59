"""What a terminal gets is harmless, and fits."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.cli.terminal.screen import LEAST_NAME, LEAST_VALUE, ColumnStyle, fit
from perdure.cli.terminal.text import count, moment, safe, seconds_of, size
from perdure.cli.terminal.values import call, changes, line, parse
from perdure.persistence.errors import ConfigurationError, CorruptState

ANYTHING = st.text(st.characters(exclude_categories=()))  # surrogates and controls too
STYLES = st.sampled_from(["name", "number", "word", "value"])


@given(ANYTHING, st.sampled_from(["utf-8", "ascii", "latin-1"]))
def test_safe_text_is_visible_and_encodable(text: str, encoding: str) -> None:
    """No character is left that a terminal would obey, hide, or not be able to show."""
    shown = safe(text, encoding=encoding)
    shown.encode(encoding)
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not [c for c in shown if unicodedata.category(c) in hidden]


@given(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)))
def test_plain_text_stays_as_it_is(text: str) -> None:
    """Printable ASCII is not touched, markup and backslashes included."""
    assert safe(text) == text


@given(ANYTHING, st.integers(3, 50))
def test_long_text_is_cut_before_it_is_escaped(text: str, limit: int) -> None:
    """At most ``limit`` characters of the value are shown, and a cut is marked."""
    shown = safe(text, limit=limit)
    assert shown == (safe(text[: limit - 3]) + "..." if len(text) > limit else safe(text))


def test_heaps_of_marks_are_escaped() -> None:
    """A letter keeps three accents; more would be painted over the lines around it."""
    assert safe("e" + "\u0301" * 5) == "e\u0301\u0301\u0301" + r"\u0301\u0301"
    assert safe("e\u0301e\u0301e\u0301e\u0301e\u0301") == "e\u0301" * 5


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (5 * 10**9, "5.0 GB"), (10**16, "10000.0 TB")],
)  # fmt: skip
def test_sizes(number: int, text: str) -> None:
    """Sizes have one decimal and a unit that keeps them short."""
    assert size(number) == text


def test_moments_and_counts() -> None:
    """Times are in UTC; a number beyond the calendar is shown as it is."""
    assert moment(0) == "1970-01-01 00:00:00"
    assert moment(1e300) == "1e+300"
    assert moment(float("nan")) == "nan"
    assert [count(n, "entry", "entries") for n in (1, 2000)] == ["1 entry", "2,000 entries"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | ANYTHING,
    lambda inner: st.lists(inner) | st.dictionaries(ANYTHING, inner),
)  # fmt: skip


@given(JSON)
def test_json_lines_are_one_line_of_ascii_and_exact(value: object) -> None:
    """What a program reads is the value; what a terminal gets is printable ASCII."""
    text = line(value)
    assert text.isascii()
    assert text.isprintable()
    assert parse(text, "here") == value


def test_numbers_json_cannot_hold_stay_text() -> None:
    """A number too large for a float comes out as the text it was, not as infinity."""
    assert parse("[1e999, 1e3]", "here") == ["1e999", 1000.0]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000])
def test_broken_json_names_its_place(text: str) -> None:
    """Text that is no JSON, nests for ever or has a monstrous number is CorruptState."""
    with pytest.raises(CorruptState, match=r"state\.open: it is not JSON"):
        parse(text, "state.open")


def test_changes_and_calls_on_one_line() -> None:
    """A delta reads like assignments, a message like a call."""
    delta = {
        "set": {"open": 3}, "append": {"log": [7, ["a", "b"]]},
        "put": {"owners": [["T", "x"]]}, "delete": {"owners": ["U", 4]},
    }  # fmt: skip
    assert changes(delta) == (
        'open = 3, log[7] = "a", log[8] = "b", owners["T"] = "x", del owners["U"], del owners[4]'
    )
    assert call("assign", [["T", 1], {"owner": None}]) == '"T", 1, owner=null'
    assert call("", [["T"], {}]) == '[["T"], {}]'


@given(st.lists(st.tuples(st.integers(0, 300), STYLES), min_size=1), st.integers(1, 200))
def test_columns_fit_if_they_can(columns: list[tuple[int, ColumnStyle]], room: int) -> None:
    """Widths never grow, words and numbers keep theirs, and the sum fits unless all are least."""
    natural, styles = [n for n, _ in columns], [style for _, style in columns]
    widths = fit(natural, styles, room)
    least = {"value": LEAST_VALUE, "name": LEAST_NAME}
    floors = [min(n, least.get(style, n)) for n, style in columns]
    assert all(low <= w <= n for low, w, n in zip(floors, widths, natural, strict=True))
    assert sum(widths) <= max(room, sum(floors))
    if sum(natural) <= room:
        assert widths == natural


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-02", 86_400.0), ("1970-01-01T00:01+00:00", 60.0), ("5", 5.0), ("-1.5", -1.5)],
)
def test_a_time_is_a_date_or_seconds(text: str, seconds: float) -> None:
    """In UTC unless it says otherwise."""
    assert seconds_of(text, "--since") == seconds


@pytest.mark.parametrize("text", ["nan", "inf", "soon", "", "99999-01-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With what was given, and the right form."""
    with pytest.raises(ConfigurationError, match=r"--since '.*': give a time, as 2031-05-07"):
        seconds_of(text, "--since")
