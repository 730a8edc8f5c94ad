"""The edge's decisions against a model of the cloud: whatever is cut, repeated or refused, every chunk arrives once."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from edge_book import CIRCUIT, CREDIT, PUBLICS, connect, machine, of_kind, open_job, plan, sent, witness
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import policy
from edge.instructions import (
    DropInputs,
    EnsureCircuit,
    Forget,
    Message,
    SendAbort,
    SendChunk,
    SendEnd,
    SendFailure,
    SendOpen,
    StartWitness,
    StopWitness,
)
from edge.machine import EdgeMachine
from edge.model import (
    Code,
    Failure,
    JobState,
    SegmentState,
)

SECOND = policy.SECOND


def test_chunks_leave_before_the_witness_is_complete() -> None:
    m, job = machine(), plan()
    assert of_kind(m.submit(job, 0), StartWitness) == [StartWitness(job.job_id, 0)]
    assert connect(m) == [SendOpen(job.job_id)]
    open_job(m, job)
    assert sent(m) == []
    m.chunk_ready(job.job_id, 0, 0, 100, 100, 0)
    assert sent(m) == [SendChunk(job.job_id, 0, 0)]
    assert m.jobs[job.job_id].segments[0].state is SegmentState.WITNESSING


def test_the_credit_is_never_exceeded_and_growing_it_goes_on() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m, credit=250)
    open_job(m, job)
    witness(m, job)
    assert [s.sequence for s in sent(m) if isinstance(s, SendChunk)] == [0, 1]
    m.credit(50)
    assert sent(m) == [SendChunk(job.job_id, 0, 2), SendEnd(job.job_id, 0)]


def test_segments_take_turns() -> None:
    m, a, b = machine(), plan(1), plan(2)
    m.submit(a, 0)
    m.submit(b, 0)
    connect(m)
    for job in (a, b):
        open_job(m, job)
        witness(m, job)
    chunks = [(s.job_id[0], s.sequence) for s in sent(m) if isinstance(s, SendChunk)]
    assert chunks == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]


def test_after_a_cut_sending_resumes_where_the_cloud_says() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    witness(m, job)
    assert len(sent(m)) == 4
    m.ack(job.job_id, 0, 1, 0)
    m.uplink_down(0)
    assert sent(m) == []
    assert connect(m) == [SendOpen(job.job_id)]
    open_job(m, job, 2)
    assert sent(m) == [SendChunk(job.job_id, 0, 2), SendEnd(job.job_id, 0)]
    assert m.jobs[job.job_id].segments[0].wires_acked == 200


def test_a_restarted_edge_skips_what_the_cloud_has_while_it_makes_the_witness_again() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    open_job(m, job, 2)
    m.chunk_ready(job.job_id, 0, 0, 100, 100, 0)
    m.chunk_ready(job.job_id, 0, 1, 100, 100, 0)
    assert sent(m) == []
    m.chunk_ready(job.job_id, 0, 2, 100, 100, 0)
    assert sent(m) == [SendChunk(job.job_id, 0, 2)]


@pytest.mark.parametrize("code", [Code.OUT_OF_RANGE, Code.DATA_LOSS])
def test_transient_refusals_send_again_and_give_up_after_a_bounded_number(code: Code) -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m, credit=10**6)
    open_job(m, job)
    witness(m, job, sizes=(100,))
    sent(m)
    for _ in range(policy.MAX_RESENDS):
        m.refused(job.job_id, 0, 0, Failure(code, "again"), 0, 0)
        assert sent(m) == [SendChunk(job.job_id, 0, 0), SendEnd(job.job_id, 0)]
    m.refused(job.job_id, 0, 0, Failure(code, "again"), 0, 0)
    assert m.jobs[job.job_id].state is JobState.FAILED
    assert sent(m) == [SendFailure(job.job_id, 0, Failure(code, "again"))]


def test_gaps_reported_for_chunks_behind_a_refused_one_are_not_counted() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m, credit=10**6)
    open_job(m, job)
    witness(m, job, sizes=(10,) * 30)
    assert len(sent(m)) == 31
    m.refused(job.job_id, 0, 0, Failure(Code.DATA_LOSS, "altered"), 0, 0)
    for _ in range(29):
        m.refused(job.job_id, 0, 0, Failure(Code.OUT_OF_RANGE, "gap"), 0, 0)
    assert m.jobs[job.job_id].segments[0].resends == 1
    assert [s.sequence for s in sent(m) if isinstance(s, SendChunk)] == list(range(30))


def test_unavailable_waits_and_a_lost_answer_is_made_up_for() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m, credit=10**6)
    open_job(m, job)
    witness(m, job, sizes=(100,))
    sent(m)
    m.refused(job.job_id, 0, 0, Failure(Code.UNAVAILABLE, "later"), SECOND, 0)
    m.tick(SECOND - 1)
    assert sent(m, SECOND - 1) == []
    m.tick(SECOND)
    assert len(sent(m, SECOND)) == 2
    m.tick(200 * SECOND)
    assert sent(m, 200 * SECOND) == [SendChunk(job.job_id, 0, 0), SendEnd(job.job_id, 0)]


def test_other_refusals_fail_the_segment_and_harm_no_other_job() -> None:
    m, a, b = machine(), plan(1), plan(2)
    m.submit(a, 0)
    m.submit(b, 0)
    connect(m)
    for job in (a, b):
        open_job(m, job)
        witness(m, job)
    sent(m)
    out = m.refused(a.job_id, 0, 1, Failure(Code.ALREADY_EXISTS, "conflict"), 0, 9)
    assert DropInputs(a.job_id) in out
    assert m.jobs[a.job_id].state is JobState.FAILED
    assert m.jobs[a.job_id].ended == 9
    assert m.jobs[b.job_id].state is JobState.RUNNING


def test_a_chunk_too_large_for_the_cloud_fails_its_segment_with_the_setting_to_change() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    m.chunk_ready(job.job_id, 0, 0, 501, 100, 0)
    sent(m)
    failure = m.jobs[job.job_id].segments[0].failure
    assert failure is not None
    assert "chunk_wires" in failure.message


def test_acks_ahead_of_what_was_sent_save_the_sending() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    m.chunk_ready(job.job_id, 0, 0, 100, 100, 0)
    m.ack(job.job_id, 0, 2, 0)
    m.chunk_ready(job.job_id, 0, 1, 100, 100, 0)
    m.chunk_ready(job.job_id, 0, 2, 100, 100, 0)
    assert sent(m) == [SendChunk(job.job_id, 0, 2)]
    assert m.jobs[job.job_id].segments[0].wires_acked == 200


def test_a_conflict_with_another_edge_ends_the_job_here_only() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    witness(m, job)
    sent(m)
    m.refused(job.job_id, 0, 0, Failure(Code.ALREADY_EXISTS, "conflict"), 0, 0)
    assert m.jobs[job.job_id].state is JobState.FAILED
    assert sent(m) == []


def test_an_unsatisfied_segment_ends_its_job_and_tells_the_cloud_until_it_confirms() -> None:
    m, job = machine(), plan(segments=2)
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    failure = Failure(Code.FAILED_PRECONDITION, "balance is negative")
    out = m.witness_failed(job.job_id, 1, failure, 0)
    assert StopWitness(job.job_id, 0) in out
    assert [s.state for s in m.jobs[job.job_id].segments] == [SegmentState.CANCELLED, SegmentState.FAILED]
    assert sent(m) == [SendFailure(job.job_id, 1, failure)]
    m.uplink_down(0)
    assert connect(m) == [SendOpen(job.job_id)]
    open_job(m, job)
    assert sent(m) == [SendFailure(job.job_id, 1, failure)]
    m.job_failed(job.job_id, failure, 0)
    m.uplink_down(0)
    assert connect(m) == []


def test_a_cancelled_job_is_aborted_and_never_changes_again() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    connect(m)
    open_job(m, job)
    m.cancel(job.job_id, 0)
    assert sent(m) == [SendAbort(job.job_id)]
    revision = m.jobs[job.job_id].revision
    m.chunk_ready(job.job_id, 0, 0, 10, 10, 0)
    m.segment_proved(job.job_id, 0, b"leaf", [], 0)
    m.job_done(job.job_id, 0)
    m.worker_stopped(job.job_id, 0, 0)
    assert m.jobs[job.job_id].revision == revision
    assert m.jobs[job.job_id].state is JobState.CANCELLED


def test_a_dead_worker_costs_its_segment_only_and_not_for_ever() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    failure = Failure(Code.INTERNAL, "signal 9")
    for _ in range(2):
        assert of_kind(m.worker_died(job.job_id, 0, failure, 0), StartWitness) == [StartWitness(job.job_id, 0)]
    m.worker_died(job.job_id, 0, failure, 0)
    assert m.jobs[job.job_id].segments[0].failure == failure


def test_a_circuit_the_cloud_will_not_have_fails_its_jobs_and_a_transient_failure_is_retried() -> None:
    m, job = machine(), plan()
    m.submit(job, 0)
    assert of_kind(m.uplink_up(CREDIT, 500, 0), EnsureCircuit) == [EnsureCircuit(CIRCUIT)]
    m.circuit_failed(CIRCUIT, Failure(Code.UNAVAILABLE, "later"), SECOND, 0)
    assert of_kind(m.tick(SECOND - 1), EnsureCircuit) == []
    assert of_kind(m.tick(SECOND), EnsureCircuit) == [EnsureCircuit(CIRCUIT)]
    m.circuit_failed(CIRCUIT, Failure(Code.INVALID_ARGUMENT, "not a key"), SECOND, 0)
    assert m.jobs[job.job_id].state is JobState.FAILED
    assert sent(m) == []


def test_workers_are_shared_between_jobs_and_wait_for_a_full_spool() -> None:
    m, large, small = machine(max_unacked=150), plan(1, segments=3), plan(2)
    assert len(of_kind(m.submit(large, 0), StartWitness)) == 2
    m.submit(small, 0)
    m.chunk_ready(large.job_id, 0, 0, 100, 100, 0)
    assert of_kind(m.witness_finished(large.job_id, 0, 1, PUBLICS, [], 0), StartWitness) == [
        StartWitness(small.job_id, 0)
    ]
    m.chunk_ready(large.job_id, 1, 0, 100, 100, 0)
    assert of_kind(m.witness_finished(large.job_id, 1, 1, PUBLICS, [], 0), StartWitness) == []
    connect(m)
    open_job(m, large)
    sent(m)
    assert of_kind(m.ack(large.job_id, 0, 1, 0), StartWitness) == [StartWitness(large.job_id, 2)]


def test_old_finished_jobs_are_forgotten() -> None:
    m = machine(finished_kept=2)
    forgotten = []
    for name in range(1, 5):
        m.submit(plan(name), 0)
        forgotten += of_kind(m.cancel(plan(name).job_id, 0), Forget)
        m.worker_stopped(plan(name).job_id, 0, 0)
    assert forgotten == [Forget(plan(1).job_id), Forget(plan(2).job_id)]
    assert list(m.jobs) == [plan(3).job_id, plan(4).job_id]


def test_backoff_doubles_to_a_limit_and_jitter_shortens_it() -> None:
    assert policy.backoff(1, 0.0) == policy.FIRST_BACKOFF // 2
    assert policy.backoff(3, 0.999) > policy.backoff(2, 0.999)
    assert policy.backoff(60, 1.0) == policy.LONGEST_BACKOFF
    assert SECOND <= policy.retry_after(0, 1, 0) <= policy.retry_after(10**6, 1, SECOND) == 60 * SECOND


@dataclass
class ModelCloud:
    """Takes chunks as the protocol says, and records what it took for durable."""

    taken: dict[tuple[bytes, int], list[int]] = field(default_factory=dict)
    ended: set[tuple[bytes, int]] = field(default_factory=set)
    credit: int = 0
    answers: deque[tuple[str, tuple[object, ...]]] = field(default_factory=deque)

    def receive(self, message: Message, *, spoil: Failure | None) -> None:
        match message:
            case SendOpen(job_id):
                keys = [(job_id, i) for i in range(2)]
                positions = [(len(self.taken.setdefault(k, [])), k in self.ended) for k in keys]
                self.answers.append(("opened", (job_id, positions)))
            case SendChunk(job_id, segment, sequence):
                self.credit -= 100
                assert self.credit >= 0
                taken = self.taken[job_id, segment]
                self.answers.append(("credit", (100,)))
                if sequence > len(taken):
                    self._refuse(job_id, segment, Failure(Code.OUT_OF_RANGE, "gap"))
                elif sequence == len(taken) and spoil is not None:
                    self._refuse(job_id, segment, spoil)
                else:
                    if sequence == len(taken):
                        assert (job_id, segment) not in self.ended
                        taken.append(sequence)
                    self.answers.append(("ack", (job_id, segment, len(taken))))
            case SendEnd(job_id, segment):
                if len(self.taken[job_id, segment]) == 6:
                    self.ended.add((job_id, segment))
                else:
                    self._refuse(job_id, segment, Failure(Code.OUT_OF_RANGE, "gap"))
            case other:
                raise AssertionError(f"unexpected {other}")

    def _refuse(self, job_id: bytes, segment: int, failure: Failure) -> None:
        self.answers.append(("refused", (job_id, segment, len(self.taken[job_id, segment]), failure, 0)))


def answer(m: EdgeMachine, cloud: ModelCloud, now: int) -> None:
    kind, arguments = cloud.answers.popleft()
    match kind:
        case "opened":
            m.job_opened(*arguments, now)  # type: ignore[arg-type]
        case "ack":
            m.ack(*arguments, now)  # type: ignore[arg-type]
        case "credit":
            cloud.credit += 100
            m.credit(100)
        case "refused":
            m.refused(*arguments, now)  # type: ignore[arg-type]


ACTIONS = st.lists(
    st.sampled_from(["chunk", "send", "send", "send", "answer", "answer", "cut", "spoil", "tick", "repeat"]),
    max_size=150,
)


def reconnect(m: EdgeMachine, cloud: ModelCloud, now: int) -> None:
    cloud.answers.clear()
    cloud.credit = 500
    for instruction in m.uplink_up(500, 100, now):
        if isinstance(instruction, EnsureCircuit):
            m.circuit_ready(instruction.digest, now)


@given(ACTIONS, st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_every_chunk_arrives_once_and_in_order_whatever_is_cut_refused_or_repeated(
    actions: list[str], seed: int
) -> None:
    m, cloud, now, rng = machine(), ModelCloud(), 0, random.Random(seed)
    jobs = [plan(1, segments=2), plan(2, segments=2)]
    made = {(job.job_id, i): 0 for job in jobs for i in range(2)}
    for job in jobs:
        m.submit(job, now)
    reconnect(m, cloud, now)
    last: tuple[bytes, int, int] | None = None

    def step(action: str) -> None:
        nonlocal last
        key = rng.choice(list(made))
        if action in ("chunk", "repeat"):
            k = made[key] if action == "chunk" else rng.randint(0, max(0, made[key] - 1))
            if action == "chunk" and k < 6:
                made[key] += 1
                m.chunk_ready(*key, k, 100, 50, now)
                if k == 5:
                    m.witness_finished(*key, 6, PUBLICS, [], now)
            elif action == "repeat" and made[key]:
                m.chunk_ready(*key, k, 100, 50, now)
                if last is not None:
                    m.ack(*last, now)
        elif action in ("send", "spoil"):
            spoil = Failure(Code.DATA_LOSS, "altered") if action == "spoil" else None
            message = m.next_message(now)
            if message is not None:
                cloud.receive(message, spoil=spoil)
        elif action == "answer" and cloud.answers:
            if cloud.answers[0][0] == "ack":
                last = cloud.answers[0][1]  # type: ignore[assignment]
            answer(m, cloud, now)
        elif action == "cut":
            m.uplink_down(now)
            reconnect(m, cloud, now)
        elif action == "tick":
            m.tick(now)

    for action in actions:
        now += SECOND // 10
        step(action)
    if any(job.state is JobState.FAILED for job in m.jobs.values()):
        assert sum(a == "spoil" for a in actions) > policy.MAX_RESENDS
        return
    for _ in range(2000):
        now += SECOND
        for action in ("chunk", "chunk", "send", "answer", "answer", "tick"):
            step(action)
        if len(cloud.ended) == 4 and not cloud.answers:
            break
    assert cloud.ended == set(made)
    assert all(taken == list(range(6)) for taken in cloud.taken.values())
    assert all(s.wires_acked == 300 for job in m.jobs.values() for s in job.segments)
