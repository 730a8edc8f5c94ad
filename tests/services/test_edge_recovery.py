"""What is cut, killed or restarted costs time and nothing else: the same jobs end in the same proofs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import grpc.aio
import pytest
from edge_support import (
    PRIVATE,
    EdgeStubs,
    Sample,
    cutting_proxy,
    edge_config,
    factors,
    make,
    reason_of,
    running_cloud,
    running_edge,
    squares,
    violated_field,
)

import edge.uplink
from edge.chunkfile import ChunkRecord, ChunkWriter, read_payload, scan
from edge.daemon import EdgeDaemon
from edge.instructions import StartWitness
from edge.machine import EdgeMachine
from edge.model import Code, JobPlan, Placement, Segment, SegmentPlan, SegmentState
from edge.spool import CircuitRecord, Spool, segment_row
from edge.spoolthread import SpoolThread
from hybrid_prover.v1 import job_pb2
from prover_core.backend import Backend
from prover_core.circuit import Circuit
from prover_core.errors import BackendError, FormatError, InvalidInputError, WitnessProgramError
from prover_core.types import FrVector


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> tuple[Sample, Sample]:
    folder = tmp_path_factory.mktemp("circuits")
    return make(folder, backend, "squares", squares), make(folder, backend, "factors", factors)


async def test_cutting_the_uplink_mid_segment_yields_the_same_proof_set(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    sample = samples[0]
    async with (
        running_cloud(tmp_path / "cloud") as cloud,
        cutting_proxy(cloud.target) as proxy,
        running_edge(edge_config(tmp_path / "edge", proxy.address)) as (_, stubs),
    ):
        await stubs.register(sample)
        first = await stubs.submit(sample.segment(a=1, x=1))
        await stubs.proved(first.job_id, backend, [sample.key])
        proxy.budgets = [9_000, 6_000, 12_000, 9_000]
        jobs = [await stubs.submit(*(sample.segment(a=a, x=x) for x in (2, 3)), name=str(a)) for a in (5, 6)]
        for a, job in zip((5, 6), jobs, strict=True):
            publics = await stubs.proved(job.job_id, backend, [sample.key] * 2)
            assert publics == [sample.publics(a=a, x=x) for x in (2, 3)]
        assert proxy.cuts >= 3


async def test_a_cloud_that_restarts_is_found_again(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    sample = samples[1]
    async with running_cloud(tmp_path / "cloud") as cloud:
        port = cloud.port
        edge = running_edge(edge_config(tmp_path / "edge", cloud.target))
        _, stubs = await edge.__aenter__()
        await stubs.register(sample)
        before = await stubs.submit(sample.segment(n=6, pq=[2, 3]))
        await stubs.proved(before.job_id, backend, [sample.key])
    try:
        during = await stubs.submit(sample.segment(n=10, pq=[2, 5]))
        async with running_cloud(tmp_path / "cloud", port):
            assert await stubs.proved(during.job_id, backend, [sample.key]) == [[10]]
    finally:
        await edge.__aexit__(None, None, None)


@pytest.mark.parametrize("placement", [1, PRIVATE])
async def test_a_restarted_edge_finishes_what_it_had_accepted(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend, placement: int
) -> None:
    sample = samples[0]
    segments = [sample.segment(a=9, x=x) for x in (1, 2, 3)]
    made = job_pb2.SEGMENT_STATE_PROVED if placement == PRIVATE else job_pb2.SEGMENT_STATE_UPLOADING
    async with running_edge(edge_config(tmp_path / "edge", workers=1)) as (_, stubs):
        await stubs.register(sample)
        job = await stubs.submit(*segments, placement=placement)
        await stubs.until(job.job_id, lambda j: j.segments[0].state == made)
    torn = list((tmp_path / "edge").rglob("0.chunks"))
    assert bool(torn) == (placement != PRIVATE)
    for path in torn:
        os.truncate(path, path.stat().st_size - 7)
    async with running_cloud(tmp_path / "cloud") as cloud:
        config = edge_config(tmp_path / "edge", cloud.target, chunk_wires=128)
        async with running_edge(config) as (daemon, stubs):
            again = await stubs.submit(*segments, placement=placement)
            assert (again.job_id, again.created) == (job.job_id, False)
            publics = await stubs.proved(job.job_id, backend, [sample.key] * 3)
            assert publics == [sample.publics(a=9, x=x) for x in (1, 2, 3)]
            session = daemon.core.spool.spool.session_id
        assert not list((tmp_path / "edge").rglob("*.chunks"))
        async with running_edge(config) as (daemon, stubs):
            assert daemon.core.spool.spool.session_id == session
            assert (await stubs.proved(job.job_id, backend, [sample.key] * 3)) == publics


async def test_a_worker_killed_mid_witness_costs_its_segment_only_time(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    sample = samples[0]
    async with (
        running_cloud(tmp_path / "cloud") as cloud,
        running_edge(edge_config(tmp_path / "edge", cloud.target, workers=2)) as (daemon, stubs),
    ):
        await stubs.register(sample)
        job, pids = await _submit_to_stopped_workers(daemon, stubs, sample, 2)
        os.kill(pids[0], signal.SIGKILL)
        os.kill(pids[1], signal.SIGCONT)
        publics = await stubs.proved(job.job_id, backend, [sample.key] * 2)
        assert publics == [sample.publics(a=4, x=x) for x in range(2)]
        assert max(s.crashes for s in daemon.core.machine.jobs[job.job_id].segments) == 1


async def _submit_to_stopped_workers(daemon: EdgeDaemon, stubs, sample: Sample, segments: int):  # type: ignore[no-untyped-def]
    """Workers that were given segments and do not come to work on them."""
    await asyncio.gather(*daemon.core.background)
    pids = daemon.core.pool.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    job = await stubs.submit(*(sample.segment(a=4, x=x) for x in range(segments)))
    witnessing = job_pb2.SEGMENT_STATE_WITNESSING
    await stubs.until(job.job_id, lambda j: all(s.state == witnessing for s in j.segments[: len(pids)]))
    await asyncio.sleep(0.1)
    return job, pids


async def test_a_segment_whose_workers_always_die_fails_with_the_reason(
    tmp_path: Path, samples: tuple[Sample, Sample]
) -> None:
    config = edge_config(tmp_path, workers=1, worker_attempts=1)
    async with running_edge(config) as (daemon, stubs):
        await stubs.register(samples[0])
        job, pids = await _submit_to_stopped_workers(daemon, stubs, samples[0], 1)
        os.kill(pids[0], signal.SIGKILL)
        ended = await stubs.ended(job.job_id)
        assert ended.state == job_pb2.JOB_STATE_FAILED
        assert ended.error.code == Code.INTERNAL
        assert "signal 9" in ended.error.message
        assert (await stubs.register(samples[1])).name == "factors"


async def test_a_segment_that_takes_too_long_is_stopped(tmp_path: Path, samples: tuple[Sample, Sample]) -> None:
    async with running_edge(edge_config(tmp_path, workers=1, witness_seconds=0.6)) as (daemon, stubs):
        await stubs.register(samples[0])
        job, _ = await _submit_to_stopped_workers(daemon, stubs, samples[0], 1)
        ended = await stubs.ended(job.job_id)
        assert ended.error.code == Code.DEADLINE_EXCEEDED
        assert violated_field(ended.segments[0].error) == "segments[0]"


async def test_cancelling_takes_the_worker_away(tmp_path: Path, samples: tuple[Sample, Sample]) -> None:
    async with running_edge(edge_config(tmp_path, workers=1)) as (daemon, stubs):
        await stubs.register(samples[0])
        job, pids = await _submit_to_stopped_workers(daemon, stubs, samples[0], 2)
        await stubs.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job.job_id))
        assert (await stubs.ended(job.job_id)).state == job_pb2.JOB_STATE_CANCELLED
        other = await stubs.submit(samples[0].segment(a=1, x=1))
        uploading = job_pb2.SEGMENT_STATE_UPLOADING
        await stubs.until(other.job_id, lambda j: j.segments[0].state == uploading)
        assert pids[0] not in daemon.core.pool.pids()
    assert not (tmp_path / "chunks" / job.job_id.hex()).exists()


async def test_an_altered_chunk_is_refused_and_sent_again(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = []

    def spoil(path: Path, record: ChunkRecord) -> bytes:
        payload = read_payload(path, record)
        if record.sequence == 2 and len(altered) < 2:
            altered.append(record.sequence)
            return bytes([payload[0] ^ 1]) + payload[1:]
        return payload

    monkeypatch.setattr(edge.uplink, "read_payload", spoil)
    async with (
        running_cloud(tmp_path / "cloud") as cloud,
        running_edge(edge_config(tmp_path / "edge", cloud.target)) as (_, stubs),
    ):
        await stubs.register(samples[0])
        job = await stubs.submit(samples[0].segment(a=8, x=8))
        publics = await stubs.proved(job.job_id, backend, [samples[0].key])
        assert publics == [samples[0].publics(a=8, x=8)]
        assert altered == [2, 2]


async def test_a_chunk_that_is_always_altered_is_data_loss_and_harms_no_other_job(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(path: Path, record: ChunkRecord) -> bytes:
        payload = read_payload(path, record)
        return bytes(len(payload)) if record.sequence == 3 else payload

    monkeypatch.setattr(edge.uplink, "read_payload", spoil)
    async with (
        running_cloud(tmp_path / "cloud") as cloud,
        running_edge(edge_config(tmp_path / "edge", cloud.target)) as (_, stubs),
    ):
        for sample in samples:
            await stubs.register(sample)
        bad = await stubs.submit(samples[0].segment(a=8, x=8))
        good = await stubs.submit(samples[1].segment(n=4, pq=[2, 2]))
        job = await stubs.ended(bad.job_id)
        assert job.error.code == Code.DATA_LOSS
        assert reason_of(job.segments[0].error).reason
        assert await stubs.proved(good.job_id, backend, [samples[1].key]) == [[4]]


def test_the_chunk_file_keeps_whole_records_and_takes_the_same_witness_again(tmp_path: Path) -> None:
    path, job = tmp_path / "a" / "0.chunks", bytes(32)
    pieces = [FrVector.from_ints([k, 2**200 + k]) for k in range(4)]
    writer = ChunkWriter(path, job, 0)
    records = [writer.append(2 * k, piece) for k, piece in enumerate(pieces)]
    writer.close()
    assert scan(path, job, 0) == records
    assert scan(path, job, 1) == []
    os.truncate(path, records[2].position + 3)
    assert scan(path, job, 0) == records[:2]
    writer = ChunkWriter(path, job, 0)
    assert [writer.append(2 * k, piece) for k, piece in enumerate(pieces)] == records
    writer.close()
    assert scan(path, job, 0) == records
    assert read_payload(path, records[3]) == path.read_bytes()[-records[3].size :]
    writer = ChunkWriter(path, job, 0)
    with pytest.raises(WitnessProgramError, match="another witness"):
        writer.append(0, pieces[1])
    writer.close()
    os.truncate(path, 10)
    with pytest.raises(OSError, match="cut short"):
        read_payload(path, records[3])


async def test_a_write_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    thread = SpoolThread(tmp_path)
    record = CircuitRecord(bytes(32), "kept", b"", b"", 0, 1, 1, 1, False, (("x", 3),))

    def broken(spool: Spool) -> None:
        spool.add_circuit(CircuitRecord(b"\1" * 32, "lost", b"", b"", 0, 1, 1, 1, False, ()))
        raise OSError("no space")

    thread.post(lambda spool: spool.add_circuit(record))
    thread.post(broken)
    failing = asyncio.ensure_future(thread.call(broken))
    await asyncio.sleep(0)
    thread.start()
    with pytest.raises(OSError, match="no space"):
        await failing
    assert await thread.call(lambda spool: spool.circuits()) == [record]
    await thread.close()


def test_a_spool_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool._connection.exec_driver_sql("UPDATE meta SET value = x'63000000' WHERE key = 'schema'")
    spool.commit()
    spool.close()
    with pytest.raises(FormatError, match="schema 99"):
        Spool(tmp_path)
    assert (tmp_path.stat().st_mode & 0o777) == 0o700


def test_a_spool_of_the_first_version_is_taken_over_without_what_nobody_verified(tmp_path: Path) -> None:
    circuit = b"\1" * 32
    plan = JobPlan(bytes(32), "job", Placement.CLOUD, (SegmentPlan(circuit, 300),), (), 64)
    proved = Segment(0, circuit, 300, SegmentState.PROVED, leaf=b"a leaf", publics=bytes(32))
    spool = Spool(tmp_path)
    spool.add_job(plan, [b"inputs"], 1)
    spool.save_segment(segment_row(plan.job_id, proved))
    newer = (
        "jobs DROP COLUMN client",
        "jobs DROP COLUMN clients",
        "jobs DROP COLUMN priority",
        "jobs DROP COLUMN deadline",
        "jobs DROP COLUMN assembly_options",
        "jobs DROP COLUMN assembly",
        "jobs DROP COLUMN assembly_status",
    )
    for column in (*newer, *(f"segments DROP COLUMN {name}" for name in ("publics", "partials", "record"))):
        spool._connection.exec_driver_sql(f"ALTER TABLE {column}")
    spool._connection.exec_driver_sql("UPDATE meta SET value = x'01000000' WHERE key = 'schema'")
    spool.commit()
    spool.close()
    for publics in (None, bytes(32)):
        spool = Spool(tmp_path)
        ((job, _),) = spool.jobs()
        assert (job.segments[0].publics, job.segments[0].leaf) == (publics, b"a leaf")
        book = EdgeMachine(workers=1, worker_attempts=1, max_unacked=1, finished_kept=1)
        assert (StartWitness(job.id, 0) in book.restore(job, 0)) == (publics is None)
        assert bool(job.segments[0].leaf) == (publics is not None)
        spool.save_segment(segment_row(plan.job_id, proved))
        spool.commit()
        spool.close()


def test_a_spool_without_records_keeps_them_from_now_on(tmp_path: Path) -> None:
    plan = JobPlan(bytes(32), "job", Placement.PRIVATE, (SegmentPlan(b"\1" * 32, 300),) * 3, (), 64)
    spool = Spool(tmp_path)
    spool.add_job(plan, [b"inputs"] * 3, 1)
    proved = [Segment(i, b"\1" * 32, 300, SegmentState.PROVED, leaf=b"a leaf", publics=bytes(32)) for i in range(3)]
    spool.save_segment(segment_row(plan.job_id, proved[0]))
    spool._connection.exec_driver_sql("ALTER TABLE segments DROP COLUMN record")
    spool._connection.exec_driver_sql("UPDATE meta SET value = x'06000000' WHERE key = 'schema'")
    spool.commit()
    spool.close()
    spool = Spool(tmp_path)
    assert spool.records(plan.job_id) == {}
    for index in (2, 1):
        spool.save_record(plan.job_id, index, b"record %d" % index)
    spool.save_segment(segment_row(plan.job_id, proved[1]))
    spool.commit()
    spool.close()
    spool = Spool(tmp_path)
    assert spool.records(plan.job_id) == {1: b"record 1"}, "a record is of a proof that is kept"
    assert spool.jobs()[0][0].segments[0].leaf == b"a leaf"
    spool.forget(plan.job_id)
    assert spool.records(plan.job_id) == {}
    spool.commit()
    spool.close()


async def test_a_folder_in_use_is_not_shared(tmp_path: Path) -> None:
    async with running_edge(edge_config(tmp_path, workers=1)):
        with pytest.raises(InvalidInputError, match="another edge") as caught:
            await EdgeDaemon(edge_config(tmp_path, workers=1)).start()
        assert caught.value.field == "state_dir"


async def test_an_edge_that_cannot_start_says_why_and_leaves_the_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sys.executable", "/bin/false")
        with pytest.raises(BackendError, match="does not start"):
            await EdgeDaemon(edge_config(tmp_path, workers=1)).start()
    async with running_edge(edge_config(tmp_path, workers=1)) as (daemon, _):
        assert len(daemon.core.pool.pids()) == 1


async def test_a_segment_that_needs_too_much_memory_fails_by_itself(
    tmp_path: Path, backend: Backend, samples: tuple[Sample, Sample]
) -> None:
    def wide(c: Circuit) -> None:
        """Inputs of 2 MiB: Python integers and vectors of them need many times that."""
        xs = c.private("xs", 1 << 16)
        c.output("out", xs[0] * xs[1])

    sample = make(tmp_path, backend, "wide", wide)
    async with running_edge(edge_config(tmp_path / "edge", workers=1, worker_threads=1)) as (daemon, _):
        status = Path(f"/proc/{daemon.core.pool.pids()[0]}/status").read_text()
        idle = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmData"))
    config = edge_config(tmp_path / "edge", workers=1, worker_threads=1, worker_memory=idle + (10 << 20))
    async with running_edge(config) as (_, stubs):
        await stubs.register(samples[1])
        await stubs.register(sample)
        big = await stubs.submit(sample.segment(xs=[2**250] * (1 << 16)))
        small = await stubs.submit(samples[1].segment(n=4, pq=[2, 2]))
        job = await stubs.ended(big.job_id)
        assert job.state == job_pb2.JOB_STATE_FAILED
        assert reason_of(job.segments[0].error).reason in ("WORKER_MEMORY", "WORKER_DIED", "WITNESS_PROGRAM_FAILED")
        uploading = job_pb2.SEGMENT_STATE_UPLOADING
        assert (await stubs.until(small.job_id, lambda j: j.segments[0].state == uploading)).segments


async def test_two_edges_with_the_same_job_end_with_the_same_proofs(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    sample = samples[0]
    segments = [sample.segment(a=11, x=x) for x in range(3)]
    async with (
        running_cloud(tmp_path / "cloud") as cloud,
        running_edge(edge_config(tmp_path / "a", cloud.target, workers=1)) as (_, a),
        running_edge(edge_config(tmp_path / "b", cloud.target, workers=1)) as (_, b),
    ):
        await asyncio.gather(a.register(sample), b.register(sample))
        jobs = await asyncio.gather(a.submit(*segments), b.submit(*segments))
        assert jobs[0].job_id == jobs[1].job_id
        proofs = [await stubs.proved(jobs[0].job_id, backend, [sample.key] * 3) for stubs in (a, b)]
        assert proofs[0] == proofs[1] == [sample.publics(a=11, x=x) for x in range(3)]


async def test_an_edge_killed_outright_finishes_its_jobs_when_it_comes_back(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    sample = samples[0]
    script = (
        "import sys; from pathlib import Path; from edge.config import EdgeConfig; from edge.daemon import main; "
        "main(EdgeConfig(listen='127.0.0.1:0', cloud=sys.argv[2], state_dir=Path(sys.argv[1]), chunk_wires=64, "
        "plaintext=True, cloud_plaintext=True))"
    )
    async with running_cloud(tmp_path / "cloud") as cloud, cutting_proxy(cloud.target) as proxy:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path / "edge"), proxy.address, stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        while b"edge serves" not in (line := await asyncio.wait_for(process.stderr.readline(), 30)):
            assert line
        target = json.loads(line)["target"]
        async with grpc.aio.insecure_channel(target) as channel:
            stubs = EdgeStubs(channel)
            await stubs.register(sample)
            first = await stubs.submit(sample.segment(a=1, x=1))
            await stubs.proved(first.job_id, backend, [sample.key])
            proxy.budgets = [20_000, *[0] * 50]
            job = await stubs.submit(*(sample.segment(a=2, x=x) for x in range(4)))
            async with asyncio.timeout(30):
                while not proxy.cuts:
                    await asyncio.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        await process.stderr.read()
        await process.wait()
        proxy.budgets = []
        async with running_edge(edge_config(tmp_path / "edge", proxy.address)) as (_, stubs):
            publics = await stubs.proved(job.job_id, backend, [sample.key] * 4)
            assert publics == [sample.publics(a=2, x=x) for x in range(4)]
            assert await stubs.proved(first.job_id, backend, [sample.key]) == [sample.publics(a=1, x=1)]
