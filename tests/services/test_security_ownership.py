"""Whose jobs are whose: between clients of an edge, between edges of a cloud, and whose session is whose."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cloud_edge import Edge, Sample, cut, make_sample, put
from edge_support import EdgeStubs, factors, make
from security_support import APART, Code, Pki, bearer, refusal, secure_cloud, secure_edge
from test_cloud_machine import CIRCUIT, JOB, Cloud, chunk

import cloud.messages as m
from hybrid_prover.security.identity import Role
from hybrid_prover.security.principal import Right
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, common_pb2, job_pb2, job_pb2_grpc, uplink_pb2
from prover_core.backend import Backend
from prover_core.circuit import Circuit, compile_circuit
from prover_core.formats.r1cs import write_r1cs


class Bearer(grpc.aio.UnaryUnaryClientInterceptor):
    """One client's token on every unary call."""

    def __init__(self, token: str) -> None:
        self.metadata = bearer(token)

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*self.metadata)
        called = grpc.aio.ClientCallDetails(details.method, details.timeout, metadata, None, None)
        return await continuation(called, request)


class StreamBearer(grpc.aio.StreamUnaryClientInterceptor):
    """The same, for uploads."""

    def __init__(self, token: str) -> None:
        self.metadata = bearer(token)

    async def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        metadata = grpc.aio.Metadata(*self.metadata)
        called = grpc.aio.ClientCallDetails(details.method, details.timeout, metadata, None, None)
        return await continuation(called, requests)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    made = Pki(tmp_path_factory.mktemp("pki"))
    for name in ("one", "two"):
        made.issue(Role.EDGE, name)
    return made


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("key"), backend)


def as_client(pki: Pki, target: str, name: str, *rights: Right) -> grpc.aio.Channel:
    token = pki.token(name, *rights)
    credentials = grpc.ssl_channel_credentials(pki.ca.read_bytes())
    interceptors = [Bearer(token), StreamBearer(token)]
    return grpc.aio.secure_channel(target, credentials, options=APART, interceptors=interceptors)


async def job_ids(channel: grpc.aio.Channel) -> list[bytes]:
    answer = await job_pb2_grpc.JobQueryServiceStub(channel).ListJobs(job_pb2.ListJobsRequest())
    return [job.job_id for job in answer.jobs]


# Clients of an edge.


async def test_clients_see_and_cancel_their_own_jobs_and_operators_all(
    pki: Pki, tmp_path: Path, backend: Backend
) -> None:
    product = make(tmp_path, backend, "factors", factors)
    both = (Right.READ, Right.SUBMIT)
    async with (
        secure_edge(pki, tmp_path / "edge", "127.0.0.1:1", "one") as edge,
        as_client(pki, edge.target, "alice", *both) as alices,
        as_client(pki, edge.target, "bob", *both) as bobs,
        as_client(pki, edge.target, "ops", Right.OPERATE) as operators,
    ):
        alice, bob, ops = EdgeStubs(alices), EdgeStubs(bobs), EdgeStubs(operators)
        await alice.register(product)
        hers = (await alice.submit(product.segment(n=6, pq=[2, 3]))).job_id
        common = (await alice.submit(product.segment(n=8, pq=[2, 4]))).job_id
        shared = await bob.submit(product.segment(n=8, pq=[2, 4]))
        assert (shared.job_id, shared.created) == (common, False)
        assert await job_ids(alices) == [common, hers]
        assert await job_ids(bobs) == [common]
        assert await job_ids(operators) == [common, hers]
        assert edge.core.machine.jobs[hers].plan.client == "alice"

        # The jobs of others look as if they were not there.
        for call in (
            bob.queries.GetJob(job_pb2.GetJobRequest(job_id=hers)),
            bob.queries.GetResult(job_pb2.GetResultRequest(job_id=hers)),
            bob.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=hers)),
        ):
            assert (await refusal(call))[:2] == (Code.NOT_FOUND, "JOB_UNKNOWN")

        # Who cancels what another wants leaves it to that one.
        left = (await alice.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=common))).job
        assert left.state == job_pb2.JOB_STATE_RUNNING
        assert await job_ids(alices) == [hers]
        assert (await bob.get(common)).state == job_pb2.JOB_STATE_RUNNING
        gone = (await bob.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=common))).job
        assert gone.state == job_pb2.JOB_STATE_CANCELLED
        gone = (await ops.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=hers))).job
        assert gone.state == job_pb2.JOB_STATE_CANCELLED

    # To whom jobs belong outlives the process.
    async with secure_edge(pki, tmp_path / "edge", "127.0.0.1:1", "one") as edge:
        jobs = edge.core.machine.jobs
        assert (jobs[hers].plan.client, jobs[hers].clients, jobs[common].clients) == ("alice", {"alice"}, {"bob"})


async def test_known_parts_of_a_circuit_are_replaced_by_operators_only(
    pki: Pki, tmp_path: Path, sample: Sample
) -> None:
    changed = other_constraints(sample.steps, tmp_path / "other.r1cs")
    async with (
        secure_cloud(pki, tmp_path / "cloud") as cloud,
        as_client(pki, cloud.client_target, "alice", Right.READ, Right.SUBMIT) as alices,
        as_client(pki, cloud.client_target, "ops", Right.OPERATE) as operators,
        secure_edge(pki, tmp_path / "edge", cloud.target, "one") as edge,
        as_client(pki, edge.target, "alice", Right.READ, Right.SUBMIT) as edge_alices,
        as_client(pki, edge.target, "ops", Right.OPERATE) as edge_operators,
    ):
        for hers, theirs in ((alices, operators), (edge_alices, edge_operators)):
            zkey, r1cs = sample.zkey, sample.r1cs
            for content in (zkey, r1cs, changed):
                await put(hers, content)

            def asked(*parts: bytes) -> circuit_pb2.RegisterCircuitRequest:
                digests = dict(zip(("zkey_digest", "r1cs_digest"), map(digest, parts), strict=False))
                return circuit_pb2.RegisterCircuitRequest(name="c", parts=circuit_pb2.CircuitParts(**digests))

            alice, ops = circuit_pb2_grpc.CircuitServiceStub(hers), circuit_pb2_grpc.CircuitServiceStub(theirs)
            await alice.RegisterCircuit(asked(zkey))
            known = (await alice.RegisterCircuit(asked(zkey, r1cs))).circuit
            assert known.parts.r1cs_digest == digest(r1cs)
            assert (await alice.RegisterCircuit(asked(zkey))).circuit == known
            conflict = await refusal(alice.RegisterCircuit(asked(zkey, changed)))
            assert conflict[:2] == (Code.ALREADY_EXISTS, "PART_CONFLICT")
            assert (await ops.RegisterCircuit(asked(zkey, changed))).circuit.parts.r1cs_digest == digest(changed)


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def other_constraints(steps: int, path: Path) -> bytes:
    """Another circuit with as many wires and public signals as the sample's."""

    def define(c: Circuit) -> None:
        state = c.public("a")
        for _ in range(steps):
            state = state * state + 5
        c.output("out", state)

    write_r1cs(path, compile_circuit(define, name="squares").r1cs)
    return path.read_bytes()


# Edges of a cloud.


def received(edge: str, connection: int, **message: Any) -> m.Received:
    return m.Received(connection, uplink_pb2.UplinkRequest(**message), edge)


def opened(edges: Sequence[str]) -> Any:
    """A cloud's machine with one job that these edges have opened, each on a connection of its own."""
    cloud = Cloud()
    for number, edge in enumerate(edges, 10):
        greeting = uplink_pb2.Hello(session_id=bytes([number]) * 16, edge_name=edge, protocol_version=1)
        cloud.post(received(edge, number, hello=greeting))
        job = uplink_pb2.OpenJob(
            job_id=JOB, name="n", placement=common_pb2.PLACEMENT_CLOUD, circuits=[CIRCUIT.digest], client="alice"
        )
        cloud.post(received(edge, number, open_job=job))
    return cloud


def heard(cloud: Any, connection: int, kind: str) -> list[Any]:
    return [getattr(r, kind) for c, r in cloud.sent if c == connection and r.WhichOneof("message") == kind]


def test_an_abort_ends_a_job_only_when_no_other_edge_wants_it() -> None:
    cloud = opened(["a", "b"])
    job = cloud.machine.jobs[JOB]
    assert (job.client, job.edges) == ("alice", {"a", "b"})
    cloud.post(received("a", 10, abort_job=uplink_pb2.AbortJob(job_id=JOB)))
    assert job.state == job_pb2.JOB_STATE_RUNNING
    assert [u.failed.code for u in heard(cloud, 10, "job_update")] == [1]
    assert heard(cloud, 11, "job_update") == []
    cloud.post(received("a", 10, chunk=chunk(0, 0, 10)))
    assert [r.error.code for r in heard(cloud, 10, "refused")] == [5]
    cloud.post(received("b", 11, abort_job=uplink_pb2.AbortJob(job_id=JOB)))
    assert job.state == job_pb2.JOB_STATE_CANCELLED


@pytest.mark.parametrize("client", ["a b", "x" * 65, "\n", "a\0"])
def test_a_client_that_labels_cannot_hold_is_refused(client: str) -> None:
    cloud = opened(["a"])
    job = uplink_pb2.OpenJob(
        job_id=b"k" * 32, placement=common_pb2.PLACEMENT_CLOUD, circuits=[CIRCUIT.digest], client=client
    )
    cloud.post(received("a", 10, open_job=job))
    assert [r.error.code for r in heard(cloud, 10, "refused")] == [3]


def test_an_edge_that_is_away_still_wants_its_job() -> None:
    cloud = opened(["a", "b"])
    cloud.post(m.Disconnected(11))
    cloud.post(received("a", 10, abort_job=uplink_pb2.AbortJob(job_id=JOB)))
    assert cloud.machine.jobs[JOB].state == job_pb2.JOB_STATE_RUNNING


@pytest.mark.parametrize(
    "message",
    [
        {"segment_failure": uplink_pb2.SegmentFailure(job_id=JOB, segment=0)},
        {"chunk": chunk(0, 1 << 20, 10)},
        {"segment_end": uplink_pb2.SegmentEnd(job_id=JOB, segment=0, chunk_count=0)},
    ],
)
def test_an_edge_that_misbehaves_fails_a_job_for_itself_alone(message: dict[str, Any]) -> None:
    cloud = opened(["a", "b"])
    cloud.post(received("b", 11, **message))
    job = cloud.machine.jobs[JOB]
    assert (job.state, job.edges) == (job_pb2.JOB_STATE_RUNNING, {"a"})
    assert len(heard(cloud, 11, "job_update")) == 1
    assert heard(cloud, 10, "job_update") == []
    cloud.post(received("a", 10, **message))
    assert job.state == job_pb2.JOB_STATE_FAILED


def test_a_session_shown_by_another_edge_is_refused_and_harms_nobody() -> None:
    cloud = opened(["a"])
    replay = uplink_pb2.Hello(session_id=bytes([10]) * 16, edge_name="a", protocol_version=1)
    for identity in ("b", ""):
        (close,) = cloud.post(received(identity, 20, hello=replay))
        assert isinstance(close, m.Close)
        assert (close.connection, close.error.code) == (20, 7)
    assert cloud.machine.sessions.of(10) is not None


async def test_a_replayed_session_is_refused_also_after_a_restart(pki: Pki, tmp_path: Path) -> None:
    session, bound = os.urandom(16), (Code.PERMISSION_DENIED, "SESSION_BOUND", "")
    for _ in range(2):
        async with secure_cloud(pki, tmp_path) as cloud, pki.as_peer(pki.folder / "one", cloud.target) as channel:
            await Edge(channel, session).hello()
            async with pki.as_peer(pki.folder / "two", cloud.target) as thief:
                replay = Edge(thief, session)
                await replay.send(hello=uplink_pb2.Hello(session_id=session, edge_name="x", protocol_version=1))
                assert await refusal(_next(replay)) == bound
    # First by the thief this time: the store knows better, though no such session is connected.
    async with secure_cloud(pki, tmp_path) as cloud, pki.as_peer(pki.folder / "two", cloud.target) as thief:
        replay = Edge(thief, session)
        await replay.send(hello=uplink_pb2.Hello(session_id=session, edge_name="x", protocol_version=1))
        assert await refusal(_next(replay)) == bound


async def _next(edge: Edge) -> Any:
    answer = await edge.call.read()
    if answer is grpc.aio.EOF:
        call = edge.call
        raise grpc.aio.AioRpcError(
            await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
        )
    return answer


async def test_edges_and_clients_of_a_cloud_see_their_own_jobs(pki: Pki, tmp_path: Path, sample: Sample) -> None:
    job, open_job = os.urandom(32), common_pb2.PLACEMENT_CLOUD
    async with (
        secure_cloud(pki, tmp_path) as cloud,
        pki.as_peer(pki.folder / "one", cloud.target) as ones,
        pki.as_peer(pki.folder / "two", cloud.target) as twos,
        as_client(pki, cloud.client_target, "alice", Right.READ, Right.SUBMIT) as alices,
        as_client(pki, cloud.client_target, "bob", Right.READ, Right.SUBMIT) as bobs,
        as_client(pki, cloud.client_target, "ops", Right.OPERATE) as operators,
    ):
        await put(ones, sample.zkey)
        parts = circuit_pb2.CircuitParts(zkey_digest=sample.digest)
        await circuit_pb2_grpc.CircuitServiceStub(ones).RegisterCircuit(
            circuit_pb2.RegisterCircuitRequest(name="c", parts=parts)
        )
        one = Edge(ones)
        await one.hello()
        await one.send(
            open_job=uplink_pb2.OpenJob(job_id=job, placement=open_job, circuits=[sample.digest], client="alice")
        )
        await one.until_kind("job_opened")
        for channel in (ones, alices, operators):
            assert await job_ids(channel) == [job]
        for channel in (twos, bobs):
            assert await job_ids(channel) == []
            stub = job_pb2_grpc.JobQueryServiceStub(channel)
            for call in (
                stub.GetJob(job_pb2.GetJobRequest(job_id=job)),
                stub.GetResult(job_pb2.GetResultRequest(job_id=job)),
            ):
                assert (await refusal(call))[:2] == (Code.NOT_FOUND, "JOB_UNKNOWN")

        # Another edge with the same content has it open too, and neither client nor edge alone can end it.
        two = Edge(twos)
        await two.hello()
        await two.open(job, [sample.digest])
        cancel = job_pb2.CancelJobRequest(job_id=job)
        theirs = await refusal(job_pb2_grpc.JobServiceStub(alices).CancelJob(cancel))
        assert theirs[:2] == (Code.FAILED_PRECONDITION, "WANTED_BY_OTHERS")
        for channel in (ones, twos, bobs):
            answer = await refusal(job_pb2_grpc.JobServiceStub(channel).CancelJob(cancel))
            assert answer[:2] == (Code.NOT_FOUND, "JOB_UNKNOWN")
        await one.send(abort_job=uplink_pb2.AbortJob(job_id=job))
        assert (await one.ended(job)).failed.code == 1
        chunks = cut(job, 0, sample.wires(3), 64)
        for piece in chunks:
            await two.send(chunk=piece)
        await two.send(segment_end=uplink_pb2.SegmentEnd(job_id=job, segment=0, chunk_count=len(chunks)))
        assert (await two.ended(job)).HasField("done")
        assert await job_ids(ones) == []
