"""What the cloud keeps: chunk logs, the database, batches; and the executor that reads the logs."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path

import numpy as np
import pytest
from cloud_edge import Sample, cut, make_sample

from cloud.chunklog import ChunkLogReader, ChunkLogs, chunk_record, end_record, log_path, recover
from cloud.executor import Executor
from cloud.keys import KeyCache
from cloud.model import FAILED, PROVED, VERIFIED, CircuitInfo
from cloud.policy import BatchCause, BatchPolicy, ClosedBatch, credit_to_grant, session_window
from cloud.witnesslog import diagnose
from hybrid_prover.v1 import common_pb2
from prover_core.artifacts import ArtifactStore
from prover_core.backend import Backend
from prover_core.errors import InvalidInputError
from prover_core.groth16 import Proof, StreamingProver, verify
from prover_core.types import FrMontVector, FrVector

JOB = b"j" * 32


class Told:
    """What the log writer reports."""

    def __init__(self) -> None:
        self.durable: list[tuple[tuple[bytes, int], int, bool]] = []
        self.errors: list[tuple[tuple[bytes, int], OSError]] = []
        self.event = threading.Event()

    def on_durable(self, key: tuple[bytes, int], sequence: int, ended: bool) -> None:
        self.durable.append((key, sequence, ended))
        self.event.set()

    def on_error(self, key: tuple[bytes, int], error: OSError) -> None:
        self.errors.append((key, error))


def logs(root: Path) -> tuple[ChunkLogs, Told]:
    told = Told()
    return ChunkLogs(root, told.on_durable, told.on_error), told


def test_a_log_gives_back_what_was_reported_durable(tmp_path: Path) -> None:
    writer, told = logs(tmp_path)
    chunks = cut(JOB, 3, list(range(1, 41)), 8)
    for chunk in chunks:
        writer.append_chunk(chunk)
    writer.append_end((JOB, 3), len(chunks))
    writer.close()
    assert told.durable[-1] == ((JOB, 3), len(chunks), True)
    reader = ChunkLogReader(log_path(tmp_path, (JOB, 3)))
    read = [reader.next() for _ in chunks]
    assert [(r.sequence, r.wire_offset, r.payload, r.digest) for r in read if r is not None] == [
        (c.sequence, c.wire_offset, c.payload, c.digest) for c in chunks
    ]
    assert reader.next() is None
    reader.close()
    found = recover(tmp_path, (JOB, 3), 40)
    assert (len(found.chunks), found.ended) == (len(chunks), True)


@pytest.mark.parametrize("keep", [0, 1, 50, 95, 96, 97, 106])
def test_recovery_cuts_off_a_torn_tail(tmp_path: Path, keep: int) -> None:
    chunks = cut(JOB, 0, list(range(1, 41)), 8)
    path = log_path(tmp_path, (JOB, 0))
    path.parent.mkdir()
    whole = chunk_record(chunks[0]) + chunk_record(chunks[1])
    path.write_bytes(whole + chunk_record(chunks[2])[:keep])
    assert len(recover(tmp_path, (JOB, 0), 40).chunks) == 2
    assert path.stat().st_size == len(whole)


@pytest.mark.parametrize("spoil", ["bit", "order", "other job", "end", "wires"])
def test_recovery_believes_nothing_that_does_not_check(tmp_path: Path, spoil: str) -> None:
    chunks = cut(JOB, 0, list(range(1, 41)), 8)
    records = [chunk_record(c) for c in chunks]
    match spoil:
        case "bit":
            records[2] = records[2][:-1] + bytes([records[2][-1] ^ 1])
        case "order":
            records[2] = records[3]
        case "other job":
            records[2] = chunk_record(cut(b"k" * 32, 0, list(range(1, 41)), 8)[2])
        case "end":
            records[2] = end_record(2)[:-1] + b"x"
    path = log_path(tmp_path, (JOB, 0))
    path.parent.mkdir()
    path.write_bytes(b"".join(records))
    found = recover(tmp_path, (JOB, 0), 20 if spoil == "wires" else 40)
    assert not found.ended
    assert len(found.chunks) == (1 if spoil == "wires" else 2)


def test_a_discarded_log_is_gone_with_its_folder(tmp_path: Path) -> None:
    writer, told = logs(tmp_path)
    writer.append_chunk(cut(JOB, 0, list(range(1, 41)), 8)[0])
    assert told.event.wait(5)
    writer.discard((JOB, 0))
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_reported(tmp_path: Path) -> None:
    writer, told = logs(tmp_path)
    (tmp_path / JOB.hex()).write_bytes(b"in the way")
    writer.append_chunk(cut(JOB, 0, list(range(1, 41)), 8)[0])
    writer.close()
    assert told.durable == []
    assert [key for key, _ in told.errors] == [(JOB, 0)]


def test_batches_close_on_size_age_and_job() -> None:
    policy = BatchPolicy(max_size=3, max_age_nanos=100)
    assert policy.add(b"v", (JOB, 0), 10) == []
    assert policy.add(b"w", (JOB, 1), 20) == []
    assert policy.next_deadline() == 110
    assert policy.tick(109) == []
    assert policy.add(b"v", (b"k" * 32, 0), 30) == []
    full = policy.add(b"v", (JOB, 2), 40)
    assert full == [ClosedBatch(b"v", ((JOB, 0), (b"k" * 32, 0), (JOB, 2)), BatchCause.SIZE, 10)]
    assert [(b.key, b.cause) for b in policy.tick(120)] == [(b"w", BatchCause.AGE)]
    policy.add(b"v", (JOB, 3), 200)
    policy.add(b"w", (b"k" * 32, 1), 200)
    assert [(b.key, b.cause) for b in policy.complete(JOB)] == [(b"v", BatchCause.JOB)]
    policy.drop([(b"k" * 32, 1)])
    assert policy.next_deadline() is None
    assert policy.drain() == []


def test_credit_comes_back_in_lumps_and_sessions_share_a_limit() -> None:
    assert credit_to_grant(100, 24, 76, 10) == 0
    assert credit_to_grant(100, 24, 76, 80) == 24
    assert credit_to_grant(100, 25, 75, 10) == 25
    assert credit_to_grant(100, 1, 49, 10) == 1
    assert credit_to_grant(100, 0, 0, 10) == 0
    assert [session_window(50, 10, reserved, 100) for reserved in (0, 60, 90, 91)] == [50, 40, 10, 0]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("key"), backend)


class Bench:
    """An executor over logs that the test writes itself."""

    def __init__(self, root: Path, sample: Sample, backend: Backend, **limits: int) -> None:
        self.root, self.sample, self.backend = root, sample, backend
        artifacts = ArtifactStore(root / "artifacts")
        artifacts.put_bytes(sample.zkey)
        self.keys = KeyCache(artifacts, 1)
        self.circuit = CircuitInfo(sample.digest, sample.key.n_vars, 2)
        self.out: queue.Queue[tuple[int, object]] = queue.Queue()
        self.executor = Executor(
            self.keys,
            lambda key, _token: ChunkLogReader(log_path(root, key)),
            backend,
            on_leaf=lambda key, token, leaf, _: self.out.put((key[1], leaf)),
            on_broken=lambda key, token, error, _: self.out.put((key[1], error)),
            diagnose=lambda key, circuit: diagnose(root, key, circuit, self.keys.r1cs(circuit.digest), backend),
            **limits,
        )

    def write(self, segment: int, start: int, *, bad: bool = False) -> int:
        wires = self.sample.wires(start)
        if bad:
            wires[-1] += 1
        chunks = cut(JOB, segment, wires, 16)
        path = log_path(self.root, (JOB, segment))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(chunk_record(c) for c in chunks))
        return len(chunks)

    def check(self, leaf: object, start: int) -> None:
        assert isinstance(leaf, common_pb2.LeafProof)
        publics = [int.from_bytes(p, "big") for p in leaf.public_signals]
        assert publics == self.sample.wires(start)[1:3]
        proof = Proof.from_bytes(leaf.proof.a + leaf.proof.b + leaf.proof.c)
        verify(self.sample.key.verification_key, proof, publics, self.backend)


def test_a_stalled_segment_gives_way_and_begins_again(tmp_path: Path, sample: Sample, backend: Backend) -> None:
    bench = Bench(tmp_path, sample, backend, workers=1, max_open=1)
    count = bench.write(0, 3)
    bench.executor.advance((JOB, 0), 1, bench.circuit, 2, False)
    bench.write(1, 4)
    bench.executor.advance((JOB, 1), 1, bench.circuit, count, True)
    segment, leaf = bench.out.get(timeout=20)
    assert segment == 1
    bench.check(leaf, 4)
    bench.executor.advance((JOB, 0), 1, bench.circuit, count, True)
    segment, leaf = bench.out.get(timeout=20)
    assert segment == 0
    bench.check(leaf, 3)
    assert bench.executor.finishing() == 0
    bench.executor.close()


def test_sums_settle_while_a_segment_waits_for_its_edge(
    tmp_path: Path, sample: Sample, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sum a step until none is left, after every chunk; the leaf is as good as any."""
    settled: queue.Queue[bool] = queue.Queue()
    settle = StreamingProver.settle

    def watched(prover: StreamingProver) -> bool:
        more = settle(prover)
        settled.put(more)
        return more

    monkeypatch.setattr(StreamingProver, "settle", watched)
    monkeypatch.setattr("cloud.executor.WORTH_SETTLING", sample.key.n_vars)
    bench = Bench(tmp_path, sample, backend, workers=2, max_open=2)
    count = bench.write(0, 3)
    for chunks in (1, count - 1):
        bench.executor.advance((JOB, 0), 1, bench.circuit, chunks, False)
        while settled.get(timeout=20):
            pass
    bench.executor.advance((JOB, 0), 1, bench.circuit, count, True)
    _, leaf = bench.out.get(timeout=20)
    bench.check(leaf, 3)
    bench.executor.close()


def test_many_segments_in_parallel_and_the_bad_one_alone_fails(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    bench = Bench(tmp_path, sample, backend, workers=3, max_open=3)
    for i in range(8):
        count = bench.write(i, i, bad=i == 5)
        bench.executor.advance((JOB, i), 1, bench.circuit, count, True)
    results = dict(bench.out.get(timeout=20) for _ in range(8))
    for i, result in results.items():
        if i == 5:
            assert result.code == 9
            assert "segments[5]" in result.message
        else:
            bench.check(result, i)
    bench.executor.close()


class Erring:
    """A backend whose quotients are wrong some times."""

    def __init__(self, backend: Backend, times: int) -> None:
        self._backend, self._times = backend, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def quotient(self, a: FrMontVector, b: FrMontVector, c: FrMontVector | None = None) -> FrVector:
        self._times -= 1
        right = self._backend.quotient(a, b, c)
        return FrVector(np.ascontiguousarray(right.limbs[::-1])) if self._times >= 0 else right


def test_a_device_that_errs_is_caught_and_named(tmp_path: Path, sample: Sample, backend: Backend) -> None:
    bench = Bench(tmp_path, sample, Erring(backend, 1), workers=1, max_open=1)
    r1cs = ArtifactStore(tmp_path / "artifacts").put_bytes(sample.r1cs)
    bench.keys.know_r1cs(sample.digest, r1cs)
    count = bench.write(0, 3)
    bench.executor.advance((JOB, 0), 1, bench.circuit, count, True)
    _, result = bench.out.get(timeout=20)
    assert result.code == 13
    assert "the device erred" in result.message
    bench.executor.advance((JOB, 0), 2, bench.circuit, count, True)
    _, result = bench.out.get(timeout=20)
    bench.check(result, 3)
    bench.executor.close()


def test_a_newer_lease_ends_work_under_an_older(tmp_path: Path, sample: Sample, backend: Backend) -> None:
    bench = Bench(tmp_path, sample, backend, workers=1, max_open=2)
    count = bench.write(0, 3)
    bench.executor.advance((JOB, 0), 5, bench.circuit, count - 1, False)
    bench.executor.advance((JOB, 0), 6, bench.circuit, count, True)
    bench.executor.advance((JOB, 0), 5, bench.circuit, count, True)
    bench.executor.discard((JOB, 0), 5)
    bench.check(bench.out.get(timeout=20)[1], 3)
    bench.executor.close()
    assert bench.out.empty()


def test_what_is_not_begun_can_be_given_up(tmp_path: Path, sample: Sample, backend: Backend) -> None:
    bench = Bench(tmp_path, sample, backend, workers=0, max_open=2)
    for i in range(3):
        bench.executor.advance((JOB, i), i + 1, bench.circuit, 1, False)
    assert bench.executor.give_up(2) == [((JOB, 2), 3), ((JOB, 1), 2)]
    assert bench.executor.give_up(2) == [((JOB, 0), 1)]
    assert bench.executor.finishing() == 0


def test_a_discarded_segment_reports_nothing(tmp_path: Path, sample: Sample, backend: Backend) -> None:
    bench = Bench(tmp_path, sample, backend, workers=1, max_open=2)
    count = bench.write(0, 3)
    bench.executor.advance((JOB, 0), 1, bench.circuit, count - 1, False)
    bench.executor.discard((JOB, 0), 1)
    bench.write(1, 4)
    bench.executor.advance((JOB, 1), 1, bench.circuit, count, True)
    assert bench.out.get(timeout=20)[0] == 1
    bench.executor.close()
    assert bench.out.empty()


def test_a_log_that_lost_an_acked_chunk_is_data_loss(tmp_path: Path, sample: Sample, backend: Backend) -> None:
    bench = Bench(tmp_path, sample, backend, workers=1, max_open=1)
    count = bench.write(0, 3)
    path = log_path(tmp_path, (JOB, 0))
    os.truncate(path, path.stat().st_size - 1)
    bench.executor.advance((JOB, 0), 1, bench.circuit, count, True)
    assert bench.out.get(timeout=20)[1].code == 15
    bench.executor.close()


def test_keys_are_loaded_once_and_the_oldest_let_go(tmp_path: Path, sample: Sample, backend: Backend) -> None:
    (tmp_path / "other").mkdir()
    other = make_sample(tmp_path / "other", backend, steps=5)
    artifacts = ArtifactStore(tmp_path / "artifacts")
    for zkey in (sample.zkey, other.zkey):
        artifacts.put_bytes(zkey)
    keys = KeyCache(artifacts, 1)
    first = keys.proving_key(sample.digest)
    assert keys.proving_key(sample.digest) is first
    assert keys.proving_key(other.digest).n_vars == other.key.n_vars
    assert keys.proving_key(sample.digest) is not first
    assert keys.verification_key(other.digest) == other.key.verification_key
    assert keys.r1cs(sample.digest) is None
    with pytest.raises(InvalidInputError):
        keys.proving_key(b"x" * 32)


def test_the_states_of_the_model_are_those_of_the_wire() -> None:
    assert (PROVED, VERIFIED, FAILED) == (5, 6, 7)
