"""Jobs that fail by no fault of theirs, are stopped, and go again; the batch that names the bad beyond doubt."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cloud_edge import Sample, make_sample
from test_cloud_machine import CIRCUIT, JOB, Cloud, checked, chunk, leaf, ready

from cloud import messages as m
from cloud.attempts import QUARANTINE_REASON, Attempt, Outcome, quarantine
from cloud.batcher import Batcher
from cloud.batcher import Outcome as Checked
from cloud.chunklog import Record, Recovered
from cloud.errors import make_status, reason_of
from cloud.keys import KeyCache
from cloud.model import (
    CANCELLED,
    FAILED,
    JOB_CANCELLED,
    JOB_DONE,
    JOB_FAILED,
    PROVED,
    PROVING,
    QUEUED,
    RUNNING,
    VERIFIED,
    CircuitInfo,
    SegmentKey,
)
from cloud.policy import BatchPolicy
from hybrid_prover.v1 import common_pb2, uplink_pb2
from prover_core.artifacts import ArtifactStore
from prover_core.backend import Backend
from prover_core.errors import BackendError
from prover_core.groth16 import verify_batch

HOUR = 3600 * 10**9


def uploaded(cloud: Cloud, segment: int = 0) -> None:
    """The whole witness of a segment is durable."""
    for sequence, offset in enumerate((20, 0)):
        cloud.edge(chunk=chunk(sequence, offset, 20, segment=segment))
    cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, segment=segment, chunk_count=2))
    cloud.disk()


def recovered(chunks: int, ended: bool) -> Recovered:
    offsets = (20, 0)[:chunks]
    return Recovered([Record(i, offset, 20, 1, bytes([i]) * 32, b"") for i, offset in enumerate(offsets)], ended)


def proved(cloud: Cloud, segment: int = 0) -> None:
    cloud.post(m.LeafProved((JOB, segment), leaf(1, 2), ()))


def test_a_proof_made_here_that_fails_its_batch_is_made_again_until_its_budget_is_spent() -> None:
    cloud = ready(segments=2)
    uploaded(cloud)
    job = cloud.machine.jobs[JOB]
    for attempt in (1, 2):
        proved(cloud)
        cloud.asked.clear()
        cloud.post(checked([], [0]))
        assert m.Advance((JOB, 0), CIRCUIT, 2, True) in cloud.asked
        assert not any(isinstance(x, m.Discard) for x in cloud.asked), "its witness is still wanted"
        assert (job.segments[0].state, job.segments[0].leaf, job.state) == (PROVING, None, RUNNING)
        assert [a.name for a in job.segments[0].attempts] == ["batch"] * attempt
    proved(cloud)
    cloud.asked.clear()
    cloud.post(checked([], [0]))
    assert (job.segments[0].state, job.state) == (FAILED, JOB_FAILED)
    assert job.error is not None
    assert reason_of(job.error) == QUARANTINE_REASON
    assert m.Stop((JOB, 0)) in cloud.asked
    assert not any(isinstance(x, m.Discard) for x in cloud.asked)


def test_a_verified_proof_needs_its_witness_no_more() -> None:
    cloud = ready()
    uploaded(cloud)
    proved(cloud)
    assert m.Discard((JOB, 0)) not in cloud.asked
    cloud.post(checked([0], []))
    assert m.Discard((JOB, 0)) in cloud.asked


def test_cancel_stops_everything_and_the_edge_hears_of_it() -> None:
    cloud = ready(segments=3)
    uploaded(cloud, 0)
    uploaded(cloud, 1)
    proved(cloud, 1)
    cloud.post(m.Cancel(JOB))
    job = cloud.machine.jobs[JOB]
    assert job.state == JOB_CANCELLED
    assert {s.state for s in job.segments} == {CANCELLED}
    assert {x.key[1] for x in cloud.asked if isinstance(x, m.Discard)} == {0, 1, 2}
    (update,) = [r.job_update for _, r in cloud.sent if r.HasField("job_update")]
    assert update.failed.code == 1
    before = len(cloud.sent)
    cloud.post(m.Cancel(JOB))
    cloud.post(m.Cancel(b"u" * 32))
    assert len(cloud.sent) == before


def test_a_requeued_job_keeps_its_proofs_and_goes_on_from_its_logs() -> None:
    cloud = ready(segments=4)
    uploaded(cloud, 0)
    proved(cloud, 0)
    cloud.post(checked([0], []))
    uploaded(cloud, 1)
    uploaded(cloud, 2)
    proved(cloud, 2)
    cloud.edge(chunk=chunk(0, 20, 20, segment=3))
    cloud.disk()
    job = cloud.machine.jobs[JOB]
    job.segments[1].attempts.append(Attempt(Outcome.FAILED, b"w", "w", None))
    error = quarantine(1, job.segments[1].attempts)
    cloud.asked.clear()
    cloud.post(m.SegmentBroken((JOB, 1), error))
    assert job.logs_kept
    assert {x.key[1] for x in cloud.asked if isinstance(x, m.Stop)} == {1, 3}
    assert not any(isinstance(x, m.Discard) for x in cloud.asked)
    revision = job.shown_revision
    assert [s.state for s in job.segments] == [VERIFIED, FAILED, PROVED, CANCELLED]

    logs = (Recovered(), recovered(2, True), Recovered(), recovered(1, False))
    cloud.asked.clear()
    cloud.post(m.Requeue(JOB, logs))
    assert (job.state, job.error, job.run, job.logs_kept) == (RUNNING, None, 1, False)
    assert [s.state for s in job.segments] == [VERIFIED, PROVING, PROVED, 3]
    assert job.segments[1].attempts == []
    assert job.shown_revision > revision
    assert m.Advance((JOB, 1), CIRCUIT, 2, True) in cloud.asked
    assert m.Advance((JOB, 3), CIRCUIT, 1, False) in cloud.asked
    (opened, *_) = cloud.open(segments=4)
    positions = [(p.next_sequence, p.complete) for p in opened.job_opened.positions]
    assert positions[1:] == [(2, True), (2, True), (1, False)]
    cloud.edge(chunk=chunk(1, 0, 20, segment=3))
    cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, segment=3, chunk_count=2))
    cloud.disk()
    proved(cloud, 1)
    proved(cloud, 3)
    cloud.post(checked([1, 2, 3], []))
    assert job.state == JOB_DONE
    cloud.post(m.Requeue(JOB, logs))
    assert (job.state, job.run) == (JOB_DONE, 1)


def test_without_a_log_the_edge_sends_again_from_the_first_chunk() -> None:
    cloud = ready()
    uploaded(cloud)
    cloud.post(m.SegmentBroken((JOB, 0), make_status(9, "broken", reason="UNSATISFIED_CONSTRAINT")))
    job = cloud.machine.jobs[JOB]
    assert not job.logs_kept
    cloud.post(m.ChunksDurable((JOB, 0), 2, True))
    cloud.post(m.Requeue(JOB, (Recovered(),), submission=9))
    assert (job.segments[0].state, job.segments[0].acked, job.submission) == (QUEUED, 0, 9)
    (opened, *_) = cloud.open()
    assert [(p.next_sequence, p.complete) for p in opened.job_opened.positions] == [(0, False)]
    uploaded(cloud)
    proved(cloud)
    cloud.post(checked([0], []))
    assert job.state == JOB_DONE


@pytest.mark.parametrize(("submission", "again"), [(0, False), (4, False), (5, True), (1 << 63, False)])
def test_only_a_new_submission_begins_an_ended_job_again(submission: int, again: bool) -> None:
    cloud = ready()
    message = uplink_pb2.OpenJob(
        job_id=JOB,
        name="n",
        placement=common_pb2.PLACEMENT_CLOUD,
        circuits=[CIRCUIT.digest],
        submission=submission,
    )
    cloud.machine.jobs[JOB].submission = 4
    assert not cloud.machine.goes_again(message, cloud.now), "it runs"
    cloud.post(m.Cancel(JOB))
    assert cloud.machine.goes_again(message, cloud.now) == again
    assert not cloud.machine.goes_again(uplink_pb2.OpenJob(job_id=b"u" * 32, submission=5), cloud.now)


def test_a_job_of_which_nothing_is_heard_ends_and_kept_logs_go() -> None:
    cloud = ready(segments=2)
    uploaded(cloud, 0)
    cloud.now += 167 * HOUR
    cloud.post(m.Tick())
    cloud.edge(chunk=chunk(0, 20, 20, segment=1))
    cloud.now += 167 * HOUR
    cloud.post(m.Tick())
    job = cloud.machine.jobs[JOB]
    assert job.state == RUNNING
    cloud.now += 2 * HOUR
    cloud.post(m.Tick())
    assert job.error is not None
    assert (job.state, reason_of(job.error)) == (JOB_FAILED, "JOB_ABANDONED")
    assert {x.key[1] for x in cloud.asked if isinstance(x, m.Discard)} == {0, 1}

    cloud = ready()
    uploaded(cloud)
    cloud.post(m.SegmentBroken((JOB, 0), quarantine(0, [])))
    job = cloud.machine.jobs[JOB]
    assert cloud.machine.keeps_logs(job, cloud.now)
    cloud.now += 100 * HOUR
    cloud.post(m.Tick())
    assert job.logs_kept
    assert job.witness_bytes > 0
    cloud.now += 100 * HOUR
    cloud.post(m.Tick())
    assert (job.logs_kept, job.witness_bytes) == (False, 0)
    assert m.Discard((JOB, 0)) in cloud.asked
    assert not cloud.machine.keeps_logs(job, cloud.now)


def test_a_job_that_waits_for_nothing_of_its_edge_is_not_given_up() -> None:
    cloud = ready()
    uploaded(cloud)
    cloud.now += 1000 * HOUR
    cloud.post(m.Tick())
    assert cloud.machine.jobs[JOB].state == RUNNING


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("key"), backend)


@pytest.mark.parametrize("trouble", ["none", "raises", "blames all"])
async def test_a_batch_names_the_bad_beyond_doubt(
    tmp_path: Path, sample: Sample, backend: Backend, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    def doubtful(key, items, device, *entropy):
        if trouble == "raises":
            raise BackendError("the device is gone")
        return verify_batch(key, items, device, *entropy) if trouble == "none" else list(range(len(items)))

    monkeypatch.setattr("cloud.batcher.verify_batch", doubtful)
    artifacts = ArtifactStore(tmp_path / "artifacts")
    artifacts.put_bytes(sample.zkey)
    outcomes: list[Checked] = []
    broken: list[SegmentKey] = []
    policy = BatchPolicy(5, 10**12)
    batcher = Batcher(KeyCache(artifacts, 1), backend, policy, outcomes.append, lambda key, _error: broken.append(key))
    circuit = CircuitInfo(sample.digest, sample.key.n_vars, 2)
    leaves = [sample.leaf(i, backend) for i in range(5)]
    leaves[1].public_signals[0] = (7).to_bytes(32, "big")
    leaves[3].proof.a = b"\xff" * 64
    for i, one in enumerate(leaves):
        batcher.add((JOB, i), circuit, one)
    async with asyncio.timeout(20):
        while not outcomes:
            await asyncio.sleep(0.01)
    await batcher.close()
    assert [k[1] for k in outcomes[0].bad] == [1, 3]
    assert [k[1] for k in outcomes[0].good] == [0, 2, 4]
    assert outcomes[0].record.failed == 2
    assert not broken
