"""What the edge believes of the leaf proofs that a cloud gives it, and of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_book import CIRCUIT, PUBLICS, connect, machine, of_kind, open_job, plan, sent, witness

from edge.instructions import (
    CheckLeaf,
    FetchResult,
    SendAbort,
    SendFailure,
    SendProof,
    StartWitness,
    StopWitness,
)
from edge.model import (
    Code,
    Failure,
    Job,
    JobState,
    Link,
    Placement,
    Segment,
    SegmentState,
    Timing,
)


def restored(*, publics: bytes | None) -> Job:
    """A job of an edge that was stopped, its chunks lost."""
    job = plan()
    return Job(job, [Segment(0, CIRCUIT, 300, SegmentState.UPLOADING, publics=publics)], accepted=0, order=0)


def test_a_segment_that_the_cloud_has_whole_is_not_witnessed_again_once_its_public_signals_are_known() -> None:
    m, job = machine(), restored(publics=PUBLICS)
    assert of_kind(m.restore(job, 0), StartWitness) == [StartWitness(job.id, 0)]
    connect(m)
    assert of_kind(open_job(m, job.plan, 3, complete=True), StopWitness) == [StopWitness(job.id, 0)]
    m.worker_stopped(job.id, 0, 0)
    assert job.segments[0].state is SegmentState.PROVING
    assert of_kind(m.segment_proved(job.id, 0, b"leaf", [], 0), CheckLeaf) == [CheckLeaf(job.id, 0)]


def test_a_segment_that_the_cloud_has_whole_is_witnessed_for_its_public_signals_and_nothing_of_it_is_sent() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    out = open_job(m, job, 3, complete=True)
    out += m.segment_proved(job.job_id, 0, b"leaf", [], 0) + m.job_done(job.job_id, 0)
    assert not of_kind(out, StopWitness)
    assert not of_kind(out, CheckLeaf)
    assert not of_kind(out, FetchResult)
    m.chunk_ready(job.job_id, 0, 0, 100, 300, 0)
    out = m.witness_finished(job.job_id, 0, 1, PUBLICS, [], 0)
    assert of_kind(out, CheckLeaf) == [CheckLeaf(job.job_id, 0)]
    assert sent(m) == []
    segment = m.jobs[job.job_id].segments[0]
    assert (segment.state, segment.wires_acked) == (SegmentState.PROVING, 300)
    m.leaf_verified(job.job_id, 0, b"leaf", 0)
    assert m.jobs[job.job_id].state is JobState.DONE


def test_a_cloud_that_claims_to_have_what_cannot_be_witnessed_is_not_believed() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    open_job(m, job, 3, complete=True)
    m.segment_proved(job.job_id, 0, b"leaf", [], 0)
    m.witness_failed(job.job_id, 0, Failure(Code.FAILED_PRECONDITION, "overdraft"), 0)
    assert m.jobs[job.job_id].state is JobState.FAILED


def test_a_cloud_that_lost_a_segment_gets_it_again() -> None:
    m, restart = machine(), restored(publics=PUBLICS)
    job = restart.plan
    m.restore(restart, 0)
    connect(m)
    open_job(m, job, 3, complete=True)
    m.worker_stopped(job.job_id, 0, 0)
    m.uplink_down(0)
    connect(m)
    assert of_kind(open_job(m, job, 0), StartWitness) == [StartWitness(job.job_id, 0)]


def test_a_private_job_sends_nothing_but_its_proof() -> None:
    m, job = machine(), plan(placement=Placement.PRIVATE)
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    m.proof_started(job.job_id, 0)
    m.proof_ready(job.job_id, 0, b"leaf", PUBLICS, [], 0)
    assert sent(m) == [SendProof(job.job_id, 0)]
    m.uplink_down(0)
    connect(m)
    open_job(m, job)
    assert sent(m) == [SendProof(job.job_id, 0)]
    assert not of_kind(m.segment_proved(job.job_id, 0, b"other", [], 0), CheckLeaf)
    m.segment_verified(job.job_id, 0, [Timing("verify", 1, 2)], 0)
    m.job_done(job.job_id, 0)
    done = m.jobs[job.job_id]
    assert (done.state, done.segments[0].leaf) == (JobState.DONE, b"leaf")


def test_a_result_that_was_missed_is_fetched() -> None:
    m, job = machine(), plan(segments=2)
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    for segment in range(2):
        witness(m, job, segment)
    assert of_kind(m.segment_proved(job.job_id, 0, b"first", [], 0), CheckLeaf) == [CheckLeaf(job.job_id, 0)]
    m.leaf_verified(job.job_id, 0, b"first", 0)
    assert of_kind(m.job_done(job.job_id, 0), FetchResult) == [FetchResult(job.job_id)]
    assert m.jobs[job.job_id].state is JobState.RUNNING
    out = m.result_fetched(job.job_id, [b"another", b"second"], 0)
    assert of_kind(out, CheckLeaf) == [CheckLeaf(job.job_id, 1)]
    assert m.jobs[job.job_id].state is JobState.RUNNING
    m.leaf_verified(job.job_id, 1, b"second", 0)
    assert m.jobs[job.job_id].state is JobState.DONE
    assert [s.leaf for s in m.jobs[job.job_id].segments] == [b"first", b"second"]


def test_a_leaf_of_the_cloud_is_nothing_before_it_is_verified_here() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    witness(m, job)
    segment = m.jobs[job.job_id].segments[0]
    m.leaf_verified(job.job_id, 0, b"nobody asked", 0)
    assert not segment.leaf
    m.segment_proved(job.job_id, 0, b"leaf", [], 0)
    m.segment_verified(job.job_id, 0, [], 0)
    assert not of_kind(m.segment_proved(job.job_id, 0, b"a second", [], 0), CheckLeaf)
    assert not of_kind(m.job_done(job.job_id, 0), FetchResult)
    assert (segment.state, segment.leaf) == (SegmentState.PROVING, b"")
    m.leaf_verified(job.job_id, 0, b"leaf", 7)
    done = m.jobs[job.job_id]
    assert (done.state, done.ended, segment.state, segment.leaf) == (JobState.DONE, 7, SegmentState.VERIFIED, b"leaf")


def test_a_leaf_that_does_not_verify_ends_its_job_only_and_is_not_kept() -> None:
    m, bad, good = machine(), plan(1), plan(2)
    for job in (bad, good):
        m.submit(job, 0)
    connect(m, credit=10**6)
    for job in (bad, good):
        open_job(m, job)
        witness(m, job)
        m.segment_proved(job.job_id, 0, b"leaf", [], 0)
    sent(m)
    failure = Failure(Code.DATA_LOSS, "the cloud's proof does not verify")
    m.leaf_refused(bad.job_id, 0, failure, 0)
    m.leaf_verified(bad.job_id, 0, b"leaf", 0)
    m.job_done(bad.job_id, 0)
    job = m.jobs[bad.job_id]
    assert (job.state, job.segments[0].state) == (JobState.FAILED, SegmentState.FAILED)
    assert (job.segments[0].leaf, job.segments[0].candidate) == (b"", None)
    assert job.failure is not None
    assert job.failure.code is Code.DATA_LOSS
    assert "segment 0" in job.failure.message
    assert sent(m) == [SendFailure(bad.job_id, 0, failure)]
    m.leaf_verified(good.job_id, 0, b"leaf", 0)
    m.job_done(good.job_id, 0)
    assert m.jobs[good.job_id].state is JobState.DONE


def test_a_result_of_the_wrong_length_ends_its_job() -> None:
    m, job = machine(), plan(segments=2)
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    m.job_done(job.job_id, 0)
    m.result_fetched(job.job_id, [b"one"], 0)
    failure = m.jobs[job.job_id].failure
    assert failure is not None
    assert failure.code is Code.DATA_LOSS


@pytest.mark.parametrize(("to_signal", "state"), [(0, JobState.RUNNING), (1, JobState.FAILED)])
def test_links_are_checked_as_soon_as_both_ends_are_known(to_signal: int, state: JobState) -> None:
    linked = replace(plan(segments=2), links=(Link(0, 0, 1, to_signal),))
    m = machine()
    m.submit(linked, 0)
    connect(m)
    open_job(m, linked)
    witness(m, linked, 1)
    assert m.jobs[linked.job_id].state is JobState.RUNNING
    witness(m, linked, 0)
    job = m.jobs[linked.job_id]
    assert job.state is state
    if state is JobState.FAILED:
        assert job.failure is not None
        assert "links[0]" in job.failure.message
        assert sent(m)[-1] == SendAbort(linked.job_id)
