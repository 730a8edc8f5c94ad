"""The cloud over real gRPC on loopback, with real proofs of a small circuit."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cloud_edge import Edge, Sample, cut, make_sample, put, register
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from store_book import Place

from cloud.config import CloudConfig
from cloud.errors import violated_field
from cloud.service import SERVICES, CloudServer
from hybrid_prover.v1 import circuit_pb2, circuit_pb2_grpc, common_pb2, job_pb2, job_pb2_grpc, uplink_pb2
from prover_core.backend import Backend
from prover_core.errors import InvalidInputError
from prover_core.formats.chunk import chunk_digest
from prover_core.groth16 import Proof, verify

LINK = (common_pb2.Link(from_segment=0, from_signal=0, to_segment=1, to_signal=1),)
"""The output of segment 0 is the input of segment 1 (outputs come first among the public signals)."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("key"), backend)


@pytest.fixture
def config(tmp_path, database) -> CloudConfig:
    limits = {"batch_age_ms": 50, "drain_grace_seconds": 5, "max_chunk_bytes": 64 << 10}
    return CloudConfig(port=0, plaintext=True, data_dir=tmp_path, database=database, **limits)


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


async def connected(channel: grpc.aio.Channel, session: bytes | None = None) -> Edge:
    edge = Edge(channel, session)
    await edge.hello()
    return edge


async def refused_call(call) -> tuple[grpc.StatusCode, object]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), rpc_status.from_call(caught.value)


def is_valid(sample: Sample, leaf: common_pb2.LeafProof, backend: Backend) -> list[int]:
    publics = [int.from_bytes(p, "big") for p in leaf.public_signals]
    proof = Proof.from_bytes(leaf.proof.a + leaf.proof.b + leaf.proof.c)
    verify(sample.key.verification_key, proof, publics, backend)
    return publics


async def test_a_linked_job_is_proved_and_can_be_asked_for(channel, sample, backend) -> None:
    circuit = await register(channel, sample)
    assert (circuit.digest, circuit.wires, circuit.public_signals) == (sample.digest, len(sample.wires(1)), 2)
    assert circuit.insecure_setup
    edge, job = await connected(channel), os.urandom(32)
    await edge.open(job, [sample.digest] * 2, LINK)
    first = sample.wires(5)
    await edge.witness(job, 1, sample.wires(first[1]), size=7)
    await edge.witness(job, 0, first)
    assert (await edge.ended(job)).HasField("done")

    queries = job_pb2_grpc.JobQueryServiceStub(channel)
    result = await queries.GetResult(job_pb2.GetResultRequest(job_id=job))
    publics = [is_valid(sample, leaf, backend) for leaf in result.proofs]
    assert publics == [first[1:3], sample.wires(first[1])[1:3]]
    seen = (await queries.GetJob(job_pb2.GetJobRequest(job_id=job))).job
    assert seen.state == job_pb2.JOB_STATE_DONE
    assert {s.state for s in seen.segments} == {job_pb2.SEGMENT_STATE_VERIFIED}
    assert {"upload", "accumulate", "finish", "verify"} <= {t.phase for t in seen.segments[0].timings}
    watched = [r.job.state async for r in queries.WatchJob(job_pb2.WatchJobRequest(job_id=job))]
    assert watched == [job_pb2.JOB_STATE_DONE]
    assert [j.job_id for j in (await queries.ListJobs(job_pb2.ListJobsRequest())).jobs] == [job]


async def test_a_watcher_sees_revisions_grow_until_the_end(channel, sample) -> None:
    await register(channel, sample)
    edge, job = await connected(channel), os.urandom(32)
    await edge.open(job, [sample.digest])
    watch = job_pb2_grpc.JobQueryServiceStub(channel).WatchJob(job_pb2.WatchJobRequest(job_id=job))
    seen = [(await watch.read()).job]
    await edge.witness(job, 0, sample.wires(3))
    while (response := await watch.read()) is not grpc.aio.EOF:
        seen.append(response.job)
    revisions = [j.revision for j in seen]
    assert revisions == sorted(revisions)
    assert (seen[0].state, seen[-1].state) == (job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_DONE)


async def test_a_cut_stream_resumes_and_doubled_chunks_do_no_harm(channel, sample, backend) -> None:
    await register(channel, sample)
    session, job = os.urandom(16), os.urandom(32)
    wires = sample.wires(9)
    chunks = cut(job, 0, wires, 8)
    edge = await connected(channel, session)
    await edge.open(job, [sample.digest])
    for chunk in (*chunks[:3], *chunks[:2]):
        await edge.send(chunk=chunk)
    await edge.until(lambda r: r.HasField("ack") and r.ack.next_sequence == 3)
    edge.call.cancel()
    edge = await connected(channel, session)
    opened = await edge.open(job, [sample.digest])
    assert [(p.next_sequence, p.complete) for p in opened.positions] == [(3, False)]
    await edge.witness(job, 0, wires, size=8, start=1)
    assert (await edge.ended(job)).HasField("done")
    leaf = next(r.segment_update.proved for r in edge.heard if r.segment_update.HasField("proved"))
    assert is_valid(sample, leaf, backend) == wires[1:3]


async def test_a_newer_connection_ends_the_older(channel) -> None:
    session = os.urandom(16)
    old = await connected(channel, session)
    await connected(channel, session)
    assert await old.over() == grpc.StatusCode.ABORTED


async def test_a_restarted_cloud_continues_at_the_acked_chunk(config, sample, backend) -> None:
    session, job = os.urandom(16), os.urandom(32)
    wires = sample.wires(11)
    async with CloudServer(config) as server, grpc.aio.insecure_channel(server.target) as channel:
        await register(channel, sample)
        edge = await connected(channel, session)
        await edge.open(job, [sample.digest] * 2, LINK)
        await edge.witness(job, 0, wires)
        await edge.until(lambda r: r.HasField("segment_update") and r.segment_update.HasField("proved"))
        for chunk in cut(job, 1, sample.wires(wires[1]), 16)[:2]:
            await edge.send(chunk=chunk)
        await edge.until(lambda r: r.HasField("ack") and r.ack.segment == 1 and r.ack.next_sequence == 2)
        await server.stop()
        assert await edge.over() == grpc.StatusCode.UNAVAILABLE
        assert any(r.HasField("draining") for r in edge.heard)
    log = config.data_dir / "chunks" / job.hex() / "1.log"
    with log.open("ab") as torn:
        torn.write(log.read_bytes()[:100])

    async with CloudServer(config) as server, grpc.aio.insecure_channel(server.target) as channel:
        edge = await connected(channel, session)
        opened = await edge.open(job, [sample.digest] * 2, LINK)
        assert [(p.next_sequence > 0, p.complete) for p in opened.positions] == [(True, True), (True, False)]
        assert opened.positions[1].next_sequence == 2
        await edge.witness(job, 1, sample.wires(wires[1]), start=2)
        assert (await edge.ended(job)).HasField("done")
        result = await job_pb2_grpc.JobQueryServiceStub(channel).GetResult(job_pb2.GetResultRequest(job_id=job))
        assert is_valid(sample, result.proofs[1], backend)[1] == wires[1]
    assert not log.exists()


@contextlib.asynccontextmanager
async def cloud_process(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A cloud as its users run it; killed, not stopped, at the end."""
    command = ("-m", "cloud", "--plaintext", "--port", "0", "--data-dir", str(folder), "--batch-age-ms", "50")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        while line := await asyncio.wait_for(process.stderr.readline(), 30):
            event = json.loads(line)
            if event["event"] == "listening":
                break
        drain = asyncio.create_task(process.stderr.read())
        yield process, event["address"]
        drain.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_killed_cloud_has_lost_nothing_that_it_acked(tmp_path, sample, backend) -> None:
    session, job = os.urandom(16), os.urandom(32)
    wires = sample.wires(13)
    async with cloud_process(tmp_path) as (_, target), grpc.aio.insecure_channel(target) as channel:
        await register(channel, sample)
        edge = await connected(channel, session)
        await edge.open(job, [sample.digest] * 2, LINK)
        await edge.witness(job, 0, wires)
        for chunk in cut(job, 1, sample.wires(wires[1]), 8)[:4]:
            await edge.send(chunk=chunk)
        await edge.until(lambda r: r.HasField("ack") and r.ack.segment == 1 and r.ack.next_sequence == 4)
    async with cloud_process(tmp_path) as (_, target), grpc.aio.insecure_channel(target) as channel:
        edge = await connected(channel, session)
        opened = await edge.open(job, [sample.digest] * 2, LINK)
        assert opened.positions[1].next_sequence == 4
        if not opened.positions[0].complete:
            await edge.witness(job, 0, wires, start=opened.positions[0].next_sequence)
        await edge.witness(job, 1, sample.wires(wires[1]), size=8, start=4)
        assert (await edge.ended(job)).HasField("done")
        result = await job_pb2_grpc.JobQueryServiceStub(channel).GetResult(job_pb2.GetResultRequest(job_id=job))
        assert [is_valid(sample, leaf, backend)[1] for leaf in result.proofs] == [13, wires[1]]


async def test_two_clouds_do_not_share_a_folder(server, config) -> None:
    with pytest.raises(InvalidInputError) as caught:
        CloudServer(config)
    assert caught.value.field == "data_dir"


async def test_an_edge_with_little_credit_never_starves(config, sample) -> None:
    config = replace(config, max_chunk_bytes=600, session_credit_bytes=600)
    async with CloudServer(config) as server, grpc.aio.insecure_channel(server.target) as channel:
        await register(channel, sample)
        edge = Edge(channel)
        credit = (await edge.hello()).credit_bytes
        assert credit == 600
        for start in range(6):
            job = os.urandom(32)
            await edge.open(job, [sample.digest])
            chunks = cut(job, 0, sample.wires(start), 16)
            assert sum(len(c.payload) for c in chunks) > 600
            for chunk in chunks:
                while credit < len(chunk.payload):
                    credit += (await edge.until_kind("credit")).bytes
                credit -= len(chunk.payload)
                await edge.send(chunk=chunk)
            await edge.send(segment_end=uplink_pb2.SegmentEnd(job_id=job, chunk_count=len(chunks)))
            mark = len(edge.heard)
            assert (await edge.ended(job)).HasField("done")
            credit += sum(r.credit.bytes for r in edge.heard[mark:])
            assert credit <= 600


async def test_an_altered_chunk_is_data_loss_and_not_proved(channel, sample) -> None:
    await register(channel, sample)
    edge, job = await connected(channel), os.urandom(32)
    await edge.open(job, [sample.digest])
    chunks = cut(job, 0, sample.wires(2), 16)
    altered = uplink_pb2.Chunk()
    altered.CopyFrom(chunks[1])
    altered.payload = altered.payload[:-1] + bytes([altered.payload[-1] ^ 4])
    await edge.send(chunk=chunks[0])
    await edge.send(chunk=altered)
    refused = await edge.until_kind("refused")
    assert (refused.error.code, refused.segment, refused.next_sequence) == (15, 0, 1)
    await edge.witness(job, 0, sample.wires(2), start=1)
    assert (await edge.ended(job)).HasField("done")


async def test_an_unsatisfied_witness_fails_its_segment_by_name_and_no_other_job(channel, sample) -> None:
    await register(channel, sample)
    edge, bad, good = await connected(channel), os.urandom(32), os.urandom(32)
    await edge.open(bad, [sample.digest] * 2)
    await edge.open(good, [sample.digest])
    wires = sample.wires(2)
    await edge.witness(bad, 1, [*wires[:20], wires[20] + 1, *wires[21:]])
    failure = (await edge.ended(bad)).failed
    assert failure.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert violated_field(failure) == "segments[1].witness"
    assert "breaks constraint" in failure.message
    info = error_details_pb2.ErrorInfo()
    assert failure.details[0].Unpack(info)
    assert int(info.metadata["row"]) >= 0
    await edge.witness(good, 0, wires)
    assert (await edge.ended(good)).HasField("done")
    queries = job_pb2_grpc.JobQueryServiceStub(channel)
    code, _ = await refused_call(queries.GetResult(job_pb2.GetResultRequest(job_id=bad)))
    assert code == grpc.StatusCode.FAILED_PRECONDITION


async def test_a_payload_that_is_no_encoding_names_the_chunk(channel, sample) -> None:
    await register(channel, sample)
    edge, job = await connected(channel), os.urandom(32)
    await edge.open(job, [sample.digest])
    chunk = cut(job, 0, sample.wires(2), 16)[0]
    chunk.payload = bytes(len(chunk.payload) - 1)
    chunk.digest = chunk_digest(job, 0, 0, chunk.wire_offset, chunk.wire_count, chunk.encoding, chunk.payload)
    await edge.send(chunk=chunk)
    failure = (await edge.ended(job)).failed
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert violated_field(failure) == "segments[0].chunks[0].payload"


async def test_a_bad_private_proof_is_named_while_its_batch_neighbours_pass(channel, sample, backend) -> None:
    await register(channel, sample)
    edge, job = await connected(channel), os.urandom(32)
    await edge.open(job, [sample.digest] * 3, placement=common_pb2.PLACEMENT_PRIVATE)
    leaves = [sample.leaf(start, backend) for start in (1, 2, 3)]
    leaves[1].public_signals[0] = (7).to_bytes(32, "big")
    for i, leaf in enumerate(leaves):
        await edge.send(segment_proof=uplink_pb2.SegmentProof(job_id=job, segment=i, leaf=leaf))
    failure = (await edge.ended(job)).failed
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert violated_field(failure) == "segments[1].proof"
    seen = (await job_pb2_grpc.JobQueryServiceStub(channel).GetJob(job_pb2.GetJobRequest(job_id=job))).job
    verified, failed = job_pb2.SEGMENT_STATE_VERIFIED, job_pb2.SEGMENT_STATE_FAILED
    assert [s.state for s in seen.segments] == [verified, failed, verified]


async def test_a_private_job_is_done_without_a_witness(channel, config, sample, backend) -> None:
    await register(channel, sample)
    edge, job = await connected(channel), os.urandom(32)
    await edge.open(job, [sample.digest], placement=common_pb2.PLACEMENT_PRIVATE)
    leaf = sample.leaf(4, backend)
    await edge.send(segment_proof=uplink_pb2.SegmentProof(job_id=job, segment=0, leaf=leaf))
    assert (await edge.ended(job)).HasField("done")
    assert list((config.data_dir / "chunks").iterdir()) == []
    place = Place(config.data_dir, config.database)
    ((size, failed),) = place.execute("SELECT size, failed FROM batches")
    ((batch,),) = place.execute("SELECT batch_id FROM segments")
    verified = next(r.segment_update.verified for r in edge.heard if r.segment_update.HasField("verified"))
    assert (size, failed, batch) == (1, 0, verified.batch_id)


async def test_a_broken_link_names_both_positions(channel, sample) -> None:
    await register(channel, sample)
    edge, job = await connected(channel), os.urandom(32)
    await edge.open(job, [sample.digest] * 2, LINK)
    await edge.witness(job, 0, sample.wires(1))
    await edge.witness(job, 1, sample.wires(2))
    failure = (await edge.ended(job)).failed
    assert violated_field(failure) == "links[0]"
    assert "public signal 0 of segment 0 differs from public signal 1 of segment 1" in failure.message


async def test_unknown_circuit_and_oversized_messages(channel, sample) -> None:
    await register(channel, sample)
    edge, job = await connected(channel), os.urandom(32)
    await edge.send(
        open_job=uplink_pb2.OpenJob(
            job_id=job, placement=common_pb2.PLACEMENT_CLOUD, circuits=[sample.digest, b"x" * 32]
        )
    )
    refused = await edge.until_kind("refused")
    assert (refused.error.code, violated_field(refused.error)) == (5, "segments[1].circuit")
    await edge.open(job, [sample.digest])
    big = cut(job, 0, sample.wires(2), 16)[0]
    big.payload = bytes((64 << 10) + 1)
    await edge.send(chunk=big)
    refused = await edge.until_kind("refused")
    assert (refused.error.code, violated_field(refused.error)) == (8, "segments[0].chunks[0].payload")
    huge = await connected(channel)
    await huge.send(chunk=uplink_pb2.Chunk(payload=bytes(2 << 20)))
    assert await huge.over() == grpc.StatusCode.RESOURCE_EXHAUSTED
    other = os.urandom(32)
    await edge.open(other, [sample.digest])
    await edge.witness(other, 0, sample.wires(8))
    assert (await edge.ended(other)).HasField("done")


async def test_artifacts_and_circuits_are_checked(channel, sample) -> None:
    stub = circuit_pb2_grpc.CircuitServiceStub(channel)
    code, _ = await refused_call(put(channel, b"content", digest=b"d" * 32))
    assert code == grpc.StatusCode.DATA_LOSS
    code, _ = await refused_call(put(channel, b"content", size=3))
    assert code == grpc.StatusCode.DATA_LOSS
    stat = circuit_pb2.StatArtifactsRequest(digests=[b"d" * 32, sample.digest])
    assert list((await stub.StatArtifacts(stat)).present) == [False, False]
    parts = circuit_pb2.CircuitParts(zkey_digest=sample.digest)
    code, status = await refused_call(stub.RegisterCircuit(circuit_pb2.RegisterCircuitRequest(parts=parts)))
    assert (code, violated_field(status)) == (grpc.StatusCode.FAILED_PRECONDITION, "parts.zkey_digest")
    assert await put(channel, sample.zkey) == len(sample.zkey)
    assert await put(channel, sample.zkey) == 0
    await put(channel, sample.r1cs)
    swapped = circuit_pb2.CircuitParts(zkey_digest=hashlib.sha256(sample.r1cs).digest())
    code, status = await refused_call(stub.RegisterCircuit(circuit_pb2.RegisterCircuitRequest(parts=swapped)))
    assert (code, violated_field(status)) == (grpc.StatusCode.INVALID_ARGUMENT, "parts.zkey_digest")
    circuit = await register(channel, sample)
    assert circuit == await register(channel, sample)
    assert (await stub.GetCircuit(circuit_pb2.GetCircuitRequest(digest=sample.digest))).circuit == circuit
    assert list((await stub.ListCircuits(circuit_pb2.ListCircuitsRequest())).circuits) == [circuit]
    code, _ = await refused_call(stub.GetCircuit(circuit_pb2.GetCircuitRequest(digest=b"d" * 32)))
    assert code == grpc.StatusCode.NOT_FOUND


async def test_questions_about_unknown_jobs(channel) -> None:
    queries = job_pb2_grpc.JobQueryServiceStub(channel)
    code, status = await refused_call(queries.GetJob(job_pb2.GetJobRequest(job_id=b"j" * 32)))
    assert (code, violated_field(status)) == (grpc.StatusCode.NOT_FOUND, "job_id")
    code, _ = await refused_call(queries.GetJob(job_pb2.GetJobRequest(job_id=b"short")))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await queries.WatchJob(job_pb2.WatchJobRequest(job_id=b"j" * 32)).read()
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_health_reflection_and_the_database_mode(channel, config) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", *SERVICES):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = {s.name async for r in call for s in r.list_services_response.service}
    assert set(SERVICES) <= names
    if not config.database:
        assert Place(config.data_dir).execute("PRAGMA journal_mode") == [("wal",)]


async def test_draining_tells_edges_and_finishes_what_is_complete(config, sample) -> None:
    async with CloudServer(config) as server, grpc.aio.insecure_channel(server.target) as channel:
        await register(channel, sample)
        edge, job = await connected(channel), os.urandom(32)
        await edge.open(job, [sample.digest])
        await edge.witness(job, 0, sample.wires(6))
        await edge.until(lambda r: r.HasField("segment_update"))
        await server.stop()
        assert await edge.over() == grpc.StatusCode.UNAVAILABLE
        assert any(r.HasField("draining") for r in edge.heard)
        assert any(r.HasField("job_update") and r.job_update.HasField("done") for r in edge.heard)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": "0.0.0.0"}, "host"),
        ({"host": "example.org"}, "host"),
        ({"port": 70000}, "port"),
        ({"workers": -1}, "workers"),
        ({"session_credit_bytes": 10}, "session_credit_bytes"),
        ({"log_level": "loud"}, "log_level"),
    ],
)
def test_settings_that_cannot_serve_are_named(change, field) -> None:
    with pytest.raises(InvalidInputError) as caught:
        CloudConfig(**change)
    assert caught.value.field == field
