"""Key providers: what they take, what they refuse, and that no error shows a key."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from perdure import (
    EnvironmentKeys,
    FileKeys,
    KeyProvider,
    KeyringKeys,
    Keys,
    StaticKeys,
    new_key,
)
from perdure.persistence.errors import ConfigurationError, KeyMissing
from perdure.persistence.secrets.keys import key_text
from perdure.persistence.secrets.place import in_state
from perdure.persistence.secrets.sealer import Sealer
from perdure.persistence.secrets.signer import Signer

ONE, TWO = new_key(), new_key()
HERE = in_state("Box", "1", "x")


def in_a_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Write a key file."""
    path = folder / "keys.txt"
    path.write_text(text)
    path.chmod(mode)
    return path


class FakeKeyring(ModuleType):
    """Stands for the package keyring: passwords by service and name."""

    def __init__(self, passwords: dict[str, str]) -> None:
        super().__init__("keyring")
        self._passwords = passwords

    def get_password(self, _service: str, name: str) -> str | None:
        return self._passwords.get(name)


@pytest.fixture(params=["static", "file", "environment", "keyring"])
def provider(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> KeyProvider:
    """Give each provider with the keys ``new`` (current) and ``old``."""
    new, old = key_text(ONE), key_text(TWO)
    monkeypatch.setenv("PERDURE_KEYS", f"new:{new}, old:{old}")
    passwords = {"current": "new", "new": new, "old": old}
    monkeypatch.setitem(sys.modules, "keyring", FakeKeyring(passwords))
    made: dict[str, Callable[[], KeyProvider]] = {
        "static": lambda: StaticKeys({"new": ONE, "old": TWO}),
        "file": lambda: FileKeys(in_a_file(tmp_path, f"# keys\n\nnew {new}\nold\t{old}\n")),
        "environment": EnvironmentKeys,
        "keyring": KeyringKeys,
    }
    return made[request.param]()


def test_every_provider(provider: KeyProvider) -> None:
    """The first key is current, others open, a missing one is named; repr shows no key."""
    assert provider.current() == "new"
    assert provider.key("new") == ONE
    assert provider.key("old") == TWO
    with pytest.raises(KeyMissing, match="has no key 'gone'") as caught:
        provider.key("gone")
    assert caught.value.key_id == "gone"
    assert key_text(ONE) not in repr(provider)
    assert key_text(ONE) not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["k1", "k1 short", f"k1 {key_text(ONE)}=x", f"k1 {key_text(ONE)} more", f"k:1 {key_text(ONE)}",
     f"k1 {key_text(ONE)[:-8]}", f"{key_text(ONE)} k1", f"k1 {key_text(ONE)}\nk1 {key_text(TWO)}"],
    ids=["no key", "no base64", "padded", "a third word", "colon", "cut", "turned round", "twice"],
)  # fmt: skip
def test_a_malformed_line_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    """A wrong line is refused by its number; no error shows what stands there."""
    with pytest.raises(ConfigurationError, match=r"line \d of ") as caught:
        FileKeys(in_a_file(tmp_path, text))
    error: BaseException | None = caught.value
    while error is not None:
        assert key_text(ONE)[:20] not in repr(error)
        error = error.__cause__ or error.__context__


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """A key file with rights for group or others is refused, and told how to mend it."""
    text = f"k1 {key_text(ONE)}"
    for mode in (0o640, 0o604, 0o660):
        with pytest.raises(ConfigurationError, match="chmod 600"):
            FileKeys(in_a_file(tmp_path, text, mode))
    assert FileKeys(in_a_file(tmp_path, text, 0o400)).current() == "k1"


def test_what_is_no_key_file_keeps_its_rights(tmp_path: Path) -> None:
    """Of a device or another file it is said that it holds no keys, and no advice is given."""
    for path in (Path("/dev/null"), in_a_file(tmp_path, "root:x:0:0:root:/root:/bin/sh", 0o644)):
        with pytest.raises(ConfigurationError, match="is not a key file") as caught:
            FileKeys(path)
        assert "chmod" not in str(caught.value)
        assert "root:/root" not in str(caught.value)


@pytest.mark.parametrize("make", [FileKeys, EnvironmentKeys, KeyringKeys])
def test_an_empty_name_is_refused(make: Callable[[str], KeyProvider]) -> None:
    """A source of keys without a name is a mistake that is named."""
    with pytest.raises(ConfigurationError, match=r"the name of .* is empty"):
        make("")


def test_missing_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, no variable, no package, no keys: each says what is missing."""
    monkeypatch.delenv("PERDURE_KEYS", raising=False)
    with pytest.raises(ConfigurationError, match="PERDURE_KEYS is not set"):
        EnvironmentKeys()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        FileKeys(tmp_path / "none")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"pip install perdure\[keyring\]"):
        KeyringKeys()
    monkeypatch.setitem(sys.modules, "keyring", FakeKeyring({}))
    with pytest.raises(KeyMissing, match="no current key"):
        KeyringKeys().current()
    with pytest.raises(KeyMissing, match="has no key"):
        StaticKeys({}).current()
    with pytest.raises(ConfigurationError, match="32 bytes"):
        StaticKeys({"k1": b"short"})


def test_a_file_is_read_again_for_a_key_not_seen_before(tmp_path: Path) -> None:
    """A running system takes a new line: for tokens of that key at once, for sealing on refresh."""
    path = in_a_file(tmp_path, f"k1 {key_text(ONE)}")
    sealer = Sealer(FileKeys(path))
    old = sealer.seal(lambda: "1", "x", HERE)
    in_a_file(tmp_path, f"k2 {key_text(TWO)}\nk1 {key_text(ONE)}")
    other = Sealer(FileKeys(path)).seal(lambda: "2", "x", HERE)
    assert sealer.open(other, "x", HERE) == "2"
    assert ":k1:" in sealer.seal(lambda: "3", "x", HERE)
    sealer.refresh()
    assert ":k2:" in sealer.seal(lambda: "4", "x", HERE)
    assert sealer.open(old, "x", HERE) == "1"


def test_without_cryptography_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first use of a key without the package names the extra."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigurationError, match=r"pip install perdure\[secrets\]"):
        Sealer(StaticKeys({"k1": ONE})).seal(lambda: "1", "x", HERE)


class Custom:
    """A provider of somebody's own."""

    def __init__(self, key_id: str, key: bytes) -> None:
        self._key_id, self._key = key_id, key

    def current(self) -> str:
        """Return the id."""
        return self._key_id

    def key(self, _key_id: str) -> bytes:
        """Return the key."""
        return self._key


@pytest.mark.parametrize(
    ("key_id", "key", "problem"),
    [("k:1", ONE, "the id of a key"), ("", ONE, "the id of a key"), ("k1", b"x" * 16, "32 bytes")],
    ids=["colon", "empty", "short"],
)
def test_keys_of_a_provider_of_ones_own_are_checked(key_id: str, key: bytes, problem: str) -> None:
    """An id that no token could hold, or a key that is too weak, seals and signs nothing."""
    with pytest.raises(ConfigurationError, match=problem):
        Sealer(Custom(key_id, key)).seal(lambda: "1", "x", HERE)
    with pytest.raises(ConfigurationError, match=problem):
        Signer(Custom(key_id, key)).sign("a.B", b"1", "x")


def test_what_is_no_provider_is_refused() -> None:
    """A path or a key in place of a provider is refused where it is given."""
    path, raw, kind = "keys.txt", {"k": ONE}, FileKeys
    with pytest.raises(ConfigurationError, match=r"Keys\(secrets='keys.txt'\).*=FileKeys\(path\)"):
        Keys(secrets=path)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"Keys\(pickles=.*pickles=FileKeys\(path\)"):
        Keys(pickles=raw)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"Keys\(secrets=FileKeys\)"):
        Keys(secrets=kind)  # type: ignore[arg-type]
