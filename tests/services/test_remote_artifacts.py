"""Artifacts in a bucket of a real S3 API, and in a shared folder: whole or not at all, here and there."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3 import KEYS, S3, Line, running_s3

from cloud.config import CloudConfig
from prover_core.artifacts import ArtifactStore, open_artifacts
from prover_core.errors import DamagedError, FormatError, InvalidInputError, UnavailableError
from prover_core.remote_artifacts import KEEP_SECONDS, MARK, RemoteArtifactStore
from prover_core.types import Digest

BUCKET = "provers"


def digest_of(content: bytes) -> Digest:
    return Digest(hashlib.sha256(content).digest())


def key_of(content: bytes) -> str:
    name = str(digest_of(content))
    return f"a/b/sha256/{name[:2]}/{name}"


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server.endpoint}.items():
        monkeypatch.setenv(name, value)
    server.client.create_bucket(Bucket=BUCKET)
    yield server
    for key in server.keys(BUCKET):
        server.client.delete_object(Bucket=BUCKET, Key=key)
    server.client.delete_bucket(Bucket=BUCKET)


def store_at(root: Path, **limits: int) -> RemoteArtifactStore:
    return RemoteArtifactStore(root, f"s3://{BUCKET}/a/b/", **limits)


def copies(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file())


def test_what_is_put_is_in_the_bucket_under_its_digest(s3: S3, tmp_path: Path) -> None:
    store, content = store_at(tmp_path), os.urandom(3 << 20)
    assert not store.has(digest_of(content))
    assert store.path(digest_of(content)) is None
    assert store.put_bytes(content) == digest_of(content)
    assert s3.keys(BUCKET) == [key_of(content)]
    assert s3.read(BUCKET, key_of(content)) == content
    assert store.has(digest_of(content))
    path = store.path(digest_of(content))
    assert path is not None
    assert path.read_bytes() == content
    assert copies(tmp_path) == [path]


def test_a_lost_cache_is_filled_again(s3: S3, tmp_path: Path) -> None:
    contents = [os.urandom(100_000 + i) for i in range(3)]
    first = store_at(tmp_path / "first")
    digests = [first.put_bytes(content) for content in contents]
    second = store_at(tmp_path / "second")
    assert all(second.has(d) for d in digests)
    assert copies(tmp_path / "second") == []
    for digest, content in zip(digests, contents, strict=True):
        path = second.path(digest)
        assert path is not None
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o777 == 0o444


def test_many_who_want_the_same_artifact_bring_it_once(s3: S3, tmp_path: Path, monkeypatch) -> None:
    content = os.urandom(1 << 20)
    digest = store_at(tmp_path / "first").put_bytes(content)
    store = store_at(tmp_path / "second")
    fetched: list[Digest] = []
    real = store._copy
    monkeypatch.setattr(store, "_copy", lambda d, size: (fetched.append(d), real(d, size))[1])
    found: list[Path | None] = []
    threads = [threading.Thread(target=lambda: found.append(store.path(digest))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert fetched == [digest]


@pytest.mark.parametrize("damage", ["bit", "short", "empty"])
def test_a_damaged_object_is_set_aside_and_can_be_stored_again(s3: S3, tmp_path: Path, damage: str) -> None:
    content = os.urandom(50_000)
    digest = store_at(tmp_path / "first").put_bytes(content)
    bad = {
        "bit": content[:9] + bytes([content[9] ^ 1]) + content[10:],
        "short": content[:-1],
        "empty": b"",
    }[damage]
    s3.write(BUCKET, key_of(content), bad)
    store = store_at(tmp_path / "second")
    with pytest.raises(DamagedError, match="other bytes") as e:
        store.path(digest)
    assert e.value.field == "artifacts"
    assert copies(tmp_path / "second") == []
    (aside,) = s3.keys(BUCKET)
    assert aside.startswith("a/b/damaged/")
    assert s3.read(BUCKET, aside) == bad
    assert not store.has(digest)
    store.put_bytes(content)
    assert store_at(tmp_path / "third").path(digest).read_bytes() == content


def test_other_bytes_than_announced_go_nowhere(s3: S3, tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with pytest.raises(FormatError), store.writer(digest_of(b"hello"), 5) as out:
        out.write(b"hallo")
    assert (s3.keys(BUCKET), copies(tmp_path)) == ([], [])


@pytest.fixture
def line(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    line = Line(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 2)
    yield line
    line.close()


def test_an_interrupted_upload_is_not_told_and_goes_on_without_its_sender(s3: S3, line: Line, tmp_path: Path) -> None:
    store, content = store_at(tmp_path), os.urandom(2 << 20)
    line.budget = 700_000
    with pytest.raises(UnavailableError, match=f"s3://{BUCKET}/a/b/ cannot be reached") as e:
        store.put_bytes(content)
    assert line.cuts > 0
    assert e.value.field == "artifacts"
    assert s3.keys(BUCKET) == []
    with pytest.raises(UnavailableError):
        store.has(digest_of(content))
    line.budget = None
    assert store.has(digest_of(content))
    assert s3.read(BUCKET, key_of(content)) == content


def test_an_upload_that_stalls_is_given_up(s3: S3, line: Line, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("prover_core.remote_artifacts.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr("prover_core.remote_artifacts.SLOWEST_BYTES", 1 << 40)
    store, content = store_at(tmp_path), os.urandom(20 << 20)
    out = store.writer(digest_of(content), len(content))
    out.write(content)
    line.flowing.clear()
    begun = time.monotonic()
    with pytest.raises(UnavailableError, match="Timeout"):
        out.commit()
    assert time.monotonic() - begun < 10
    line.flowing.set()
    assert s3.keys(BUCKET) == []
    monkeypatch.setattr("prover_core.remote_artifacts.PATIENCE_SECONDS", 60.0)
    assert store.has(digest_of(content))


def test_an_upload_that_a_kill_ended_goes_on_at_the_next_start(s3: S3, line: Line, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    line.budget = 100_000
    with pytest.raises(UnavailableError):
        store_at(tmp_path).put_bytes(content)
    assert s3.keys(BUCKET) == []
    line.budget = None
    left = store_at(tmp_path)
    (tmp_path / "incoming" / "left").write_bytes(b"half")
    assert left.sweep() == 1
    assert s3.keys(BUCKET) == sorted([key_of(content), key_of(MARK)])
    assert s3.read(BUCKET, key_of(content)) == content


def test_a_multipart_upload_that_is_cut_leaves_no_object(s3: S3, line: Line, tmp_path: Path) -> None:
    content = os.urandom(53 << 20)
    store = store_at(tmp_path)
    line.budget = 30 << 20
    with pytest.raises(UnavailableError):
        store.put_bytes(content)
    assert s3.keys(BUCKET) == []
    line.budget = None
    assert store.has(digest_of(content))
    assert digest_of(s3.read(BUCKET, key_of(content))) == digest_of(content)


def test_a_fetch_that_is_cut_leaves_nothing_and_can_be_repeated(s3: S3, line: Line, tmp_path: Path) -> None:
    content = os.urandom(200_000)
    digest = store_at(tmp_path / "first").put_bytes(content)
    store = store_at(tmp_path / "second")
    line.budget = 0
    with pytest.raises(UnavailableError):
        store.path(digest)
    assert copies(tmp_path / "second") == []
    line.budget = None
    assert store.path(digest).read_bytes() == content


def test_artifacts_from_before_there_was_a_bucket_come_along(s3: S3, tmp_path: Path) -> None:
    digest = ArtifactStore(tmp_path).put_bytes(b"an old key")
    store = store_at(tmp_path)
    store.sweep()
    assert s3.read(BUCKET, key_of(b"an old key")) == b"an old key"
    assert store.path(digest).read_bytes() == b"an old key"


def test_copies_are_bounded_and_the_last_used_stay(s3: S3, tmp_path: Path) -> None:
    store = store_at(tmp_path, cache_bytes=250_000)
    contents = [bytes([i]) * 100_000 for i in range(4)]
    digests = [store.put_bytes(content) for content in contents[:3]]
    assert len(copies(tmp_path)) == 3, "what was used a moment ago stays"
    long_ago = time.time() - 2 * KEEP_SECONDS
    for age, i in enumerate((1, 0, 2)):
        os.utime(store.path(digests[i]), (long_ago + age, long_ago + age))
    first = store.path(digests[1])
    with open(first, "rb") as held:
        for i in (0, 2):
            os.utime(store._local.target(digests[i]), (long_ago + i, long_ago + i))
        digests.append(store.put_bytes(contents[3]))
        assert [store._local.has(d) for d in digests] == [False, True, False, True]
        assert held.read() == contents[1]
    assert store.path(digests[0]).read_bytes() == contents[0]


def test_the_only_copy_is_never_let_go(s3: S3, line: Line, tmp_path: Path) -> None:
    store = store_at(tmp_path, cache_bytes=1)
    out = store.writer(digest_of(b"only here"), 9)
    out.write(b"only here")
    line.budget = 0
    with pytest.raises(UnavailableError):
        out.commit()
    path = store._local.target(digest_of(b"only here"))
    os.utime(path, (1, 1))
    line.budget = None
    store.put_bytes(b"another")
    assert path.exists()
    assert store.has(digest_of(b"only here"))


def test_a_missing_bucket_and_wrong_settings_are_said_so(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no-such-bucket"):
        RemoteArtifactStore(tmp_path, "s3://no-such-bucket/x").put_bytes(b"x")
    with pytest.raises(UnavailableError, match="no-such-bucket"):
        RemoteArtifactStore(tmp_path / "new", "s3://no-such-bucket/x").sweep()
    with pytest.raises(InvalidInputError, match="wrong://") as e:
        open_artifacts(tmp_path, "wrong://user:geheim@host/x?k=geheim", max_bytes=9, cache_bytes=9)
    assert e.value.field == "artifacts"
    assert "geheim" not in str(e.value)
    with pytest.raises(InvalidInputError, match="artifact_cache_bytes"):
        CloudConfig(artifact_cache_bytes=0)


def test_a_shared_folder_is_a_store_too(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    store = RemoteArtifactStore(tmp_path / "here", f"file://{shared}")
    digest = store.put_bytes(b"content")
    assert ArtifactStore(shared).path(digest).read_bytes() == b"content"
    assert len(copies(shared)) == 1
    again = RemoteArtifactStore(tmp_path / "there", f"file://{shared}")
    assert again.path(digest).read_bytes() == b"content"
    os.chmod(ArtifactStore(shared).path(digest), 0o644)
    ArtifactStore(shared).path(digest).write_bytes(b"spoiled")
    with pytest.raises(DamagedError):
        RemoteArtifactStore(tmp_path / "third", f"file://{shared}").path(digest)


def test_limits_hold_for_both_ways(s3: S3, tmp_path: Path) -> None:
    store = store_at(tmp_path / "small", max_bytes=100)
    with pytest.raises(InvalidInputError) as e:
        store.writer(digest_of(b"x"), 101)
    assert e.value.field == "size"
    digest = store_at(tmp_path / "large").put_bytes(b"y" * 101)
    with pytest.raises(InvalidInputError) as e:
        store.path(digest)
    assert e.value.field == "size"
    assert s3.keys(BUCKET) == [key_of(b"y" * 101)]
