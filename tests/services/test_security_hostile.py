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
from edge_support import EdgeStubs, factors, make
from google.rpc import status_pb2
from rich.console import Console
from security_support import Pki, secure_edge
from test_cloud_control import HOUR, uploaded
from test_cloud_machine import CIRCUIT, JOB, ready
from test_security_ownership import as_client
from test_workers import opened
from worker_rig import Hand

from cloud import messages as m
from cloud import remote
from cloud.config import CloudConfig
from cloud.errors import FAILED_PRECONDITION
from cloud.model import JOB_CANCELLED, RUNNING
from cloud.service import CloudServer
from hybrid_prover.cli.output import Output
from hybrid_prover.cli.text import printable
from hybrid_prover.security.identity import Role
from hybrid_prover.security.principal import Right
from hybrid_prover.v1 import common_pb2, job_pb2, uplink_pb2, worker_pb2
from prover_core.backend import Backend


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
