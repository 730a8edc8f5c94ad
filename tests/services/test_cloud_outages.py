"""A whole cloud on PostgreSQL and S3: its database is killed, its bucket cut off, its cache lost, and jobs go on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cloud_edge import Edge, Sample, make_sample, put, register
from postgres import Postgres
from s3 import KEYS, S3, Line, running_s3

from cloud.config import CloudConfig
from cloud.service import CloudServer
from cloud.store import StoreInUseError, StoreUnavailableError
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, job_pb2, job_pb2_grpc
from prover_core.backend import Backend
from prover_core.groth16 import Proof, verify


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("key"), backend)


@pytest.fixture
def config(postgres: Postgres, tmp_path: Path) -> CloudConfig:
    limits = {"batch_age_ms": 50, "drain_grace_seconds": 2, "max_chunk_bytes": 64 << 10}
    return CloudConfig(port=0, plaintext=True, data_dir=tmp_path / "cloud", database=postgres.new_schema(), **limits)


def channel_to(server: CloudServer) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(server.target)


async def prove(edge: Edge, sample: Sample, start: int) -> bytes:
    job = os.urandom(32)
    async with asyncio.timeout(60):
        await edge.open(job, [sample.digest])
        await edge.witness(job, 0, sample.wires(start))
        assert (await edge.ended(job)).HasField("done")
    return job


async def check(channel: grpc.aio.Channel, job: bytes, sample: Sample, start: int, backend: Backend) -> None:
    result = await job_pb2_grpc.JobQueryServiceStub(channel).GetResult(job_pb2.GetResultRequest(job_id=job))
    (leaf,) = result.proofs
    publics = [int.from_bytes(raw, "big") for raw in leaf.public_signals]
    assert publics == sample.wires(start)[1:3]
    verify(sample.key.verification_key, Proof.from_bytes(leaf.proof.a + leaf.proof.b + leaf.proof.c), publics, backend)


async def test_jobs_go_on_while_the_database_is_killed(config, sample, backend, postgres: Postgres) -> None:
    async with CloudServer(config) as server, channel_to(server) as channel:
        await register(channel, sample)
        edge = Edge(channel)
        await edge.hello()

        async def trouble() -> int:
            for kills in range(100):
                await asyncio.sleep(0.2)
                if all(task.done() for task in jobs):
                    return kills
                postgres.kill()
                await asyncio.to_thread(postgres.start)
            return 100

        async def one_after_another() -> list[bytes]:
            return [await prove(edge, sample, start) for start in range(12)]

        jobs = [asyncio.create_task(one_after_another())]
        kills = await trouble()
        assert kills >= 2
        for start, job in enumerate(await jobs[0]):
            await check(channel, job, sample, start, backend)
    async with CloudServer(config) as again, channel_to(again) as channel:
        listed = await job_pb2_grpc.JobQueryServiceStub(channel).ListJobs(job_pb2.ListJobsRequest())
        assert [j.state for j in listed.jobs] == [job_pb2.JOB_STATE_DONE] * 12


async def test_a_database_that_stays_away_ends_the_cloud_and_nothing_is_told(config, sample, postgres) -> None:
    server = CloudServer(replace(config, database_outage_seconds=0.5))
    await server.start()
    try:
        async with channel_to(server) as channel:
            await register(channel, sample)
            edge, job = Edge(channel), os.urandom(32)
            await edge.hello()
            postgres.stop()
            opening = asyncio.create_task(edge.open(job, [sample.digest]))
            with pytest.raises(StoreUnavailableError, match="is away"):
                await asyncio.wait_for(server.failed(), 20)
            # The call may already have ended with UNAVAILABLE; it has not been answered.
            assert not any(r.HasField("job_opened") for r in edge.heard)
            with pytest.raises(grpc.aio.AioRpcError) as e:
                await job_pb2_grpc.JobQueryServiceStub(channel).GetJob(job_pb2.GetJobRequest(job_id=b"x" * 32))
            assert e.value.code() == grpc.StatusCode.UNAVAILABLE
            assert "127.0.0.1" not in str(e.value.details())
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
    finally:
        await server.stop()
        postgres.start()


async def test_two_clouds_do_not_share_a_database(config, tmp_path) -> None:
    second = CloudServer(replace(config, data_dir=tmp_path / "other", database_outage_seconds=0.2))
    async with CloudServer(config):
        with pytest.raises(StoreInUseError, match="another cloud"):
            await second.start()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with running_s3() as server:
        server.client.create_bucket(Bucket="keys")
        yield server


@pytest.fixture
def line(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    line = Line(s3.port)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": line.endpoint, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    yield line
    line.close()


async def test_a_cloud_whose_disk_was_lost_proves_from_database_and_bucket(
    config, sample, backend, s3: S3, line: Line
) -> None:
    config = replace(config, artifacts="s3://keys/cloud")
    async with CloudServer(config) as server, channel_to(server) as channel:
        line.budget = 0
        with pytest.raises(grpc.aio.AioRpcError) as e:
            await put(channel, sample.zkey)
        assert e.value.code() == grpc.StatusCode.UNAVAILABLE
        assert len(s3.keys("keys")) == 1
        line.budget = None
        await register(channel, sample)
        edge = Edge(channel)
        await edge.hello()
        first = await prove(edge, sample, 1)
    assert len(s3.keys("keys")) == 3

    shutil.rmtree(config.data_dir)
    async with CloudServer(config) as server, channel_to(server) as channel:
        stub = circuit_pb2_grpc.CircuitServiceStub(channel)
        digests = [sample.digest, hashlib.sha256(sample.r1cs).digest(), b"x" * 32]
        answer = await stub.StatArtifacts(circuit_pb2.StatArtifactsRequest(digests=digests))
        assert list(answer.present) == [True, True, False]
        await check(channel, first, sample, 1, backend)
        edge = Edge(channel)
        await edge.hello()
        # The bucket cannot be reached when the key is wanted: the segment waits.
        line.budget = 0
        proving = asyncio.create_task(prove(edge, sample, 2))
        await asyncio.sleep(1.5)
        assert not proving.done()
        line.budget = None
        await check(channel, await proving, sample, 2, backend)
