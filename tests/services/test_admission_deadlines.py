"""Deadlines and priorities in the books of edge and cloud, and on their disks: what is late ends, everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from edge_book import PUBLICS, connect, machine, of_kind, open_job, plan, sent, witness
from store_book import Place, make_job
from test_cloud_machine import CIRCUIT, JOB, Cloud, checked, chunk, leaf, ready, refusal

from cloud import messages as m
from cloud.model import JOB_FAILED, RUNNING
from cloud.policy import Limits
from cloud.store import job_writes, state_write
from edge.instructions import DropInputs, SendAbort, SendChunk, SendOpen, StartWitness, StopWitness
from edge.model import Code, JobState, Placement, SegmentState, Timing
from edge.policy import least_time
from edge.spool import Spool, job_row
from hybrid_prover.admission.fairness import Priority
from hybrid_prover.admission.quotas import Quota
from hybrid_prover.errors import read_details
from hybrid_prover.v1 import common_pb2, uplink_pb2

SECOND = 1_000_000_000
DEADLINE_EXCEEDED = 4


# The edge


def test_a_job_past_its_deadline_ends_at_the_edge_and_says_what_was_done() -> None:
    m_ = machine(workers=1)
    job, other = plan(1, segments=3), plan(2)
    m_.submit(job, 0, deadline=10 * SECOND)
    m_.submit(other, 0)
    connect(m_)
    open_job(m_, job)
    witness(m_, job, 0)
    assert not of_kind(m_.tick(10 * SECOND - 1), DropInputs)
    out = m_.tick(10 * SECOND)
    assert [s.segment for s in of_kind(out, StopWitness)] == [1]  # type: ignore[attr-defined]
    assert of_kind(out, DropInputs)
    ended = m_.jobs[job.job_id]
    assert ended.state is JobState.FAILED
    assert ended.failure is not None
    assert ended.failure.code is Code.DEADLINE_EXCEEDED
    assert "0 of 3 segments verified, 0 proved and 1 witnessed" in ended.failure.message
    messages = sent(m_, 10 * SECOND)
    assert SendAbort(job.job_id) in messages
    assert not [c for c in messages if isinstance(c, SendChunk) and c.job_id == job.job_id]
    begun = of_kind(m_.worker_stopped(job.job_id, 1, 10 * SECOND), StartWitness)
    assert [s.job_id for s in begun] == [other.job_id]  # type: ignore[attr-defined]


def test_nothing_of_a_late_job_is_begun_before_it_ends() -> None:
    m_ = machine(workers=1)
    job = replace(plan(1), client="a")
    spool_job = machine(workers=1)
    spool_job.submit(job, 0, deadline=5 * SECOND)
    (restored,) = spool_job.jobs.values()
    restored.segments[0].state = SegmentState.QUEUED
    assert not of_kind(m_.restore(restored, 6 * SECOND), StartWitness)
    m_.tick(6 * SECOND)
    assert m_.jobs[job.job_id].state is JobState.FAILED


def test_the_latest_deadline_and_the_most_urgent_priority_count_and_the_cloud_hears_of_them() -> None:
    m_ = machine()
    job = plan(1)
    m_.submit(job, 0, priority=Priority.LOW, deadline=10 * SECOND)
    connect(m_)
    open_job(m_, job)
    witness(m_, job)
    sent(m_)
    m_.wanted(job.job_id, Priority.LOW, 5 * SECOND, 0)
    assert not sent(m_), "nothing has changed"
    m_.wanted(job.job_id, Priority.HIGH, 20 * SECOND, 0)
    assert (m_.jobs[job.job_id].priority, m_.jobs[job.job_id].deadline) == (Priority.HIGH, 20 * SECOND)
    assert sent(m_) == [SendOpen(job.job_id)]
    open_job(m_, job, 3)
    m_.wanted(job.job_id, Priority.NORMAL, 0, 0)
    m_.tick(10**6 * SECOND)
    assert m_.jobs[job.job_id].state is JobState.RUNNING
    assert m_.jobs[job.job_id].deadline == 0


def test_only_what_is_sure_to_be_late_is_refused() -> None:
    assert least_time([], 2) == 0
    assert least_time([5, 5, 5, 5], 2) == 10
    assert least_time([5, 1], 4) == 5
    m_ = machine(workers=2)
    job = plan(1, segments=4)
    assert m_.least_time(job) == 0, "nothing was measured"
    m_.submit(job, 0)
    for segment, taken in enumerate((9, 4, 6)):
        m_.witness_finished(job.job_id, segment, 0, PUBLICS, [Timing("witness", 0, taken * SECOND)], 0)
    assert m_.least_time(plan(2, segments=4)) == 8 * SECOND
    assert m_.least_time(plan(2, placement=Placement.PRIVATE)) == 0, "proofs were not measured"


def test_deadline_and_priority_survive_the_edge(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.add_job(plan(1), [b"inputs"], 1, priority=Priority.HIGH, deadline=77)
    spool.add_job(plan(2), [b"inputs"], 2)
    ((job, _), _) = spool.jobs()
    job.priority, job.deadline = Priority.URGENT, 99
    spool.save_job(job_row(job))
    spool.commit()
    spool.close()
    spool = Spool(tmp_path)
    (first, _), (second, _) = spool.jobs()
    spool.close()
    assert (first.priority, first.deadline) == (Priority.URGENT, 99)
    assert (second.priority, second.deadline) == (Priority.NORMAL, 0)


# The cloud


def opening(cloud: Cloud, job: bytes = JOB, segments: int = 1, **more: object) -> list:
    values = {"placement": common_pb2.PLACEMENT_CLOUD, "circuits": [CIRCUIT.digest] * segments} | more
    return cloud.edge(open_job=uplink_pb2.OpenJob(job_id=job, **values))


def connected(limits: Limits | None = None) -> Cloud:
    cloud = Cloud()
    cloud.connect()
    if limits is not None:
        cloud.machine._limits = limits
    return cloud


def test_the_cloud_ends_late_jobs_and_stops_all_work_on_them() -> None:
    cloud = connected()
    opening(cloud, segments=3, deadline_unix_nanos=1000)
    for segment, wires in ((0, 40), (1, 40), (2, 20)):
        cloud.edge(chunk=chunk(0, 0, wires, segment=segment))
    for segment in (0, 1):
        cloud.edge(segment_end=uplink_pb2.SegmentEnd(job_id=JOB, segment=segment, chunk_count=1))
    cloud.disk()
    cloud.post(m.LeafProved((JOB, 0), leaf(1, 2), ()))
    cloud.post(checked([0], []))
    cloud.post(m.LeafProved((JOB, 1), leaf(1, 2), ()))
    assert not cloud.machine.due(999)
    assert cloud.machine.due(1000)
    cloud.now = 1000
    mark = len(cloud.sent)
    out = cloud.post(m.Tick())
    assert {x.key[1] for x in out if isinstance(x, m.Stop)} == {1, 2}
    job = cloud.machine.jobs[JOB]
    assert job.state == JOB_FAILED
    assert job.error is not None
    assert job.error.code == DEADLINE_EXCEEDED
    assert "1 of 3 segments verified and 1 more proved" in job.error.message
    assert [r.job_update.failed.code for _, r in cloud.sent[mark:] if r.HasField("job_update")] == [DEADLINE_EXCEEDED]
    assert not cloud.machine.due(10**18)


def test_a_job_that_comes_late_is_refused_and_one_that_is_extended_goes_on() -> None:
    cloud = connected()
    cloud.now = 5000
    assert read_details(refusal(opening(cloud, deadline_unix_nanos=4000)).error).reason == "DEADLINE_PASSED"
    opening(cloud, deadline_unix_nanos=9000, priority=common_pb2.PRIORITY_LOW)
    opening(cloud, deadline_unix_nanos=20_000, priority=common_pb2.PRIORITY_HIGH)
    opening(cloud, deadline_unix_nanos=8000, priority=common_pb2.PRIORITY_NORMAL)
    job = cloud.machine.jobs[JOB]
    assert (job.priority, job.deadline) == (Priority.HIGH, 20_000)
    cloud.now = 10_000
    cloud.post(m.Tick())
    assert job.state == RUNNING
    cloud.now = 20_000
    cloud.post(m.Tick())
    assert job.state == JOB_FAILED


def test_a_higher_priority_reaches_what_is_at_work() -> None:
    cloud = ready()
    cloud.edge(chunk=chunk(0, 0, 20))
    cloud.disk()
    mark = len(cloud.asked)
    opening(cloud, priority=common_pb2.PRIORITY_HIGH)
    assert m.Advance((JOB, 0), CIRCUIT, 1, False) in cloud.asked[mark:]
    assert cloud.machine.jobs[JOB].share.priority is Priority.HIGH


def test_a_job_begun_again_has_the_deadline_of_its_new_submission() -> None:
    cloud = connected()
    opening(cloud, deadline_unix_nanos=100, submission=1)
    cloud.now = 100
    cloud.post(m.Tick())
    again = uplink_pb2.OpenJob(
        job_id=JOB, placement=1, circuits=[CIRCUIT.digest], submission=2, deadline_unix_nanos=500, priority=3
    )
    assert cloud.machine.goes_again(again, cloud.now)
    from cloud.chunklog import Recovered

    cloud.post(m.Requeue(JOB, (Recovered((), False),), 2, Priority.HIGH, 500))
    job = cloud.machine.jobs[JOB]
    assert (job.state, job.deadline, job.priority) == (RUNNING, 500, Priority.HIGH)
    cloud.now = 600
    cloud.post(m.Tick())
    assert job.state == JOB_FAILED
    cloud.post(m.Requeue(JOB, (Recovered((), False),)))
    assert (job.state, job.deadline) == (RUNNING, 0), "begun again by hand: without a deadline"


@pytest.mark.parametrize(
    ("quota", "reason"),
    [
        (Quota(jobs=2), "QUOTA_JOBS"),
        (Quota(segments=5), "QUOTA_SEGMENTS"),
        (Quota(backlog_bytes=33 * 40 * 5), "QUOTA_BACKLOG_BYTES"),
    ],
)
def test_each_limit_of_a_client_is_refused_by_name_and_touches_no_other_client(quota: Quota, reason: str) -> None:
    cloud = connected(Limits(quota=lambda _: quota))
    for number in range(2):
        assert opening(cloud, bytes([number]) * 32, 2, client="greedy")[0].HasField("job_opened")
    error = refusal(opening(cloud, b"x" * 32, 2, client="greedy")).error
    details = read_details(error)
    assert (error.code, details.reason) == (8, reason)
    assert details.retry_after is not None
    assert details.retry_after >= 1
    assert opening(cloud, b"y" * 32, 2, client="other")[0].HasField("job_opened")
    cloud.post(m.Cancel(bytes(32)))
    assert opening(cloud, b"x" * 32, 2, client="greedy")[0].HasField("job_opened")


def test_private_jobs_count_by_their_segments_though_they_bring_no_witness() -> None:
    cloud = connected(Limits(segments=4))
    private = common_pb2.PLACEMENT_PRIVATE
    assert opening(cloud, b"a" * 32, 3, placement=private)[0].HasField("job_opened")
    refused = refusal(opening(cloud, b"b" * 32, 2, placement=private)).error
    assert read_details(refused).reason == "LIMIT_SEGMENTS"
    assert opening(cloud, b"c" * 32, 1, placement=private)[0].HasField("job_opened")


def test_what_fits_no_empty_queue_is_not_told_to_come_back() -> None:
    cloud = connected(Limits(quota=lambda _: Quota(segments=3)))
    details = read_details(refusal(opening(cloud, segments=4, client="a")).error)
    assert (details.reason, details.retry_after) == ("QUOTA_SEGMENTS", None)


def test_a_job_that_goes_again_needs_room_too() -> None:
    cloud = connected(Limits(quota=lambda _: Quota(jobs=1)))
    opening(cloud, client="a", submission=1)
    cloud.post(m.Cancel(JOB))
    opening(cloud, b"z" * 32, client="a")
    again = uplink_pb2.OpenJob(job_id=JOB, placement=1, circuits=[CIRCUIT.digest], submission=2, client="a")
    assert not cloud.machine.goes_again(again, cloud.now)
    assert read_details(refusal(cloud.edge(open_job=again)).error).reason == "QUOTA_JOBS"
    cloud.post(m.Cancel(b"z" * 32))
    assert cloud.machine.goes_again(again, cloud.now)


def test_an_edge_has_a_bounded_number_of_sessions() -> None:
    cloud = Cloud()
    cloud.machine.sessions._limit = 1 << 30
    for number in range(5):
        request = uplink_pb2.UplinkRequest(
            hello=uplink_pb2.Hello(session_id=bytes([number]) * 16, edge_name="e", protocol_version=1)
        )
        cloud.post(m.Received(number + 1, request, "spiffe://x/edge/a"))
    (close,) = [x for x in cloud.asked if isinstance(x, m.Close)]
    assert close.connection == 5
    assert read_details(close.error).reason == "EDGE_SESSIONS"


def test_deadline_and_priority_survive_the_cloud(place: Place) -> None:
    store = place.open()
    job = make_job(b"j", priority=Priority.HIGH, deadline=2**62)
    store.write([*job_writes(job), *job_writes(make_job(b"k"))])
    job.deadline = 5
    store.write([state_write(job)])
    store.close()
    store = place.open()
    loaded = {j.name: (j.priority, j.deadline) for j in store.unfinished()}
    store.close()
    assert loaded == {"j": (Priority.HIGH, 5), "k": (Priority.NORMAL, 0)}
    cloud = connected()
    cloud.machine.restore(job)
    assert cloud.machine.due(5)
