"""Admission on real services over loopback: refusals with their details, a flood beside another client, late work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cloud_edge import Edge, register
from cloud_edge import make_sample as cloud_sample
from edge_support import PRIVATE, EdgeStubs, Sample, edge_config, make, running_cloud, running_edge, squares
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from security_support import Pki, bearer, secure_edge
from worker_rig import Hand

from cloud.config import CloudConfig
from cloud.service import CloudServer
from edge.daemon import EdgeDaemon
from hybrid_prover import DeadlineError, OverloadedError, Placement, Priority, ProverClient, RetryPolicy, Segment
from hybrid_prover.errors import read_details
from hybrid_prover.security.principal import Right
from hybrid_prover.telemetry.statusmessage import total
from hybrid_prover.v1 import circuit_pb2, common_pb2, job_pb2, status_pb2_grpc, uplink_pb2
from hybrid_prover.v1 import status_pb2 as service_pb2
from prover_core.backend import Backend
from prover_core.types import Digest

Code = grpc.StatusCode
ONCE = RetryPolicy(attempts=1)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("circuits"), backend, "squares", squares)


async def failing(call: Any) -> status_pb2.Status:
    """The status of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None, caught.value
    return status


def quota_subject(status: status_pb2.Status) -> str:
    for detail in status.details:
        failure = error_details_pb2.QuotaFailure()
        if detail.Unpack(failure):
            return str(failure.violations[0].subject)
    return ""


class As:
    """The local API of an edge, called with a client's token."""

    def __init__(self, stubs: EdgeStubs, token: str) -> None:
        self.stubs, self.metadata = stubs, bearer(token)

    async def submit(self, *segments: job_pb2.SegmentSpec, **more: Any) -> job_pb2.SubmitJobResponse:
        request = job_pb2.SubmitJobRequest(**({"placement": PRIVATE, "segments": segments} | more))
        return await self.stubs.jobs.SubmitJob(request, metadata=self.metadata)

    async def done(self, job_id: bytes) -> None:
        watch = self.stubs.queries.WatchJob(job_pb2.WatchJobRequest(job_id=job_id), metadata=self.metadata)
        async with asyncio.timeout(30):
            async for message in watch:
                last = message.job
        assert last.state == job_pb2.JOB_STATE_DONE, last.error


@asynccontextmanager
async def guarded(tmp_path: Path, sample: Sample, quotas: str, **changes: Any) -> AsyncIterator[tuple[EdgeDaemon, Any]]:
    """An edge with tokens, no cloud and a table of quotas; gives the API as each client has it."""
    pki = Pki(tmp_path)
    table = tmp_path / "quotas.toml"
    table.write_text(quotas)
    state = tmp_path / "edge"
    trust = grpc.ssl_channel_credentials(pki.ca.read_bytes())
    operator = grpc.access_token_call_credentials(pki.token("ops", Right.OPERATE))
    async with (
        secure_edge(pki, state, "127.0.0.1:1", quotas=table, chunk_wires=64, **changes) as edge,
        pki.as_client(edge.target) as channel,
        grpc.aio.secure_channel(edge.target, grpc.composite_channel_credentials(trust, operator)) as privileged,
    ):
        await EdgeStubs(privileged).register(sample)

        def client(name: str, *rights: Right) -> As:
            return As(EdgeStubs(channel), pki.token(name, *(rights or (Right.SUBMIT, Right.READ))))

        yield edge, client


async def test_each_limit_at_the_edge_is_refused_by_name(tmp_path: Path, sample: Sample) -> None:
    quotas = """
        [client.jobs]
        jobs = 1
        [client.segments]
        segments = 2
        [client.bytes]
        backlog_bytes = 40000
        [client.often]
        submissions_per_minute = 2
        [client.sends]
        artifact_bytes_per_hour = 1000
        uploads = 1
        [client.looks]
        watchers = 1
    """
    async with guarded(tmp_path, sample, quotas) as (edge, client):
        cloud = common_pb2.PLACEMENT_CLOUD

        async def over(who: As, *segments: job_pb2.SegmentSpec) -> status_pb2.Status:
            return await failing(who.submit(*segments, placement=cloud))

        one, two, three = (sample.segment(a=k, x=1) for k in range(3))
        who = client("jobs")
        first = await who.submit(one, placement=cloud)
        status = await over(who, two)
        details = read_details(status)
        assert (status.code, details.reason) == (8, "QUOTA_JOBS")
        assert quota_subject(status) == "client:jobs"
        assert details.retry_after is not None
        assert details.retry_after >= 1
        again = await who.submit(one, placement=cloud)
        assert (again.job_id, again.created) == (first.job_id, False), "the same job needs no room"
        status = await over(client("segments"), one, two, three)
        assert (read_details(status).reason, read_details(status).retry_after) == ("QUOTA_SEGMENTS", None)
        assert read_details(await over(client("bytes"), one, two, three)).reason == "QUOTA_BACKLOG_BYTES"
        who = client("often")
        for number in range(2):
            assert (await failing(who.submit(placement=number))).code == 3, "refused ones count too"
        assert read_details(await over(who, one)).reason == "QUOTA_SUBMISSIONS_PER_MINUTE"

        who = client("sends")

        async def content(size: int) -> AsyncIterator[circuit_pb2.PutArtifactRequest]:
            header = circuit_pb2.ArtifactHeader(digest=bytes([size % 251]) * 32, size=size)
            yield circuit_pb2.PutArtifactRequest(header=header)
            await asyncio.sleep(0.5)

        put = who.stubs.circuits.PutArtifact
        slow = asyncio.ensure_future(put(content(600), metadata=who.metadata))
        await asyncio.sleep(0.2)
        assert read_details(await failing(put(content(10), metadata=who.metadata))).reason == "QUOTA_UPLOADS"
        assert (await failing(slow)).code == 15, "it was cut short"
        status = await failing(put(content(500), metadata=who.metadata))
        assert read_details(status).reason == "QUOTA_ARTIFACT_BYTES_PER_HOUR"
        assert (read_details(status).retry_after or 0) > 60

        who = client("looks")
        job = await who.submit(one, placement=cloud)
        watch = who.stubs.queries.WatchJob
        open_one = watch(job_pb2.WatchJobRequest(job_id=job.job_id), metadata=who.metadata)
        await open_one.read()
        second = watch(job_pb2.WatchJobRequest(job_id=job.job_id), metadata=who.metadata)
        assert read_details(await failing(second.read())).reason == "QUOTA_WATCHERS"
        open_one.cancel()
        counted = edge.core.observer.metrics.admission_refusals
        assert total(counted, reason="QUOTA_JOBS") == 1
        assert total(counted) == 7


async def test_urgent_is_for_operators_and_numbers_that_mean_nothing_are_refused(
    tmp_path: Path, sample: Sample
) -> None:
    async with guarded(tmp_path, sample, "") as (_, client):
        one = sample.segment(a=1, x=1)
        urgent = {"priority": common_pb2.PRIORITY_URGENT, "placement": common_pb2.PLACEMENT_CLOUD}
        status = await failing(client("alice").submit(one, **urgent))
        assert (Code.PERMISSION_DENIED.value[0], "priority") == (status.code, read_details(status).field)
        assert (await client("root", Right.OPERATE).submit(one, **urgent)).created
        assert (await failing(client("alice").submit(one, priority=9))).code == 3
        status = await failing(client("alice").submit(one, deadline_unix_nanos=1 << 63))
        assert read_details(status).field == "deadline_unix_nanos"


async def test_a_flood_of_one_client_leaves_another_served_promptly(tmp_path: Path, sample: Sample) -> None:
    async with guarded(tmp_path, sample, "[client.flood]\njobs = 1000\nsubmissions_per_minute = 10000\n") as (
        edge,
        client,
    ):
        alone, flood, single = client("alone"), client("flood"), client("single")
        begun = time.monotonic()
        job = await alone.submit(sample.segment(a=9, x=9), placement=common_pb2.PLACEMENT_CLOUD)
        witnessed = common_pb2.PLACEMENT_CLOUD

        async def until_witnessed(job_id: bytes) -> None:
            async with asyncio.timeout(30):
                while edge.core.machine.jobs[job_id].segments[0].publics is None:
                    await asyncio.sleep(0.002)

        await until_witnessed(job.job_id)
        usual = time.monotonic() - begun
        for number in range(150):
            await flood.submit(sample.segment(a=number, x=2), placement=witnessed)
        begun, asked = time.monotonic(), time.time_ns()
        job = await single.submit(sample.segment(a=1, x=3), placement=witnessed)
        await until_witnessed(job.job_id)
        waited = time.monotonic() - begun
        assert waited < 20 * usual + 1.0
        begins = {
            j.id: s.timings["witness"].start
            for j in edge.core.machine.jobs.values()
            for s in j.segments
            if "witness" in s.timings
        }
        before = [start for start in begins.values() if asked < start < begins[job.job_id]]
        assert len(before) <= 4, "each of two workers begins at most one segment of the flood, and may be at one"


async def test_a_late_job_ends_at_edge_cloud_and_worker(tmp_path: Path, sample: Sample) -> None:
    config = CloudConfig(port=0, plaintext=True, data_dir=tmp_path / "cloud", remote_workers_only=True)
    server = CloudServer(config)
    await server.start()
    try:
        async with (
            grpc.aio.insecure_channel(server.target) as channel,
            running_edge(edge_config(tmp_path / "edge", server.target)) as (edge, stubs),
        ):
            hand = Hand(channel)
            await hand.enlist()
            await stubs.register(sample)
            deadline = time.time_ns() + 3 * 10**9
            request = job_pb2.SubmitJobRequest(
                placement=common_pb2.PLACEMENT_CLOUD,
                segments=[sample.segment(a=1, x=1)],
                deadline_unix_nanos=deadline,
                priority=common_pb2.PRIORITY_HIGH,
            )
            job = (await stubs.jobs.SubmitJob(request)).job_id
            granted = await hand.lease()
            status = await status_pb2_grpc.StatusServiceStub(channel).GetStatus(service_pb2.GetStatusRequest())
            (told,) = status.status.running
            assert (told.client, told.priority) == ("local", common_pb2.PRIORITY_HIGH)
            assert told.deadline_unix_nanos == deadline
            assert (await hand.until_kind("revoked")).lease == granted.lease
            ended = await stubs.ended(job)
            assert time.time_ns() - deadline < 2 * 10**9
            assert (ended.state, ended.error.code) == (job_pb2.JOB_STATE_FAILED, 4)
            assert read_details(status_pb2.Status.FromString(ended.error.SerializeToString())).reason == "JOB_DEADLINE"
            assert server.aggregator.machine.jobs[job].error.code == 4
            assert not server.aggregator.dispatcher.book.tasks
            assert not edge.core._tasks
            again = await stubs.jobs.SubmitJob(job_pb2.SubmitJobRequest(placement=1, segments=request.segments))
            assert (again.job_id, again.created) == (job, True)
            assert (await hand.lease()).lease.token > granted.lease.token
    finally:
        await server.stop()


async def test_the_sdk_says_what_is_late_and_what_is_full(tmp_path: Path, sample: Sample) -> None:
    table = tmp_path / "quotas.toml"
    table.write_text("[client.local]\njobs = 1\n")
    async with running_edge(edge_config(tmp_path / "edge", quotas=table)) as (edge, stubs):
        await stubs.register(sample)
        async with ProverClient(edge.target, plaintext=True, retry=ONCE) as client:

            def one(a: int) -> Segment:
                return Segment(Digest(sample.digest), {"a": a, "x": 1})

            with pytest.raises(DeadlineError, match="passed"):
                await client.submit(one(1), placement=Placement.CLOUD, deadline=-1)
            edge.core.machine._fastest[sample.digest, False] = 10 * 10**9
            with pytest.raises(DeadlineError, match="never took less"):
                await client.submit(one(1), placement=Placement.CLOUD, deadline=4)
            handle = await client.submit(one(1), placement=Placement.CLOUD, deadline=60, priority=Priority.HIGH)
            job = await handle.status()
            assert job.priority is Priority.HIGH
            assert job.deadline == pytest.approx(time.time() + 60, abs=5)
            with pytest.raises(OverloadedError) as full:
                await client.submit(one(2), placement=Placement.CLOUD)
            assert "jobs: client local has 1" in str(full.value)
            assert full.value.reason == "QUOTA_JOBS"
            assert full.value.retry_after is not None
            (running,) = (await client.service()).running
            assert (running.client, running.priority) == ("local", Priority.HIGH)
            assert running.left == pytest.approx(60, abs=5)
            await handle.cancel()
            await client.submit(one(2), placement=Placement.CLOUD)


async def test_a_job_waits_at_the_edge_until_the_cloud_has_room(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with running_cloud(tmp_path / "cloud") as cloud:
        other = cloud_sample(tmp_path, backend)
        async with grpc.aio.insecure_channel(cloud.target) as channel:
            await register(channel, other)
            blocker = Edge(channel)
            await blocker.hello()
            await blocker.open(b"b" * 32, [other.digest])
            cloud.aggregator.machine._limits = type(cloud.aggregator.machine._limits)(jobs=1)
            async with running_edge(edge_config(tmp_path / "edge", cloud.target)) as (edge, stubs):
                await stubs.register(sample)
                job = (await stubs.submit(sample.segment(a=1, x=2))).job_id
                async with asyncio.timeout(10):
                    while not edge.core.machine.jobs[job].turned_away:
                        await asyncio.sleep(0.02)
                assert (await stubs.get(job)).state == job_pb2.JOB_STATE_RUNNING
                await blocker.send(abort_job=uplink_pb2.AbortJob(job_id=b"b" * 32))
                await stubs.proved(job, backend, [sample.key])


async def test_calls_beyond_the_limit_are_told_to_come_back(tmp_path: Path, sample: Sample) -> None:
    async with running_edge(edge_config(tmp_path / "edge", max_calls=2)) as (_, stubs):
        await stubs.register(sample)
        job = (await stubs.submit(sample.segment(a=1, x=2))).job_id
        watches = [stubs.queries.WatchJob(job_pb2.WatchJobRequest(job_id=job)) for _ in range(2)]
        for watch in watches:
            await watch.read()
        status = await failing(stubs.get(job))
        assert (status.code, read_details(status).reason) == (8, "LIMIT_CALLS")
        assert read_details(status).retry_after == 1
        watches[0].cancel()
        await asyncio.sleep(0.2)
        assert (await stubs.get(job)).job_id == job


async def test_a_caller_that_has_gone_is_not_worked_for(tmp_path: Path, sample: Sample) -> None:
    async with running_edge(edge_config(tmp_path / "edge")) as (edge, stubs):
        for content in (sample.zkey, sample.r1cs, sample.tape):
            await stubs.put(content)
        parts = circuit_pb2.CircuitParts(zkey_digest=sample.digest)
        request = circuit_pb2.RegisterCircuitRequest(name="n", parts=parts)
        reading = asyncio.Event()

        async def describe(_files: object) -> dict[str, Any]:
            reading.set()
            await asyncio.sleep(60)
            return {}

        edge.core.pool.describe = describe  # type: ignore[method-assign]
        calls = [stubs.circuits.RegisterCircuit(request, timeout=0.5) for _ in range(3)]
        async with asyncio.timeout(10):
            await reading.wait()
            for call in calls:
                with pytest.raises(grpc.aio.AioRpcError) as gone:
                    await call
                assert gone.value.code() is Code.DEADLINE_EXCEEDED
            while edge.core.admission.doors._registrations.total:
                await asyncio.sleep(0.02)


async def test_a_flood_at_the_cloud_delays_another_clients_proof_by_a_few_segments(
    tmp_path: Path, backend: Backend
) -> None:
    other = cloud_sample(tmp_path, backend)
    server = CloudServer(
        CloudConfig(port=0, plaintext=True, data_dir=tmp_path / "cloud", workers=1, batch_size=1, threads=1)
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.target) as channel:
            await register(channel, other)
            executor = server.aggregator.dispatcher.executor
            step = executor._step

            def slow(work: Any) -> common_pb2.LeafProof | None:
                time.sleep(0.02)
                return step(work)

            executor._step = slow  # type: ignore[method-assign]
            edge, wires = Edge(channel), other.wires(3)
            await edge.hello()
            jobs = [bytes([number]) * 32 for number in range(1, 41)]
            for job in jobs:
                circuits = [other.digest]
                await edge.send(
                    open_job=uplink_pb2.OpenJob(job_id=job, placement=1, circuits=circuits, client="flood", priority=3)
                )
                await edge.until_kind("job_opened")
                await edge.witness(job, 0, wires, size=256)
            single = b"s" * 32
            await edge.send(
                open_job=uplink_pb2.OpenJob(
                    job_id=single, placement=1, circuits=[other.digest], client="single", priority=1
                )
            )
            await edge.until_kind("job_opened")
            done = sum(r.HasField("job_update") for r in edge.heard)
            assert done < len(jobs) - 10, "too fast for a flood of this size"
            await edge.witness(single, 0, wires, size=256)
            assert (await edge.ended(single)).HasField("done")
            before = sum(r.HasField("job_update") for r in edge.heard) - 1 - done
            assert before <= 8, f"{before} jobs of the flood went first"
    finally:
        await server.stop()
