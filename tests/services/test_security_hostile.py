"""Clients, edges and workers that are let in and mean harm: what they were able to do to others, and are no more."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from cloud_edge import Sample, make_sample
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from edge_support import EdgeStubs, factors, make
from google.rpc import status_pb2
from rich.console import Console
from security_support import Pki, refusal, secure_cloud, secure_edge
from test_cloud_control import HOUR, uploaded
from test_cloud_machine import CIRCUIT, JOB, ready
from test_security_ownership import as_client
from test_workers import opened
from worker_rig import Hand

from cloud import messages as m
from cloud import remote
from cloud.config import CloudConfig
from cloud.errors import FAILED_PRECONDITION
from cloud.links import Link
from cloud.model import JOB_CANCELLED, RUNNING
from cloud.service import CloudServer
from edge.model import Job as EdgeJob
from edge.model import JobPlan, Placement, SegmentPlan
from edge.status import failure_of
from edge.uplink import told_of
from hybrid_prover.cli.output import Output
from hybrid_prover.cli.text import printable
from hybrid_prover.security import certificates
from hybrid_prover.security.identity import Role
from hybrid_prover.security.principal import Right
from hybrid_prover.security.tls import CERTIFICATE, KEY
from hybrid_prover.security.tokens import replace_file
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, common_pb2, job_pb2, uplink_pb2, worker_pb2
from prover_core.backend import Backend
from prover_core.errors import UnsatisfiedError


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("hostile"), backend)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[CloudServer]:
    server = CloudServer(
        CloudConfig(
            port=0, plaintext=True, data_dir=tmp_path / "cloud", batch_age_ms=50, drain_grace_seconds=1,
            remote_workers_only=True, lease_seconds=30,
        )
    )  # fmt: skip
    await server.start()
    yield server
    await server.stop()


# Workers.


async def test_a_flood_of_claims_is_looked_into_once(
    server: CloudServer, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each claim cost a reading of the whole witness, in memory, and all of them the threads that others wait for."""
    looked: list[float] = []

    def diagnose(*_: object) -> None:
        looked.append(time.monotonic())
        time.sleep(0.3)

    monkeypatch.setattr(server.aggregator.dispatcher, "_diagnose", diagnose)
    async with grpc.aio.insecure_channel(server.target) as channel:
        edge, job = await opened(channel, sample)
        hand = Hand(channel)
        await hand.enlist()
        await edge.witness(job, 0, sample.wires(3))
        lease = (await hand.lease()).lease
        claim = worker_pb2.TaskFailed(lease=lease, error=status_pb2.Status(code=FAILED_PRECONDITION, message="no"))
        for _ in range(200):
            await hand.send(failed=claim)
        await asyncio.sleep(1.5)
        assert len(looked) == 1


async def test_a_worker_that_does_not_read_is_not_listened_to(
    server: CloudServer, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message about a lease that is over is answered: into memory, where the worker does not read."""
    monkeypatch.setattr(remote, "UNREAD_MESSAGES", 100)
    async with grpc.aio.insecure_channel(server.target) as channel:
        hand = Hand(channel)
        await hand.enlist()
        gone = worker_pb2.TaskProved(lease=worker_pb2.LeaseRef(job_id=bytes(2000), token=1))

        async def flood() -> None:
            while True:
                await hand.send(proved=gone)

        (connected,) = server.aggregator.dispatcher._remotes.values()
        flooding = asyncio.ensure_future(flood())
        most = 0
        for _ in range(30):
            await asyncio.sleep(0.05)
            most = max(most, connected._outbox.qsize())
        flooding.cancel()
        assert most <= 102


# Edges.


@pytest.mark.parametrize("what", ["circuits", "placement", "links"])
def test_only_who_can_open_an_ended_job_begins_it_again(what: str) -> None:
    """An id alone was enough to let a cancelled job run again, and wait for its edge for a week."""
    cloud = ready()
    cloud.post(m.Cancel(JOB))
    assert cloud.machine.jobs[JOB].state == JOB_CANCELLED
    good = uplink_pb2.OpenJob(
        job_id=JOB, submission=9, placement=cloud.machine.jobs[JOB].placement, circuits=[CIRCUIT.digest]
    )
    assert cloud.machine.goes_again(good, cloud.now)
    if what == "circuits":
        del good.circuits[:]
    elif what == "placement":
        good.placement = common_pb2.PLACEMENT_PRIVATE
    else:
        good.links.add(to_segment=1)
    assert not cloud.machine.goes_again(good, cloud.now)


async def test_who_has_not_said_hello_begins_nothing(server: CloudServer, sample: Sample) -> None:
    async with grpc.aio.insecure_channel(server.target) as channel:
        edge, job = await opened(channel, sample)
        await server.aggregator.cancel(job)
        stranger = type(edge)(channel)
        again = uplink_pb2.OpenJob(
            job_id=job, submission=9, placement=common_pb2.PLACEMENT_CLOUD, circuits=[sample.digest]
        )
        await stranger.send(open_job=again)
        assert await stranger.over() == grpc.StatusCode.FAILED_PRECONDITION
        assert server.aggregator.machine.jobs[job].state == JOB_CANCELLED


@pytest.mark.parametrize("kind", [x509.DNSName, x509.RFC822Name])
async def test_a_host_or_mailbox_called_like_an_edge_is_no_edge(tmp_path: Path, kind: type[x509.GeneralName]) -> None:
    """gRPC tells names of all kinds as one list: a certificate for such a host opened the uplink."""
    pki = Pki(tmp_path)
    folder = pki.issue(Role.EDGE, "one")
    names = [kind("spiffe://hybrid-prover/edge/one")]  # type: ignore[call-arg]
    ca_key = serialization.load_pem_private_key((tmp_path / certificates.CA_KEY).read_bytes(), None)
    ca = x509.load_pem_x509_certificate(pki.ca.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())  # type: ignore[arg-type]
    )
    replace_file(folder / CERTIFICATE, forged.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    replace_file(folder / KEY, key.private_bytes(serialization.Encoding.PEM, *plain))
    async with secure_cloud(pki, tmp_path / "data") as cloud, pki.as_peer(folder, cloud.target) as channel:
        call = circuit_pb2_grpc.CircuitServiceStub(channel).ListCircuits(circuit_pb2.ListCircuitsRequest())
        assert (await refusal(call))[:2] == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_NAME")


async def test_an_edge_that_opens_without_end_waits_and_others_do_not(server: CloudServer) -> None:
    """Jobs of the largest kind, opened and withdrawn: seconds of the database for each, and rows for ever."""
    cloud = server.aggregator
    one, two = Link(1, "one"), Link(2, "two")
    big = uplink_pb2.OpenJob(job_id=b"1" * 32, circuits=[bytes(32)] * 4096, links=[common_pb2.Link()] * 65_536)
    async with asyncio.timeout(5):
        await cloud._pace(one, big)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cloud._pace(one, big), 0.5)
    async with asyncio.timeout(5):
        await cloud._pace(two, big)
        await cloud._pace(one, uplink_pb2.OpenJob(job_id=b"2" * 32, circuits=[bytes(32)]))


# Time.


def test_a_clock_that_is_set_gives_no_job_up() -> None:
    for jump in (20 * 365 * 24 * HOUR, -20 * 365 * 24 * HOUR):
        cloud = ready(segments=2)
        uploaded(cloud, 0)
        cloud.now += jump
        cloud.machine.clock_set(jump)
        cloud.post(m.Tick())
        assert cloud.machine.jobs[JOB].state == RUNNING
        if jump > 0:
            cloud.now += 169 * HOUR
            cloud.post(m.Tick())
            assert cloud.machine.jobs[JOB].state != RUNNING


async def test_the_cloud_notices_that_its_clock_was_set(server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(server.aggregator.machine, "clock_set", told.append)
    real = time.time_ns
    for seconds in (0, 5, 3600, 3600, -7200):
        monkeypatch.setattr(time, "time_ns", lambda seconds=seconds: real() + seconds * 10**9)
        server.aggregator._ticker.cancel()
        server.aggregator._tick()
    assert [round(nanos / 1e9) for nanos in told] == [3595, -10800]


# Clients.


async def test_a_private_job_cannot_be_guessed_by_another_client(tmp_path: Path, backend: Backend) -> None:
    """The edge's answer `submitted before` told a second client of the same edge that its guess was right."""
    pki = Pki(tmp_path)
    pki.issue(Role.EDGE, "one")
    product = make(tmp_path, backend, "factors", factors)
    both = (Right.READ, Right.SUBMIT)
    async with (
        secure_edge(pki, tmp_path / "edge", "127.0.0.1:1", "one") as edge,
        as_client(pki, edge.target, "alice", *both) as alices,
        as_client(pki, edge.target, "mallory", *both) as mallorys,
    ):
        alice, mallory = EdgeStubs(alices), EdgeStubs(mallorys)
        await alice.register(product)

        def secret() -> job_pb2.SubmitJobRequest:
            segment = product.segment(n=6, pq=[2, 3])
            return job_pb2.SubmitJobRequest(placement=common_pb2.PLACEMENT_PRIVATE, segments=[segment])

        hers = await alice.jobs.SubmitJob(secret())
        guessed = await mallory.jobs.SubmitJob(secret())
        assert (hers.created, guessed.created) == (True, True)
        assert hers.job_id != guessed.job_id
        again = await alice.jobs.SubmitJob(secret())
        assert (again.job_id, again.created) == (hers.job_id, False)


# Terminals.


def test_names_command_no_terminal() -> None:
    name = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202ejob\nall is well"
    assert printable(name) == "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202ejob\\nall is well"
    assert printable("Zoë's job, 3 €") == "Zoë's job, 3 €"
    output = Output()
    output.out = Console(file=io.StringIO(), force_terminal=True, highlight=False, soft_wrap=True)
    output.say(f"one\n{name}")
    shown = output.out.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in shown
    assert shown.startswith("one\n")


def test_the_cloud_hears_nothing_of_why_a_private_job_failed() -> None:
    """Which constraint breaks is a fact about the inputs: a bit of each comparison that a circuit makes."""
    why = failure_of(
        UnsatisfiedError("the witness breaks constraint 7 (vote is zero)", row=7, label="vote is zero", field="witness")
    )
    for placement, told in ((Placement.PRIVATE, False), (Placement.CLOUD, True)):
        plan = JobPlan(b"j" * 32, "job", placement, (SegmentPlan(b"c" * 32, 9),), (), 64)
        status = told_of(EdgeJob(plan, [], 1, 0), why)
        assert status.code == why.code
        assert (b"vote" in status.SerializeToString()) == told
