"""Clouds that lie about leaf proofs: junk, a proof of something else, a proof for a job that they may not prove.

The edge took any bytes for the leaf proof and handed them to its clients as the job's result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from edge_support import CLOUD, PRIVATE, Sample, edge_config, make, reason_of, running_edge, squares, violated_field

from edge.model import Code
from hybrid_prover.v1 import (
    circuit_pb2,
    circuit_pb2_grpc,
    common_pb2,
    job_pb2,
    job_pb2_grpc,
    uplink_pb2,
    uplink_pb2_grpc,
)
from hybrid_prover.wire import leaf_to_wire
from prover_core.backend import Backend
from prover_core.groth16 import Proof, prove, verify
from prover_core.types import FrVector, R

Leaf = common_pb2.LeafProof
Response = uplink_pb2.UplinkResponse
TRUTH = {"a": 3, "x": 5}


@dataclass
class LyingCloud(
    uplink_pb2_grpc.UplinkServiceServicer,
    circuit_pb2_grpc.CircuitServiceServicer,
    job_pb2_grpc.JobQueryServiceServicer,
):
    """Says that every segment is proved by `leaf` and every job done, when it is asked to open one or has it all."""

    leaf: Leaf
    early: bool = False
    """Says so before it has anything, and claims to have the segment whole."""
    told: bool = True
    """Sends the leaf on the uplink; else it is left to GetResult."""
    failures: list[uplink_pb2.SegmentFailure] = field(default_factory=list)

    async def GetCircuit(self, request: circuit_pb2.GetCircuitRequest, context: Any) -> circuit_pb2.GetCircuitResponse:
        return circuit_pb2.GetCircuitResponse(circuit=circuit_pb2.Circuit(digest=request.digest))

    async def GetResult(self, request: job_pb2.GetResultRequest, context: Any) -> job_pb2.GetResultResponse:
        return job_pb2.GetResultResponse(proofs=[self.leaf])

    async def Uplink(self, _: Any, context: Any) -> None:
        await context.read()
        welcome = uplink_pb2.Welcome(credit_bytes=1 << 30, max_chunk_bytes=1 << 20, encodings=[1])
        await context.write(Response(welcome=welcome))
        while (request := await context.read()) is not grpc.aio.EOF:
            kind = request.WhichOneof("message")
            if kind == "open_job":
                position = uplink_pb2.SegmentPosition(complete=self.early)
                opened = uplink_pb2.JobOpened(job_id=request.open_job.job_id, positions=[position])
                await context.write(Response(job_opened=opened))
            elif kind == "segment_failure":
                self.failures.append(request.segment_failure)
            if kind in ("segment_end", "segment_proof") or (kind == "open_job" and self.early):
                await self._lie(context, getattr(request, kind).job_id)

    async def _lie(self, context: Any, job_id: bytes) -> None:
        update = uplink_pb2.SegmentUpdate
        if self.told:
            await context.write(Response(segment_update=update(job_id=job_id, proved=self.leaf)))
        verified = uplink_pb2.SegmentVerified(batch_id=bytes(32))
        await context.write(Response(segment_update=update(job_id=job_id, verified=verified)))
        await context.write(Response(job_update=uplink_pb2.JobUpdate(job_id=job_id, done=uplink_pb2.JobDone())))


@asynccontextmanager
async def lying_cloud(leaf: Leaf, **manners: bool) -> AsyncIterator[tuple[LyingCloud, str]]:
    cloud, server = LyingCloud(leaf, **manners), grpc.aio.server()
    uplink_pb2_grpc.add_UplinkServiceServicer_to_server(cloud, server)
    circuit_pb2_grpc.add_CircuitServiceServicer_to_server(cloud, server)
    job_pb2_grpc.add_JobQueryServiceServicer_to_server(cloud, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield cloud, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("circuit"), backend, "squares", squares)


def leaf_of(sample: Sample, backend: Backend, **inputs: int) -> Leaf:
    """A sound proof of whatever."""
    proof = prove(sample.key, FrVector.from_ints(sample.compiled.evaluate(dict(inputs))), backend)
    return leaf_to_wire(proof, sample.publics(**inputs))


@pytest.fixture(scope="module")
def truth(sample: Sample, backend: Backend) -> Leaf:
    return leaf_of(sample, backend, **TRUTH)


@pytest.fixture(scope="module")
def other(sample: Sample, backend: Backend) -> Leaf:
    return leaf_of(sample, backend, a=3, x=6)


def relabelled(truth: Leaf, other: Leaf) -> Leaf:
    """A sound proof of something else, said to be of the job's public signals."""
    return Leaf(proof=other.proof, public_signals=truth.public_signals)


def alias(truth: Leaf, other: Leaf) -> Leaf:
    """The same values modulo r, which the pairing alone would not tell apart."""
    first = int.from_bytes(truth.public_signals[0], "big") + R
    return Leaf(proof=truth.proof, public_signals=[first.to_bytes(32, "big"), *truth.public_signals[1:]])


def off_curve(truth: Leaf, other: Leaf) -> Leaf:
    """A point that is on no curve."""
    made = Leaf(proof=truth.proof, public_signals=truth.public_signals)
    made.proof.a = bytes(63) + b"\1"
    return made


LIES: dict[str, Callable[[Leaf, Leaf], Leaf]] = {
    "nothing": lambda truth, other: Leaf(),
    "junk": lambda truth, other: Leaf(
        proof=common_pb2.Groth16Proof(a=b"\1" * 64, b=b"\2" * 128, c=b"\3" * 64), public_signals=truth.public_signals
    ),
    "infinity": lambda truth, other: Leaf(
        proof=common_pb2.Groth16Proof(a=bytes(64), b=bytes(128), c=bytes(64)), public_signals=truth.public_signals
    ),
    "no signals": lambda truth, other: Leaf(proof=truth.proof),
    "off the curve": off_curve,
    "another statement": lambda truth, other: other,
    "another statement's proof": relabelled,
    "aliased signals": alias,
}


async def refused_as(stubs: Any, job_id: bytes) -> job_pb2.Job:
    """The job, which must have ended for the cloud's fault and have no result."""
    job: job_pb2.Job = await stubs.ended(job_id)
    assert job.state == job_pb2.JOB_STATE_FAILED
    assert job.segments[0].state == job_pb2.SEGMENT_STATE_FAILED
    assert job.error.code == Code.DATA_LOSS
    assert "segment 0" in job.error.message
    assert "does not verify" in job.error.message
    assert reason_of(job.segments[0].error).reason == "CLOUD_PROOF_INVALID"
    assert violated_field(job.segments[0].error) == "segments[0]"
    with pytest.raises(grpc.aio.AioRpcError):
        await stubs.queries.GetResult(job_pb2.GetResultRequest(job_id=job_id))
    return job


@pytest.mark.parametrize("lie", LIES)
async def test_no_lie_becomes_a_result(tmp_path: Path, sample: Sample, truth: Leaf, other: Leaf, lie: str) -> None:
    async with (
        lying_cloud(LIES[lie](truth, other)) as (_, target),
        running_edge(edge_config(tmp_path, target, workers=1, worker_threads=1)) as (daemon, stubs),
    ):
        await stubs.register(sample)
        job = await stubs.submit(sample.segment(**TRUTH))
        await refused_as(stubs, job.job_id)
        assert daemon.core.leaves_refused == 1
        rows = await daemon.core.spool.call(lambda spool: spool.jobs())
        assert [s.leaf for j, _ in rows for s in j.segments] == [b""]


@pytest.mark.parametrize("manners", [{"early": True}, {"told": False}, {"early": True, "told": False}])
async def test_neither_haste_nor_another_way_makes_a_lie_true(
    tmp_path: Path, sample: Sample, other: Leaf, manners: dict[str, bool]
) -> None:
    async with (
        lying_cloud(other, **manners) as (cloud, target),
        running_edge(edge_config(tmp_path, target, workers=1)) as (_, stubs),
    ):
        await stubs.register(sample)
        lied = await stubs.submit(sample.segment(**TRUTH))
        await refused_as(stubs, lied.job_id)
        assert [f.error.code for f in cloud.failures] in ([], [Code.DATA_LOSS])
        honest = await stubs.submit(sample.segment(a=3, x=6))
        assert (await stubs.ended(honest.job_id)).state == job_pb2.JOB_STATE_DONE


@pytest.mark.parametrize("manners", [{}, {"early": True}, {"told": False}])
async def test_the_truth_is_taken_whoever_tells_it(
    tmp_path: Path, sample: Sample, truth: Leaf, backend: Backend, manners: dict[str, bool]
) -> None:
    async with (
        lying_cloud(truth, **manners) as (_, target),
        running_edge(edge_config(tmp_path, target, workers=1)) as (daemon, stubs),
    ):
        await stubs.register(sample)
        job = await stubs.submit(sample.segment(**TRUTH))
        assert await stubs.proved(job.job_id, backend, [sample.key]) == [sample.publics(**TRUTH)]
        assert daemon.core.leaves_refused == 0


@pytest.mark.parametrize("manners", [{}, {"early": True}, {"early": True, "told": False}])
async def test_a_private_job_ends_in_the_proof_that_this_edge_made(
    tmp_path: Path, sample: Sample, truth: Leaf, backend: Backend, manners: dict[str, bool]
) -> None:
    async with (
        lying_cloud(truth, **manners) as (_, target),
        running_edge(edge_config(tmp_path, target, workers=1)) as (daemon, stubs),
    ):
        await stubs.register(sample)
        job = await stubs.submit(sample.segment(**TRUTH), placement=PRIVATE)
        ended = await stubs.ended(job.job_id)
        assert ended.state == job_pb2.JOB_STATE_DONE
        (leaf,) = (await stubs.queries.GetResult(job_pb2.GetResultRequest(job_id=job.job_id))).proofs
        # The forged one is sound, but blinded otherwise: none but this edge's own is taken.
        assert leaf.proof != truth.proof
        proof = Proof.from_bytes(leaf.proof.a + leaf.proof.b + leaf.proof.c)
        verify(sample.key.verification_key, proof, sample.publics(**TRUTH), backend)
        assert daemon.core.leaves_refused == manners.get("told", True)


@pytest.mark.parametrize("honest", [True, False])
async def test_a_restarted_edge_still_knows_what_must_be_proved(
    tmp_path: Path, sample: Sample, truth: Leaf, other: Leaf, backend: Backend, honest: bool
) -> None:
    async with running_edge(edge_config(tmp_path, workers=1)) as (_, stubs):
        await stubs.register(sample)
        job = await stubs.submit(sample.segment(**TRUTH), placement=CLOUD)
        uploading = job_pb2.SEGMENT_STATE_UPLOADING
        await stubs.until(job.job_id, lambda j: j.segments[0].state == uploading)
    async with (
        lying_cloud(truth if honest else other) as (_, target),
        running_edge(edge_config(tmp_path, target, workers=1)) as (daemon, stubs),
    ):
        expected = b"".join(truth.public_signals)
        assert daemon.core.machine.jobs[job.job_id].segments[0].publics == expected
        if honest:
            assert await stubs.proved(job.job_id, backend, [sample.key]) == [sample.publics(**TRUTH)]
        else:
            await refused_as(stubs, job.job_id)
