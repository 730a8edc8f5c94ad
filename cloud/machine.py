"""The cloud's state machine: sessions, jobs, segments, the order of chunks. Events go in, instructions come out.

No I/O, no clock, no entropy: the same events at the same times give the same instructions. What `Save*` and `Append*`
ask for is durable before anybody is told (see messages.py). By concern, each built on the one before:

    jobs        jobs opened, failed, ended; who is told
    assembling  leaf proofs assembled, as a job's last stage or by themselves
    ingest      chunks: their order, credit, durability
    proving     leaf proofs and batches
    control     jobs cancelled, begun again, given up with time
    machine     dispatch of events and of edges' messages; connections
"""

from __future__ import annotations

from hybrid_prover.v1 import uplink_pb2

from . import answers
from . import messages as m
from .control import Control
from .errors import FAILED_PRECONDITION, INVALID_ARGUMENT, WireError, make_status
from .model import RUNNING, Job
from .sessions import draining


class Machine(Control):
    """All jobs that are not over, and the sessions that feed them."""

    def handle(self, event: m.Event, now: int) -> list[m.Instruction]:
        """Takes one event at a time in Unix nanoseconds; O(1) but for opening and ending jobs."""
        match event:
            case m.Received():
                return self._received(event.connection, event.request, event.edge, now)
            case m.ChunksDurable():
                return self._durable(event, now)
            case m.LeafProved():
                return self._proved(event, now)
            case m.PartialsWrong():
                return self._partials_wrong(event, now)
            case m.SegmentBroken():
                return self._broken(event, now)
            case m.BatchChecked():
                return self._checked(event, now)
            case m.AssemblyAsked():
                return self._asked(event, now)
            case m.AssemblyMoved():
                return self._assembly_moved(event)
            case m.AssemblyMade():
                return self._assembly_made(event, now)
            case m.AssemblyBroken():
                return self._assembly_broken(event, now)
            case m.CancelAssembly():
                return self._cancel_assembly(event, now)
            case m.Cancel():
                return self._cancel(event, now)
            case m.Requeue():
                return self._requeue(event, now)
            case m.Tick():
                return self._tick(now)
            case m.JobSaved():
                if event.job_id in self.jobs:
                    self.jobs[event.job_id].durable = True
                return []
            case m.CircuitKnown():
                self.circuits[event.circuit.digest] = event.circuit
                return []
            case m.Disconnected():
                self._unsubscribe(self.sessions.disconnected(event.connection))
                return []
            case m.Drain():
                self.draining_ms = event.retry_after_ms
                message = uplink_pb2.UplinkResponse(
                    draining=uplink_pb2.Draining(retry_after_millis=event.retry_after_ms)
                )
                return [m.Send(c, message) for c in self.sessions.connections()]

    def restore(self, job: Job) -> list[m.Instruction]:
        """Takes up a job from the store, its segments as far as their logs go; gives the work that is due."""
        job.durable = True
        self.jobs[job.job_id] = job
        self._watch_deadline(job)
        if job.state != RUNNING:
            self._retire(job)
            return []
        return self._resume(job)

    # Messages of edges.

    def _received(self, connection: int, request: uplink_pb2.UplinkRequest, edge: str, now: int) -> list[m.Instruction]:
        session = self.sessions.of(connection)
        if request.HasField("hello"):
            if self.draining_ms is not None:
                return [m.Close(connection, draining(self.draining_ms))]
            try:
                trusted = self.trust.trusts(request.hello.session_id, edge)
                return self.sessions.hello(connection, request.hello, takes_partials=trusted, identity=edge)
            except WireError as e:
                return [m.Close(connection, e.status)]
        if session is None:
            error = make_status(FAILED_PRECONDITION, "the first message of a connection is Hello", reason="NO_HELLO")
            return [m.Close(connection, error)]
        match request.WhichOneof("message"):
            case "open_job":
                return self._open(connection, session, request.open_job, now)
            case "chunk":
                return self._chunk(connection, session, request.chunk, now)
            case "segment_end":
                return self._end(connection, session, request.segment_end, now)
            case "segment_proof":
                return self._private_proof(connection, session, request.segment_proof, now)
            case "segment_failure":
                return self._edge_gave_up(connection, session, request.segment_failure, now)
            case "abort_job":
                return self._abort(connection, session, request.abort_job, now)
            case _:
                error = make_status(INVALID_ARGUMENT, "a message of an unknown kind", reason="EMPTY_MESSAGE")
                return [answers.refused(connection, error)]
