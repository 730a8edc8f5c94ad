"""The uplink's life against a cloud that behaves badly on purpose, and against chance."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from edge_support import (
    PRIVATE,
    EdgeStubs,
    Sample,
    cutting_proxy,
    edge_config,
    make,
    running_cloud,
    running_edge,
    squares,
)

from edge.daemon import EdgeDaemon
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, job_pb2, uplink_pb2, uplink_pb2_grpc
from prover_core.backend import Backend

Request, Response = uplink_pb2.UplinkRequest, uplink_pb2.UplinkResponse


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("circuit"), backend, "squares", squares)


class FakeCloud(uplink_pb2_grpc.UplinkServiceServicer, circuit_pb2_grpc.CircuitServiceServicer):
    """Knows every circuit and opens every job; what it does then is up to the test."""

    def __init__(self) -> None:
        self.hellos: list[uplink_pb2.Hello] = []
        self.chunks: list[uplink_pb2.Chunk] = []
        self.welcome = uplink_pb2.Welcome(credit_bytes=1 << 30, max_chunk_bytes=1 << 20, encodings=[1])
        self.first: uplink_pb2.UplinkResponse | None = None
        """Instead of a welcome."""
        self.drain_after_open = False

    async def GetCircuit(self, request: circuit_pb2.GetCircuitRequest, context: Any) -> circuit_pb2.GetCircuitResponse:
        return circuit_pb2.GetCircuitResponse(circuit=circuit_pb2.Circuit(digest=request.digest))

    async def Uplink(self, _: Any, context: Any) -> None:
        hello = await context.read()
        self.hellos.append(hello.hello)
        await context.write(self.first or Response(welcome=self.welcome))
        while (request := await context.read()) is not grpc.aio.EOF:
            if request.HasField("open_job"):
                opened = uplink_pb2.JobOpened(job_id=request.open_job.job_id)
                for _circuit in request.open_job.circuits:
                    opened.positions.add()
                await context.write(Response(job_opened=opened))
                if self.drain_after_open:
                    self.drain_after_open = False
                    await asyncio.sleep(0.6)  # the edge fills the window of the stream and waits in a write
                    await context.write(Response(draining=uplink_pb2.Draining(retry_after_millis=1)))
                    await asyncio.sleep(0.3)
                    return
            elif request.HasField("chunk"):
                self.chunks.append(request.chunk)


@asynccontextmanager
async def fake_cloud() -> AsyncIterator[tuple[FakeCloud, str]]:
    # A small window that does not grow: an edge soon waits in a write when the fake does not read.
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096)]
    fake, server = FakeCloud(), grpc.aio.server(options=options)
    uplink_pb2_grpc.add_UplinkServiceServicer_to_server(fake, server)
    circuit_pb2_grpc.add_CircuitServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield fake, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def reached(condition: Any, seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_cloud_that_drains_while_the_edge_is_in_a_write_is_met_again(tmp_path: Path, sample: Sample) -> None:
    async with fake_cloud() as (fake, target), running_edge(edge_config(tmp_path, target)) as (_, stubs):
        await stubs.register(sample)
        fake.drain_after_open = True
        segments = [sample.segment(a=1, x=x) for x in range(16)]
        await stubs.submit(*segments)
        await reached(lambda: len(fake.hellos) == 2 and len(fake.chunks) == 16 * 9)
        assert fake.hellos[0].session_id == fake.hellos[1].session_id
        assert fake.hellos[0].edge_name == "edge"


async def test_credit_bounds_what_is_under_way(tmp_path: Path, sample: Sample) -> None:
    async with fake_cloud() as (fake, target):
        fake.welcome.credit_bytes = 10_000
        async with running_edge(edge_config(tmp_path, target)) as (daemon, stubs):
            await stubs.register(sample)
            job = await stubs.submit(*(sample.segment(a=2, x=x) for x in range(4)))
            uploading = job_pb2.SEGMENT_STATE_UPLOADING
            await stubs.until(job.job_id, lambda j: all(s.state == uploading for s in j.segments))
            await asyncio.sleep(0.3)
            sent = sum(len(chunk.payload) for chunk in fake.chunks)
            assert 7_000 < sent <= 10_000
            assert daemon.core.machine.connected


@pytest.mark.parametrize(
    "answer",
    [
        Response(refused=uplink_pb2.Refused()),
        Response(welcome=uplink_pb2.Welcome(credit_bytes=1, max_chunk_bytes=1, encodings=[7])),
        Response(ack=uplink_pb2.Ack()),
    ],
    ids=["refused", "no common encoding", "not a welcome"],
)
async def test_a_cloud_that_does_not_welcome_gets_no_job(tmp_path: Path, sample: Sample, answer: Any) -> None:
    async with fake_cloud() as (fake, target):
        fake.first = answer
        async with running_edge(edge_config(tmp_path, target)) as (daemon, stubs):
            await stubs.register(sample)
            job = await stubs.submit(sample.segment(a=1, x=1))
            await reached(lambda: len(fake.hellos) >= 2)
            assert not daemon.core.machine.connected
            assert not fake.chunks
            assert (await stubs.get(job.job_id)).state == job_pb2.JOB_STATE_RUNNING


async def test_nonsense_from_a_cloud_changes_nothing(tmp_path: Path, sample: Sample) -> None:
    async with running_edge(edge_config(tmp_path)) as (daemon, stubs):
        await stubs.register(sample)
        job = await stubs.submit(sample.segment(a=1, x=1), placement=PRIVATE)
        await stubs.until(job.job_id, lambda j: j.segments[0].state == job_pb2.SEGMENT_STATE_PROVED)
        machine, now = daemon.core.machine, daemon.core.now()
        before = (await stubs.get(job.job_id)).revision
        for job_id, segment in ((bytes(32), 0), (job.job_id, 9), (b"", 0)):
            daemon.core.apply(machine.ack(job_id, segment, 3, now))
            daemon.core.apply(machine.segment_verified(job_id, segment, [], now))
            daemon.core.apply(machine.segment_proved(job_id, segment, b"leaf", [], now))
            daemon.core.apply(machine.job_opened(job_id, [(0, True)] * 7, now))
        daemon.core.apply(machine.job_done(bytes(32), now))
        daemon.core.apply(machine.result_fetched(job.job_id, [b"a", b"b"], now))
        assert (await stubs.get(job.job_id)).revision == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_cut_stopped_and_killed_every_job_ends_in_its_proofs(
    tmp_path: Path, sample: Sample, backend: Backend, seed: int
) -> None:
    chance = random.Random(seed)
    async with running_cloud(tmp_path / "cloud") as first:
        port = first.port
    clouds = [running_cloud(tmp_path / "cloud", port)]
    await clouds[-1].__aenter__()
    async with (
        cutting_proxy(f"127.0.0.1:{port}") as proxy,
        running_edge(edge_config(tmp_path / "edge", proxy.address)) as (daemon, stubs),
    ):
        await stubs.register(sample)
        jobs = []
        for n in range(40):
            jobs.append(await _one(stubs, sample, n, chance))
            await asyncio.sleep(chance.random() * 0.3)
            await _mischief(chance.random(), daemon, proxy, clouds, tmp_path, port)
        for job_id, n, count in jobs:
            publics = await stubs.proved(job_id, backend, [sample.key] * count)
            assert publics == [sample.publics(a=n, x=x) for x in range(count)]
        assert not daemon.core.chunks
    await clouds[-1].__aexit__(None, None, None)


async def _one(stubs: EdgeStubs, sample: Sample, n: int, chance: random.Random) -> tuple[bytes, int, int]:
    count = chance.randint(1, 4)
    segments = [sample.segment(a=n, x=x) for x in range(count)]
    job = await stubs.submit(*segments, placement=chance.choice([1, 1, PRIVATE]))
    return job.job_id, n, count


async def _mischief(chance: float, daemon: EdgeDaemon, proxy: Any, clouds: list[Any], folder: Path, port: int) -> None:
    pids = daemon.core.pool.pids()
    if chance < 0.4:
        proxy.cut()
    elif chance < 0.5 and pids:
        os.kill(pids[0], signal.SIGKILL)
    elif chance < 0.6:
        await clouds.pop().__aexit__(None, None, None)
        clouds.append(running_cloud(folder / "cloud", port))
        await clouds[-1].__aenter__()
