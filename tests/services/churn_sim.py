"""A cloud and edges that are only their machines, with simulated disks, lives and a network that loses connections.

What the daemons do around the machines (`cloud/runtime.py`, `edge/core.py`, `edge/uplink.py`) is done here step by step
at the caller's wish, so that anything can happen between any two steps. Every promise is checked where it is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace

from cloud import messages as m
from cloud.chunklog import Record, Recovered
from cloud.control import take_log
from cloud.machine import Machine
from cloud.model import OPEN_STATES, RUNNING, CircuitInfo, Job, Segment, SegmentKey
from cloud.sessions import Sessions
from edge import instructions as e
from edge.machine import EdgeMachine
from edge.model import Code, Failure, JobPlan, JobState, Placement, SegmentPlan
from edge.model import Job as EdgeJob
from edge.model import Segment as EdgeSegment
from edge.status import from_status, to_status
from hybrid_prover.v1 import common_pb2, uplink_pb2
from prover_core.formats.chunk import ENCODING_PACKED, chunk_digest, encode_chunk
from prover_core.types import FrVector

CIRCUIT = CircuitInfo(b"c" * 32, wires=40, n_public=1)
SLICES = [(8, 8), (16, 8), (24, 8), (32, 8), (0, 8)]
"""(offset, count) of a witness's chunks: the head comes last."""
MAX_CHUNK = 512
WINDOW = 1024
MEMORY = 2 * WINDOW
MAX_UNACKED = 2000
SECOND = 10**9
PUBLICS = bytes(31) + b"\x07"
LEAF = common_pb2.LeafProof(
    proof=common_pb2.Groth16Proof(a=bytes(64), b=bytes(128), c=bytes(64)), public_signals=[PUBLICS]
)


def make_chunk(job: bytes, segment: int, sequence: int) -> uplink_pb2.Chunk:
    """The same content gives the same chunk, however often it is made."""
    offset, count = SLICES[sequence]
    payload = encode_chunk(FrVector.from_ints([(1 << 200) + segment * 1000 + offset + i for i in range(count)]))
    place = (job, segment, sequence, offset, count, ENCODING_PACKED, payload)
    return uplink_pb2.Chunk(
        job_id=job, segment=segment, sequence=sequence, wire_offset=offset, wire_count=count,
        encoding=ENCODING_PACKED, payload=payload, digest=chunk_digest(*place),
    )  # fmt: skip


SIZE = len(make_chunk(b"j" * 32, 0, 0).payload)


class CloudSim:
    """The cloud's machine, its database and its logs. What is in `saved` and `logs` survives `crash`."""

    def __init__(self) -> None:
        self.saved: dict[bytes, Job] = {}
        self.logs: dict[SegmentKey, list[Record]] = {}
        self.log_ended: set[SegmentKey] = set()
        self.told: dict[SegmentKey, common_pb2.LeafProof] = {}
        """Leaf proofs that an edge was told of: they are durable, and stay."""
        self.ends: dict[bytes, set[int]] = {}
        """Ends of jobs that were told."""
        self.now = 1_700_000_000 * SECOND
        self.connections = 0
        self.links: dict[int, Link] = {}
        self.boot()

    def boot(self) -> None:
        """A new process: nothing in memory, unfinished jobs from the store."""
        sessions = Sessions(WINDOW, MAX_CHUNK, MEMORY, 1000)
        self.machine = Machine(sessions, max_chunk_bytes=MAX_CHUNK, max_segments=8)
        self.disk: deque[tuple[SegmentKey, Record | None]] = deque()
        self.saves: deque[tuple[list[Callable[[], None]], list[m.Instruction]]] = deque()
        self.provable: set[SegmentKey] = set()
        self.verifying: dict[SegmentKey, None] = {}
        self.post(m.CircuitKnown(CIRCUIT))
        for job in self.saved.values():
            if job.state == RUNNING:
                self._restore(job)

    def crash(self) -> None:
        """kill -9: connections end, what was not on disk is gone."""
        for link in list(self.links.values()):
            link.cut()
            link.cloud_ended()
        self.boot()

    def _restore(self, saved: Job) -> None:
        job = copy(saved)
        job.subscribers, job.segments = set(), []
        job.active_nanos = self.now
        for s in saved.segments:
            fresh = Segment(s.index, s.circuit, s.state, received=s.acked, acked=s.acked, wires_acked=s.wires_acked)
            fresh.ended, fresh.leaf, fresh.batch_id, fresh.error = s.ended, s.leaf, s.batch_id, s.error
            if fresh.state in OPEN_STATES:
                key = (job.job_id, s.index)
                take_log(fresh, Recovered(list(self.logs.get(key, [])), key in self.log_ended))
            job.segments.append(fresh)
        self._apply(self.machine.restore(job))

    def post(self, event: m.Event) -> None:
        """One event, and what follows from it at once."""
        self._apply(self.machine.handle(event, self.now))
        self.check()

    def receive(self, connection: int, request: uplink_pb2.UplinkRequest) -> None:
        """A message as it comes from the wire; an ended job is taken from the store first."""
        job_id = request.open_job.job_id
        if request.HasField("open_job") and job_id not in self.machine.jobs and job_id in self.saved:
            self._restore(self.saved[job_id])
        self.post(m.Received(connection, request))

    def _apply(self, instructions: list[m.Instruction]) -> None:
        first = next((i for i, x in enumerate(instructions) if isinstance(x, m.SAVES)), len(instructions))
        for instruction in instructions[:first]:
            self._carry_out(instruction)
        if rest := instructions[first:]:
            self.saves.append(([w for x in rest if (w := self._write(x)) is not None], rest))

    def _write(self, instruction: m.Instruction) -> Callable[[], None] | None:
        """What a save writes, as it is now."""
        if not isinstance(instruction, m.SaveJob | m.SaveSegment | m.SaveState):
            return None
        row = copy(instruction.job)
        row.edges, row.subscribers = set(row.edges), set()
        segments = instruction.job.segments if isinstance(instruction, m.SaveJob) else []
        segments = [instruction.segment] if isinstance(instruction, m.SaveSegment) else segments
        copies = {s.index: copy(s) for s in segments}

        def write() -> None:
            before = (
                self.saved[row.job_id].segments if row.job_id in self.saved else [copies[i] for i in sorted(copies)]
            )
            row.segments = [copies.get(s.index, s) for s in before]
            self.saved[row.job_id] = row

        return write

    def commit(self) -> None:
        """The database finishes one transaction; what waited for it goes on."""
        if self.saves:
            writes, rest = self.saves.popleft()
            for write in writes:
                write()
            for instruction in rest:
                if isinstance(instruction, m.SaveJob):
                    self.post(m.JobSaved(instruction.job.job_id))
                elif not isinstance(instruction, m.SAVES):
                    self._carry_out(instruction)

    def sync(self) -> None:
        """The disk finishes one record."""
        if self.disk:
            key, record = self.disk.popleft()
            log = self.logs.setdefault(key, [])
            if record is not None:
                assert record.sequence == len(log), "chunks are written in order, each once"
                log.append(record)
            else:
                self.log_ended.add(key)
            self.post(m.ChunksDurable(key, len(log), key in self.log_ended))

    def prove(self) -> None:
        """The prover finishes a segment that it has the whole witness of."""
        if self.provable:
            key = min(self.provable)
            self.provable.discard(key)
            assert key not in self.told, "what was proved and told is not proved again"
            self.post(m.LeafProved(key, LEAF, ()))

    def batch(self) -> None:
        """A batch of all that wait is verified."""
        if self.verifying:
            good, self.verifying = tuple(self.verifying), {}
            self.post(m.BatchChecked(b"b" * 32, good, (), common_pb2.PhaseTiming(phase="verify")))

    def _carry_out(self, instruction: m.Instruction) -> None:
        match instruction:
            case m.Send():
                self._told(instruction.response)
                if (link := self.links.get(instruction.connection)) is not None:
                    link.down.append(instruction.response)
            case m.Close():
                if (link := self.links.get(instruction.connection)) is not None:
                    link.closing = True
            case m.AppendChunk(c, origin):
                record = Record(c.sequence, c.wire_offset, c.wire_count, c.encoding, c.digest, c.payload, b"", origin)
                self.disk.append(((c.job_id, c.segment), record))
            case m.AppendEnd():
                self.disk.append((instruction.key, None))
            case m.Advance():
                assert instruction.chunks <= len(self.logs.get(instruction.key, [])), "the prover reads what is durable"
                if instruction.complete:
                    self.provable.add(instruction.key)
            case m.Verify():
                self.verifying[instruction.key] = None
            case m.Discard() | m.Stop():
                self.provable.discard(instruction.key)
                self.verifying.pop(instruction.key, None)
                if isinstance(instruction, m.Discard):
                    self.logs.pop(instruction.key, None)
                    self.log_ended.discard(instruction.key)
                    self.disk = deque(item for item in self.disk if item[0] != instruction.key)
            case _:
                pass

    def _told(self, response: uplink_pb2.UplinkResponse) -> None:
        """Nothing is said before it is durable, and nothing is said otherwise a second time."""
        match response.WhichOneof("message"):
            case "ack":
                ack = response.ack
                segment = self.machine.jobs[ack.job_id].segments[ack.segment]
                durable = len(self.logs.get((ack.job_id, ack.segment), []))
                assert segment.state not in OPEN_STATES or ack.next_sequence <= durable, "acked is durable"
            case "segment_update" if response.segment_update.HasField("proved"):
                update = response.segment_update
                saved = self.saved[update.job_id].segments[update.segment]
                assert saved.leaf == update.proved, "a proof that is told is durable"
                self.told[update.job_id, update.segment] = update.proved
            case "job_update":
                update = response.job_update
                ends = self.ends.setdefault(update.job_id, set())
                ends.add(self.saved[update.job_id].state)
                assert len(ends) == 1, "a job ends once"
            case _:
                pass

    def check(self) -> None:
        """The credit's books, and what they are for: memory."""
        held: dict[bytes, int] = {}
        for _, record in self.disk:
            if record is not None:
                held[record.origin] = held.get(record.origin, 0) + len(record.payload)
        for s in self.machine.sessions.all():
            assert min(s.outstanding, s.in_flight, s.owed) >= 0
            assert s.connection is None or s.outstanding + s.in_flight + s.owed == s.window
            assert held.get(s.session_id, 0) <= s.in_flight <= s.window
        assert self.machine.sessions.reserved <= MEMORY
        assert sum(held.values()) <= MEMORY, "memory is bounded however slow the disk is"


@dataclass
class Link:
    """One connection: messages under way in both directions, and who still believes in it."""

    cloud: CloudSim
    edge: EdgeSim
    number: int = 0
    up: deque[uplink_pb2.UplinkRequest] = field(default_factory=deque)
    down: deque[uplink_pb2.UplinkResponse] = field(default_factory=deque)
    closing: bool = False
    """The cloud ends it once all is written."""
    at_edge: bool = True

    def __post_init__(self) -> None:
        self.cloud.connections += 1
        self.number = self.cloud.connections
        self.cloud.links[self.number] = self

    def cut(self) -> None:
        """The edge notices at once; the cloud may still hear what is under way, and not notice for a while."""
        if self.at_edge:
            self.at_edge = False
            self.down.clear()
            self.edge.disconnected()

    def cloud_ended(self) -> None:
        """The cloud notices as well."""
        if self.cloud.links.pop(self.number, None) is not None:
            self.up.clear()
            self.cloud.post(m.Disconnected(self.number))

    def to_cloud(self) -> None:
        """One message arrives at the cloud."""
        if self.up and self.number in self.cloud.links and not self.closing:
            self.cloud.receive(self.number, self.up.popleft())

    def to_edge(self) -> None:
        """One message arrives at the edge; after the last one the connection ends if the cloud wants that."""
        if self.down and self.at_edge:
            self.edge.hear(self.down.popleft())
        elif self.closing:
            self.cut()
            self.cloud_ended()


class EdgeSim:
    """An edge's machine, its spool and its workers. Plans, rows and chunk files survive `crash`."""

    def __init__(self, cloud: CloudSim, name: int) -> None:
        self.cloud = cloud
        self.session = bytes([name]) * 16
        self.plans: dict[bytes, tuple[JobPlan, int]] = {}
        self.poison: set[tuple[bytes, int]] = set()
        """Segments whose witness breaks a constraint."""
        self.rows: dict[bytes, EdgeJob] = {}
        self.segment_rows: dict[tuple[bytes, int], EdgeSegment] = {}
        self.files: dict[tuple[bytes, int], int] = {}
        """Chunks on disk."""
        self.acks: dict[tuple[bytes, int], int] = {}
        """The highest ack heard in any life."""
        self.now = SECOND
        self.link: Link | None = None
        self.old: list[Link] = []
        self.boot()

    def boot(self) -> None:
        """A new process: everything as the spool has it."""
        self.machine = EdgeMachine(workers=2, worker_attempts=3, max_unacked=MAX_UNACKED, finished_kept=100)
        self.working: dict[tuple[bytes, int], int] = {}
        self.fetching: list[bytes] = []
        self.allowed = 0
        self.welcomed = False
        for job_id in self.plans:
            self._apply(self.machine.restore(self._from_spool(job_id), self.now))

    def crash(self) -> None:
        """kill -9."""
        if self.link is not None:
            self.link.cut()
        self.boot()

    def _from_spool(self, job_id: bytes) -> EdgeJob:
        plan, accepted = self.plans[job_id]
        job = EdgeJob(plan, [], accepted, 0)
        if (row := self.rows.get(job_id)) is not None:
            job.state, job.failure, job.ended, job.revision = row.state, row.failure, row.ended, row.revision
            job.known_to_cloud, job.closing = row.known_to_cloud, row.closing
        for index, planned in enumerate(plan.segments):
            s = EdgeSegment(index, planned.circuit, planned.wires)
            if (saved := self.segment_rows.get((job_id, index))) is not None:
                s = replace(s, state=saved.state, failure=saved.failure, leaf=saved.leaf, publics=saved.publics)
                s = replace(s, chunk_count=saved.chunk_count, crashes=saved.crashes, wires_acked=saved.wires_acked)
            if job.state is JobState.RUNNING and not job.private:
                there = self.files.get((job_id, index), 0)
                s.chunk_bytes, s.chunk_wires = [SIZE] * there, [count for _, count in SLICES[:there]]
            job.segments.append(s)
        return job

    # Clients and workers

    def submit(self, job_id: bytes, segments: int, placement: Placement, poison: bool) -> None:
        """A job whose last segment is poisonous, if any is."""
        plan = JobPlan(job_id, "n", placement, (SegmentPlan(CIRCUIT.digest, CIRCUIT.wires),) * segments, (), 64)
        self.plans[job_id] = (plan, self.now)
        if poison:
            self.poison.add((job_id, segments - 1))
        self._apply(self.machine.submit(plan, self.now))

    def work(self) -> None:
        """A worker makes one more chunk of a witness, or ends."""
        if not self.working:
            return
        key = next(iter(self.working))
        made = self.working.pop(key)
        private = self.plans[key[0]][0].placement is Placement.PRIVATE
        if key in self.poison and made == 2:
            self._apply(self.machine.witness_failed(*key, Failure(Code.FAILED_PRECONDITION, "poison"), self.now))
        elif made < len(SLICES):
            self.working[key] = made + 1
            if not private:
                self.files[key] = max(self.files.get(key, 0), made + 1)
                self._apply(self.machine.chunk_ready(*key, made, SIZE, SLICES[made][1], self.now))
        elif private:
            self._apply(self.machine.proof_ready(*key, LEAF.SerializeToString(), PUBLICS, [], self.now))
        else:
            self._apply(self.machine.witness_finished(*key, made, PUBLICS, [], self.now))

    def lose_worker(self) -> None:
        """A witness worker is killed."""
        if self.working:
            key = next(iter(self.working))
            del self.working[key]
            self._apply(self.machine.worker_died(*key, Failure(Code.INTERNAL, "killed"), self.now))

    def tick(self) -> None:
        self._apply(self.machine.tick(self.now))

    # The uplink

    def connect(self) -> None:
        """A new connection, whose first message is on its way; an older one is noticed by the cloud when it is."""
        if self.link is None:
            self.link = Link(self.cloud, self)
            self.welcomed = False
            hello = uplink_pb2.Hello(session_id=self.session, edge_name="e", protocol_version=1)
            self.link.up.append(uplink_pb2.UplinkRequest(hello=hello))

    def disconnected(self) -> None:
        assert self.link is not None
        self.old.append(self.link)
        self.link, self.allowed, self.fetching = None, 0, []
        self._apply(self.machine.uplink_down(self.now))

    def write(self) -> None:
        """The next message goes on its way."""
        if self.link is not None and self.welcomed and (message := self.machine.next_message(self.now)) is not None:
            self.link.up.append(self._request(message))

    def _request(self, message: e.Message) -> uplink_pb2.UplinkRequest:
        job = self.machine.jobs[message.job_id]
        match message:
            case e.SendOpen():
                opened = uplink_pb2.OpenJob(
                    job_id=job.id,
                    placement=int(job.plan.placement),  # type: ignore[arg-type]
                    circuits=[s.circuit for s in job.segments],
                    submission=job.accepted,
                )
                return uplink_pb2.UplinkRequest(open_job=opened)
            case e.SendChunk():
                key = (message.job_id, message.segment)
                assert message.sequence >= self.acks.get(key, 0), "what was acked is not sent again"
                self.allowed -= SIZE
                assert self.allowed >= 0, "no more is sent than was granted"
                return uplink_pb2.UplinkRequest(chunk=make_chunk(*key, message.sequence))
            case e.SendEnd():
                count = job.segments[message.segment].chunk_count
                end = uplink_pb2.SegmentEnd(job_id=job.id, segment=message.segment, chunk_count=count)
                return uplink_pb2.UplinkRequest(segment_end=end)
            case e.SendProof():
                proof = uplink_pb2.SegmentProof(job_id=job.id, segment=message.segment)
                proof.leaf.ParseFromString(job.segments[message.segment].leaf)
                return uplink_pb2.UplinkRequest(segment_proof=proof)
            case e.SendFailure():
                error = to_status(message.failure)
                failed = uplink_pb2.SegmentFailure(job_id=job.id, segment=message.segment, error=error)
                return uplink_pb2.UplinkRequest(segment_failure=failed)
            case _:
                error = to_status(job.failure) if job.failure is not None else None
                return uplink_pb2.UplinkRequest(abort_job=uplink_pb2.AbortJob(job_id=job.id, error=error))

    def hear(self, answer: uplink_pb2.UplinkResponse) -> None:
        """One message of the cloud."""
        machine, now = self.machine, self.now
        match answer.WhichOneof("message"):
            case "welcome":
                self.welcomed, self.allowed = True, answer.welcome.credit_bytes
                self._apply(machine.uplink_up(self.allowed, answer.welcome.max_chunk_bytes, now))
            case "job_opened":
                opened = answer.job_opened
                positions = [(p.next_sequence, p.complete) for p in opened.positions]
                self._apply(machine.job_opened(opened.job_id, positions, now))
            case "ack":
                key = (answer.ack.job_id, answer.ack.segment)
                self.acks[key] = max(self.acks.get(key, 0), answer.ack.next_sequence)
                self._apply(machine.ack(*key, answer.ack.next_sequence, now))
            case "credit":
                self.allowed += answer.credit.bytes
                self._apply(machine.credit(answer.credit.bytes))
            case "refused":
                r = answer.refused
                segment = r.segment if r.has_segment else None
                self._apply(machine.refused(r.job_id, segment, r.next_sequence, from_status(r.error), SECOND, now))
            case "segment_update":
                self._segment(answer.segment_update)
            case "job_update":
                update = answer.job_update
                if update.HasField("failed"):
                    self._apply(machine.job_failed(update.job_id, from_status(update.failed), now))
                else:
                    self._apply(machine.job_done(update.job_id, now))
            case _:
                pass

    def _segment(self, update: uplink_pb2.SegmentUpdate) -> None:
        key, machine, now = (update.job_id, update.segment), self.machine, self.now
        match update.WhichOneof("event"):
            case "proving":
                self._apply(machine.segment_proving(*key, [], now))
            case "proved":
                self._apply(machine.segment_proved(*key, update.proved.SerializeToString(), [], now))
            case "verified":
                self._apply(machine.segment_verified(*key, [], now))
            case "failed":
                self._apply(machine.segment_lost(*key, from_status(update.failed), [], now))

    def fetch(self) -> None:
        """A call for a job's result is answered."""
        if self.fetching:
            job_id = self.fetching.pop()
            saved = self.cloud.saved[job_id]
            leaves = [s.leaf.SerializeToString() for s in saved.segments if s.leaf is not None]
            self._apply(self.machine.result_fetched(job_id, leaves, self.now))

    def _apply(self, instructions: list[e.Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case e.StartWitness(job_id, segment):
                    assert (job_id, segment) not in self.working
                    self.working[job_id, segment] = 0
                case e.StopWitness(job_id, segment):
                    if self.working.pop((job_id, segment), None) is not None:
                        self._apply(self.machine.worker_stopped(job_id, segment, self.now))
                case e.EnsureCircuit(digest):
                    self._apply(self.machine.circuit_ready(digest, self.now))
                case e.FetchResult(job_id):
                    self.fetching.append(job_id)
                case e.CheckLeaf(job_id, segment):
                    s = self.machine.jobs[job_id].segments[segment]
                    assert s.candidate == LEAF.SerializeToString()
                    self._apply(self.machine.leaf_verified(job_id, segment, s.candidate, self.now))
                case e.SaveJob(job_id):
                    self.rows[job_id] = copy(self.machine.jobs[job_id])
                case e.SaveSegment(job_id, segment):
                    self.segment_rows[job_id, segment] = copy(self.machine.jobs[job_id].segments[segment])
                case e.DropInputs(job_id):
                    for key in [k for k in self.files if k[0] == job_id]:
                        del self.files[key]
                case _:
                    pass

    def check(self) -> None:
        """The spool's books, and what they are for."""
        running = [j for j in self.machine.jobs.values() if j.state is JobState.RUNNING]
        waiting = sum(sum(s.chunk_bytes[s.acked :]) for j in running for s in j.segments)
        assert self.machine.unacked_bytes == waiting
        # Two workers may each be in the middle of a segment when the limit is reached.
        assert waiting <= MAX_UNACKED + 2 * len(SLICES) * SIZE + sum(SIZE for _ in self.files), "the spool is bounded"
        for key, acked in self.acks.items():
            job = self.machine.jobs.get(key[0])
            if job is not None and job.opened and job.state is JobState.RUNNING and not job.segments[key[1]].complete:
                assert job.segments[key[1]].acked >= acked, "an ack is not taken back"
