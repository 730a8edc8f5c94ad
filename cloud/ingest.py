"""The order of chunks: what is taken, dropped, asked for again or refused. Part of the cloud's machine.

Rules for a chunk with sequence number s, w being wanted:

    s = w   taken if digest, range and encoding are right and no wire comes twice; otherwise the segment fails
            (DATA_LOSS excepted: the edge sends it again)
    s < w   equal digest: dropped and acked again; other digest: ALREADY_EXISTS, the segment keeps what it has
            (with or without a partial: that is not part of what a chunk is)
    s > w   OUT_OF_RANGE with next_sequence = w, once for each run of chunks that were already under way
"""

from __future__ import annotations

from google.rpc import status_pb2

from hybrid_prover.v1 import uplink_pb2

from . import answers
from . import messages as m
from .assembling import Assembling
from .errors import ALREADY_EXISTS, INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, WireError, make_status, refuse
from .model import OPEN_STATES, PROVING, QUEUED, UPLOADING, WITNESS_PLACEMENTS, InFlight, Job, Segment
from .sessions import Session
from .validation import check_chunk_digest, check_chunk_range, check_chunk_size, check_partial, usable_timings


class Ingest(Assembling):
    """Jobs that take witnesses in chunks; `Advance` tells the prover how far each segment's log is durable."""

    def _chunk(self, connection: int, session: Session, chunk: uplink_pb2.Chunk, now: int) -> list[m.Instruction]:
        size = len(chunk.payload)
        wanted = 0
        try:
            self.sessions.spend(session, size)
        except WireError as e:
            return [answers.refused(connection, e.status, chunk.job_id, chunk.segment)]
        try:
            job, segment = self._locate(session, chunk.job_id, chunk.segment, WITNESS_PLACEMENTS)
            wanted = segment.received
            if segment.state not in OPEN_STATES:
                return [*self.sessions.release(session.session_id, size), answers.ack(connection, job, segment)]
            check_chunk_size(chunk, self._max_chunk_bytes)
            check_chunk_digest(chunk)
            if chunk.HasField("partial"):
                check_partial(chunk, job.placement)
        except WireError as e:
            segment_known = chunk.job_id in self.jobs and chunk.segment < len(self.jobs[chunk.job_id].segments)
            if segment_known and e.status.code != NOT_FOUND:
                self.jobs[chunk.job_id].segments[chunk.segment].last_gap = chunk.sequence
            return [
                *self.sessions.release(session.session_id, size),
                answers.refused(connection, e.status, chunk.job_id, chunk.segment, wanted),
                *self._fail_if_final(connection, session, chunk, wanted, e.status, now),
            ]
        if chunk.sequence != segment.received or segment.ended:
            return [
                *self.sessions.release(session.session_id, size),
                *answers.out_of_order(connection, job, segment, chunk),
            ]
        return self._take(connection, session, job, segment, chunk, now)

    def _take(
        self, connection: int, session: Session, job: Job, segment: Segment, chunk: uplink_pb2.Chunk, now: int
    ) -> list[m.Instruction]:
        stop = chunk.wire_offset + chunk.wire_count
        try:
            check_chunk_range(chunk, segment.circuit.wires)
            if segment.coverage.overlaps(chunk.wire_offset, stop):
                where = f"segments[{chunk.segment}].chunks[{chunk.sequence}]"
                raise refuse(
                    INVALID_ARGUMENT,
                    f"{where}: some of wires {chunk.wire_offset} to {stop - 1} came before",
                    reason="WIRE_OVERLAP",
                    field=f"{where}.wire_offset",
                )
        except WireError as e:
            return [
                *self.sessions.release(session.session_id, len(chunk.payload)),
                answers.refused(connection, e.status, job.job_id, segment.index, segment.received),
                *self._fault(connection, session, job, segment, e.status, now),
            ]
        out: list[m.Instruction] = []
        if segment.state == QUEUED:
            segment.state, segment.upload_started_nanos = UPLOADING, now
            job.revision += 1
            out.append(m.Changed(job.job_id))
        job.active_nanos = now
        segment.coverage.add(chunk.wire_offset, stop)
        segment.received += 1
        segment.last_gap = -1
        segment.digests.append(chunk.digest)
        segment.in_flight.append(InFlight(chunk.sequence, chunk.wire_count, len(chunk.payload), session.session_id))
        if chunk.HasField("partial"):
            if self.trust.trusts(session.session_id, session.identity):
                segment.partials += 1
                segment.partial_origins[chunk.sequence] = session.session_id
            else:
                chunk.ClearField("partial")
        out.append(m.AppendChunk(chunk, session.session_id))
        return out

    def _fail_if_final(
        self,
        connection: int,
        session: Session,
        chunk: uplink_pb2.Chunk,
        wanted: int,
        error: status_pb2.Status,
        now: int,
    ) -> list[m.Instruction]:
        """An oversized chunk that was wanted can never come: its segment fails."""
        job = self.jobs.get(chunk.job_id)
        if error.code != RESOURCE_EXHAUSTED or job is None or chunk.sequence != wanted:
            return []
        return self._fault(connection, session, job, job.segments[chunk.segment], error, now)

    def _end(self, connection: int, session: Session, message: uplink_pb2.SegmentEnd, now: int) -> list[m.Instruction]:
        try:
            job, segment = self._locate(session, message.job_id, message.segment, WITNESS_PLACEMENTS)
        except WireError as e:
            return [answers.refused(connection, e.status, message.job_id, message.segment)]
        where = f"segments[{segment.index}]"
        if segment.state not in OPEN_STATES or segment.ended:
            return []
        if message.chunk_count > segment.received:
            return answers.gap(connection, job, segment, message.chunk_count)
        error: status_pb2.Status | None = None
        if message.chunk_count < segment.received:
            error = make_status(
                ALREADY_EXISTS,
                f"{where}: ended after {message.chunk_count} chunks, {segment.received} have come",
                reason="END_CONFLICT",
                field=f"{where}.chunk_count",
            )
            return [answers.refused(connection, error, job.job_id, segment.index, segment.received)]
        if segment.coverage.count != segment.circuit.wires:
            error = make_status(
                INVALID_ARGUMENT,
                f"{where}: the chunks hold {segment.coverage.count} of {segment.circuit.wires} wires",
                reason="INCOMPLETE_WITNESS",
                field=f"{where}.wires",
            )
            refused = answers.refused(connection, error, job.job_id, segment.index, segment.received)
            return [refused, *self._fault(connection, session, job, segment, error, now)]
        segment.ended = True
        segment.timings.extend(usable_timings(message.timings))
        return [m.AppendEnd((job.job_id, segment.index), segment.received)]

    def _durable(self, event: m.ChunksDurable, now: int) -> list[m.Instruction]:
        job_id, index = event.key
        job = self.jobs.get(job_id)
        if job is None or not job.durable:
            return []
        segment = job.segments[index]
        out: list[m.Instruction] = []
        while segment.in_flight and segment.in_flight[0].sequence < event.next_sequence:
            chunk = segment.in_flight.popleft()
            segment.wires_acked += chunk.wires
            out += self.sessions.release(chunk.session, chunk.payload_bytes)
        if segment.state not in OPEN_STATES:
            return out
        grew = event.next_sequence > segment.acked
        segment.acked = max(segment.acked, event.next_sequence)
        if grew:
            out += [answers.ack(c, job, segment) for c in self._listeners(job)]
        if event.ended:
            segment.state = PROVING
            out += self._let_go(segment)
            segment.timings.append(answers.span("upload", segment.upload_started_nanos, now))
            job.revision += 1
            out.append(m.SaveSegment(job, segment))
            proving = uplink_pb2.SegmentUpdate(
                job_id=job_id, segment=index, proving=uplink_pb2.SegmentProving(), timings=segment.timings
            )
            out = [*out, *self._tell(job, uplink_pb2.UplinkResponse(segment_update=proving))]
        advance = m.Advance(event.key, segment.circuit, segment.acked, event.ended)
        return [advance, *out, m.Changed(job_id)]
