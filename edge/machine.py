"""The edge's decisions, apart from all I/O: events and the time come in, instructions and messages go out.

The driver calls one method per event, carries out the instructions it returns, and, while the uplink is up, takes
messages from `next_message` whenever the transport has room. Times are nanoseconds that never go backwards.

What holds whatever comes in: a segment's chunks are sent in order, starting where the cloud says; never more payload
bytes than the cloud granted; one segment's or job's failure changes no other job; an ended job never changes again; a
leaf proof of the cloud is neither kept nor shown before the driver verified it against this edge's own public signals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from . import policy
from .faults import no_assembly, wrong_count
from .instructions import EnsureCircuit, FetchResult, Instruction, Message, SaveJob, SaveSegment, SendChunk
from .jobs import JobBook
from .model import Code, Failure, Job, JobState, Segment, SegmentState, Timing

TRANSIENT = frozenset({Code.OUT_OF_RANGE, Code.DATA_LOSS, Code.UNAVAILABLE})
"""Refusals after which the edge sends again."""


class EdgeMachine(JobBook):
    """The book of jobs, connected to a cloud or not."""

    @property
    def connected(self) -> bool:
        """Whether the cloud has welcomed the current connection."""
        return self._outbox.connected

    @property
    def trusted_with_partials(self) -> bool:
        """False once a cloud refused partials of this edge because some were wrong."""
        return self._partials.trusted

    @property
    def uplink_rate(self) -> float | None:
        """Payload bytes a second that the uplink was last seen to carry; None before the first ack."""
        return self._partials.meter.rate

    @property
    def partial_nanos(self) -> Mapping[bytes, float]:
        """What making one partial was last seen to take, by circuit; for those whose keys are loaded for it."""
        return self._partials.nanos

    def _drain(self) -> list[Instruction]:
        # After any event a partial may have become worth making, or the one in the making may be done.
        if (chosen := self._partials.choose(self._outbox.upcoming(self.jobs))) is not None:
            self._out.append(chosen)
        return super()._drain()

    @property
    def credit_bytes(self) -> int:
        """Payload bytes that may be sent now."""
        return self._outbox.credit

    def uplink_up(self, credit: int, max_chunk: int, now: int, *, takes_partials: bool = False) -> list[Instruction]:
        """Welcome came: everything unfinished is announced again."""
        self._outbox.reset(self.jobs, connected=True, credit=credit, max_chunk=max_chunk)
        self._may_start = True
        self._partials.connected(takes_partials=takes_partials)
        for job in self.jobs.values():
            self._out += self._outbox.announce(job, now)
        return self._drain()

    def uplink_down(self, now: int) -> list[Instruction]:
        """The connection ended; what was under way on it may or may not have arrived."""
        self._outbox.reset(self.jobs, connected=False)
        self._partials.disconnected()
        return self._drain()

    def draining(self) -> list[Instruction]:
        """The cloud is about to stop: nothing more is sent on this connection."""
        self._outbox.draining = True
        return self._drain()

    def circuit_ready(self, digest: bytes, now: int) -> list[Instruction]:
        """The cloud has the circuit."""
        if digest in self._outbox.circuits:
            self._outbox.circuits[digest] = True
            for job in self.jobs.values():
                self._out += self._outbox.announce(job, now)
        return self._drain()

    def circuit_failed(
        self, digest: bytes, failure: Failure, wait: int, now: int, *, later: bool = False
    ) -> list[Instruction]:
        """The cloud did not take the circuit. Tried again after `wait` if that may help; else its jobs fail.

        `later`: the cloud says when to come back.
        """
        if self._outbox.circuits.get(digest) is False:
            full = later and failure.code is Code.RESOURCE_EXHAUSTED
            attempts = self._outbox.circuit_retries.get(digest, (0, 0))[0] + (not full)
            if full or (failure.code in TRANSIENT and attempts < policy.MAX_OPENS):
                self._outbox.circuit_retries[digest] = (attempts, now + wait)
            else:
                del self._outbox.circuits[digest]
                for job in [j for j in self.jobs.values() if any(s.circuit == digest for s in j.segments)]:
                    self._fail_job(job, failure, now)
        return self._drain()

    def job_opened(self, job_id: bytes, positions: list[tuple[int, bool]], now: int) -> list[Instruction]:
        """Where each segment stands at the cloud: (next sequence wanted, complete)."""
        job = self.jobs.get(job_id)
        if job is None or not job.announced or len(positions) != len(job.segments):
            return self._drain()
        job.opened, job.opens = True, 0
        if job.turned_away:
            job.turned_away, self._may_start = False, True
        if job.state is not JobState.RUNNING:
            self._outbox.farewell(job)
            return self._drain()
        for s, (position, complete) in zip(job.segments, positions, strict=True):
            if complete:
                self._completed(job, s, now)
                continue
            self._incomplete(job, s, position)
            s.tail_sent, s.stale_refusals, s.not_before, s.last_progress = False, 0, 0, now
            self._outbox.offer(job, s)
        if job.awaiting_result and job.lacks_leaves:
            self._out.append(FetchResult(job.id))
        self._touch(job)
        self._schedule(now)
        return self._drain()

    def _incomplete(self, job: Job, s: Segment, position: int) -> None:
        """The cloud wants the segment from `position` on: a state beyond that (a cloud that lost it) is taken back."""
        s.complete = s.vouched = False
        self._partials.meter.forget((job.id, s.index), position)
        self._move_acked(s, position)
        s.cursor = position
        if s.state > SegmentState.WITNESSING:
            made = bool(s.leaf) if job.private else s.chunk_count is not None
            if not made and not s.working:
                s.state, self._may_start = SegmentState.QUEUED, True
            elif not job.private:
                s.state = SegmentState.UPLOADING if made else SegmentState.WITNESSING
            elif s.state is SegmentState.VERIFIED:
                s.state = SegmentState.PROVED

    def ack(self, job_id: bytes, segment: int, next_sequence: int, now: int) -> list[Instruction]:
        """Everything before next_sequence is durable at the cloud; old acks change nothing.

        It may be ahead of what was sent: another edge may have the same job.
        """
        self._partials.meter.acked((job_id, segment), next_sequence, now)
        found = self._running(job_id, segment)
        if found and found[0].opened and found[1].acked < next_sequence <= (found[1].chunk_count or next_sequence):
            job, s = found
            self._move_acked(s, next_sequence)
            s.cursor = max(s.cursor, next_sequence)
            s.resends, s.stale_refusals, s.last_progress = 0, 0, now
            self._after_ack(job, s, now)
            self._touch(job)
            self._schedule(now)
        return self._drain()

    def credit(self, granted: int) -> list[Instruction]:
        """More payload bytes may be sent."""
        self._outbox.credit += granted
        return self._drain()

    def refused(
        self,
        job_id: bytes,
        segment: int | None,
        next_sequence: int,
        failure: Failure,
        wait: int,
        now: int,
        *,
        later: bool = False,
    ) -> list[Instruction]:
        """A message was not taken; `wait` is how long to hold back before sending again, where that may help.

        `later`: the cloud has no room now and says when to come back.
        """
        job = self.jobs.get(job_id)
        if job is None:
            return self._drain()
        if job.state is not JobState.RUNNING:
            job.closing = False
            self._out.append(SaveJob(job.id))
        elif segment is None:
            self._job_refused(job, failure, wait, now, later=later)
        elif segment < len(job.segments) and not job.segments[segment].state.ended:
            self._segment_refused(job, job.segments[segment], next_sequence, failure, wait, now)
        return self._drain()

    def _job_refused(self, job: Job, failure: Failure, wait: int, now: int, *, later: bool) -> None:
        if later and failure.code is Code.RESOURCE_EXHAUSTED:
            # It waits here, where the queue is bounded, until the cloud has room, its client gives up or time is over.
            job.announced = job.opened = False
            job.turned_away, job.not_before = True, now + wait
            return
        job.opens += 1
        if failure.code not in TRANSIENT or job.opens >= policy.MAX_OPENS:
            self._fail_job(job, failure, now)
        else:
            job.announced = job.opened = False
            job.not_before = now + wait

    def _segment_refused(self, job: Job, s: Segment, wanted: int, failure: Failure, wait: int, now: int) -> None:
        if failure.code not in TRANSIENT:
            # A conflict means that another edge delivers the same job otherwise cut: that one is not to be stopped.
            job.known_to_cloud = job.known_to_cloud and failure.code is not Code.ALREADY_EXISTS
            self._fail_segment(job, s, failure, now)
            return
        if failure.code is Code.OUT_OF_RANGE and s.stale_refusals > 0 and wanted == s.resent_from:
            # Chunks that were under way behind a refused one are refused as a gap; the cursor is back already.
            s.stale_refusals -= 1
            return
        s.resends += 1
        if s.resends > policy.MAX_RESENDS:
            self._fail_segment(job, s, failure, now)
            return
        s.not_before = now + wait if failure.code is Code.UNAVAILABLE else 0
        self._rewind(job, s, wanted, now)
        s.stale_refusals = max(0, s.stale_refusals - 1)

    def _rewind(self, job: Job, s: Segment, wanted: int, now: int) -> None:
        """Sends again from `wanted` (not beyond what was sent)."""
        wanted = min(wanted, s.cursor)
        self._partials.meter.forget((job.id, s.index), wanted)
        s.stale_refusals = s.cursor - wanted
        if wanted < s.acked:
            self._move_acked(s, wanted)
        s.cursor = s.resent_from = wanted
        s.tail_sent, s.last_progress = False, now
        if s.state is SegmentState.PROVING and not job.private:
            s.state = SegmentState.UPLOADING
        self._outbox.offer(job, s)

    def partials_refused(self) -> list[Instruction]:
        """The cloud trusts this edge with partials no more: chunks go without from now on."""
        self._partials.refused()
        return self._drain()

    def segment_proving(self, job_id: bytes, segment: int, timings: list[Timing], now: int) -> list[Instruction]:
        """The cloud has the whole witness."""
        found = self._running(job_id, segment)
        if found:
            self._note_cloud(found[1], timings)
            self._completed(*found, now)
        return self._drain()

    def segment_proved(
        self, job_id: bytes, segment: int, leaf: bytes, timings: list[Timing], now: int
    ) -> list[Instruction]:
        """The cloud says that this is the segment's leaf proof, which is then verified here.

        A second one for the same segment changes nothing, nor does one for a private job.
        """
        found = self._running(job_id, segment)
        if found:
            job, s = found
            self._note_cloud(s, timings)
            self._completed(job, s, now)
            self._propose(job, s, leaf)
            if s.leaf:
                self._advance(job, s, SegmentState.PROVED)
            self._out.append(SaveSegment(job.id, s.index))
        return self._drain()

    def _propose(self, job: Job, s: Segment, leaf: bytes) -> None:
        if not job.private and not s.leaf and s.candidate is None:
            s.candidate = leaf
            self._check(job, s)

    def segment_verified(self, job_id: bytes, segment: int, timings: list[Timing], now: int) -> list[Instruction]:
        """The leaf proof passed its batch at the cloud; told to nobody before it was verified here."""
        found = self._running(job_id, segment)
        if found:
            job, s = found
            self._note_cloud(s, timings)
            self._completed(job, s, now)
            s.vouched = True
            if s.leaf:
                self._advance(job, s, SegmentState.VERIFIED)
            self._out.append(SaveSegment(job.id, s.index))
        return self._drain()

    def segment_lost(
        self, job_id: bytes, segment: int, failure: Failure, timings: list[Timing], now: int
    ) -> list[Instruction]:
        """The cloud cannot prove the segment."""
        found = self._running(job_id, segment)
        # Before JobOpened it is about an earlier submission of the job.
        if found and found[0].opened:
            self._note_cloud(found[1], timings)
            self._fail_segment(*found, failure, now)
        return self._drain()

    def job_assembling(self, job_id: bytes, status: bytes) -> list[Instruction]:
        """The cloud assembles the job's leaf proofs."""
        job = self.jobs.get(job_id)
        if job is not None and job.state is JobState.RUNNING and job.plan.assembly is not None:
            job.assembly_status = status
            self._touch(job)
        return self._drain()

    def job_done(self, job_id: bytes, now: int, assembly: bytes = b"", status: bytes = b"") -> list[Instruction]:
        """Every proof is verified and every link holds. The job ends once all leaf proofs are verified here too."""
        job = self.jobs.get(job_id)
        if job is not None:
            self._confirm(job)
            if job.state is JobState.RUNNING and job.plan.assembly is not None and not assembly:
                self._fail_job(job, no_assembly(), now)
            elif job.state is JobState.RUNNING:
                job.assembly, job.assembly_status = assembly, status
                job.awaiting_result = True
                for s in job.segments:
                    self._completed(job, s, now)
                if not self._maybe_done(job, now) and job.lacks_leaves:
                    self._out.append(FetchResult(job.id))
                self._schedule(now)
        return self._drain()

    def job_failed(self, job_id: bytes, failure: Failure, now: int) -> list[Instruction]:
        """The cloud gave the job up, or confirms that the edge did."""
        job = self.jobs.get(job_id)
        if job is not None:
            self._confirm(job)
            # Before JobOpened it is about an earlier submission of the job.
            if job.state is JobState.RUNNING and job.opened:
                cancelled = failure.code is Code.CANCELLED
                self._end(
                    job, JobState.CANCELLED if cancelled else JobState.FAILED, None if cancelled else failure, now
                )
                self._confirm(job)
        return self._drain()

    def result_fetched(self, job_id: bytes, leaves: list[bytes], now: int) -> list[Instruction]:
        """All leaf proofs of a job that the cloud says is done."""
        job = self.jobs.get(job_id)
        if job is not None and job.state is JobState.RUNNING and job.awaiting_result and job.lacks_leaves:
            if len(leaves) == len(job.segments):
                for s, leaf in zip(job.segments, leaves, strict=True):
                    self._propose(job, s, leaf)
            else:
                self._fail_job(job, wrong_count(len(leaves), len(job.segments)), now)
        return self._drain()

    def result_failed(self, job_id: bytes, wait: int, now: int) -> list[Instruction]:
        """The cloud did not hand the result over: the job is opened again after `wait`."""
        job = self.jobs.get(job_id)
        if job is not None and job.state is JobState.RUNNING:
            job.announced = job.opened = False
            job.not_before = now + wait
        return self._drain()

    def tick(self, now: int) -> list[Instruction]:
        """Called about twice a second: what waited for a time goes on, what was never answered is sent again, and
        jobs end whose deadline has passed."""
        self._expire(now)
        retries = self._outbox.circuit_retries
        for digest, (attempts, when) in list(retries.items()):
            if when <= now and self._outbox.circuits.get(digest) is False:
                self._outbox.circuit_retries[digest] = (attempts, now + policy.LONGEST_BACKOFF)
                self._out.append(EnsureCircuit(digest))
        for job in self.jobs.values():
            if job.state is not JobState.RUNNING and not job.closing:
                continue
            self._out += self._outbox.announce(job, now)
            if not job.opened:
                continue
            for s in job.segments:
                patience = policy.RESEND_AFTER << min(s.resends, 6)
                if s.acked < s.cursor and not s.complete and now - s.last_progress > patience:
                    self._rewind(job, s, s.acked, now)
                    s.stale_refusals = 0
                if s.not_before and s.not_before <= now:
                    s.not_before = 0
                    self._outbox.offer(job, s)
        return self._drain()

    def next_message(self, now: int) -> Message | None:
        """The next message to write, or None if there is nothing to send or no credit to send it with."""
        outbox = self._outbox
        if not outbox.connected or outbox.draining:
            return None
        if control := outbox.take_control():
            return control
        while found := outbox.head(self.jobs):
            job, s = found
            size = s.chunk_bytes[s.cursor] if s.cursor < len(s.chunk_bytes) else 0
            if size > outbox.max_chunk:
                text = f"a chunk of {size} bytes is larger than the {outbox.max_chunk} that this cloud takes"
                self._fail_segment(job, s, Failure(Code.FAILED_PRECONDITION, f"{text}; set chunk_wires lower"), now)
                continue
            if size and not self._partials.may_send(job, s, size):
                return outbox.take_control()
            if size and s.cursor == s.acked:
                s.last_progress = now
            message = outbox.take_head(job, s)
            if isinstance(message, SendChunk):
                s.upload_started = s.upload_started or now
                if self._partials.sent(job, s, message.sequence, size, now):
                    message = replace(message, partial=True)
            elif message:
                self._after_ack(job, s, now)
            return message
        return outbox.take_control()
