"""The client against a service that says on purpose what real ones say when things go wrong."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from sdk_fake import CIRCUIT, JOB, PROOF, Fake, job_at, serving, serving_in_a_thread, with_details

from hybrid_prover import (
    DataLossError,
    DeadlineError,
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    JobState,
    Link,
    NotFoundError,
    OverloadedError,
    Placement,
    ProverClient,
    RetryPolicy,
    Segment,
    SegmentState,
    UnavailableError,
    sync,
)
from prover_core.errors import InvalidInputError

QUICK = RetryPolicy(attempts=4, first_delay=0.01)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
async def client(fake: Fake) -> AsyncIterator[ProverClient]:
    async with serving(fake) as target, ProverClient(target, retry=QUICK, timeout=5.0) as client:
        yield client


SEGMENT = Segment(CIRCUIT, {"x": [1, 2]})
OVERLOADED = (
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "queue is full",
    with_details(8, "queue is full", retry=0.05),
)


async def test_submit_sends_the_job_and_tells_a_repeat(fake: Fake, client: ProverClient) -> None:
    job = await client.submit([SEGMENT, SEGMENT], placement=Placement.CLOUD, links=[Link(0, 0, 1, 1)], name="two")
    assert (job.id, job.created) == (JOB, True)
    assert not (await client.submit(SEGMENT, placement=Placement.CLOUD)).created
    sent = fake.submitted[0]
    assert (sent.name, len(sent.segments), sent.links[0].to_segment) == ("two", 2, 1)
    assert sent.segments[0].circuit == CIRCUIT.raw


async def test_overload_is_waited_out_as_the_service_asks(fake: Fake, client: ProverClient) -> None:
    fake.failures = [OVERLOADED, OVERLOADED]
    start = time.monotonic()
    await client.submit(SEGMENT, placement=Placement.CLOUD)
    assert time.monotonic() - start >= 0.1
    assert fake.calls == 3


async def test_lasting_overload_is_an_error_with_patience(fake: Fake, client: ProverClient) -> None:
    fake.failures = [OVERLOADED] * 10
    with pytest.raises(OverloadedError, match="queue is full") as caught:
        await client.submit(SEGMENT, placement=Placement.CLOUD)
    assert caught.value.retry_after == pytest.approx(0.05)
    assert fake.calls == QUICK.attempts


async def test_a_wrong_request_is_not_repeated(fake: Fake, client: ProverClient) -> None:
    details = with_details(3, "no such signal", "segments[0].inputs.x")
    fake.failures = [(grpc.StatusCode.INVALID_ARGUMENT, "no such signal", details)]
    with pytest.raises(InvalidRequestError, match="no such signal") as caught:
        await client.submit(SEGMENT, placement=Placement.CLOUD)
    assert (caught.value.field, caught.value.segment, fake.calls) == ("segments[0].inputs.x", 0, 1)


async def test_deadlines_hold_over_all_tries(fake: Fake, client: ProverClient) -> None:
    fake.slow = 30.0
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        await client.submit(SEGMENT, placement=Placement.CLOUD, timeout=0.2)
    assert time.monotonic() - start < 2.0


async def test_nobody_there_is_said_with_the_target() -> None:
    async with ProverClient("127.0.0.1:1", retry=RetryPolicy(attempts=2, first_delay=0.01)) as client:
        with pytest.raises(UnavailableError, match=r"nobody answers at 127\.0\.0\.1:1"):
            await client.jobs()


async def test_a_closed_client_says_so(fake: Fake) -> None:
    async with serving(fake) as target:
        client = ProverClient(target)
        with pytest.raises(InvalidInputError, match="not open"):
            await client.call(lambda request, timeout: asyncio.sleep(0), None)


async def test_watch_survives_a_cut_and_shows_each_change_once(fake: Fake, client: ProverClient) -> None:
    running = [job_at(n, JobState.RUNNING, SegmentState.PROVING) for n in (1, 2)]
    done = job_at(3, JobState.DONE, SegmentState.VERIFIED)
    fake.watches = [[*running, grpc.StatusCode.UNAVAILABLE], [running[1], done]]
    seen = [job.revision async for job in client.job(JOB).watch()]
    assert seen == [1, 2, 3]


async def test_watch_gives_up_where_nothing_comes(fake: Fake, client: ProverClient) -> None:
    with pytest.raises(UnavailableError, match="ended before the job"):
        async for _ in client.job(JOB).watch():
            pass
    assert fake.calls == QUICK.attempts


async def test_watch_of_an_unknown_job_is_not_repeated(fake: Fake, client: ProverClient) -> None:
    fake.watches = [[grpc.StatusCode.NOT_FOUND]]
    with pytest.raises(NotFoundError):
        await client.job(str(JOB)).result()
    assert fake.calls == 1


async def test_result_waits_and_brings_typed_proofs(fake: Fake, client: ProverClient) -> None:
    fake.watches = [[job_at(1, JobState.RUNNING), job_at(2, JobState.DONE, SegmentState.VERIFIED)]]
    result = await client.job(JOB).result(timeout=5.0)
    (leaf,) = result.leaves
    assert (leaf.proof, leaf.public_signals, leaf.circuit) == (PROOF, (5, 6), CIRCUIT)


async def test_a_failed_job_names_segment_and_field(fake: Fake, client: ProverClient) -> None:
    why = status_pb2.Status(code=9, message="segments[1]: constraint 7 (range) is broken")
    violation = error_details_pb2.BadRequest.FieldViolation(field="segments[1]")
    why.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    fake.watches = [[job_at(1, JobState.FAILED, SegmentState.PROVED, SegmentState.FAILED, error=why)]]
    with pytest.raises(JobFailedError, match="constraint 7") as caught:
        await client.job(JOB).result()
    assert (caught.value.segment, caught.value.code, caught.value.job_id) == (1, "FAILED_PRECONDITION", str(JOB))


async def test_a_cancelled_job_has_no_result(fake: Fake, client: ProverClient) -> None:
    assert (await client.job(JOB).cancel()).state is JobState.CANCELLED
    fake.watches = [[job_at(1, JobState.CANCELLED, SegmentState.CANCELLED)]]
    with pytest.raises(JobCancelledError):
        await client.job(JOB).result()


async def test_waiting_has_its_limit(fake: Fake, client: ProverClient) -> None:
    fake.watches = [[job_at(1, JobState.RUNNING), grpc.StatusCode.UNAVAILABLE]] * 100
    with pytest.raises(DeadlineError, match="has not ended"):
        await client.job(JOB).wait(timeout=0.3)


async def test_only_missing_artifacts_are_sent(fake: Fake, client: ProverClient, tmp_path: Path) -> None:
    zkey, r1cs, program = b"k" * (3 << 20), tmp_path / "c.r1cs", b"\0asm" + b"p" * 100
    r1cs.write_bytes(b"r" * 1000)
    fake.stored[hashlib.sha256(program).digest()] = program
    steps: list[tuple[int, int]] = []
    known = await client.register_circuit(
        name="c", zkey=zkey, r1cs=r1cs, program=program, progress=lambda done, total: steps.append((done, total))
    )
    assert known.digest.raw == hashlib.sha256(zkey).digest()
    assert known.insecure_setup
    total = len(zkey) + 1000
    assert steps[-1] == (total, total)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert fake.stored[hashlib.sha256(zkey).digest()] == zkey
    assert fake.stored[hashlib.sha256(b"r" * 1000).digest()] == b"r" * 1000

    steps.clear()
    await client.register_circuit(
        name="c", zkey=zkey, r1cs=r1cs, program=program, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == []


async def test_an_interrupted_upload_begins_again(fake: Fake, client: ProverClient) -> None:
    fake.stored[hashlib.sha256(b"r").digest()] = b"r"
    await client.circuits()
    fake.failures = [(grpc.StatusCode.UNAVAILABLE, "restarting", ())] * 2
    known = await client.register_circuit(name="c", zkey=b"zz", r1cs=b"r")
    assert fake.stored[known.digest.raw] == b"zz"


async def test_altered_artifacts_are_data_loss(fake: Fake, client: ProverClient) -> None:
    fake.corrupt = True
    with pytest.raises(DataLossError, match="other bytes"):
        await client.register_circuit(name="c", zkey=b"zkey")
    assert not fake.stored


async def test_a_missing_file_is_named(client: ProverClient, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"nothing\.zkey") as caught:
        await client.register_circuit(name="c", zkey=tmp_path / "nothing.zkey")
    assert caught.value.field == "zkey"


@pytest.fixture
def target(fake: Fake) -> Iterator[str]:
    with serving_in_a_thread(fake) as address:
        yield address


def test_the_blocking_twin_does_the_same(fake: Fake, target: str) -> None:
    done = job_at(2, JobState.DONE, SegmentState.VERIFIED)
    fake.watches = [[job_at(1, JobState.RUNNING), done], [done]]
    with sync.ProverClient(target, retry=QUICK) as client:
        known = client.register_circuit(name="c", zkey=b"zkey")
        job = client.submit(Segment(known.digest, {"x": 1}), placement=Placement.PRIVATE)
        assert [state.revision for state in job.watch()] == [1, 2]
        assert job.result().leaves[0].proof == PROOF
        assert job.status().state is JobState.RUNNING
        assert [c.name for c in client.circuits()] == ["one"]
        assert len(client.jobs(limit=3)) == 3
        assert job.cancel().state is JobState.CANCELLED
        fake.watches = [[grpc.StatusCode.NOT_FOUND]]
        with pytest.raises(NotFoundError):
            client.job(str(JOB)).wait()
    with pytest.raises(RuntimeError, match="not open"):
        client.jobs()
