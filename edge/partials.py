"""Which chunks of split jobs get a partial, and what was measured to decide it. Part of the machine: no I/O, no clock.

One partial is in the making at a time, of the first chunk whose turn on the uplink comes no sooner than its partial is
there (`policy.chunk_for_partial`). A chunk whose turn comes first leaves without: no chunk waits for a partial. A chunk
of a split job does wait here while the uplink is busy (`policy.send_window`), for in the transport's buffers, where it
would wait otherwise, no partial can join it any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import policy
from .instructions import Instruction, MakePartial, WarmPartials
from .linkmeter import LinkMeter
from .model import Job, JobState, Segment, SegmentKey, Timing
from .policy import Waiting

LOOK_AHEAD = 512
"""Chunks looked at for one choice."""
MAX_FAILURES = 3
"""Failures in a row after which a circuit gets no partials any more: its key cannot be read, or memory is short."""


class PartialPlanner:
    """The state behind the choices. Each MakePartial is answered exactly once, by `made` or `failed`."""

    def __init__(self) -> None:
        self.meter = LinkMeter()
        self.trusted = True
        """False once a cloud refused this edge's partials."""
        self._taken = False
        self.nanos: dict[bytes, float] = {}
        """What one partial takes, by circuit."""
        self._failures: dict[bytes, int] = {}
        self._warming: set[bytes] = set()
        self._at_work: tuple[SegmentKey, int] | None = None

    def connected(self, *, takes_partials: bool) -> None:
        """A connection began; whether its cloud takes partials of this edge."""
        self.meter.reset()
        self._taken = takes_partials
        self.trusted = self.trusted or takes_partials

    def disconnected(self) -> None:
        """The connection ended."""
        self.meter.reset()
        self._taken = False

    def refused(self) -> None:
        """The cloud takes no more partials of this edge."""
        self._taken = self.trusted = False

    def warm(self, job: Job) -> list[Instruction]:
        """The circuits of a split job that were not asked for yet: their keys are loaded and the speed is measured."""
        if job.state is not JobState.RUNNING or not job.split:
            return []
        new = sorted({s.circuit for s in job.segments} - self._warming)
        self._warming.update(new)
        return [WarmPartials(circuit) for circuit in new]

    def warmed(self, circuit: bytes, nanos: int) -> None:
        """One partial of a whole chunk of full-size scalars took so long: an upper bound for the circuit's chunks."""
        self.nanos.setdefault(circuit, nanos)

    def made(self, key: SegmentKey, sequence: int, job: Job | None, nanos: int, started: int) -> None:
        """A partial is there; noted with its segment if that is still at work, whether or not it is in time."""
        self._at_work = None
        if job is None:
            return
        s = job.segments[key[1]]
        before = self.nanos.get(s.circuit, nanos)
        self.nanos[s.circuit] = before + (nanos - before) / 4
        self._failures.pop(s.circuit, None)
        total = s.timings.get("partials", Timing("partials", started, 0))
        s.timings["partials"] = Timing("partials", total.start, total.duration + nanos)
        if sequence >= s.cursor:
            s.partials_ready.add(sequence)
        else:
            s.partials_late += 1

    def cold(self, circuit: bytes) -> None:
        """The circuit gets no partials."""
        self._failures[circuit] = MAX_FAILURES

    def failed(self, circuit: bytes) -> None:
        """No partial came of it; after `MAX_FAILURES` in a row the circuit gets none any more."""
        self._at_work = None
        self._failures[circuit] = self._failures.get(circuit, 0) + 1

    def _nanos_for(self, job: Job, s: Segment) -> float | None:
        """What one partial of the segment takes; None if it gets none."""
        if not self._taken or not job.split or self._failures.get(s.circuit, 0) >= MAX_FAILURES:
            return None
        return self.nanos.get(s.circuit)

    def may_send(self, job: Job, s: Segment, size: int) -> bool:
        """Whether the chunk need not wait: the uplink has room for it, or no partial could join it anyway."""
        if self._nanos_for(job, s) is None or not self.meter.in_flight:
            return True
        return self.meter.in_flight + size <= self._window(size)

    def _window(self, size: int) -> int:
        return policy.send_window(self.meter.rate, self.meter.trip, self.meter.largest, size)

    def sent(self, job: Job, s: Segment, sequence: int, size: int, now: int) -> bool:
        """A chunk leaves: whether with its partial."""
        self.meter.sent((job.id, s.index), sequence, size, now)
        ready = self._taken and sequence in s.partials_ready
        if ready:
            s.partials_sent.add(sequence)
        else:
            s.partials_sent.discard(sequence)
        return ready

    def choose(self, upcoming: Iterable[tuple[Job, Segment, int]]) -> MakePartial | None:
        """What to make next, of the chunks in the order in which they will be sent; O(`LOOK_AHEAD`)."""
        rate = self.meter.rate
        if self._at_work is not None or rate is None or not self._taken or not self.nanos:
            return None
        looked: list[tuple[SegmentKey, int]] = []
        waiting: list[Waiting] = []
        for job, s, sequence in upcoming:
            looked.append(((job.id, s.index), sequence))
            wanted = sequence not in s.partials_ready
            waiting.append(Waiting(s.chunk_bytes[sequence], self._nanos_for(job, s) if wanted else None))
            if len(looked) == LOOK_AHEAD:
                break
        if not waiting:
            return None
        found = policy.chunk_for_partial(waiting, rate, self._window(waiting[0].size) - self.meter.in_flight)
        if found is None:
            return None
        self._at_work = looked[found]
        (job_id, segment), sequence = looked[found]
        return MakePartial(job_id, segment, sequence)
