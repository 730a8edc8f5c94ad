"""The content-addressed folder: whole files under their digest, or nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from prover_core.artifacts import ArtifactStore
from prover_core.errors import FormatError, InvalidInputError
from prover_core.types import Digest


def digest_of(content: bytes) -> Digest:
    return Digest(hashlib.sha256(content).digest())


def files(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file()]


def test_streamed_bytes_become_a_file_named_by_its_digest(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = digest_of(b"hello world")
    assert store.path(digest) is None
    with store.writer(digest, 11) as out:
        out.write(b"hello ")
        assert store.path(digest) is None
        out.write(memoryview(b"world"))
    path = store.path(digest)
    assert path is not None
    assert path.read_bytes() == b"hello world"
    assert files(tmp_path) == [path]
    assert ArtifactStore(tmp_path).path(digest) == path


@pytest.mark.parametrize("content", [b"hello worle", b"hello", b"hello world and more"])
def test_other_bytes_than_announced_leave_nothing(tmp_path: Path, content: bytes) -> None:
    store = ArtifactStore(tmp_path)
    with (
        pytest.raises(FormatError, match=r"another digest|were announced|longer"),
        store.writer(digest_of(b"hello world"), 11) as out,
    ):
        out.write(content)
    assert files(tmp_path) == []


def test_a_failed_upload_leaves_nothing(tmp_path: Path) -> None:
    def upload(store: ArtifactStore) -> None:
        with store.writer(digest_of(b"ab"), 2) as out:
            out.write(b"a")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        upload(ArtifactStore(tmp_path))
    assert files(tmp_path) == []


@pytest.mark.parametrize("size", [0, -1, 101])
def test_sizes_are_limited(tmp_path: Path, size: int) -> None:
    with pytest.raises(InvalidInputError) as e:
        ArtifactStore(tmp_path, max_bytes=100).writer(digest_of(b""), size)
    assert e.value.field == "size"


def test_files_are_copied_so_that_the_source_may_change(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    source = tmp_path / "key"
    source.write_bytes(b"content")
    digest = store.put_file(source)
    assert store.put_file(source) == digest == store.put_bytes(b"content")
    source.write_bytes(b"changed")
    path = store.path(digest)
    assert path is not None
    assert path.read_bytes() == b"content"


def test_a_second_writer_of_the_same_artifact_is_harmless_and_leftovers_are_swept(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = digest_of(b"x")
    left, right = store.writer(digest, 1), store.writer(digest, 1)
    left.write(b"x")
    right.write(b"x")
    assert left.commit() == right.commit()
    store.writer(digest_of(b"y"), 1).write(b"y")
    assert ArtifactStore(tmp_path).sweep() == 1
    assert files(tmp_path) == [store.path(digest)]
