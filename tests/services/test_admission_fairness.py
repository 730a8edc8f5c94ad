"""Fair share where the work is handed out: simulations of the edge's book, the lease book and the executor's order.

One client has a thousand jobs, another brings one: it waits for what is being worked at, not for what is queued.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from dataclasses import replace

import pytest
from edge_book import CIRCUIT as EDGE_CIRCUIT
from edge_book import PUBLICS, connect, of_kind, open_job, plan, sent, witness

from cloud.executor import Executor
from cloud.leases import LOCAL, Grant, LeaseBook
from cloud.model import CircuitInfo
from edge.instructions import SendChunk, StartWitness
from edge.machine import EdgeMachine
from edge.model import Code, Failure, JobPlan, JobState, Placement, SegmentPlan
from hybrid_prover.admission.fairness import Priority, Share

CIRCUIT = CircuitInfo(b"c" * 32, 1000, 2)
SECOND = 1_000_000_000
FLOOD = 1000


def job(number: int, client: str, segments: int = 1) -> JobPlan:
    name = number.to_bytes(32, "big")
    return JobPlan(name, "", Placement.CLOUD, (SegmentPlan(EDGE_CIRCUIT, 300),) * segments, (), 64, client)


class Edge:
    """The edge's book with workers that take a second for each segment."""

    def __init__(self, workers: int, **options: object) -> None:
        self.machine = EdgeMachine(
            workers=workers,
            worker_attempts=3,
            max_unacked=1 << 40,
            finished_kept=10,
            **options,  # type: ignore[arg-type]
        )
        self.clock, self.busy, self.begun = 0, list[tuple[int, bytes, int]](), list[bytes]()

    def do(self, instructions: list[object]) -> None:
        for start in instructions:
            if isinstance(start, StartWitness):
                self.begun.append(start.job_id)
                heapq.heappush(self.busy, (self.clock + SECOND, start.job_id, start.segment))

    def submit(self, plan_: JobPlan, priority: Priority = Priority.NORMAL) -> None:
        self.do(self.machine.submit(plan_, self.clock, priority=priority))

    def step(self) -> bytes:
        self.clock, job_id, segment = heapq.heappop(self.busy)
        self.do(self.machine.witness_finished(job_id, segment, 0, PUBLICS, [], self.clock))
        return job_id


@pytest.mark.parametrize("workers", [1, 3])
def test_an_edge_begins_another_clients_job_next(workers: int) -> None:
    edge = Edge(workers)
    for number in range(FLOOD):
        edge.submit(job(number, "flood"))
    for _ in range(50):
        edge.step()
    came = edge.clock
    edge.submit(job(FLOOD, "single"))
    while edge.step() != job(FLOOD, "single").job_id:
        pass
    assert edge.clock - came <= 2 * SECOND, "one segment that was being witnessed, and its own"


def test_an_edge_serves_clients_by_weight_and_priority_orders_a_clients_own() -> None:
    edge = Edge(1, weight={"heavy": 3.0, "light": 1.0}.__getitem__)
    for number in range(200):
        edge.submit(job(number, "heavy"))
        edge.submit(job(1000 + number, "light"), Priority.HIGH if number >= 190 else Priority.LOW)
    for _ in range(80):
        edge.step()
    owners = Counter("heavy" if int.from_bytes(j, "big") < 1000 else "light" for j in edge.begun[1:81])
    assert abs(owners["heavy"] - 60) <= 2
    light = [int.from_bytes(j, "big") for j in edge.begun if int.from_bytes(j, "big") >= 1000]
    assert light[:10] == list(range(1190, 1200))
    edge.submit(job(5000, "light"), Priority.URGENT)
    edge.step()
    assert edge.begun[-1] == job(5000, "light").job_id


def test_chunks_of_a_client_with_one_segment_do_not_wait_behind_anothers_many() -> None:
    m = EdgeMachine(workers=30, worker_attempts=3, max_unacked=1 << 40, finished_kept=10)
    flood = [replace(plan(k), client="flood") for k in range(1, 21)]
    for one in (*flood, single := replace(plan(99), client="single")):
        m.submit(one, 0)
    connect(m, credit=0)
    for one in (*flood, single):
        open_job(m, one)
        witness(m, one, sizes=(100,) * 8)
    m.credit(100 * 18)
    chunks = [c for c in sent(m) if isinstance(c, SendChunk)]
    assert Counter(c.job_id == single.job_id for c in chunks) == {True: 8, False: 10}
    assert [c.sequence for c in chunks if c.job_id == single.job_id] == list(range(8))


def test_a_job_that_the_cloud_has_no_room_for_waits_and_makes_no_more_witnesses() -> None:
    m = EdgeMachine(workers=1, worker_attempts=3, max_unacked=1 << 40, finished_kept=10)
    first, second = replace(plan(1, segments=3), client="a"), replace(plan(2), client="b")
    m.submit(first, 0)
    m.submit(second, 0)
    connect(m)
    for _ in range(20):
        m.refused(first.job_id, None, 0, Failure(Code.RESOURCE_EXHAUSTED, "full"), 5 * SECOND, 0, later=True)
    assert m.jobs[first.job_id].state is JobState.RUNNING
    started = of_kind(m.witness_finished(first.job_id, 0, 0, PUBLICS, [], 0), StartWitness)
    assert [s.job_id for s in started] == [second.job_id]
    assert not of_kind(m.witness_finished(second.job_id, 0, 0, PUBLICS, [], 0), StartWitness)
    assert not sent(m, 4 * SECOND)
    m.tick(6 * SECOND)
    assert [type(x).__name__ for x in sent(m, 6 * SECOND)] == ["SendOpen"]
    assert of_kind(open_job(m, first), StartWitness)
    m.refused(first.job_id, None, 0, Failure(Code.RESOURCE_EXHAUSTED, "never"), SECOND, 0)
    assert m.jobs[first.job_id].state is JobState.FAILED


# The cloud


def held(book: LeaseBook) -> list[bytes]:
    return sorted(k[0] for w in book.workers.values() for k in w.held)


def test_remote_workers_take_another_clients_task_next() -> None:
    book = LeaseBook(incarnation=1, budget=3, poison_losses=5, lease_nanos=15 * SECOND)
    book.enlist(b"w", "w", 2, 0)
    for number in range(FLOOD):
        book.advance((number.to_bytes(32, "big"), 0), CIRCUIT, 1, True, 0, share=Share("flood", Priority.HIGH))
    for _ in range(10):
        book.proved((held(book)[0], 0), b"w", 1.0, 0)
    book.advance((b"s" * 32, 0), CIRCUIT, 1, False, 0, share=Share("single", Priority.LOW))
    _, out = book.proved((held(book)[0], 0), b"w", 1.0, 0)
    assert [i.key[0] for i in out if isinstance(i, Grant)] == [b"s" * 32]


def test_urgent_tasks_go_ahead_and_priority_orders_a_clients_own() -> None:
    book = LeaseBook(incarnation=1, budget=3, poison_losses=5, lease_nanos=15 * SECOND)
    book.enlist(b"w", "w", 1, 0)
    kinds = [
        ("a", Priority.NORMAL),
        ("b", Priority.LOW),
        ("b", Priority.HIGH),
        ("a", Priority.URGENT),
        ("b", Priority.NORMAL),
    ]
    for number, (client, priority) in enumerate(kinds):
        book.advance((bytes([number]) * 32, 0), CIRCUIT, 1, True, 0, share=Share(client, priority))
    order = []
    while book.tasks:
        key = (held(book)[0], 0)
        order.append(key[0][0])
        book.proved(key, b"w", 1.0, 0)
    assert order == [0, 3, 2, 4, 1]


class Chunks:
    """A prover's work without any proof: what the executor would have done, in order."""

    def __init__(self, max_open: int = 64) -> None:
        self.executor = Executor(
            keys=None, source=None, backend=None, workers=0, max_open=max_open,  # type: ignore[arg-type]
            on_leaf=lambda *_: None, on_broken=lambda *_: None,
        )  # fmt: skip

    def put(
        self, number: int, client: str, chunks: int, *, complete: bool = True, priority: Priority = Priority.NORMAL
    ) -> None:
        key = (number.to_bytes(32, "big"), 0)
        self.executor.advance(key, 1, CIRCUIT, chunks, complete, Share(client, priority))

    def step(self) -> int | None:
        """One step of the next segment; its finish takes it away."""
        work = self.executor._pick()
        if work is None:
            return None
        if work.consumed < work.available:
            work.consumed += 1
        else:
            self.executor.discard(work.key, work.token)
        return int.from_bytes(work.key[0], "big")


def test_the_cloud_gives_a_client_with_one_job_every_second_step() -> None:
    prover = Chunks()
    for number in range(FLOOD):
        prover.put(number, "flood", 4)
    for _ in range(30):
        prover.step()
    prover.put(FLOOD, "single", 4)
    steps = [prover.step() for _ in range(11)]
    assert steps[0] == FLOOD
    assert steps.count(FLOOD) == 5, "four chunks and the finish"


def test_open_segments_that_stall_give_way_to_a_client_that_has_none() -> None:
    prover = Chunks(max_open=8)
    for number in range(8):
        prover.put(number, "flood", 1, complete=False)
    assert sorted(prover.step() for _ in range(8)) == list(range(8))  # type: ignore[type-var]
    prover.put(8, "flood", 1, complete=False)
    assert prover.step() is None, "its own client has them all"
    prover.put(9, "single", 1, complete=False)
    assert prover.step() == 9
    assert len(prover.executor._open) == 8


def test_the_local_worker_takes_what_comes_and_orders_it_itself() -> None:
    book = LeaseBook(incarnation=1, budget=3, poison_losses=5, lease_nanos=15 * SECOND)
    book.enlist(LOCAL, "local", 1, 0, bounded=False)
    out = book.advance((b"s" * 32, 0), CIRCUIT, 1, True, 0, share=Share("single", Priority.HIGH))
    (grant,) = [i for i in out if isinstance(i, Grant)]
    assert grant.share == Share("single", Priority.HIGH)
    assert threading.active_count() < 50
