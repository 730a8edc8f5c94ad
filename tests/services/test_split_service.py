"""Placement split whole: a cloud and an edge with a slow uplink between them; honest edges, and such as lie."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
from cloud_edge import Edge, cut, make_sample, register
from edge_support import EdgeStubs, Sample, cutting_proxy, edge_config, make, running_cloud, running_edge
from worker_rig import worker_process

from cloud.config import CloudConfig
from cloud.service import CloudServer
from edge.daemon import EdgeDaemon
from hybrid_prover import NotFoundError, ProverClient
from hybrid_prover.cli.main import run as command
from hybrid_prover.v1 import common_pb2, job_pb2, job_pb2_grpc, uplink_pb2
from prover_core.backend import Backend, select
from prover_core.circuit import Circuit
from prover_core.formats.chunk import decode_chunk, partial_digest
from prover_core.groth16 import Partial, partial_of
from prover_core.groth16.setup import G1, G2

SPLIT = common_pb2.PLACEMENT_SPLIT
STEPS = 8_000
RATE = 400_000
NEW = itertools.count(1000)
"""Inputs that no job has had."""

pytestmark = pytest.mark.asyncio


def chain(c: Circuit) -> None:
    """Full-size wires: 256 KB of witness."""
    a, x = c.public("a"), c.private("x")
    for _ in range(STEPS):
        x = x * x + a
    c.output("out", x)


@pytest.fixture(scope="module")
def backend() -> Backend:
    return select("cpu", threads=2).backend


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("circuit"), backend, "chain", chain)


@dataclass
class Site:
    """A cloud and an edge that reaches it at `RATE` bytes a second."""

    cloud: CloudServer
    edge: EdgeDaemon
    stubs: EdgeStubs

    async def at_cloud(self, job_id: bytes) -> job_pb2.Job:
        async with grpc.aio.insecure_channel(self.cloud.target) as channel:
            stub = job_pb2_grpc.JobQueryServiceStub(channel)
            return (await stub.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job


@asynccontextmanager
async def site(folder: Path, sample: Sample, *, rate: int = RATE) -> AsyncIterator[Site]:
    async with running_cloud(folder / "cloud") as cloud, cutting_proxy(cloud.target) as proxy:
        config = edge_config(folder / "edge", proxy.address, chunk_wires=512, workers=1)
        async with running_edge(config) as (edge, stubs):
            await stubs.register(sample)
            await learn(edge, stubs, sample)  # the key reaches the cloud at full speed
            proxy.rate = rate
            await learn(edge, stubs, sample)
            yield Site(cloud, edge, stubs)


async def learn(edge: EdgeDaemon, stubs: EdgeStubs, sample: Sample) -> None:
    """Has the edge measure what it decides by: the uplink as it is now, and its own sums."""
    warm = await stubs.submit(sample.segment(a=1, x=next(NEW)), placement=SPLIT)
    assert (await stubs.ended(warm.job_id)).state == job_pb2.JOB_STATE_DONE
    async with asyncio.timeout(60):
        while sample.digest not in edge.core.machine.partial_nanos:
            await asyncio.sleep(0.02)


async def run(at: Site, sample: Sample, backend: Backend, x: int, segments: int = 2) -> tuple[bytes, job_pb2.Job]:
    """A job of that many segments, every proof verified; its id, and how the edge saw it."""
    specs = [sample.segment(a=a, x=x) for a in range(2, 2 + segments)]
    sent = await at.stubs.submit(*specs, placement=SPLIT)
    publics = await at.stubs.proved(sent.job_id, backend, [sample.key] * segments)
    assert publics == [sample.publics(a=a, x=x) for a in range(2, 2 + segments)]
    return sent.job_id, await at.stubs.get(sent.job_id)


def partials(job: job_pb2.Job) -> int:
    return sum(s.partials.partials for s in job.segments)


async def test_a_slow_uplink_gets_partials_and_the_proofs_are_as_ever(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with site(tmp_path, sample) as at:
        job_id, job = await run(at, sample, backend, x=3)
        again = await at.at_cloud(job_id)
        assert job.placement == again.placement == SPLIT
        assert [s.partials.chunks for s in job.segments] == [s.partials.chunks for s in again.segments]
        assert partials(job) == partials(again) >= 5
        assert not any(s.partials.wrong for s in again.segments)
        with_some = [s for s in job.segments if s.partials.partials]
        assert all("partials" in {t.phase for t in s.timings} for s in with_some)
        assert at.edge.core.machine.trusted_with_partials


async def test_a_fast_uplink_gets_none_and_cloud_jobs_say_nothing_of_them(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with site(tmp_path, sample, rate=0) as at:
        _, job = await run(at, sample, backend, x=4, segments=1)
        assert partials(job) <= job.segments[0].partials.chunks // 4
        plain = await at.stubs.submit(sample.segment(a=1, x=4))
        await at.stubs.proved(plain.job_id, backend, [sample.key])
        assert not (await at.stubs.get(plain.job_id)).segments[0].HasField("partials")


def lie(at: Site, points: bytes) -> None:
    """The edge sends these instead of its partials."""
    honest = at.edge.core.partial_pool.partial

    async def lying(*arguments: object) -> tuple[bytes, int, int]:
        _, started, nanos = await honest(*arguments)  # type: ignore[arg-type]
        return points, started, nanos

    at.edge.core.partial_pool.partial = lying  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    "points", [Partial(G1, G1, G2, G1).to_bytes(), b"\x01" * 320], ids=["wrong points", "no points at all"]
)
async def test_a_lying_edge_is_caught_its_jobs_succeed_and_it_is_trusted_no_more(
    tmp_path: Path, sample: Sample, backend: Backend, points: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site(tmp_path, sample) as at:
        lie(at, points)
        job_id, _ = await run(at, sample, backend, x=5)
        seen = await at.at_cloud(job_id)
        wrong = sum(s.partials.wrong for s in seen.segments)
        assert wrong == partials(seen) > 0
        session = at.edge.core.spool.spool.session_id
        (record,) = at.cloud.aggregator.machine.trust.records()
        assert (record.session_id, record.edge_name, record.job_id) == (session, "edge", job_id)
        assert not at.edge.core.machine.trusted_with_partials
        _, after = await run(at, sample, backend, x=6)
        assert partials(after) == 0
    # It stays so when both start anew.
    async with site(tmp_path, sample) as at:
        assert [r.session_id for r in at.cloud.aggregator.machine.trust.records()] == [session]
        _, job = await run(at, sample, backend, x=7)
        assert partials(job) == 0
        async with ProverClient(at.cloud.target) as operator:
            (listed,) = await operator.distrusted_edges()
            assert (listed.name, listed.job.raw) == ("edge", job_id)
            capsys.readouterr()
            assert await asyncio.to_thread(command, ["distrusted", "--target", at.cloud.target, "--json"]) == 0
            assert listed.fingerprint in capsys.readouterr().out
            with pytest.raises(NotFoundError):
                await operator.forgive_edge("nobody")
            assert await operator.forgive_edge(listed.fingerprint) == [listed]
            assert await operator.distrusted_edges() == []
    async with site(tmp_path, sample) as at:
        assert at.cloud.aggregator.machine.trust.records() == []
        assert at.edge.core.machine.trusted_with_partials


async def test_a_cloud_that_is_started_again_uses_the_partials_it_has(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with running_cloud(tmp_path / "cloud") as first:
        port = first.port
        async with cutting_proxy(first.target) as proxy:
            config = edge_config(tmp_path / "edge", proxy.address, chunk_wires=512, workers=1)
            async with running_edge(config) as (edge, stubs):
                await stubs.register(sample)
                await learn(edge, stubs, sample)
                proxy.rate = RATE
                await learn(edge, stubs, sample)
                sent = await stubs.submit(sample.segment(a=1, x=8), sample.segment(a=2, x=8), placement=SPLIT)
                await stubs.until(sent.job_id, lambda job: partials(job) >= 3)
                await first.stop()
                kept = first.aggregator.machine.jobs[sent.job_id]
                before = sum(s.partials for s in kept.segments)
                async with running_cloud(tmp_path / "cloud", port) as second:
                    await stubs.proved(sent.job_id, backend, [sample.key] * 2)
                    after = second.aggregator.machine.jobs[sent.job_id]
                    assert sum(s.partials for s in after.segments) >= before - 2
                    assert not any(s.partials_wrong for s in after.segments)


async def test_a_remote_worker_uses_partials_and_names_the_wrong_ones(tmp_path: Path, backend: Backend) -> None:
    small, job = make_sample(tmp_path, backend), b"j" * 32
    config = CloudConfig(
        port=0, data_dir=tmp_path / "cloud", plaintext=True, batch_age_ms=50, drain_grace_seconds=1,
        remote_workers_only=True,
    )  # fmt: skip
    cloud = CloudServer(config)
    await cloud.start()
    try:
        async with (
            grpc.aio.insecure_channel(cloud.target) as channel,
            worker_process(cloud.target, tmp_path / "cache"),
        ):
            await register(channel, small)
            edge = Edge(channel)
            assert (await edge.hello()).takes_partials
            await edge.open(job, [small.digest], placement=SPLIT)
            chunks = cut(job, 0, small.wires(3), 16)
            for k, chunk in enumerate(chunks):
                values = decode_chunk(chunk.payload, chunk.wire_count)
                honest = partial_of(small.key, chunk.wire_offset, values, backend)
                points = (honest if k != 1 else Partial(G1, G1, G2, G1)).to_bytes()
                chunk.partial.points, chunk.partial.digest = points, partial_digest(chunk.digest, points)
                await edge.send(chunk=chunk)
            await edge.send(segment_end=uplink_pb2.SegmentEnd(job_id=job, segment=0, chunk_count=len(chunks)))
            refused = await edge.until_kind("partials_refused")
            assert list(refused.sequences) == [1]
            assert (await edge.ended(job)).HasField("done")
            (record,) = cloud.aggregator.machine.trust.records()
            assert record.session_id == edge.session
            assert not (await Edge(channel, edge.session).hello()).takes_partials
    finally:
        await cloud.stop()
