"""The edge's local API on real loopback, with the real cloud and real proofs of small circuits."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from edge_support import (
    CLOUD,
    PRIVATE,
    EdgeStubs,
    Sample,
    edge_config,
    factors,
    make,
    reason_of,
    refused,
    running_cloud,
    running_edge,
    squares,
    violated_field,
)
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from edge.config import EdgeConfig
from edge.daemon import EdgeDaemon
from edge.requests import job_id
from hybrid_prover.v1 import circuit_pb2, common_pb2, job_pb2
from prover_core.backend import Backend
from prover_core.errors import InvalidInputError
from prover_core.types import R

Code = grpc.StatusCode


@dataclass
class House:
    """One cloud, one edge, two circuits registered."""

    edge: EdgeDaemon
    stubs: EdgeStubs
    squares: Sample
    factors: Sample
    cloud_dir: Path


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> tuple[Sample, Sample]:
    folder = tmp_path_factory.mktemp("circuits")
    return make(folder, backend, "squares", squares), make(folder, backend, "factors", factors)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, samples: tuple[Sample, Sample]) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    async with running_cloud(folder / "cloud") as cloud:
        config = edge_config(folder / "edge", cloud.target, max_jobs=4, max_request=1 << 20, max_artifact=1 << 20)
        async with running_edge(config) as (edge, stubs):
            for sample in samples:
                await stubs.register(sample)
            yield House(edge, stubs, *samples, folder / "cloud")


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_job_becomes_verified_proofs_and_the_same_job_is_one_job(house: House, backend: Backend) -> None:
    segments = [house.squares.segment(a=1, x=2), house.factors.segment(n=15, pq=[3, 5])]
    first = await house.stubs.submit(*segments, name="first")
    publics = await house.stubs.proved(first.job_id, backend, [house.squares.key, house.factors.key])
    assert publics == [house.squares.publics(a=1, x=2), [15]]
    again = await house.stubs.submit(*segments, name="another label")
    assert (first.created, again.created) == (True, False)
    assert again.job_id == first.job_id
    job = await house.stubs.get(first.job_id)
    assert job.name == "first"
    phases = [{t.phase for t in s.timings} for s in job.segments]
    assert all({"witness", "upload", "finish", "verify"} <= p for p in phases)
    assert [s.wires_acked == s.wires > 0 for s in job.segments] == [True, True]
    assert job.ended_unix_nanos > job.accepted_unix_nanos
    assert await house.edge.core.spool.call(lambda spool: spool.inputs(first.job_id, 0)) == b""


async def test_links_are_part_of_the_job_and_are_checked(house: House, backend: Backend) -> None:
    segments = [house.factors.segment(n=n, pq=[7, n // 7]) for n in (21, 21, 35)]
    holds = common_pb2.Link(from_segment=0, from_signal=0, to_segment=1, to_signal=0)
    broken = common_pb2.Link(from_segment=1, from_signal=0, to_segment=2, to_signal=0)
    good = await house.stubs.submit(*segments, links=[holds])
    bad = await house.stubs.submit(*segments, links=[holds, broken])
    assert good.job_id != bad.job_id
    assert await house.stubs.proved(good.job_id, backend, [house.factors.key] * 3) == [[21], [21], [35]]
    job = await house.stubs.ended(bad.job_id)
    assert job.state == job_pb2.JOB_STATE_FAILED
    assert "links[1]" in f"{job.error.message} {violated_field(job.error)}"


async def test_a_private_job_shows_the_cloud_no_witness_and_no_hash_of_one(house: House, backend: Backend) -> None:
    segments = [house.squares.segment(a=3, x=4), house.factors.segment(n=77, pq=[7, 11])]
    sent = await house.stubs.submit(*segments, placement=PRIVATE)
    publics = await house.stubs.proved(sent.job_id, backend, [house.squares.key, house.factors.key])
    assert publics == [house.squares.publics(a=3, x=4), [77]]
    job = await house.stubs.get(sent.job_id)
    assert all({"witness", "prove", "verify"} <= {t.phase for t in s.timings} for s in job.segments)
    written = list(house.edge.config.state_dir.rglob("*.chunks"))
    assert not any(sent.job_id.hex() in str(p) for p in (*written, *house.cloud_dir.rglob("*")))
    other = edge_config(house.edge.config.state_dir.parent / "other edge")
    async with running_edge(other) as (_, stubs):
        for sample in (house.squares, house.factors):
            await stubs.register(sample)
        elsewhere = await stubs.submit(*segments, placement=PRIVATE)
        assert elsewhere.job_id != sent.job_id
        assert (await stubs.submit(*segments, placement=PRIVATE)).job_id == elsewhere.job_id


@pytest.mark.parametrize("placement", [CLOUD, PRIVATE])
async def test_an_unsatisfied_segment_is_refused_at_the_edge_by_name(
    house: House, backend: Backend, placement: int
) -> None:
    good = house.factors.segment(n=1001, pq=[7, 143])
    bad = house.factors.segment(n=1002, pq=[7, 143])
    failing = await house.stubs.submit(good, bad, placement=placement)
    other = await house.stubs.submit(good, placement=placement)
    job = await house.stubs.ended(failing.job_id)
    assert job.state == job_pb2.JOB_STATE_FAILED
    assert job.segments[1].state == job_pb2.SEGMENT_STATE_FAILED
    error = job.segments[1].error
    assert error.code == Code.FAILED_PRECONDITION.value[0]
    assert "the factors give the number" in error.message
    info = reason_of(error)
    assert info.reason == "UNSATISFIED_CONSTRAINT"
    assert info.metadata["segment"] == "1"
    assert violated_field(error) == "segments[1]"
    assert "segment 1" in job.error.message
    assert not job.segments[1].wires_acked
    assert await house.stubs.proved(other.job_id, backend, [house.factors.key]) == [[1001]]
    code, _, details = await refused(house.stubs.queries.GetResult(job_pb2.GetResultRequest(job_id=failing.job_id)))
    assert code is Code.FAILED_PRECONDITION
    assert details


def specs(house: House) -> dict[str, tuple[job_pb2.SubmitJobRequest, Code, str]]:
    def good() -> job_pb2.SegmentSpec:
        return house.factors.segment(n=15, pq=[3, 5])

    def job(*segments: job_pb2.SegmentSpec, **changes: object) -> job_pb2.SubmitJobRequest:
        values = {"placement": CLOUD, "segments": segments or [good()]} | changes
        return job_pb2.SubmitJobRequest(**values)  # type: ignore[arg-type]

    def link(*numbers: int) -> list[common_pb2.Link]:
        names = ("from_segment", "from_signal", "to_segment", "to_signal")
        return [common_pb2.Link(**dict(zip(names, numbers, strict=True)))]

    spec = house.factors.segment
    not_canonical = spec(n=15)
    not_canonical.inputs.add(name="pq", values=(R).to_bytes(32, "little") + bytes(32))
    cut_short = spec(n=15)
    cut_short.inputs.add(name="pq", values=bytes(33))
    twice = good()
    twice.inputs.append(twice.inputs[0])
    wrong = Code.INVALID_ARGUMENT
    return {
        "no placement": (job(placement=0), wrong, "placement"),
        "unknown placement": (job(placement=9), wrong, "placement"),
        "no segments": (job(segments=[]), wrong, "segments"),
        "name": (job(name="n" * 129), wrong, "name"),
        "unknown circuit": (
            job(good(), job_pb2.SegmentSpec(circuit=bytes(32))), Code.NOT_FOUND, "segments[1].circuit",
        ),
        "no digest": (job(job_pb2.SegmentSpec(circuit=b"short")), wrong, "segments[0].circuit"),
        "missing": (job(good(), spec(n=15)), wrong, "segments[1].inputs.pq"),
        "extra": (job(spec(n=15, pq=[3, 5], r=1)), wrong, "segments[0].inputs.r"),
        "size": (job(spec(n=15, pq=[3, 5, 1])), wrong, "segments[0].inputs.pq"),
        "empty": (job(spec(n=[], pq=[3, 5])), wrong, "segments[0].inputs.n"),
        "twice": (job(twice), wrong, "segments[0].inputs.n"),
        "not canonical": (job(not_canonical), wrong, "segments[0].inputs.pq[0]"),
        "cut short": (job(cut_short), wrong, "segments[0].inputs.pq"),
        "link back": (job(good(), good(), links=link(1, 0, 0, 0)), wrong, "links[0].to_segment"),
        "link beyond": (job(good(), good(), links=link(0, 0, 2, 0)), wrong, "links[0].to_segment"),
        "link signal": (job(good(), good(), links=link(0, 1, 1, 0)), wrong, "links[0].from_signal"),
    }  # fmt: skip


async def test_bad_jobs_are_refused_with_the_field_that_is_wrong(house: House) -> None:
    for case, (request, code, field) in specs(house).items():
        assert (case, *(await refused(house.stubs.jobs.SubmitJob(request)))[:2]) == (case, code, field)


async def test_a_job_id_is_of_the_content_in_whatever_order_it_is_said(house: House) -> None:
    def id_of(*, placement: int = CLOUD, name: str = "", swap: bool = False, x: int = 2, links: int = 0) -> bytes:
        segments = [house.squares.segment(a=1, x=x), house.squares.segment(x=3, a=1)]
        if swap:
            for segment in segments:
                signals = list(segment.inputs)[::-1]
                del segment.inputs[:]
                segment.inputs.extend(signals)
        link = [common_pb2.Link(from_segment=0, from_signal=k, to_segment=1, to_signal=k) for k in range(2)]
        request = job_pb2.SubmitJobRequest(placement=placement, name=name, segments=segments)  # type: ignore[arg-type]
        request.links.extend(link[:links] if links >= 0 else link[::-1])
        return job_id(request, b"secret of the edge")

    assert id_of() == id_of(name="label") == id_of(swap=True)
    assert id_of(links=2) == id_of(links=-1)
    assert len({id_of(), id_of(x=3), id_of(placement=PRIVATE), id_of(links=1), id_of(links=2)}) == 5


async def test_questions_about_nothing_are_answered_so(house: House) -> None:
    queries, unknown = house.stubs.queries, bytes(32)
    assert (await refused(queries.GetJob(job_pb2.GetJobRequest(job_id=unknown))))[:2] == (Code.NOT_FOUND, "job_id")
    assert (await refused(queries.GetJob(job_pb2.GetJobRequest(job_id=b"x"))))[:2] == (Code.INVALID_ARGUMENT, "job_id")
    watch = queries.WatchJob(job_pb2.WatchJobRequest(job_id=unknown))
    assert (await refused(watch.__aiter__().__anext__()))[0] is Code.NOT_FOUND
    assert (await refused(queries.ListJobs(job_pb2.ListJobsRequest(limit=1001))))[1] == "limit"
    cancel = house.stubs.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=unknown))
    assert (await refused(cancel))[0] is Code.NOT_FOUND


async def test_an_oversized_request_is_refused_and_harms_nobody(house: House) -> None:
    request = job_pb2.SubmitJobRequest(segments=[job_pb2.SegmentSpec(circuit=bytes(2 << 20))])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await house.stubs.jobs.SubmitJob(request)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED
    assert (await house.stubs.queries.ListJobs(job_pb2.ListJobsRequest())).jobs


async def test_artifacts_arrive_whole_or_not_at_all(house: House) -> None:
    stubs, content = house.stubs, b"content" * 1000
    digest = hashlib.sha256(content).digest()
    assert await stubs.put(house.squares.zkey) == 0
    for altered in (content[:-1] + b"!", content[:-1], content + b"!"):
        call = stubs.put(altered, digest=digest, size=len(content))
        assert (await refused(call))[:2] == (Code.DATA_LOSS, "data")
    assert (await refused(stubs.put(content, size=2 << 20)))[:2] == (Code.INVALID_ARGUMENT, "header.size")
    assert (await refused(stubs.put(content, digest=b"short")))[:2] == (Code.INVALID_ARGUMENT, "header.digest")
    assert (await refused(stubs.put(bytes((1 << 20) - 1) + b"!" * 2, part=2 << 20)))[0] is Code.INVALID_ARGUMENT

    async def headless() -> AsyncIterator[circuit_pb2.PutArtifactRequest]:
        yield circuit_pb2.PutArtifactRequest(data=b"x")

    async def nothing() -> AsyncIterator[circuit_pb2.PutArtifactRequest]:
        for message in ():
            yield message

    for messages in (headless(), nothing()):
        assert (await refused(stubs.circuits.PutArtifact(messages)))[:2] == (Code.INVALID_ARGUMENT, "header")
    stat = circuit_pb2.StatArtifactsRequest(digests=[digest, house.squares.digest])
    assert list((await stubs.circuits.StatArtifacts(stat)).present) == [False, True]
    bad = circuit_pb2.StatArtifactsRequest(digests=[digest, b"x"])
    assert (await refused(stubs.circuits.StatArtifacts(bad)))[:2] == (Code.INVALID_ARGUMENT, "digests[1]")
    assert list((house.edge.config.state_dir / "artifacts" / "incoming").iterdir()) == []


async def test_circuits_are_described_by_their_files_and_must_belong_together(house: House) -> None:
    stubs, a, b = house.stubs, house.squares, house.factors
    circuit = (await stubs.circuits.GetCircuit(circuit_pb2.GetCircuitRequest(digest=a.digest))).circuit
    assert (circuit.wires, circuit.constraints, circuit.public_signals) == (
        a.compiled.r1cs.n_wires, a.compiled.r1cs.n_constraints, 2,
    )  # fmt: skip
    assert circuit.insecure_setup
    assert await stubs.register(a) == circuit
    listed = (await stubs.circuits.ListCircuits(circuit_pb2.ListCircuitsRequest())).circuits
    assert [c.name for c in listed] == ["factors", "squares"]

    def register(name: str = "", zkey: bytes = b.zkey, r1cs: bytes = b"", tape: bytes = b"", kind: int = 0) -> object:
        parts = circuit_pb2.CircuitParts(
            zkey_digest=hashlib.sha256(zkey).digest(),
            r1cs_digest=hashlib.sha256(r1cs).digest() if r1cs else b"",
            program_digest=hashlib.sha256(tape).digest() if tape else b"",
            program_kind=kind,  # type: ignore[arg-type]
        )
        return stubs.circuits.RegisterCircuit(circuit_pb2.RegisterCircuitRequest(name=name, parts=parts))

    garbage = b"not a key"
    await stubs.put(garbage)
    wrong = Code.INVALID_ARGUMENT
    assert (await refused(register(r1cs=a.r1cs)))[:2] == (wrong, "parts.r1cs_digest")
    assert (await refused(register(tape=a.tape, kind=1)))[:2] == (wrong, "parts.program_digest")
    assert (await refused(register(tape=a.tape, kind=2)))[:2] == (wrong, "parts.program_digest")
    assert (await refused(register(tape=a.tape)))[:2] == (wrong, "parts.program_kind")
    assert (await refused(register(zkey=garbage)))[:2] == (wrong, "parts.zkey_digest")
    assert (await refused(register(zkey=b"unknown")))[:2] == (Code.FAILED_PRECONDITION, "parts.zkey_digest")
    assert (await refused(register(name="n" * 129)))[:2] == (wrong, "name")
    unknown = circuit_pb2.GetCircuitRequest(digest=bytes(32))
    assert (await refused(stubs.circuits.GetCircuit(unknown)))[:2] == (Code.NOT_FOUND, "digest")


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path, samples: tuple[Sample, Sample]) -> None:
    async with running_edge(edge_config(tmp_path, max_jobs=2, workers=1)) as (_, stubs):
        await stubs.register(samples[1])
        jobs = [await stubs.submit(samples[1].segment(n=n, pq=[1, n])) for n in (1, 2)]
        code, _, details = await refused(stubs.submit(samples[1].segment(n=3, pq=[1, 3])))
        assert code is Code.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in details)
        assert retry.retry_delay.ToNanoseconds() >= 10**9
        await stubs.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=jobs[0].job_id))
        assert (await stubs.submit(samples[1].segment(n=3, pq=[1, 3]))).created
        cancelled = await stubs.ended(jobs[0].job_id)
        assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
        assert cancelled.segments[0].state == job_pb2.SEGMENT_STATE_CANCELLED
        code, _, _ = await refused(stubs.queries.GetResult(job_pb2.GetResultRequest(job_id=jobs[1].job_id)))
        assert code is Code.FAILED_PRECONDITION


async def test_watchers_are_bounded_and_all_see_the_end(house: House, tmp_path: Path) -> None:
    config = edge_config(tmp_path, max_watchers=2)
    async with running_edge(config) as (_, stubs):
        await stubs.register(house.factors)
        job = await stubs.submit(house.factors.segment(n=4, pq=[2, 2]))
        streams = [stubs.queries.WatchJob(job_pb2.WatchJobRequest(job_id=job.job_id)) for _ in range(3)]
        watchers = [stream.__aiter__() for stream in streams]
        for watcher in watchers[:2]:
            assert (await watcher.__anext__()).job.job_id == job.job_id
        assert (await refused(watchers[2].__anext__()))[0] is Code.RESOURCE_EXHAUSTED
        await stubs.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job.job_id))
        for watcher in watchers[:2]:
            states = [message.job.state async for message in watcher]
            assert states[-1] == job_pb2.JOB_STATE_CANCELLED


async def test_health_and_reflection(house: House) -> None:
    health = health_pb2_grpc.HealthStub(house.stubs.channel)
    for service in ("", "hybrid_prover.v1.JobService", "hybrid_prover.v1.CircuitService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(house.stubs.channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = {s.name for s in (await call.read()).list_services_response.service}
    assert "hybrid_prover.v1.JobQueryService" in names


async def test_a_listen_address_that_others_can_reach_is_refused() -> None:
    for listen in ("0.0.0.0:7410", "192.0.2.1:7410", "[::]:7410", "example.org:7410"):
        with pytest.raises(InvalidInputError, match="loopback") as caught:
            EdgeConfig(listen=listen)
        assert caught.value.field == "listen"
    for field, value in (("listen", "7410"), ("cloud", "nowhere"), ("name", ""), ("chunk_wires", 1), ("workers", 0)):
        with pytest.raises(InvalidInputError) as caught:
            EdgeConfig(**{field: value})
        assert caught.value.field == field


async def test_an_address_that_is_taken_is_said_to_be(house: House, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="taken") as caught:
        await EdgeDaemon(edge_config(tmp_path, listen=house.edge.target)).start()
    assert caught.value.field == "listen"


async def test_the_daemon_as_a_process_ends_on_sigterm_and_leaves_no_worker(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from edge.config import EdgeConfig; from edge.daemon import main; "
        "main(EdgeConfig(listen='127.0.0.1:0', cloud='127.0.0.1:1', state_dir=Path(sys.argv[1]), workers=1, "
        "plaintext=True, cloud_plaintext=True))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    lines = []
    while b"edge serves" not in (line := await asyncio.wait_for(process.stderr.readline(), 30)):
        lines.append(line)
        assert line, lines
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.stderr.read(), 20)
    assert await process.wait() == 0
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
