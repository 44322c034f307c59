"""Tokens: round trips of any value, and nothing but the very token opens."""

import traceback
import typing
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Keys, Secret, StaticKeys, new_key
from perdure.persistence.errors import ConfigurationError, CorruptState, KeyMissing, StateError
from perdure.persistence.secrets.codec import SecretCodec, codec_for
from perdure.persistence.secrets.masking import masked
from perdure.persistence.secrets.place import in_state
from perdure.persistence.secrets.sealer import Sealer
from perdure.persistence.secrets.tokens import TOKEN, read
from perdure.persistence.secrets.vault import Vault

KEYS = StaticKeys({"k1": new_key(), "k2": new_key()})

HERE = in_state("Box", "1", "x")

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


T = TypeVar("T")


@dataclass
class Data:
    secret: Secret[str]


class Typed(TypedDict):
    secret: Secret[str]


class Named(NamedTuple):
    secret: Secret[str]


class Generic(msgspec.Struct, typing.Generic[T]):
    secret: Secret[T]


def vault(*ids: str) -> Vault:
    """Return a vault with some of the keys, the first is the current one."""
    return Vault(Keys(StaticKeys({key_id: KEYS.key(key_id) for key_id in ids})))


@given(VALUES)
def test_any_value_comes_back(value: object) -> None:
    """What JSON can hold comes back from a secret, and stands in no text."""
    codec: SecretCodec[Any] = SecretCodec(dict[str, list[Secret[object]]], vault("k1"), "x")
    text, copy = codec.encode_copy({"a": [Secret(value)]}, "x")
    assert TOKEN.fullmatch(msgspec.json.decode(text)["a"][0])
    assert copy["a"][0].reveal() == value
    assert codec.decode(text)["a"][0].reveal() == value
    assert codec.encode(codec.decode(text), "x") == text
    assert masked(text) == '{"a":["***"]}'


@given(st.data())
def test_a_changed_token_does_not_open(data: st.DataObject) -> None:
    """Each change of a token is refused, whichever character it is; so are cut ones."""
    sealer = Sealer(KEYS)
    token = sealer.seal(lambda: '"value"', "x", HERE)
    place = data.draw(st.integers(0, len(token) - 1))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:."
    other = data.draw(st.sampled_from(letters).filter(lambda c: c != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    if (parts := read(changed)) is not None and parts == read(token):
        return  # the bits that base64 leaves over
    with pytest.raises((CorruptState, KeyMissing)):
        sealer.open(changed, "x", HERE)
    with pytest.raises((CorruptState, KeyMissing)):
        sealer.open(token[:place], "x", HERE)


def test_a_token_of_another_key_of_that_id_does_not_open() -> None:
    """A wrong key is told from a right one; the error names field and key, no value."""
    token = Sealer(StaticKeys({"k1": new_key()})).seal(lambda: '"v"', "x", HERE)
    with pytest.raises(CorruptState, match=r"state\.x: .*changed, or key 'k1' is not the one"):
        Sealer(KEYS).open(token, "state.x", HERE)
    renamed = token.replace(":k1:", ":k2:")
    with pytest.raises(CorruptState, match="key 'k2'"):
        Sealer(KEYS).open(renamed, "state.x", HERE)


def test_plain_text_in_a_secret_field_is_refused() -> None:
    """What was stored unsealed does not pass for a secret."""
    codec: SecretCodec[Any] = SecretCodec(Secret[str], vault("k1"), "Box.token")
    for text in ('"hunter2"', '"perdure:secret:2:k1:"', "1", "null"):
        with pytest.raises(CorruptState) as caught:
            codec.load(text, "Box.token")
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Secret[float], float("nan")),
        (Secret[list[float]], [1.5, float("inf")]),
        (Secret[int], "canary"),
        (Secret[str], 1234567),
        (Secret[object], ("canary",)),
        (Secret[object], object()),
        (Secret[object], {1: "canary"}),
        (Secret[str], "lone \ud800 canary"),
    ],
)
def test_what_is_refused_is_not_shown(declared: object, value: object) -> None:
    """A value that a secret cannot hold is refused without being shown in any error."""
    codec: SecretCodec[Any] = SecretCodec(declared, vault("k1"), "x")
    with pytest.raises(StateError, match=r"^state\.x: ") as caught:
        codec.encode(Secret(value), "state.x")
    error: BaseException | None = caught.value
    while error is not None:
        for word in ("canary", "1234567", "nan", "inf "):
            assert word not in repr(error)
        error = error.__cause__ or error.__context__


def test_the_next_encoding_takes_the_current_key() -> None:
    """An encoding after a rotation seals anew; without the old key the token stays as it is."""
    old: SecretCodec[Any] = SecretCodec(Secret[str], vault("k1"), "x")
    text = old.encode(Secret("v"), "x")
    both: SecretCodec[Any] = SecretCodec(Secret[str], vault("k2", "k1"), "x")
    moved = both.encode(both.decode(text), "x")
    assert moved.startswith('"perdure:secret:2:k2:')
    new: SecretCodec[Any] = SecretCodec(Secret[str], vault("k2"), "x")
    assert new.encode(new.decode(text), "x") == text
    assert new.decode(moved).reveal() == "v"
    spoilt = text[:-8] + "AAAAAA" + text[-2:]
    assert both.encode(both.decode(spoilt), "x") == spoilt


def test_a_secret_of_one_system_is_sealed_anew_by_another() -> None:
    """A token never leaves for a system with other keys."""
    secret = Secret("v")
    first: SecretCodec[Any] = SecretCodec(Secret[str], vault("k1"), "x")
    others = Vault(Keys(StaticKeys({"z": new_key()})))
    second: SecretCodec[Any] = SecretCodec(Secret[str], others, "x")
    stored = first.decode(first.encode(secret, "x"))
    assert second.decode(second.encode(stored, "x")).reveal() == "v"


def test_a_secret_in_two_places_is_sealed_once() -> None:
    """The same object in two places of one value has one token."""
    secret = Secret("v")
    codec: SecretCodec[Any] = SecretCodec(list[Secret[str]], vault("k1"), "x")
    one, other = msgspec.json.decode(codec.encode([secret, secret], "x"))
    assert one == other


@pytest.mark.parametrize(
    "declared", [Secret[Secret[str]], Secret[StaticKeys], Secret[str] | int, list[Secret[type]]]
)
def test_what_cannot_be_a_secret_is_refused_by_its_declaration(declared: object) -> None:
    """A declared type that no secret can have is refused before anything is stored."""
    with pytest.raises(ConfigurationError):
        codec_for(declared, vault("k1"), "Box.token")


def test_types_without_secrets_keep_their_codec() -> None:
    """A type without a secret gets the very codec that it had before there were secrets."""
    from perdure.persistence.codec.codec import Codec, codec_of  # noqa: PLC0415

    for declared in (int, str, dict[str, list[int]], object):
        assert codec_for(declared, vault("k1"), "x") is codec_of(declared)
        assert type(codec_of(declared)) is Codec


def test_a_secret_moves_to_a_place_of_another_type_only_if_it_fits() -> None:
    """A stored secret is proved against the type of its new place; that takes its key."""
    text: SecretCodec[Any] = SecretCodec(Secret[str], vault("k1"), "x")
    secret = text.decode(text.encode(Secret("twelve"), "x"))
    sealer = vault("k1")
    number: SecretCodec[Any] = SecretCodec(Secret[int], sealer, "y")
    with pytest.raises(StateError, match=r"^y: .*stored exactly as int"):
        number.encode(secret, "y")
    anything: SecretCodec[Any] = SecretCodec(Secret[object], sealer, "z")
    assert anything.decode(anything.encode(secret, "z")).reveal() == "twelve"
    keyless = Vault()
    closed: SecretCodec[Any] = SecretCodec(Secret[str], keyless, "x")
    other: SecretCodec[Any] = SecretCodec(Secret[object], keyless, "z")
    with pytest.raises(KeyMissing):
        other.encode(closed.decode(text.encode(secret, "x")), "z")
    assert closed.encode(closed.decode(text.encode(secret, "x")), "x")


def test_record_classes_of_every_kind_hold_secrets() -> None:
    """Dataclasses, typed dictionaries, named tuples and generic structs may have secret fields."""
    for kind, value in (
        (Data, Data(Secret("s"))),
        (Typed, {"secret": Secret("s")}),
        (Named, Named(Secret("s"))),
        (Generic[str], Generic(Secret("s"))),
    ):
        codec = codec_for(list[kind], vault("k1"), "x")  # type: ignore[valid-type]
        text = codec.encode([value], "x")
        assert TOKEN.search(text)
        decoded: Any = codec.decode(text)
        back: Any = decoded[0]
        secret = back["secret"] if isinstance(back, dict) else back.secret
        assert secret.reveal() == "s"


def test_a_plain_value_in_the_place_of_a_secret_is_refused_unseen() -> None:
    """Who forgets to wrap a value is told so; neither it nor a stolen token gets in."""
    codec: SecretCodec[Any] = SecretCodec(dict[str, Secret[str]], vault("k1"), "x")
    token = Sealer(KEYS).seal(lambda: '"v"', "x", HERE)
    for value in ("hunter-two", token, 17, None):
        with pytest.raises(StateError, match=r"^state\.x\[.*\]: holds something else") as caught:
            codec.encode({"a": value}, "state.x")
        assert "hunter" not in "".join(traceback.format_exception(caught.value))
    assert isinstance(Secret[str]("x"), Secret)
