"""An edge and its cloud: jobs cancelled at either end stop at both, and go again when they are submitted again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from edge_support import EdgeStubs, Sample, edge_config, make, refused, running_cloud, running_edge

from cloud.service import CloudServer
from hybrid_prover.cli.main import run as command
from hybrid_prover.v1 import common_pb2, job_pb2, job_pb2_grpc
from prover_core.backend import Backend
from prover_core.circuit import Circuit

CLOUD = common_pb2.PLACEMENT_CLOUD
DONE, FAILED, CANCELLED = job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED
RUNNING = job_pb2.JOB_STATE_RUNNING
NEW = itertools.count(3)
"""Inputs that no job has had."""


def long(c: Circuit) -> None:
    state, x = c.public("a"), c.private("x")
    for _ in range(3000):
        state = state * state + x
    c.output("out", state)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("key"), backend, "long", long)


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[CloudServer]:
    async with running_cloud(tmp_path / "cloud") as cloud:
        yield cloud


@pytest.fixture
async def edge(tmp_path: Path, cloud: CloudServer, sample: Sample) -> AsyncIterator[EdgeStubs]:
    async with running_edge(edge_config(tmp_path / "edge", cloud.target, workers=1, chunk_wires=512)) as (_, stubs):
        await stubs.register(sample)
        yield stubs


async def at_cloud(cloud: CloudServer, job_id: bytes, state: int) -> job_pb2.Job:
    async with grpc.aio.insecure_channel(cloud.target) as channel, asyncio.timeout(30):
        stub = job_pb2_grpc.JobQueryServiceStub(channel)
        while True:
            job = (await stub.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job
            if job.state == state:
                return job
            await asyncio.sleep(0.05)


def submission(sample: Sample, segments: int) -> job_pb2.SubmitJobRequest:
    start = next(NEW)
    specs = [sample.segment(a=start, x=i) for i in range(segments)]
    return job_pb2.SubmitJobRequest(name="again", placement=CLOUD, segments=specs)


async def test_a_cancelled_job_stops_at_both_ends_and_goes_again(
    cloud: CloudServer, edge: EdgeStubs, sample: Sample, backend: Backend
) -> None:
    request = submission(sample, 8)
    first = await edge.jobs.SubmitJob(request)
    await edge.until(first.job_id, lambda job: any(s.wires_acked for s in job.segments))
    assert (await edge.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=first.job_id))).job.state == CANCELLED
    await at_cloud(cloud, first.job_id, CANCELLED)
    assert cloud.aggregator.dispatcher.book.tasks == {}
    again = await edge.jobs.SubmitJob(request)
    assert (again.job_id, again.created) == (first.job_id, True)
    assert not (await edge.jobs.SubmitJob(request)).created
    publics = await edge.proved(first.job_id, backend, [sample.key] * 8)
    assert len(publics) == 8
    assert (await at_cloud(cloud, first.job_id, DONE)).revision > 0
    assert not (await edge.jobs.SubmitJob(request)).created


async def test_submitted_again_while_its_abort_is_under_way(
    cloud: CloudServer, edge: EdgeStubs, sample: Sample, backend: Backend
) -> None:
    request = submission(sample, 3)
    for _ in range(3):
        response = await edge.jobs.SubmitJob(request)
        await asyncio.sleep(0.05)
        await edge.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=response.job_id))
    response = await edge.jobs.SubmitJob(request)
    assert response.created
    await edge.proved(response.job_id, backend, [sample.key] * 3)
    await at_cloud(cloud, response.job_id, DONE)


async def test_an_operator_cancels_at_the_cloud_and_the_edge_stops_too(
    cloud: CloudServer, edge: EdgeStubs, sample: Sample, backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    request = submission(sample, 24)
    job_id = (await edge.jobs.SubmitJob(request)).job_id
    await edge.until(job_id, lambda job: any(s.wires_acked for s in job.segments))
    assert await asyncio.to_thread(command, ["cancel", job_id.hex(), "--target", cloud.target]) == 0
    assert "cancelled" in capsys.readouterr().out
    assert (await edge.ended(job_id)).state == CANCELLED
    code, field, details = await refused(edge.jobs.RequeueJob(job_pb2.RequeueJobRequest(job_id=job_id)))
    assert (code, field) == (grpc.StatusCode.FAILED_PRECONDITION, "job_id")
    assert details
    assert await asyncio.to_thread(command, ["requeue", job_id.hex(), "--target", cloud.target]) == 0
    assert "running" in capsys.readouterr().out
    assert (await edge.jobs.SubmitJob(request)).created
    await edge.proved(job_id, backend, [sample.key] * 24)
    await at_cloud(cloud, job_id, DONE)
    assert await asyncio.to_thread(command, ["requeue", job_id.hex(), "--target", cloud.target]) == 1
    assert "the job is done" in capsys.readouterr().err
