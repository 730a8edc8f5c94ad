"""What must be on disk before it is answered for, and what a damaged disk may say, found by reading and by cutting."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from cloud.chunklog import ChunkLogs, log_path, recover
from edge.chunkfile import scan
from hybrid_prover.provenance import BlindingSeeds, NodeKey
from hybrid_prover.security.tokens import replace_file
from prover_core.artifacts import ArtifactStore

JOB = b"j" * 32


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is synced, in order."""
    out: list[Path] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        out.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return out


def test_an_artifact_is_answered_for_when_all_its_folders_are_on_disk(tmp_path: Path, synced: list[Path]) -> None:
    """The folder of the first two digits was made and never synced: with it the artifact could go."""
    store = ArtifactStore(tmp_path)
    path = store.path(store.put_bytes(b"content"))
    assert path is not None
    assert synced[-2:] == [path.parent, path.parent.parent]


def test_a_replaced_file_stays_replaced(tmp_path: Path, synced: list[Path]) -> None:
    """Without its folder synced, a token that was revoked came back with a power cut, and a node's key went."""
    replace_file(tmp_path / "tokens.json", b"{}")
    assert synced[-1] == tmp_path
    synced.clear()
    BlindingSeeds.open(tmp_path)
    NodeKey.open(tmp_path)
    assert synced.count(tmp_path) == 2


def test_the_folder_of_the_chunk_logs_is_on_disk_before_a_chunk_is(tmp_path: Path, synced: list[Path]) -> None:
    logs = ChunkLogs(tmp_path / "chunks", lambda *_: None, lambda *_: None)
    logs.close()
    assert synced == [tmp_path]


@pytest.mark.parametrize("size", [2**64 - 1, 2**63, 2**62, 2**33])
def test_a_damaged_header_asks_for_no_memory(tmp_path: Path, size: int) -> None:
    """The size in a header that was torn was believed, and neither daemon started again."""
    path = log_path(tmp_path, (JOB, 0))
    path.parent.mkdir()
    path.write_bytes(struct.pack("<4sIQQIIQ24x32s", b"HPC1", 1, 0, 0, 1, 1, size, bytes(32)) + b"rest")
    assert recover(tmp_path, (JOB, 0), 10).chunks == []
    assert path.stat().st_size == 0
    path.write_bytes(struct.pack("<4sIQQII32s", b"HPC1", size & 0xFFFFFFFF, 0, 0, 1, 1, bytes(32)) + b"rest")
    assert scan(path, JOB, 0) == []
