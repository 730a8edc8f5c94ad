"""Who is let in by real servers: each refusal, plain text against TLS, and rotation without a restart."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from security_support import APART, Code, Pki, bearer, foreign, hello, now, refusal, secure_cloud, secure_edge

from cloud.config import CloudConfig
from cloud.service import CloudServer
from edge.config import EdgeConfig
from edge.daemon import EdgeDaemon
from hybrid_prover import Credentials, ProverClient, RetryPolicy, UnavailableError
from hybrid_prover.errors import PermissionDeniedError
from hybrid_prover.security import certificates
from hybrid_prover.security.identity import Role
from hybrid_prover.security.principal import Right
from hybrid_prover.security.tls import KEY
from hybrid_prover.security.tokens import split_token
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, job_pb2, job_pb2_grpc, uplink_pb2_grpc
from prover_core.errors import InvalidInputError

ONCE = RetryPolicy(attempts=1)
LIST = job_pb2.ListJobsRequest()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.issue(Role.EDGE, "edge-1")
    made.issue(Role.CLIENT, "person")
    return made


async def listing(channel: grpc.aio.Channel, token: str = "") -> job_pb2.ListJobsResponse:
    async with channel:
        stub = job_pb2_grpc.JobQueryServiceStub(channel)
        return await stub.ListJobs(LIST, metadata=bearer(token) if token else None, timeout=10)


async def greeting(channel: grpc.aio.Channel, token: str = "") -> str:
    """The kind of the first message on the uplink."""
    async with channel:
        call = uplink_pb2_grpc.UplinkServiceStub(channel).Uplink(metadata=bearer(token) if token else None)
        await call.write(hello(b"s" * 16))
        answer = await call.read()
        if answer is grpc.aio.EOF:
            raise grpc.aio.AioRpcError(
                await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
            )
        call.cancel()
        return str(answer.WhichOneof("message"))


async def test_the_cloud_lets_in_edges_by_certificate_and_clients_by_token(pki: Pki, tmp_path: Path) -> None:
    reader, submitter = pki.token("reader", Right.READ), pki.token("submitter", Right.SUBMIT)
    expired = pki.token("late", Right.READ, lasts=-1)
    edge, person = pki.folder / "edge-1", pki.folder / "person"
    async with secure_cloud(pki, tmp_path) as cloud:
        assert await greeting(pki.as_peer(edge, cloud.target)) == "welcome"
        await listing(pki.as_peer(edge, cloud.target))

        # At the port of edges nobody gets as far as a call without a certificate of this authority that is valid.
        assert await refusal(listing(pki.as_client(cloud.target), reader)) == (Code.UNAVAILABLE, "", "")
        other = foreign(tmp_path / "other", pki, Role.EDGE, "edge-1")
        assert await refusal(greeting(pki.as_peer(other, cloud.target))) == (Code.UNAVAILABLE, "", "")
        past = pki.issue(Role.EDGE, "past", at=now() - datetime.timedelta(days=3), days=2)
        assert await refusal(greeting(pki.as_peer(past, cloud.target))) == (Code.UNAVAILABLE, "", "")

        # A certificate of another role is none of an edge.
        not_edge = await refusal(greeting(pki.as_peer(person, cloud.target)))
        assert not_edge == (Code.UNAUTHENTICATED, "TOKEN_MISSING", "edge")
        as_client = await refusal(greeting(pki.as_client(cloud.client_target), submitter))
        assert as_client == (Code.PERMISSION_DENIED, "RIGHT_MISSING", "edge")

        # At the port of clients tokens decide.
        await listing(pki.as_client(cloud.client_target), reader)
        await listing(pki.as_peer(person, cloud.target), reader)
        for token, code, reason in (
            ("", Code.UNAUTHENTICATED, "TOKEN_MISSING"),
            ("secret", Code.UNAUTHENTICATED, "TOKEN_MALFORMED"),
            ("hp_0123456789abcdef_" + "A" * 43, Code.UNAUTHENTICATED, "TOKEN_UNKNOWN"),
            (expired, Code.UNAUTHENTICATED, "TOKEN_EXPIRED"),
            (submitter, Code.PERMISSION_DENIED, "RIGHT_MISSING"),
        ):
            assert await refusal(listing(pki.as_client(cloud.client_target), token)) == (code, reason, "read")
        with pki.tokens.changed() as records:
            del records[split_token(reader)[0]]
        revoked = await refusal(listing(pki.as_client(cloud.client_target), reader))
        assert revoked == (Code.UNAUTHENTICATED, "TOKEN_UNKNOWN", "read")


async def test_health_is_open_and_reflection_is_for_readers(pki: Pki, tmp_path: Path) -> None:
    reader = pki.token("reader", Right.READ)
    async with secure_cloud(pki, tmp_path) as cloud, pki.as_client(cloud.client_target) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watched.read()).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()

        async def reflected(token: str) -> int:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = stub.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]),
                metadata=bearer(token) if token else None,
            )
            return len([answer async for answer in call])

        assert await reflected(reader) == 1
        assert await refusal(reflected("")) == (Code.UNAUTHENTICATED, "TOKEN_MISSING", "read")


async def test_uploads_are_refused_before_they_are_read(pki: Pki, tmp_path: Path) -> None:
    """A request stream is a call of its own kind: no byte of it is taken from who may not send it."""
    sent = 0

    async def endless() -> AsyncIterator[circuit_pb2.PutArtifactRequest]:
        nonlocal sent
        yield circuit_pb2.PutArtifactRequest(header=circuit_pb2.ArtifactHeader(digest=bytes(32), size=1 << 33))
        while sent < 1 << 33:
            sent += 1 << 16
            yield circuit_pb2.PutArtifactRequest(data=bytes(1 << 16))

    async with secure_cloud(pki, tmp_path) as cloud, pki.as_client(cloud.client_target) as channel:
        stub = circuit_pb2_grpc.CircuitServiceStub(channel)
        call = stub.PutArtifact(endless(), metadata=bearer(pki.token("reader", Right.READ)))
        assert await refusal(call) == (Code.PERMISSION_DENIED, "RIGHT_MISSING", "submit")
        assert sent < 1 << 27
        assert not list((tmp_path / "artifacts").rglob("*incoming*/*"))


async def test_the_edge_lets_in_clients_by_token_and_its_uplink_shows_its_certificate(pki: Pki, tmp_path: Path) -> None:
    alice, nobody = pki.credentials("alice", Right.READ, Right.SUBMIT), Credentials(ca_file=pki.ca)
    async with (
        secure_cloud(pki, tmp_path / "cloud") as cloud,
        secure_edge(pki, tmp_path / "edge", cloud.target) as edge,
    ):
        async with ProverClient(edge.target, credentials=alice) as client:
            assert await client.jobs() == []
            assert await client.circuits() == []
        async with ProverClient(edge.target, credentials=nobody, retry=ONCE) as client:
            with pytest.raises(PermissionDeniedError, match="HYBRID_PROVER_TOKEN_FILE") as caught:
                await client.jobs()
            assert (caught.value.code, caught.value.reason) == ("UNAUTHENTICATED", "TOKEN_MISSING")
        async with asyncio.timeout(10):
            while not edge.core.machine.connected:
                await asyncio.sleep(0.02)
        (session,) = cloud.aggregator.machine.sessions.all()
        assert session.identity == "spiffe://hybrid-prover/edge/edge-1"


async def test_wrong_ways_to_connect_say_what_is_wrong(pki: Pki, tmp_path: Path) -> None:
    alice = pki.credentials("alice", Right.READ)
    elsewhere = pki.issue(Role.EDGE, "elsewhere", ["edge.example.org"])
    other = foreign(tmp_path / "other", pki, Role.EDGE, "edge-1").parent

    async def trouble(target: str, credentials: Credentials) -> str:
        async with ProverClient(target, credentials=credentials, retry=ONCE, timeout=5.0) as client:
            with pytest.raises(UnavailableError) as caught:
                await client.jobs()
            return str(caught.value)

    async with secure_edge(pki, tmp_path / "a", "127.0.0.1:1") as edge:
        assert "may speak TLS" in await trouble(edge.target, Credentials(plaintext=True, token_file=alice.token_file))
        stranger = Credentials(ca_file=other / "ca.crt", token_file=alice.token_file)
        assert "of an authority that" in await trouble(edge.target, stranger)
    async with secure_edge(pki, tmp_path / "b", "127.0.0.1:1", tls=elsewhere) as edge:
        assert "does not name this target" in await trouble(edge.target, alice)
    async with secure_edge(pki, tmp_path / "c", "127.0.0.1:1", plaintext=True) as edge:
        assert "speaks plain text" in await trouble(edge.target, alice)
        async with ProverClient(edge.target, credentials=Credentials(token_file=alice.token_file), plaintext=True) as c:
            assert await c.jobs() == []
        with pytest.raises(InvalidInputError, match="not sent in plain text"):
            await ProverClient(edge.target, credentials=Credentials(token_file=alice.token_file)).__aenter__()


async def test_certificates_are_rotated_without_a_restart(pki: Pki, tmp_path: Path) -> None:
    async with secure_cloud(pki, tmp_path) as cloud:
        folder = pki.folder / "cloud"
        old = certificates.read_facts(folder / "tls.crt").serial

        async def shown() -> int:
            host, port = cloud.target.rsplit(":", 1)
            return await asyncio.to_thread(_server_certificate, host, int(port), pki)

        assert await shown() == old
        certificates.renew(pki.folder, "cloud", now=now())
        new = certificates.read_facts(folder / "tls.crt").serial
        assert await shown() == new != old
        assert await greeting(pki.as_peer(pki.folder / "edge-1", cloud.target)) == "welcome"

        # A folder that became unusable leaves the last good certificate in place.
        key = (folder / KEY).read_bytes()
        (folder / KEY).write_bytes(b"nothing")
        assert await shown() == new
        (folder / KEY).write_bytes(key)

        # An edge that was renewed is the same edge.
        certificates.renew(pki.folder, "edge-1", now=now())
        assert await greeting(pki.as_peer(pki.folder / "edge-1", cloud.target)) == "welcome"

        # The authority too: with the same key, what it signed before stays good.
        certificates.renew_authority(pki.folder, now=now())
        assert await greeting(pki.as_peer(pki.folder / "edge-1", cloud.target)) == "welcome"


def _server_certificate(host: str, port: int, pki: Pki) -> int:
    import socket
    import ssl

    from cryptography import x509

    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(pki.folder / "edge-1" / "tls.crt", pki.folder / "edge-1" / "tls.key")
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, port), 10) as raw, context.wrap_socket(raw, server_hostname=host) as tls:
        found = tls.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


async def test_a_watch_ends_with_its_token(pki: Pki, tmp_path: Path) -> None:
    """A stream that was opened with a good token does not outlive it: the next change is not told."""
    token = pki.token("watcher", Right.READ)
    async with secure_edge(pki, tmp_path, "127.0.0.1:1") as edge, pki.as_client(edge.target) as channel:
        from edge.model import Job, JobPlan, Placement, Segment, SegmentPlan

        plan = JobPlan(b"j" * 32, "", Placement.CLOUD, (SegmentPlan(bytes(32), 3),), (), 64, "watcher")
        job = edge.core.machine.jobs[plan.job_id] = Job(
            plan, [Segment(0, bytes(32), 3)], time.time_ns(), 0, clients={"watcher"}
        )
        stub = job_pb2_grpc.JobQueryServiceStub(channel)
        watch = stub.WatchJob(job_pb2.WatchJobRequest(job_id=plan.job_id), metadata=bearer(token))
        assert (await anext(aiter(watch))).job.job_id == plan.job_id
        with pki.tokens.changed() as records:
            del records[split_token(token)[0]]
        job.revision += 1
        while plan.job_id not in edge.core._changed:
            await asyncio.sleep(0.01)
        edge.core._changed.pop(plan.job_id).set()
        assert await refusal(_rest(watch)) == (Code.UNAUTHENTICATED, "TOKEN_UNKNOWN", "read")
        del edge.core.machine.jobs[plan.job_id]


async def _rest(stream: Any) -> int:
    """How many messages are left on a stream; its error if it ends with one."""
    async with asyncio.timeout(10):
        return len([message async for message in stream])


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: CloudConfig(host="10.0.0.1", plaintext=True), "host"),
        (lambda: CloudConfig(host="0.0.0.0", plaintext=True), "host"),
        (lambda: CloudConfig(host="cloud.example.org"), "host"),
        (lambda: CloudConfig(plaintext=True, tls=Path("x")), "tls"),
        (lambda: CloudConfig(plaintext=True, tokens=Path("x")), "tokens"),
        (lambda: CloudConfig(tls=Path("x"), client_port=0), "tokens"),
        (lambda: EdgeConfig(listen="10.0.0.1:1", plaintext=True), "listen"),
        (lambda: EdgeConfig(listen="[::]:1", plaintext=True, tls=Path("x")), "listen"),
        (lambda: EdgeConfig(cloud="10.0.0.1:1", cloud_plaintext=True), "cloud_plaintext"),
    ],
)
def test_plain_text_beyond_loopback_is_refused_at_configuration(make, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        make()
    assert caught.value.field == field


async def test_servers_without_certificates_do_not_start_unless_told_to_speak_plain_text(
    pki: Pki, tmp_path: Path
) -> None:
    server = CloudServer(CloudConfig(port=0, data_dir=tmp_path / "cloud"))
    with pytest.raises(InvalidInputError, match="certs issue cloud") as caught:
        await server.start()
    assert caught.value.field == "tls"
    for settings, field in (
        ({}, "tls"),
        ({"plaintext": True}, "tls"),
        ({"cloud_plaintext": True}, "tls"),
        ({"tls": pki.folder / "edge-1"}, "tokens"),
        ({"tls": tmp_path / "nothing", "tokens": pki.tokens.path}, "tls"),
        ({"plaintext": True, "cloud_plaintext": True, "tokens": tmp_path / "nothing"}, "tokens"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            await EdgeDaemon(EdgeConfig(listen="127.0.0.1:0", state_dir=tmp_path / "edge", **settings)).start()
        assert caught.value.field == field


async def test_a_plain_cloud_and_an_edge_with_tls_do_not_meet_and_the_other_way_round(pki: Pki, tmp_path: Path) -> None:
    server = CloudServer(CloudConfig(port=0, plaintext=True, data_dir=tmp_path / "plain", drain_grace_seconds=0))
    await server.start()
    assert (await refusal(greeting(pki.as_peer(pki.folder / "edge-1", server.target))))[0] is Code.UNAVAILABLE
    assert await greeting(grpc.aio.insecure_channel(server.target, options=APART)) == "welcome"
    await server.stop()
    async with secure_cloud(pki, tmp_path / "tls") as cloud:
        plain = grpc.aio.insecure_channel(cloud.target, options=APART)
        assert (await refusal(greeting(plain)))[0] is Code.UNAVAILABLE
    elsewhere = pki.issue(Role.CLOUD, "elsewhere-cloud", ["cloud.example.org"])
    async with secure_cloud(pki, tmp_path / "named", tls=elsewhere) as cloud:
        assert (await refusal(greeting(pki.as_peer(pki.folder / "edge-1", cloud.target))))[0] is Code.UNAVAILABLE
