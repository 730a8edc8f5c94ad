"""A record says that a proof was verified: nothing that an edge does in between makes that another proof."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cloud_edge import Sample, make_sample
from test_cloud_machine import JOB, Cloud, leaf, ready

from cloud import messages as m
from cloud.batcher import Batcher, Outcome
from cloud.chunklog import Recovered
from cloud.keys import KeyCache
from cloud.model import PROVED, VERIFIED, CircuitInfo
from cloud.policy import BatchPolicy
from hybrid_prover.v1 import common_pb2, uplink_pb2
from prover_core.artifacts import ArtifactStore
from prover_core.backend import Backend

KEY = (JOB, 0)
PRIVATE = common_pb2.PLACEMENT_PRIVATE


def brought(cloud: Cloud, proof: common_pb2.LeafProof) -> None:
    cloud.edge(segment_proof=uplink_pb2.SegmentProof(job_id=JOB, segment=0, leaf=proof))
    assert cloud.machine.jobs[JOB].segments[0].leaf == proof


def batch(proof: common_pb2.LeafProof, *, good: bool) -> m.BatchChecked:
    timing = common_pb2.PhaseTiming(phase="verify")
    return m.BatchChecked(b"b" * 32, (KEY,) * good, (KEY,) * (not good), timing, leaves={KEY: proof})


def again(cloud: Cloud, submission: int) -> None:
    cloud.post(m.Requeue(JOB, (Recovered(),), submission))
    cloud.edge(open_job=_opening(cloud, submission))


def _opening(cloud: Cloud, submission: int) -> uplink_pb2.OpenJob:
    job = cloud.machine.jobs[JOB]
    circuits = [s.circuit.digest for s in job.segments]
    return uplink_pb2.OpenJob(job_id=JOB, name="n", placement=PRIVATE, circuits=circuits, submission=submission)


def test_a_batch_speaks_of_the_proof_that_was_in_it() -> None:
    """An edge that brought three proofs in the right moments had the third signed because the second verified."""
    wrong, right, never_seen = leaf(1, 2), leaf(3, 4), leaf(5, 6)
    cloud = ready(placement=PRIVATE)
    segment = cloud.machine.jobs[JOB].segments[0]
    brought(cloud, wrong)  # in a first batch
    cloud.post(m.Cancel(JOB))
    again(cloud, 5)  # and in a second
    assert segment.state == PROVED
    cloud.post(batch(wrong, good=False))
    again(cloud, 6)
    brought(cloud, right)  # in a third
    cloud.post(batch(wrong, good=False))
    assert segment.state == PROVED, "the second batch says nothing of the proof that is there now"
    cloud.post(m.Cancel(JOB))
    segment.leaf = never_seen  # whichever way it came to that
    again(cloud, 7)
    cloud.post(batch(right, good=True))
    assert (segment.state, segment.leaf) == (PROVED, never_seen)
    cloud.post(batch(never_seen, good=True))
    assert segment.state == VERIFIED


@pytest.fixture
def sample(tmp_path: Path, backend: Backend) -> Sample:
    return make_sample(tmp_path, backend)


async def test_of_two_proofs_of_a_segment_the_last_is_verified(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    store.put_bytes(sample.zkey)
    told: asyncio.Queue[Outcome] = asyncio.Queue()
    batcher = Batcher(KeyCache(store, 1), backend, BatchPolicy(100, 10**12), told.put_nowait, lambda *_: None)
    circuit = CircuitInfo(sample.digest, len(sample.wires(1)), sample.key.n_public)
    wrong, right = sample.leaf(3, backend), sample.leaf(3, backend)
    wrong.public_signals[0] = (9).to_bytes(32, "big")
    for proof in (right, wrong):
        batcher.add(KEY, circuit, proof)
    assert batcher.waiting == 1
    batcher.flush()
    outcome = await told.get()
    assert (outcome.good, outcome.bad) == ((), (KEY,))
    assert outcome.leaves == {KEY: wrong}
    await batcher.close()
