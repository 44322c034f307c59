"""Backups in a bucket: a real server of the S3 protocol on loopback, started for these tests."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from perdure import BackupRetention, Backups, S3Bucket, StaticKeys, new_key
from perdure.persistence.backup import s3
from perdure.persistence.backup.destination import Destination
from perdure.persistence.backup.directory import Directory
from perdure.persistence.backup.folder import Folder
from perdure.persistence.errors import (
    BackupDamaged,
    BackupFailed,
    ConfigurationError,
    UnknownBackup,
)
from tests.backup.stores import Ledger, contents, fill, opened

SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
input()
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Run a server, as a process of its own, until the end of its input."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.kill()


@pytest.fixture
def bucket(endpoint: str) -> S3Bucket:
    """Make a bucket."""
    name = f"b{uuid4().hex}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")).close()  # noqa: S310 - our own
    return in_bucket(endpoint, name)


def in_bucket(endpoint: str, name: str) -> S3Bucket:
    """Return a place in a bucket."""
    return S3Bucket(
        name, prefix="desk/daily", endpoint=endpoint, region="us-east-1",
        access_key_id="x", secret_access_key="y", client_options={"allow_http": True},  # noqa: S106
    )  # fmt: skip


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    """Give each kind of place."""
    if request.param == "directory":
        return Directory(tmp_path / "backups")
    made: S3Bucket = request.getfixturevalue("bucket")
    return made


def test_made_verified_brought_back_and_pruned(place: Destination, tmp_path: Path) -> None:
    """In every place: full, incremental, encrypted, to a moment, without who was erased."""
    path = tmp_path / "ledger.db"
    fill(path)
    backups = Backups(place, keys=StaticKeys({"k1": new_key()}))
    first = backups.create(path)
    with opened(path) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        system.flush()
        rows = contents(path)
        moment = backups.create(path, incremental=True).last
        system.agent(Ledger, "k2").delete(erase=True)
        last = backups.create(path, incremental=True)
    assert [each.name for each in backups.list()][::2] == [first.name, last.name]
    assert backups.verify(drill=[Ledger]).chain[0] == first.name
    assert backups.restore(tmp_path / "a.db", first.name).erased == ("Ledger/k2",)
    assert backups.recover(tmp_path / "b.db", sequence=moment).erased == ("Ledger/k2",)
    fields = [row for row in rows["fields"] if row in contents(tmp_path / "b.db")["fields"]]
    assert len(fields) == len(rows["fields"]) - 1
    backups.pin(first.name, "law")
    backups.create(path)
    kept = [each.name for each in backups.prune(BackupRetention(newest=1)) if each.kept]
    assert [each.name for each in backups.list()] == kept
    assert (first.name in kept, last.name in kept, len(kept)) == (True, False, 2)
    with pytest.raises(UnknownBackup):
        backups.get(last.name)


def test_one_at_a_time(place: Destination, tmp_path: Path) -> None:
    """Two makers, and a pruner beside a reader, are refused; afterwards all go on."""
    path, folder, backups = tmp_path / "ledger.db", Folder(place), Backups(place)
    fill(path, 1)
    with folder.locked(), pytest.raises(BackupFailed, match="just now"):
        backups.create(path)
    backups.create(path)
    with folder.in_use(), pytest.raises(BackupFailed, match="just now"):
        backups.prune(BackupRetention(newest=1))
    backups.prune(BackupRetention(newest=1))
    assert sorted(place.names()) == [f"{backups.get().name}.backup"]


def test_who_was_killed_locks_nobody_out(bucket: S3Bucket, tmp_path: Path) -> None:
    """A lock whose owner has not renewed it is taken over; an unreadable one as well."""
    path, backups = tmp_path / "ledger.db", Backups(bucket)
    fill(path, 1)
    for left in (msgspec.json.encode(s3._Held("x", 1.0)), b"{"):
        bucket.put("lock", left)
        bucket.put("reader-x", left)
        backups.create(path)
        backups.prune(BackupRetention(newest=1))
    assert len(backups.list()) == 1


def test_a_lock_that_another_has_taken_over_is_left_to_it(bucket: S3Bucket, tmp_path: Path) -> None:
    """Who stood still for too long neither ends another's lock nor says that all is well."""
    path, backups, one, other = tmp_path / "ledger.db", Backups(bucket), ExitStack(), ExitStack()
    fill(path, 1)
    one.enter_context(Folder(bucket).locked())
    bucket.put("lock", msgspec.json.encode(s3._Held("x", 1.0)))
    other.enter_context(Folder(bucket).locked())
    with pytest.raises(BackupFailed, match="another has taken it"):
        one.close()
    with pytest.raises(BackupFailed, match="just now"):
        backups.create(path)
    bucket.remove("lock")
    with pytest.raises(BackupFailed, match="another has taken it"):
        other.close()
    backups.create(path)


def test_what_is_not_there_as_it_was_written_is_refused(bucket: S3Bucket, tmp_path: Path) -> None:
    """An upload that fails or is changed leaves nothing; damage that comes later is named."""
    path, backups = tmp_path / "ledger.db", Backups(bucket)
    fill(path, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket, "size", lambda _: 5)
        with pytest.raises(OSError, match="as it was uploaded"):
            bucket.upload("x", BytesIO(b"1234"))
    with bucket.draft("y") as draft:
        draft.write(b"1234")
    assert bucket.names() == []
    name = backups.create(path).name
    size = bucket.size(f"{name}.backup")
    assert size is not None
    whole = bucket.read(f"{name}.backup", 0, size)
    for place in range(0, size, size // 15):
        bucket.put(f"{name}.backup", whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BackupDamaged):
            backups.verify()
    bucket.put(f"{name}.backup", whole[:-1])
    with pytest.raises(BackupDamaged, match="cut off"):
        backups.restore(tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()


def test_a_bucket_that_is_not_there_is_named(endpoint: str, tmp_path: Path) -> None:
    """No bucket, no server, no name, no such option: said in one error each."""
    fill(tmp_path / "ledger.db", 1)
    with pytest.raises(BackupFailed, match="s3://nobody"):
        Backups(in_bucket(endpoint, "nobody")).create(tmp_path / "ledger.db")
    with pytest.raises(ConfigurationError, match="names no bucket"):
        Backups("s3://")
    with pytest.raises(ConfigurationError, match="bucket"):
        S3Bucket("bucket", no_such_option=1)
