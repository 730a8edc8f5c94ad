"""Assemblies in the machines of cloud and edge: what is saved before what is begun and told, restarts, late answers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cloud import messages as m
from cloud.assembling import ENDED_KEPT, MAX_STARTS
from cloud.assembly import CANCELLED, DONE, FAILED, RUNNING, Assembly, Shelf, assembly_id, members_of, plan
from cloud.errors import make_status, reason_of
from cloud.machine import Machine
from cloud.model import JOB_CANCELLED, JOB_DONE, JOB_FAILED, VERIFIED, CircuitInfo, Job, Segment, job_view
from cloud.model import RUNNING as JOB_RUNNING
from cloud.sessions import Sessions
from edge import requests
from edge.machine import EdgeMachine
from edge.model import Code, JobPlan, JobState, Placement, SegmentPlan
from edge.spool import CircuitRecord
from hybrid_prover.v1 import assembly_pb2, common_pb2, job_pb2, uplink_pb2
from prover_core.errors import InvalidInputError

CIRCUITS = (CircuitInfo(b"a" * 32, 40, 2), CircuitInfo(b"b" * 32, 40, 2))
JOB = b"j" * 32
SHELF = Shelf(makes=True, places=8)
RESULT = assembly_pb2.AssemblyResult(assembly_id=b"x" * 32)
NOW = 1_700_000_000_000_000_000


def leaf(*publics: int) -> common_pb2.LeafProof:
    proof = common_pb2.Groth16Proof(a=bytes(64), b=bytes(128), c=bytes(64))
    return common_pb2.LeafProof(proof=proof, public_signals=[p.to_bytes(32, "big") for p in publics])


def options(chain: tuple[int, int] | None = None) -> assembly_pb2.AssemblyOptions:
    made = assembly_pb2.AssemblyOptions()
    if chain is not None:
        made.chain.CopyFrom(assembly_pb2.AssemblyChain(out=chain[0], into=chain[1]))
    return made


class Cloud:
    """A machine with one edge that brings leaf proofs."""

    def __init__(self) -> None:
        self.machine = Machine(Sessions(4096, 1024, 8192, 1000), max_chunk_bytes=1024, max_segments=64)
        self.machine.shelf = SHELF
        for circuit in CIRCUITS:
            self.post(m.CircuitKnown(circuit))
        hello = uplink_pb2.Hello(session_id=b"s" * 16, edge_name="edge", protocol_version=1)
        self.edge(hello=hello)

    def post(self, event: m.Event) -> list[m.Instruction]:
        out = self.machine.handle(event, NOW)
        for x in out:
            if isinstance(x, m.SaveJob):
                self.machine.handle(m.JobSaved(x.job.job_id), NOW)
        return out

    def edge(self, **message: object) -> list[m.Instruction]:
        return self.post(m.Received(1, uplink_pb2.UplinkRequest(**message)))

    def open(self, count: int, wish: assembly_pb2.AssemblyOptions | None, job: bytes = JOB) -> list[m.Instruction]:
        message = uplink_pb2.OpenJob(
            job_id=job,
            placement=common_pb2.PLACEMENT_PRIVATE,
            circuits=[CIRCUITS[i % 2 if wish and not wish.HasField("chain") else 0].digest for i in range(count)],
            assembly=wish,
        )
        return self.edge(open_job=message)

    def prove(self, segment: int, *publics: int, job: bytes = JOB) -> list[m.Instruction]:
        self.edge(segment_proof=uplink_pb2.SegmentProof(job_id=job, segment=segment, leaf=leaf(*publics)))
        timing = common_pb2.PhaseTiming(phase="verify")
        return self.post(m.BatchChecked(b"i" * 32, ((job, segment),), (), timing))

    @property
    def job(self) -> Job:
        return self.machine.jobs[JOB]

    @property
    def assembly(self) -> Assembly:
        assert self.job.assembly is not None
        return self.job.assembly


def kinds(out: Sequence[m.Instruction]) -> list[str]:
    return [type(x).__name__ for x in out]


def proved(wish: assembly_pb2.AssemblyOptions | None = None) -> tuple[Cloud, list[m.Instruction]]:
    """A job of three segments whose leaf proofs are all verified, and the last answer."""
    cloud = Cloud()
    cloud.open(3, wish or options())
    for i in (2, 0):
        out = cloud.prove(i, 5, 6)
        (given,) = [x for x in out if isinstance(x, m.Assemble)]
        assert (list(given.leaves), given.complete) == ([i], False)
        assert kinds(out).index("SaveSegment") < kinds(out).index("Assemble"), "committed to when it is durable"
    return cloud, cloud.prove(1, 5, 6)


def test_a_job_is_done_when_its_assembly_is_and_both_are_saved_before_anybody_hears() -> None:
    cloud, out = proved()
    assert cloud.job.state == JOB_RUNNING
    begun = [i for i, x in enumerate(out) if isinstance(x, m.Assemble) and x.complete]
    assert kinds(out).index("SaveAssembly") < begun[0]
    told = [x.response.job_update for x in out if isinstance(x, m.Send) and x.response.HasField("job_update")]
    assert [t.assembling.leaves for t in told] == [3]
    assert cloud.assembly.nodes == 3
    cloud.post(m.AssemblyMoved(cloud.assembly.assembly_id, 2, 1, ()))
    assert (job_view(cloud.job).assembly.committed, job_view(cloud.job).assembly.nodes_proved) == (2, 1)
    out = cloud.post(m.AssemblyMade(cloud.assembly.assembly_id, RESULT, ()))
    assert (cloud.job.state, cloud.assembly.state) == (JOB_DONE, DONE)
    names = kinds(out)
    last_save = max(i for i, x in enumerate(out) if isinstance(x, m.SAVES))
    assert {"SaveAssembly", "SaveState"} <= set(names[: last_save + 1])
    done = [x.response.job_update.done for x in out if isinstance(x, m.Send)]
    assert [d.assembly for d in done] == [RESULT]
    # An edge that was away hears it when it opens the job again.
    again = [x.response for x in cloud.open(3, options()) if isinstance(x, m.Send)]
    assert again[-1].job_update.done.assembly == RESULT


def test_the_same_job_with_another_wish_is_another_job() -> None:
    cloud = Cloud()
    cloud.open(3, options())
    for wish in (None, options((0, 1))):
        (answer,) = [x.response for x in cloud.open(3, wish) if isinstance(x, m.Send)]
        assert reason_of(answer.refused.error) == "JOB_CONFLICT"


@pytest.mark.parametrize("state", [JOB_CANCELLED, JOB_FAILED])
def test_an_ended_job_stops_its_assembly_and_late_answers_change_nothing(state: int) -> None:
    cloud, _ = proved()
    error = make_status(13, "no", reason="NO")
    if state == JOB_CANCELLED:
        out = cloud.post(m.Cancel(JOB))
    else:
        out = cloud.post(m.AssemblyBroken(cloud.assembly.assembly_id, error))
    assert kinds(out)[0] == "StopAssembly", "work stops before anything is saved"
    assert cloud.job.state == state
    assert cloud.assembly.state == (CANCELLED if state == JOB_CANCELLED else FAILED)
    revision = cloud.job.revision
    for late in (
        m.AssemblyMade(cloud.assembly.assembly_id, RESULT, ()),
        m.AssemblyBroken(cloud.assembly.assembly_id, error),
        m.AssemblyMoved(cloud.assembly.assembly_id, 3, 2, ()),
    ):
        assert cloud.post(late) == []
    assert (cloud.job.state, cloud.job.revision, cloud.assembly.result) == (state, revision, None)


def restored(job: Job) -> tuple[Machine, list[m.Instruction]]:
    """The same job after a restart."""
    machine = Machine(Sessions(4096, 1024, 8192, 1000), max_chunk_bytes=1024, max_segments=64)
    machine.shelf = SHELF
    return machine, machine.restore(job)


def test_after_a_restart_it_starts_from_the_leaf_proofs_but_not_for_ever() -> None:
    cloud, _ = proved()
    job, revision = cloud.job, cloud.job.revision
    for start in range(2, MAX_STARTS + 1):
        assert job.assembly is not None
        job.assembly.work = None
        _, out = restored(job)
        (given,) = [x for x in out if isinstance(x, m.Assemble)]
        assert (sorted(given.leaves), given.complete, job.assembly.starts) == ([0, 1, 2], True, start)
        assert job.revision > revision, "what watchers see never goes back"
        revision = job.revision
    _, out = restored(job)
    assert job.state == JOB_FAILED
    assert job.error is not None
    assert reason_of(job.error) == "ASSEMBLY_QUARANTINED"
    assert not [x for x in out if isinstance(x, m.Assemble)]


def test_a_restart_before_the_last_leaf_commits_to_those_that_are_there() -> None:
    cloud = Cloud()
    cloud.open(3, options())
    cloud.prove(1, 5, 6)
    _, out = restored(cloud.job)
    (given,) = [x for x in out if isinstance(x, m.Assemble)]
    assert (list(given.leaves), given.complete) == ([1], False)


def test_links_and_chains_are_checked_before_anything_is_proved() -> None:
    cloud, out = Cloud(), []
    cloud.open(2, options((0, 1)))
    for i in range(2):
        out = cloud.prove(i, 7, 8)
    assert cloud.job.state == JOB_FAILED
    assert cloud.job.error is not None
    assert reason_of(cloud.job.error) == "CHAIN_BROKEN"
    assert not [x for x in out if isinstance(x, m.Assemble) and x.complete]


def block(name: bytes) -> m.AssemblyAsked:
    segment = Segment(0, CIRCUITS[0], state=VERIFIED, leaf=leaf(1, 2))
    job = Job(name * 32, "done", common_pb2.PLACEMENT_CLOUD, [], [segment], state=JOB_DONE)
    assembly = Assembly(assembly_id([job.job_id], None), (job.job_id,), None, accepted_nanos=NOW)
    assembly.take(plan(members_of([job]), None, SHELF, "options"))
    return m.AssemblyAsked(assembly, {0: leaf(1, 2)})


def test_blocks_are_begun_once_cancelled_and_forgotten_in_time() -> None:
    cloud, asked = Cloud(), block(b"k")
    out = cloud.post(asked)
    assert kinds(out).index("SaveAssembly") < kinds(out).index("Assemble")
    assert cloud.post(block(b"k")) == [], "it runs already"
    known = asked.assembly.assembly_id
    out = cloud.post(m.CancelAssembly(known))
    assert kinds(out)[0] == "StopAssembly"
    assert cloud.machine.assemblies[known].state == CANCELLED
    assert cloud.post(m.CancelAssembly(known)) == []
    again = cloud.post(block(b"k"))
    assert [x for x in again if isinstance(x, m.Assemble)], "one that was cancelled goes again"
    for i in range(ENDED_KEPT + 20):
        other = block(bytes([i]))
        cloud.post(other)
        cloud.post(m.AssemblyMade(other.assembly.assembly_id, RESULT, ()))
    ended = [a for a in cloud.machine.assemblies.values() if a.state != RUNNING]
    assert len(ended) <= ENDED_KEPT + 1
    assert cloud.machine.assemblies[known].state == RUNNING, "one that runs stays"


def edge_with(assembly: bytes | None) -> EdgeMachine:
    machine = EdgeMachine(workers=1, worker_attempts=2, max_unacked=1 << 20, finished_kept=4)
    segments = (SegmentPlan(b"a" * 32, 40),)
    machine.submit(JobPlan(JOB, "job", Placement.CLOUD, segments, (), 64, "", assembly), NOW)
    return machine


def test_an_edge_fails_a_job_whose_cloud_knows_no_assemblies() -> None:
    machine = edge_with(b"")
    machine.job_done(JOB, NOW)
    job = machine.jobs[JOB]
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.code is Code.UNIMPLEMENTED


def test_an_edge_keeps_what_the_cloud_says_of_an_assembly_that_was_asked_for() -> None:
    machine, plain = edge_with(b""), edge_with(None)
    for one in (machine, plain):
        one.job_assembling(JOB, b"status")
    assert (machine.jobs[JOB].assembly_status, plain.jobs[JOB].assembly_status) == (b"status", b"")
    machine.job_done(JOB, NOW, b"result", b"last")
    assert (machine.jobs[JOB].assembly, machine.jobs[JOB].assembly_status) == (b"result", b"last")
    assert machine.jobs[JOB].state is JobState.RUNNING, "the leaf proof is missing here"


def test_what_is_asked_of_an_edge_is_part_of_the_job_and_fits_its_circuits() -> None:
    one = job_pb2.SubmitJobRequest(placement=common_pb2.PLACEMENT_CLOUD)
    ids = {requests.job_id(one, b"secret")}
    for wish in (options(), options((0, 1)), options((1, 0))):
        one.assembly.CopyFrom(wish)
        ids.add(requests.job_id(one, b"secret"))
    assert len(ids) == 4
    circuits = [CircuitRecord(name * 32, "c", b"", b"", 1, 9, 9, 2, False, ()) for name in (b"a", b"a", b"b")]
    one.assembly.CopyFrom(options((0, 1)))
    assert requests._assembly(one, circuits[:2]) == one.assembly.SerializeToString()
    for found, wish, field in (
        (circuits, options((0, 1)), "assembly.chain"),
        (circuits[:2], options((2, 0)), "assembly.chain.out"),
        (circuits[:2], options((0, 2)), "assembly.chain.into"),
    ):
        one.assembly.CopyFrom(wish)
        with pytest.raises(InvalidInputError) as caught:
            requests._assembly(one, found)
        assert caught.value.field == field
    one.assembly.CopyFrom(options())
    assert requests._assembly(one, circuits) == b"", "asked for without a chain"
    one.ClearField("assembly")
    assert requests._assembly(one, circuits) is None
