"""Remote workers over real gRPC: killed, hung, lying, stopped, brought back; no proof is lost, no wrong one taken."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cloud_edge import Edge, Sample, cut, make_sample, register
from google.rpc import status_pb2
from worker_rig import Hand, worker_process

from cloud.config import CloudConfig
from cloud.errors import make_status, reason_of
from cloud.service import CloudServer
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, common_pb2, job_pb2, job_pb2_grpc, worker_pb2
from prover_core.backend import Backend

DONE, FAILED, CANCELLED = job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("key"), backend)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    """Long enough to be caught in the middle."""
    return make_sample(tmp_path_factory.mktemp("large"), backend, steps=6000)


@pytest.fixture
def config(tmp_path: Path) -> CloudConfig:
    return CloudConfig(
        port=0,
        data_dir=tmp_path / "cloud",
        plaintext=True,
        batch_age_ms=50,
        drain_grace_seconds=1,
        remote_workers_only=True,
        lease_seconds=3,
    )


@pytest.fixture
async def server(config: CloudConfig) -> AsyncIterator[CloudServer]:
    server = CloudServer(config)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def channel(server: CloudServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.target) as channel:
        yield channel


async def opened(channel: grpc.aio.Channel, sample: Sample, segments: int = 1, **more: object) -> tuple[Edge, bytes]:
    await register(channel, sample)
    edge, job = Edge(channel), os.urandom(32)
    await edge.hello()
    await edge.open(job, [sample.digest] * segments)
    return edge, job


async def seen(channel: grpc.aio.Channel, job: bytes) -> job_pb2.Job:
    return (await job_pb2_grpc.JobQueryServiceStub(channel).GetJob(job_pb2.GetJobRequest(job_id=job))).job


def attempts(server: CloudServer, job: bytes, segment: int = 0) -> list[str]:
    return [a.outcome.name for a in server.aggregator.machine.jobs[job].segments[segment].attempts]


async def test_a_worker_process_sums_chunks_as_they_come_and_its_proofs_count(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample, tmp_path: Path
) -> None:
    async with worker_process(server.target, tmp_path / "keys", "--name", "far") as worker:
        edge, job = await opened(channel, sample, 3)
        chunks = cut(job, 0, sample.wires(3), 16)
        for chunk in chunks[:-1]:
            await edge.send(chunk=chunk)
        await worker.until("lease_granted")
        task = server.aggregator.dispatcher.book.tasks[job, 0]
        async with asyncio.timeout(20):
            while task.lease is None or task.lease.consumed < len(chunks) - 1:
                await asyncio.sleep(0.02)
        await edge.witness(job, 0, sample.wires(3), start=len(chunks) - 1)
        await edge.witness(job, 1, sample.wires(4))
        await edge.witness(job, 2, sample.wires(5))
        assert (await edge.ended(job)).HasField("done")
        assert {"accumulate", "finish"} <= {t.phase for t in (await seen(channel, job)).segments[1].timings}
        worker.signal(signal.SIGTERM)
        assert await worker.end() == 0
    assert list((tmp_path / "keys" / "sha256").rglob("*"))


async def test_a_killed_worker_costs_its_task_only_and_no_budget(
    server: CloudServer, channel: grpc.aio.Channel, large: Sample, tmp_path: Path
) -> None:
    async with worker_process(server.target, tmp_path / "keys", "--slots", "1") as doomed:
        edge, job = await opened(channel, large)
        wires = large.wires(3)
        chunks = cut(job, 0, wires, 512)
        for chunk in chunks[:-1]:
            await edge.send(chunk=chunk)
        task = None
        async with asyncio.timeout(20):
            while task is None or task.lease is None or not task.lease.consumed:
                await asyncio.sleep(0.02)
                task = server.aggregator.dispatcher.book.tasks.get((job, 0))
        doomed.signal(signal.SIGKILL)
        await doomed.end()
        async with worker_process(server.target, tmp_path / "keys"):
            await edge.witness(job, 0, wires, size=512, start=len(chunks) - 1)
            assert (await edge.ended(job)).HasField("done")
    assert attempts(server, job) == ["LOST"]


async def test_a_worker_told_to_stop_finishes_what_is_whole_and_hands_the_rest_back(
    server: CloudServer, channel: grpc.aio.Channel, large: Sample, tmp_path: Path
) -> None:
    edge, job = await opened(channel, large, 2)
    wires = large.wires(3)
    async with worker_process(server.target, tmp_path / "keys", "--slots", "2") as leaving:
        await edge.witness(job, 0, wires, size=512)
        chunks = cut(job, 1, wires, 512)
        for chunk in chunks[:3]:
            await edge.send(chunk=chunk)
        await leaving.until("lease_granted", 2)
        task = server.aggregator.dispatcher.book.tasks.get((job, 0))
        async with asyncio.timeout(20):
            while task is not None and task.lease is not None and task.lease.consumed < len(chunks):
                await asyncio.sleep(0.01)
        leaving.signal(signal.SIGTERM)
        assert await leaving.end() == 0
    book = server.aggregator.dispatcher.book
    async with asyncio.timeout(10):
        while (job, 0) in book.tasks:
            await asyncio.sleep(0.02)
    assert book.tasks[job, 1].lease is None
    async with worker_process(server.target, tmp_path / "keys"):
        await edge.witness(job, 1, wires, size=512, start=3)
        assert (await edge.ended(job)).HasField("done")
    assert attempts(server, job, 0) == attempts(server, job, 1) == []


async def test_garbage_is_quarantined_by_name_after_three_and_no_other_job_suffers(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample, backend: Backend
) -> None:
    liar = Hand(channel)
    await liar.enlist(slots=2)
    edge, bad = await opened(channel, sample)
    good = os.urandom(32)
    await edge.open(good, [sample.digest])
    await edge.witness(bad, 0, sample.wires(3))
    await edge.witness(good, 0, sample.wires(4))
    forged = sample.leaf(9, backend)
    altered = sample.leaf(3, backend)
    altered.proof.a = sample.leaf(4, backend).proof.a
    lies = [forged, altered, common_pb2.LeafProof()]
    while lies:
        granted = await liar.lease()
        if granted.lease.job_id == good:
            await liar.prove(granted.lease, sample.leaf(4, backend))
        else:
            await liar.prove(granted.lease, lies.pop(0))
    failure = (await edge.ended(bad)).failed
    assert reason_of(failure) == "SEGMENT_QUARANTINED"
    assert "segments[0]" in failure.message
    assert attempts(server, bad) == ["FAILED"] * 3
    async with asyncio.timeout(20):
        while (await seen(channel, good)).state != DONE:
            await asyncio.sleep(0.05)
    control = job_pb2_grpc.JobServiceStub(channel)
    again = await control.RequeueJob(job_pb2.RequeueJobRequest(job_id=bad))
    assert again.job.state == job_pb2.JOB_STATE_RUNNING
    granted = await liar.lease()
    await liar.prove(granted.lease, sample.leaf(3, backend))
    async with asyncio.timeout(20):
        while (await seen(channel, bad)).state != DONE:
            await asyncio.sleep(0.05)
    assert attempts(server, bad) == []


async def test_a_claim_against_the_witness_is_checked_here(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample
) -> None:
    hand = Hand(channel)
    await hand.enlist(slots=2)
    edge, job = await opened(channel, sample, 2)
    blame = make_status(9, "constraint 3 is broken", reason="UNSATISFIED_CONSTRAINT")
    await edge.witness(job, 0, sample.wires(3))
    granted = await hand.lease()
    await hand.until_kind("witness_end")
    await hand.send(failed=worker_pb2.TaskFailed(lease=granted.lease, error=blame))
    granted = await hand.lease()
    assert attempts(server, job) == ["FAILED"], "the witness is good, so it was the worker"
    wires = sample.wires(3)
    await edge.witness(job, 1, [*wires[:20], wires[20] + 1, *wires[21:]])
    granted = await hand.lease()
    assert granted.lease.segment == 1
    await hand.until(lambda r: r.witness_end.lease.segment == 1)
    await hand.send(failed=worker_pb2.TaskFailed(lease=granted.lease, error=blame))
    failure = (await edge.ended(job)).failed
    assert reason_of(failure) == "UNSATISFIED_CONSTRAINT"
    assert "segments[1]" in failure.message


async def test_late_and_stale_results(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample, backend: Backend
) -> None:
    slow, quick = Hand(channel), Hand(channel)
    await slow.enlist()
    edge, job = await opened(channel, sample, 2)
    await edge.witness(job, 0, sample.wires(3))
    old = (await slow.lease()).lease
    await quick.enlist()
    beating = asyncio.create_task(_beat(quick))
    newer = (await quick.lease()).lease
    assert newer.token > old.token
    await slow.until_kind("revoked")
    await slow.prove(old, sample.leaf(8, backend))
    await slow.send(failed=worker_pb2.TaskFailed(lease=old, error=status_pb2.Status(code=13, message="stale")))
    await slow.send(returned=worker_pb2.LeaseReturned(lease=old))
    await asyncio.sleep(0.3)
    task = server.aggregator.dispatcher.book.tasks[job, 0]
    assert task.lease is not None
    assert task.lease.token == newer.token
    assert "FAILED" not in attempts(server, job)
    await slow.prove(old, sample.leaf(3, backend))
    revoked = await quick.until_kind("revoked")
    assert revoked.lease.token == newer.token
    await edge.until(lambda r: r.segment_update.HasField("verified"))
    await quick.prove(newer, sample.leaf(8, backend))
    beating.cancel()
    await edge.witness(job, 1, sample.wires(5))
    granted = await quick.lease()
    await quick.prove(granted.lease, sample.leaf(5, backend))
    assert (await edge.ended(job)).HasField("done")


async def _beat(hand: Hand) -> None:
    while True:
        await hand.send(heartbeat=worker_pb2.Heartbeat())
        await asyncio.sleep(0.5)


async def test_what_is_under_way_to_a_worker_is_bounded(
    server: CloudServer,
    channel: grpc.aio.Channel,
    sample: Sample,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cloud.remote.FEED_BYTES", 1000)
    monkeypatch.setattr("cloud.remote._READ_BYTES", 1)
    hand = Hand(channel)
    await hand.enlist()
    edge, job = await opened(channel, sample)
    await edge.witness(job, 0, sample.wires(3), size=2)
    lease = (await hand.lease()).lease
    taken = chunks = 0
    while True:
        under_way = 0
        while under_way < 1000:
            answer = await hand.until(lambda r: r.HasField("chunk") or r.HasField("witness_end"))
            if answer.HasField("witness_end"):
                break
            under_way += len(answer.chunk.record)
            chunks += 1
        if answer.HasField("witness_end"):
            break
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(quiet := asyncio.ensure_future(hand.call.read())), 0.15)
        taken += under_way
        consumed = worker_pb2.ChunksConsumed(lease=lease, chunks=chunks, record_bytes=taken)
        await hand.send(consumed=consumed)
        answer = await asyncio.wait_for(quiet, 5)
        if answer.HasField("witness_end"):
            break
        taken += len(answer.chunk.record)
        chunks += 1
        await hand.send(consumed=worker_pb2.ChunksConsumed(lease=lease, chunks=chunks, record_bytes=taken))
    assert answer.witness_end.chunk_count == chunks == len(cut(job, 0, sample.wires(3), 2))
    await hand.prove(lease, sample.leaf(3, backend))
    assert (await edge.ended(job)).HasField("done")


async def test_cancel_revokes_leases_and_worker_processes_stop_computing(
    server: CloudServer, channel: grpc.aio.Channel, large: Sample, tmp_path: Path
) -> None:
    async with worker_process(server.target, tmp_path / "keys", "--slots", "2") as worker:
        edge, job = await opened(channel, large, 40)
        wires = large.wires(3)
        for segment in range(40):
            await edge.witness(job, segment, wires, size=2048)
        await worker.until("lease_granted", 2)
        control = job_pb2_grpc.JobServiceStub(channel)
        answer = await control.CancelJob(job_pb2.CancelJobRequest(job_id=job))
        assert answer.job.state == CANCELLED
        assert (await edge.ended(job)).failed.code == grpc.StatusCode.CANCELLED.value[0]
        assert server.aggregator.dispatcher.book.tasks == {}
        await asyncio.sleep(0.5)
        before = worker.cpu_seconds()
        await asyncio.sleep(1.0)
        assert worker.cpu_seconds() - before < 0.2
        assert not (server.config.data_dir / "chunks" / job.hex()).exists()


async def test_leases_survive_a_restart_of_the_cloud(
    config: CloudConfig, sample: Sample, backend: Backend, tmp_path: Path
) -> None:
    worker_id, session = os.urandom(16), os.urandom(16)
    server = CloudServer(config)
    await server.start()
    async with grpc.aio.insecure_channel(server.target) as channel:
        hand = Hand(channel, worker_id)
        await hand.enlist(slots=2)
        await register(channel, sample)
        edge, job = Edge(channel, session), os.urandom(32)
        await edge.hello()
        await edge.open(job, [sample.digest] * 2)
        await edge.witness(job, 0, sample.wires(3))
        kept = (await hand.lease()).lease
        end = await hand.until_kind("witness_end")
        await edge.witness(job, 1, sample.wires(4))
        lost = (await hand.lease()).lease
        await server.stop()
    port = server.port
    server = CloudServer(replace(config, port=port, remote_workers_only=False))
    await server.start()
    async with grpc.aio.insecure_channel(server.target) as channel:
        hand = Hand(channel, worker_id)
        held = worker_pb2.HeldLease(lease=kept, chunks=end.chunk_count, complete=True)
        await hand.enlist(slots=2, leases=[held])
        await hand.prove(kept, sample.leaf(3, backend))
        edge = Edge(channel, session)
        await edge.hello()
        await edge.open(job, [sample.digest] * 2)
        assert (await edge.ended(job)).HasField("done")
        assert not any(r.HasField("chunk") and r.chunk.lease == kept for r in hand.heard), "nothing is sent twice"
        segments = server.aggregator.machine.jobs[job].segments
        assert not segments[0].attempts
        assert {t.phase for t in segments[1].timings} >= {"accumulate"}, f"{lost} was proved again"
    await server.stop()


async def test_a_job_whose_edge_never_returns_ends_and_its_log_goes(config: CloudConfig, sample: Sample) -> None:
    server = CloudServer(replace(config, idle_job_hours=0.3 / 3600))
    await server.start()
    async with grpc.aio.insecure_channel(server.target) as channel:
        edge, job = await opened(channel, sample)
        for chunk in cut(job, 0, sample.wires(3), 16)[:2]:
            await edge.send(chunk=chunk)
        await edge.until(lambda r: r.HasField("ack") and r.ack.next_sequence == 2)
        await asyncio.sleep(0.5)
        server.aggregator._ticker.cancel()
        server.aggregator._tick()
        failure = (await edge.ended(job)).failed
        assert reason_of(failure) == "JOB_ABANDONED"
        async with asyncio.timeout(5):
            while (config.data_dir / "chunks" / job.hex()).exists():
                await asyncio.sleep(0.02)
    await server.stop()


async def test_a_failed_job_goes_again_when_it_is_submitted_again(
    config: CloudConfig, sample: Sample, backend: Backend
) -> None:
    server = CloudServer(replace(config, remote_workers_only=False))
    await server.start()
    async with grpc.aio.insecure_channel(server.target) as channel:
        await register(channel, sample)
        edge, job = Edge(channel), os.urandom(32)
        await edge.hello()
        await edge.open(job, [sample.digest] * 2, submission=1)
        await edge.witness(job, 0, sample.wires(3))
        await edge.until(lambda r: r.segment_update.HasField("verified"))
        wires = sample.wires(3)
        await edge.witness(job, 1, [*wires[:20], wires[20] + 1, *wires[21:]])
        assert (await edge.ended(job)).HasField("failed")
        revision = (await seen(channel, job)).revision
        await edge.open(job, [sample.digest] * 2, submission=1)
        assert (await edge.ended(job)).HasField("failed"), "an edge that comes back hears how it ended"
        again = await edge.open(job, [sample.digest] * 2, submission=2)
        assert [(p.next_sequence > 0, p.complete) for p in again.positions] == [(True, True), (False, False)]
        assert (await seen(channel, job)).revision > revision
        await edge.witness(job, 1, sample.wires(5))
        assert (await edge.ended(job)).HasField("done")
        control = job_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await control.RequeueJob(job_pb2.RequeueJobRequest(job_id=job))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await control.CancelJob(job_pb2.CancelJobRequest(job_id=b"u" * 32))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    await server.stop()


async def test_a_stream_that_does_not_enlist_is_refused(channel: grpc.aio.Channel) -> None:
    for first in (
        worker_pb2.WorkRequest(heartbeat=worker_pb2.Heartbeat()),
        worker_pb2.WorkRequest(enlist=worker_pb2.Enlist(worker_id=b"short", slots=1, protocol_version=1)),
        worker_pb2.WorkRequest(enlist=worker_pb2.Enlist(worker_id=bytes(16), slots=0, protocol_version=1)),
        worker_pb2.WorkRequest(enlist=worker_pb2.Enlist(worker_id=bytes(16), slots=1, protocol_version=7)),
    ):
        hand = Hand(channel)
        await hand.call.write(first)
        with pytest.raises((grpc.aio.AioRpcError, AssertionError)):
            await hand.until_kind("enlisted")
        assert await hand.call.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT)


async def test_no_message_of_a_worker_however_strange_does_harm(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample, backend: Backend
) -> None:
    strange = Hand(channel)
    await strange.enlist(leases=[worker_pb2.HeldLease(lease=worker_pb2.LeaseRef(token=2**64 - 1), chunks=2**64 - 1)])
    await strange.until_kind("revoked")
    edge, job = await opened(channel, sample)
    await edge.witness(job, 0, sample.wires(3))
    lease = (await strange.lease()).lease
    other = worker_pb2.LeaseRef(job_id=job, segment=2**32 - 1, token=lease.token)
    for ref in (worker_pb2.LeaseRef(), other, worker_pb2.LeaseRef(job_id=b"x", segment=7, token=1)):
        await strange.send(consumed=worker_pb2.ChunksConsumed(lease=ref, chunks=2**64 - 1, record_bytes=2**64 - 1))
        await strange.send(proved=worker_pb2.TaskProved(lease=ref, wrong_partials=[2**64 - 1]))
        await strange.send(failed=worker_pb2.TaskFailed(lease=ref))
        await strange.send(returned=worker_pb2.LeaseReturned(lease=ref))
    await strange.send(consumed=worker_pb2.ChunksConsumed(lease=lease, chunks=2**64 - 1, record_bytes=2**64 - 1))
    await strange.send(failed=worker_pb2.TaskFailed(lease=lease, error=status_pb2.Status(message="x" * 100_000)))
    lease = (await strange.lease()).lease
    (attempt,) = server.aggregator.machine.jobs[job].segments[0].attempts
    assert attempt.error is not None
    assert attempt.error.ByteSize() < 8192
    timing = common_pb2.PhaseTiming(phase="accumulate", duration_nanos=2**64 - 1)
    leaf = sample.leaf(3, backend)
    proved = worker_pb2.TaskProved(lease=lease, leaf=leaf, timings=[timing] * 1000, wrong_partials=[0, 2**64 - 1])
    await strange.send(proved=proved)
    assert (await edge.ended(job)).HasField("done")
    await strange.send()
    code = None
    async with asyncio.timeout(10):
        while code is None:
            try:
                if await strange.call.read() is grpc.aio.EOF:
                    code = await strange.call.code()
            except grpc.aio.AioRpcError as e:
                code = e.code()
    assert code == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_artifact_comes_back_as_it_went(channel: grpc.aio.Channel, sample: Sample) -> None:
    await register(channel, sample)
    stub = circuit_pb2_grpc.CircuitServiceStub(channel)
    parts = [r async for r in stub.GetArtifact(circuit_pb2.GetArtifactRequest(digest=sample.digest))]
    assert parts[0].header.size == len(sample.zkey)
    assert b"".join(p.data for p in parts[1:]) == sample.zkey
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetArtifact(circuit_pb2.GetArtifactRequest(digest=b"u" * 32)).read()
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
