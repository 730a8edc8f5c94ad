"""Leaf proofs and their batches: from the last chunk to a verified segment, and to the end of its job.

Part of the cloud's machine: no I/O, no clock, no entropy.
"""

from __future__ import annotations

from hybrid_prover.v1 import common_pb2, uplink_pb2

from . import answers
from . import messages as m
from .attempts import Attempt, Outcome, failures, quarantine
from .errors import WireError
from .ingest import Ingest
from .model import (
    ENDED_STATES,
    OPEN_STATES,
    PROVED,
    PROVING,
    RUNNING,
    VERIFIED,
    WITNESS_PLACEMENTS,
    Job,
    Maker,
    Segment,
    SegmentKey,
)
from .sessions import Session
from .trust import Distrust
from .validation import parse_leaf, usable_timings


class Proving(Ingest):
    """Segments whose witness or proof is there: proved, verified in batches, linked."""

    def _resume(self, job: Job) -> list[m.Instruction]:
        """The work that is due for a job from the store."""
        out: list[m.Instruction] = []
        for segment in job.segments:
            key = (job.job_id, segment.index)
            if segment.state in OPEN_STATES and segment.ended:
                segment.state = PROVING
            if segment.state in OPEN_STATES | {PROVING} and job.placement in WITNESS_PLACEMENTS:
                if segment.acked:
                    out.append(m.Advance(key, segment.circuit, segment.acked, segment.state == PROVING))
            elif segment.state == PROVED and segment.leaf is not None:
                out.append(m.Verify(key, segment.circuit, segment.leaf))
        if all(s.state in (PROVED, VERIFIED) for s in job.segments):
            out.append(m.LeavesComplete(job.job_id))
        return [*out, *self._resume_verified(job)]

    def _private_proof(
        self, connection: int, session: Session, message: uplink_pb2.SegmentProof, now: int
    ) -> list[m.Instruction]:
        try:
            job, segment = self._locate(session, message.job_id, message.segment, {common_pb2.PLACEMENT_PRIVATE})
        except WireError as e:
            return [answers.refused(connection, e.status, message.job_id, message.segment)]
        if segment.state not in OPEN_STATES:
            return answers.once_durable(connection, answers.segment_news(job, segment))
        try:
            parse_leaf(message.leaf, segment.circuit.n_public, f"segments[{segment.index}]")
        except WireError as e:
            refused = answers.refused(connection, e.status, job.job_id, segment.index)
            return [refused, *self._fault(connection, session, job, segment, e.status, now)]
        segment.timings.extend(usable_timings(message.timings))
        segment.wires_acked = segment.circuit.wires
        segment.maker = Maker(session.identity or session.edge_name, "", "")
        return self._leaf(job, segment, message.leaf)

    def _proved(self, event: m.LeafProved, now: int) -> list[m.Instruction]:
        job = self.jobs.get(event.key[0])
        if job is None or job.segments[event.key[1]].state != PROVING:
            return []
        segment = job.segments[event.key[1]]
        segment.timings.extend(event.timings)
        segment.maker = event.maker
        return self._leaf(job, segment, event.leaf)

    def _leaf(self, job: Job, segment: Segment, leaf: common_pb2.LeafProof) -> list[m.Instruction]:
        key = (job.job_id, segment.index)
        segment.leaf, segment.state = leaf, PROVED
        segment.partial_origins = {}
        job.revision += 1
        out: list[m.Instruction] = [m.SaveSegment(job, segment)]
        out += self._tell(job, *answers.segment_news(job, segment))
        out.append(m.Verify(key, segment.circuit, leaf))
        if all(s.state in (PROVED, VERIFIED) for s in job.segments):
            out.append(m.LeavesComplete(job.job_id))
        return [*out, m.Changed(job.job_id)]

    def _partials_wrong(self, event: m.PartialsWrong, now: int) -> list[m.Instruction]:
        """Traces wrong partials to the edges that sent them: those are told, and their partials are taken no more."""
        job = self.jobs.get(event.key[0])
        if job is None:
            return []
        segment = job.segments[event.key[1]]
        by_session: dict[bytes, list[int]] = {}
        for sequence in sorted(event.sequences):
            if (origin := segment.partial_origins.pop(sequence, None)) is not None:
                by_session.setdefault(origin, []).append(sequence)
        out: list[m.Instruction] = []
        for session_id, sequences in by_session.items():
            segment.partials_wrong += len(sequences)
            session = self.sessions.known(session_id)
            name, identity = (session.edge_name, session.identity) if session is not None else ("", "")
            record = Distrust(session_id, identity, name, job.job_id, segment.index, tuple(sequences), now)
            if self.trust.add(record):
                out.append(m.SaveDistrust(record))
            if session is not None and session.connection is not None:
                out.append(answers.partials_refused(session.connection, record))
        if out:
            job.revision += 1
        return [*out, m.Changed(job.job_id)]

    def _failed_batch(self, job: Job, segment: Segment, batch_id: bytes, now: int) -> list[m.Instruction]:
        """A leaf proof that does not verify: an edge's fails its job; one made here is made again."""
        error = answers.batch_error(job, segment)
        if job.placement == common_pb2.PLACEMENT_PRIVATE or job.state != RUNNING:
            segment.batch_id = batch_id
            return self._fail(job, segment, error, now)
        segment.attempts.append(Attempt(Outcome.FAILED, b"", "batch", error, now))
        out: list[m.Instruction] = [m.SaveAttempt(job, segment)]
        if failures(segment.attempts) >= self._retry_budget:
            return [*out, *self._fail(job, segment, quarantine(segment.index, segment.attempts), now)]
        segment.state, segment.leaf = PROVING, None
        job.revision += 1
        key = (job.job_id, segment.index)
        return [*out, m.SaveSegment(job, segment), m.Advance(key, segment.circuit, segment.acked, True)]

    def _broken(self, event: m.SegmentBroken, now: int) -> list[m.Instruction]:
        job = self.jobs.get(event.key[0])
        if job is None or job.segments[event.key[1]].state in ENDED_STATES:
            return []
        segment = job.segments[event.key[1]]
        segment.timings.extend(event.timings)
        return self._fail(job, segment, event.error, now)

    def _meant(self, event: m.BatchChecked, key: SegmentKey) -> Job | None:
        """The job of a member whose leaf proof is still the one that was in the batch."""
        job = self.jobs.get(key[0])
        if job is None or job.segments[key[1]].state != PROVED:
            return None
        leaf = job.segments[key[1]].leaf
        return job if event.leaves.get(key, leaf) == leaf else None

    def _checked(self, event: m.BatchChecked, now: int) -> list[m.Instruction]:
        out: list[m.Instruction] = []
        touched: dict[bytes, Job] = {}
        for job_id, index in event.good:
            job = self._meant(event, (job_id, index))
            if job is None:
                continue
            segment = job.segments[index]
            segment.state, segment.batch_id = VERIFIED, event.batch_id
            segment.timings.extend(event.timings((job_id, index)))
            job.revision += 1
            touched[job_id] = job
            self._verified.append(now)
            out += [m.SaveSegment(job, segment), m.Discard((job_id, index))]
            out += self._tell(job, answers.verified(job, segment))
            out += self._leaf_verified(job, segment)
        for key in event.bad:
            job = self._meant(event, key)
            if job is not None:
                touched[key[0]] = job
                segment = job.segments[key[1]]
                segment.timings.extend(event.timings(key))
                out += self._failed_batch(job, segment, event.batch_id, now)
        for job in touched.values():
            if job.state == RUNNING and all(s.state == VERIFIED for s in job.segments):
                out += self._all_verified(job, now)
            out.append(m.Changed(job.job_id))
        return out
