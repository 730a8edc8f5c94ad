"""Ordered streams under churn: two edges and a cloud, cut and killed between any two steps, and clocks that jump.

Whatever happens, every job ends once and alike at edge and cloud, no chunk is sent after its ack, no more than the
credit is under way, memory stays within it, and what was told is durable. `churn_sim` checks these at every step.
"""

from __future__ import annotations

import pytest
from churn_sim import SECOND, SIZE, SLICES, WINDOW, CloudSim, EdgeSim
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloud import messages as m
from edge.model import JobState, Placement, SegmentState
from hybrid_prover.v1 import job_pb2

EDGES = st.integers(0, 1)
FEW = st.integers(1, 12)
HOUR = 3600 * SECOND
JOB = b"j" * 32
MAX_TAMPERED = 4
"""An edge gives a segment up after nine refusals without progress; that is not what is tested here."""


class Churn(RuleBasedStateMachine):
    """Everything that can happen."""

    @initialize()
    def begin(self) -> None:
        self.cloud = CloudSim()
        self.edges = [EdgeSim(self.cloud, name) for name in (1, 2)]
        self.jobs = 0
        self.tampered = 0

    @precondition(lambda self: self.jobs < 4)
    @rule(edge=EDGES, segments=st.integers(1, 3), placement=st.sampled_from([1, 1, 2, 3]), poison=st.booleans())
    def submit(self, edge: int, segments: int, placement: int, poison: bool) -> None:
        self.jobs += 1
        poison = poison and self.jobs % 2 == 0
        self.edges[edge].submit(bytes([self.jobs]) * 32, segments, Placement(placement), poison)

    @rule(edge=EDGES, steps=FEW)
    def work(self, edge: int, steps: int) -> None:
        for _ in range(steps):
            self.edges[edge].work()

    @rule(edge=EDGES, steps=FEW)
    def write(self, edge: int, steps: int) -> None:
        for _ in range(steps):
            self.edges[edge].write()

    @rule(edge=EDGES, steps=FEW)
    def to_cloud(self, edge: int, steps: int) -> None:
        for _ in range(steps):
            if (link := self.edges[edge].link) is not None:
                link.to_cloud()

    @rule(edge=EDGES, steps=FEW)
    def to_edge(self, edge: int, steps: int) -> None:
        for _ in range(steps):
            if (link := self.edges[edge].link) is not None:
                link.to_edge()
            self.edges[edge].fetch()

    @rule(edge=EDGES, steps=FEW)
    def everything(self, edge: int, steps: int) -> None:
        """Some steps of the usual course, so that long runs get far."""
        for _ in range(steps):
            self._usual(self.edges[edge])

    @rule(steps=FEW)
    def disks(self, steps: int) -> None:
        for _ in range(steps):
            self.cloud.commit()
            self.cloud.sync()

    @rule()
    def provers(self) -> None:
        self.cloud.prove()
        self.cloud.batch()

    @rule(edge=EDGES)
    def connect(self, edge: int) -> None:
        self.edges[edge].connect()

    @rule(edge=EDGES)
    def cut(self, edge: int) -> None:
        if (link := self.edges[edge].link) is not None:
            link.cut()

    @rule(edge=EDGES, steps=st.integers(0, 5))
    def the_cloud_hears_an_old_connection(self, edge: int, steps: int) -> None:
        for link in self.edges[edge].old:
            for _ in range(steps):
                link.to_cloud()

    @rule(edge=EDGES)
    def the_cloud_notices(self, edge: int) -> None:
        for link in self.edges[edge].old:
            link.cloud_ended()
        self.edges[edge].old.clear()

    @rule()
    def kill_cloud(self) -> None:
        self.cloud.crash()

    @rule(edge=EDGES)
    def kill_edge(self, edge: int) -> None:
        self.edges[edge].crash()

    @rule(edge=EDGES)
    def kill_witness_worker(self, edge: int) -> None:
        if not any(s.crashes for j in self.edges[edge].machine.jobs.values() for s in j.segments):
            self.edges[edge].lose_worker()

    @precondition(lambda self: self.tampered < MAX_TAMPERED)
    @rule(edge=EDGES, how=st.sampled_from(["twice", "lost", "altered", "other content"]))
    def tamper(self, edge: int, how: str) -> None:
        """What TCP and TLS keep from happening; the machines stand it all the same."""
        link = self.edges[edge].link
        if link is None or not link.up or not link.up[0].HasField("chunk"):
            return
        self.tampered += 1
        if how == "twice":
            link.up.insert(1, link.up[0])
        elif how == "lost":
            link.up.popleft()
        else:
            link.up[0].chunk.payload = bytes(reversed(link.up[0].chunk.payload))
            link.up[0].chunk.wire_offset ^= how == "other content"

    @rule(edge=EDGES, seconds=st.sampled_from([0.5, 5, 60, 3600]))
    def the_edges_time_goes_on(self, edge: int, seconds: float) -> None:
        self.edges[edge].now += int(seconds * SECOND)
        self.edges[edge].tick()

    @rule(hours=st.sampled_from([-10_000, -1, 1, 100, 10_000]))
    def the_clouds_clock_jumps(self, hours: int) -> None:
        self.cloud.now += hours * HOUR
        self.cloud.machine.clock_set(hours * HOUR)
        self.cloud.post(m.Tick())

    @rule(edge=EDGES, job=st.integers(1, 4))
    def cancel(self, edge: int, job: int) -> None:
        at, job_id = self.edges[edge], bytes([job]) * 32
        if job == 3 and job_id in at.machine.jobs:
            at._apply(at.machine.cancel(job_id, at.now))

    @invariant()
    def the_books_are_right(self) -> None:
        if not hasattr(self, "edges"):
            return
        self.cloud.check()
        for edge in self.edges:
            edge.check()
            if edge.link is not None:
                under_way = sum(len(r.chunk.payload) for r in edge.link.up)
                session = self.cloud.machine.sessions.known(edge.session)
                assert under_way + (session.in_flight if session and not edge.old else 0) <= WINDOW + 2 * SIZE

    def _usual(self, edge: EdgeSim) -> None:
        edge.connect()
        edge.work()
        edge.write()
        if (link := edge.link) is not None:
            link.to_cloud()
        self.cloud.commit()
        self.cloud.sync()
        self.cloud.prove()
        self.cloud.batch()
        if edge.link is not None:
            edge.link.to_edge()
        edge.fetch()

    def teardown(self) -> None:
        if not hasattr(self, "edges"):
            return
        for link in [link for edge in self.edges for link in edge.old]:
            link.cloud_ended()
        for step in range(3000):
            for edge in self.edges:
                self._usual(edge)
                self._usual(edge)
                if step % 5 == 0:
                    edge.now += SECOND
                    edge.tick()
            if step % 20 == 0 and self._settled():
                break
        for edge in self.edges:
            edge.check()
            for job_id, (plan, _) in edge.plans.items():
                job = edge.machine.jobs[job_id]
                wanted = JobState.FAILED if any(k[0] == job_id for k in edge.poison) else JobState.DONE
                assert job.state is wanted or (job.state is JobState.CANCELLED and job_id == bytes([3]) * 32), job
                at_cloud = self.cloud.saved.get(job_id)
                if at_cloud is not None:
                    # A cancel may come when the cloud is done.
                    late = job.state is JobState.CANCELLED and at_cloud.state == job_pb2.JOB_STATE_DONE
                    assert late or int(at_cloud.state) == int(job.state), (at_cloud, job)
                if job.state is JobState.DONE:
                    assert at_cloud is not None
                    assert len(at_cloud.segments) == len(plan.segments)
                    assert all(s.state == job_pb2.SEGMENT_STATE_VERIFIED for s in at_cloud.segments)
        assert not self.cloud.logs or not any(self.cloud.logs.values()), "nothing is kept of jobs that are over"

    def _settled(self) -> bool:
        over = all(
            j.state is not JobState.RUNNING and not j.closing for e in self.edges for j in e.machine.jobs.values()
        )
        return (
            over and not self.cloud.disk and not self.cloud.saves and not any(e.link and e.link.up for e in self.edges)
        )


Churn.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
test_streams_under_churn = pytest.mark.filterwarnings("ignore")(Churn.TestCase)


def a_pair() -> tuple[CloudSim, EdgeSim]:
    cloud = CloudSim()
    return cloud, EdgeSim(cloud, 1)


def test_a_proof_that_is_being_saved_is_not_told_to_an_edge_that_comes_back() -> None:
    """Found by the state machine: it was told from memory, and made again after the cloud was killed."""
    cloud, edge = a_pair()
    edge.submit(JOB, 1, Placement.CLOUD, poison=False)
    while not cloud.provable:
        step(cloud, edge)
    cloud.prove()
    assert cloud.saves
    assert edge.link is not None
    edge.link.cut()
    edge.connect()
    for _ in range(5):
        edge.link.to_cloud()
        edge.link.to_edge()
        edge.write()
    opened = cloud.machine.jobs[JOB].segments[0]
    assert opened.leaf is not None
    assert not edge.machine.jobs[JOB].segments[0].leaf
    while cloud.saves:
        cloud.commit()
    while edge.link.down:
        edge.link.to_edge()
    assert edge.machine.jobs[JOB].segments[0].leaf


def test_segments_that_were_verified_before_an_edge_was_restarted_hold_no_witness_back() -> None:
    """Found by the state machine: their chunks counted as not acknowledged until the whole job ended."""
    cloud, edge = a_pair()
    edge.submit(JOB, 4, Placement.CLOUD, poison=False)
    while sum(s.state >= SegmentState.VERIFIED for s in edge.machine.jobs[JOB].segments) < 3:
        step(cloud, edge, proving=True)
    edge.crash()
    assert edge.machine.unacked_bytes >= 3 * len(SLICES) * SIZE
    while not edge.machine.jobs[JOB].opened:
        step(cloud, edge)
    assert edge.machine.unacked_bytes <= len(SLICES) * SIZE


def step(cloud: CloudSim, edge: EdgeSim, *, proving: bool = False) -> None:
    """A little of everything."""
    edge.connect()
    edge.work()
    edge.write()
    assert edge.link is not None
    edge.link.to_cloud()
    cloud.commit()
    cloud.sync()
    edge.link.to_edge()
    if proving:
        cloud.prove()
        cloud.batch()
