"""Edges that want to harm the cloud or the jobs of others."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
from cloud_edge import Edge, make_sample, register

from cloud.config import CloudConfig
from cloud.service import CloudServer
from cloud.validation import MAX_TIMINGS, usable_timings
from hybrid_prover.v1 import common_pb2, job_pb2, job_pb2_grpc, uplink_pb2
from prover_core.backend import Backend

HUGE = (1 << 64) - 1


def timing(phase: str, start: int = 1, duration: int = 1) -> common_pb2.PhaseTiming:
    return common_pb2.PhaseTiming(phase=phase, start_unix_nanos=start, duration_nanos=duration)


def test_measurements_that_cannot_be_stored_are_left_out() -> None:
    good = [timing(f"phase {k}") for k in range(MAX_TIMINGS + 4)]
    bad = [timing("a", start=1 << 63), timing("b", duration=HUGE), timing("c" * 65), timing("")]
    assert usable_timings([*bad, *good]) == good[:MAX_TIMINGS]


async def test_measurements_of_an_edge_do_not_stop_the_cloud(tmp_path: Path, backend: Backend) -> None:
    """A duration of 2^64 - 1 ns does not fit the database; the write failed, and with it the whole cloud."""
    sample = make_sample(tmp_path, backend)
    server = CloudServer(CloudConfig(port=0, plaintext=True, data_dir=tmp_path / "cloud", batch_age_ms=20))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.target) as channel:
            await register(channel, sample)
            hostile, other = Edge(channel), Edge(channel)
            timings = [timing("prove", HUGE, HUGE), timing("x" * (1 << 20))]
            await hostile.hello()
            job = os.urandom(32)
            await hostile.open(job, [sample.digest], placement=common_pb2.PLACEMENT_PRIVATE)
            proof = uplink_pb2.SegmentProof(job_id=job, segment=0, leaf=sample.leaf(3, backend), timings=timings)
            await hostile.send(segment_proof=proof)
            assert (await hostile.ended(job)).HasField("done")
            await other.hello()
            mine = os.urandom(32)
            await other.open(mine, [sample.digest])
            await other.witness(mine, 0, sample.wires(4))
            assert (await other.ended(mine)).HasField("done")
            queries = job_pb2_grpc.JobQueryServiceStub(channel)
            seen = (await queries.GetJob(job_pb2.GetJobRequest(job_id=job))).job
            assert {t.phase for t in seen.segments[0].timings} == {"batch", "verify"}, (
                "measured at the cloud, none of the edge's"
            )
        assert server.aggregator.failed is not None
        assert not server.aggregator.failed.done()
    finally:
        await server.stop()
