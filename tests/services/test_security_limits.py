"""What strangers, and those who do not read, may cost: connections, streams, lines, memory; whose files are whose."""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from cloud_edge import Edge, Sample, cut, make_sample, register
from grpc_health.v1 import health_pb2, health_pb2_grpc
from security_support import Code, Pki, bearer, refusal, secure_cloud
from structlog.testing import capture_logs

import cloud.security
from cloud.config import CloudConfig
from cloud.links import OUTBOX_MOST, Link
from cloud.service import CloudServer
from hybrid_prover.security import guard as guards
from hybrid_prover.security import limits
from hybrid_prover.security.guard import Denied, Guard
from hybrid_prover.security.principal import Right
from hybrid_prover.security.tokens import split_token
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, common_pb2, uplink_pb2
from prover_core.backend import Backend

JOB = b"j" * 32


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    (tmp_path / "pki").mkdir()
    return Pki(tmp_path / "pki")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("limits"), backend)


def test_half_of_the_descriptors_are_for_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, pair: set_to.append(pair))
    for now, raised in (((1024, 4096), 4096), ((256, 256), 256), ((1024, resource.RLIM_INFINITY), limits.FILES)):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, now=now: now)
        assert limits.raise_file_limit() == raised
        for ports in (1, 2):
            options = dict(limits.listening_options(ports))
            connections = options["grpc.max_allowed_incoming_connections"]
            assert connections * ports <= raised // 2
            assert connections == min(limits.CONNECTIONS, raised // 2 // ports)
    assert set_to[0] == (4096, 4096)


async def test_strangers_cannot_take_all_connections(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bare connections, of which nothing was known and each a descriptor, made every job fail that was being sent."""
    monkeypatch.setattr(limits, "CONNECTIONS", 8)
    monkeypatch.setattr(limits, "HANDSHAKE_MILLIS", 1500)
    reader = pki.token("reader", Right.READ)
    async with secure_cloud(pki, tmp_path / "data") as cloud:
        open_before = len(os.listdir("/proc/self/fd"))
        strangers = [socket.create_connection(("127.0.0.1", cloud.client_port)) for _ in range(60)]
        await asyncio.sleep(0.5)
        assert len(os.listdir("/proc/self/fd")) - open_before - len(strangers) <= 8
        async with asyncio.timeout(20), pki.as_client(cloud.client_target) as channel:
            # They are let go when they have not shaken hands.
            request = circuit_pb2.ListCircuitsRequest()
            stub = circuit_pb2_grpc.CircuitServiceStub(channel)
            await stub.ListCircuits(request, metadata=bearer(reader), wait_for_ready=True)
        for stranger in strangers:
            stranger.close()


async def test_streams_without_a_token_are_few(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "STRANGERS", 3)
    async with secure_cloud(pki, tmp_path / "data") as cloud, pki.as_client(cloud.client_target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watched = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
        for call in watched:
            assert (await call.read()).status == health_pb2.HealthCheckResponse.SERVING
        assert (await refusal(stub.Watch(health_pb2.HealthCheckRequest()).read()))[:2] == (
            Code.RESOURCE_EXHAUSTED,
            "TOO_MANY_STREAMS",
        )
        await stub.Check(health_pb2.HealthCheckRequest())
        watched[0].cancel()
        async with asyncio.timeout(10):
            while True:
                call = stub.Watch(health_pb2.HealthCheckRequest())
                try:
                    if (await call.read()).status == health_pb2.HealthCheckResponse.SERVING:
                        break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)


async def test_a_flood_of_refused_calls_is_counted_and_not_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        async def abort(self, *_: object) -> None:
            raise RuntimeError

        def peer(self) -> str:
            return "nobody"

    moment = [100.0]
    monkeypatch.setattr(guards.time, "monotonic", lambda: moment[0])
    guard, denied = Guard(None), Denied(Code.UNAUTHENTICATED, "no token", "TOKEN_MISSING", Right.READ)
    with capture_logs() as lines:
        for _ in range(1000):
            with pytest.raises(RuntimeError):
                await guard._refuse("method", Context(), denied)
        moment[0] += 1
        with pytest.raises(RuntimeError):
            await guard._refuse("method", Context(), denied)
    told = [line for line in lines if line["event"] == "call_refused"]
    assert len(told) == guards.LINES_A_SECOND + 1
    assert [line["calls"] for line in lines if line["event"] == "calls_refused"] == [1000 - guards.LINES_A_SECOND]


async def test_an_upload_ends_with_its_token(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud.security, "Guard", functools.partial(Guard, recheck=0.1))
    token = pki.token("sender", Right.SUBMIT)

    async def endless() -> AsyncIterator[circuit_pb2.PutArtifactRequest]:
        yield circuit_pb2.PutArtifactRequest(header=circuit_pb2.ArtifactHeader(digest=bytes(32), size=1 << 33))
        while True:
            yield circuit_pb2.PutArtifactRequest(data=bytes(1000))
            await asyncio.sleep(0.05)

    async with secure_cloud(pki, tmp_path / "data") as server, pki.as_client(server.client_target) as channel:
        sending = asyncio.ensure_future(
            refusal(circuit_pb2_grpc.CircuitServiceStub(channel).PutArtifact(endless(), metadata=bearer(token)))
        )
        await asyncio.sleep(0.5)
        assert not sending.done()
        with pki.tokens.changed() as records:
            del records[split_token(token)[0]]
        async with asyncio.timeout(10):
            assert (await sending)[:2] == (Code.UNAUTHENTICATED, "TOKEN_UNKNOWN")
        incoming = tmp_path / "data" / "artifacts" / "incoming"
        async with asyncio.timeout(10):
            while any(incoming.iterdir()):
                await asyncio.sleep(0.05)


async def test_witnesses_on_disk_are_their_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask: the chunk logs of a cloud are witnesses."""
    before = os.umask(0)
    try:
        server = CloudServer(CloudConfig(port=0, plaintext=True, data_dir=tmp_path / "data"))
        await server.start()
        await server.stop()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_an_edge_that_reads_nothing_is_not_told_for_ever() -> None:
    link = Link(1)
    for number in range(OUTBOX_MOST):
        link.put(uplink_pb2.UplinkResponse(ack=uplink_pb2.Ack(segment=number)))
    assert (link.queue.qsize(), link.overrun.is_set()) == (OUTBOX_MOST, False)
    for _ in range(3):
        link.put(uplink_pb2.UplinkResponse())
        assert (link.queue.qsize(), link.overrun.is_set()) == (0, True)


async def test_a_listener_that_does_not_read_loses_its_connection_and_nobody_else_does(
    pki: Pki, tmp_path: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sessions want one job; one of them never reads. It is told of every ack all the same, into memory."""
    monkeypatch.setattr("cloud.aggregator.OUTBOX_MOST", 50)
    config = CloudConfig(port=0, plaintext=True, data_dir=tmp_path / "data", max_segments=10)
    server = CloudServer(config)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.target) as one, grpc.aio.insecure_channel(server.target) as two:
            await register(one, sample)
            deaf, good = await _joined(one, sample), await _joined(two, sample)
            link = server.aggregator._links[1]
            message = uplink_pb2.UplinkResponse(ack=uplink_pb2.Ack(job_id=bytes(60_000)))
            async with asyncio.timeout(20):
                while not link.overrun.is_set():
                    link.put(message)
                    await asyncio.sleep(0)
            for chunk in cut(JOB, 0, sample.wires(3), 20):
                await good.send(chunk=chunk)
            assert (await good.until_kind("ack")).job_id == JOB  # type: ignore[attr-defined]
            assert await deaf.over() == Code.RESOURCE_EXHAUSTED
            assert 1 not in server.aggregator._links
    finally:
        await server.stop()


async def _joined(channel: grpc.aio.Channel, sample: Sample) -> Edge:
    edge = Edge(channel)
    await edge.send(hello=uplink_pb2.Hello(session_id=edge.session, edge_name="e", protocol_version=1))
    await edge.until_kind("welcome")
    await edge.send(
        open_job=uplink_pb2.OpenJob(
            job_id=JOB, name="one", placement=common_pb2.PLACEMENT_CLOUD, circuits=[sample.digest]
        )
    )
    await edge.until_kind("job_opened")
    return edge


async def test_nobody_is_read_before_it_is_known_who_it_is(pki: Pki, tmp_path: Path) -> None:
    """Two dozen requests of 56 MiB, without a token, took 800 MiB of an edge: gRPC reads and parses single requests
    before their handler is called."""
    reader = pki.token("reader", Right.READ)
    broken = b"\x0a\xff"  # no message
    async with secure_cloud(pki, tmp_path / "data") as cloud, pki.as_client(cloud.client_target) as channel:
        for method, streams in (
            ("/hybrid_prover.v1.JobQueryService/GetJob", False),
            ("/hybrid_prover.v1.JobQueryService/WatchJob", True),
            ("/hybrid_prover.v1.CircuitService/GetArtifact", True),
        ):
            kind = channel.unary_stream if streams else channel.unary_unary
            read = (lambda call: call.read()) if streams else (lambda call: call)
            assert (await refusal(read(kind(method)(broken))))[:2] == (Code.UNAUTHENTICATED, "TOKEN_MISSING")
            assert (await refusal(read(kind(method)(broken, metadata=bearer(reader)))))[0] == Code.INVALID_ARGUMENT
            without = channel.stream_stream(method)(iter(()), metadata=bearer(reader))
            assert (await refusal(without.read()))[0] == Code.INVALID_ARGUMENT
