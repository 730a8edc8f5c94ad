"""Proving: a bounded set of threads grows the accumulators of many segments while their chunks arrive.

One step of work is one chunk, or the finish of a segment whose chunks are all in. Steps go to clients by fair share
of the wires, within a client to jobs by priority and in turn, and within a job to segments already begun, earlier
ones first: no job waits for another, and few accumulators are open at once. When nothing else is to be done, sums of
segments that wait for their edge are settled, so that less is left after the last chunk. A segment whose edge stalls
may lose its accumulators to one that can be finished; its source has all that is needed to begin again. A segment is
worked on under a lease, whose token goes with everything that is said of it; whether it is tried again is for others
to decide. Native calls release the GIL and share the backend's own thread pool.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from google.rpc import status_pb2

from hybrid_prover.admission.fairness import FairShare, Share, Turns, one
from hybrid_prover.v1 import common_pb2
from prover_core.backend import Backend
from prover_core.errors import BackendError, InvalidInputError, ProverError, UnsatisfiedError
from prover_core.groth16 import Partial, StreamingProver

from .chunklog import ChunkSource, Record, require
from .errors import status_of
from .keys import KeyCache
from .model import CircuitInfo, SegmentKey
from .validation import wire_leaf
from .witnesslog import decode

log = structlog.get_logger(__name__)

WORTH_SETTLING = 1 << 16
"""Wires of a segment from which on its sums are settled; the proof of a smaller one takes little longer than that."""

CHUNK_WIRES = 1 << 14
"""What a chunk is taken to hold where the work of a step is estimated."""
Timings = tuple[common_pb2.PhaseTiming, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What the prover has to do."""

    threads: int
    running: int
    """Segments that a thread is working on."""
    waiting: int
    """Segments with work at hand and no thread at it."""
    open: int
    """Segments whose accumulators are in memory."""


@dataclass(slots=True, eq=False)
class _Work:
    """One segment. Changed under the executor's lock, but for what only its running step touches."""

    key: SegmentKey
    token: int
    circuit: CircuitInfo
    available: int = 0
    complete: bool = False
    consumed: int = 0
    running: bool = False
    dropped: bool = False
    idle_since: int = 0
    ready_since: int = 0
    """When it last became runnable, on the monotonic clock; 0 while it runs or has nothing to do."""
    first_ready_nanos: int = 0
    queue_nanos: int = 0
    prover: StreamingProver | None = None
    unsettled: bool = False
    """Whether something of `prover.finish` can be done while nothing else is."""
    source: ChunkSource | None = None
    begun_nanos: int = 0
    accumulate_nanos: int = 0
    finish_started_nanos: int = 0
    quotient_nanos: int = 0
    finish_nanos: int = 0
    partials: dict[int, int] = field(default_factory=dict)
    """Sequence numbers of the chunks whose partials were used, by their first wire."""
    wrong: set[int] = field(default_factory=set)
    """Sequence numbers of the chunks whose partials were wrong."""

    @property
    def runnable(self) -> bool:
        return not self.running and (self.consumed < self.available or self.complete)

    @property
    def next_wires(self) -> int:
        """About how many wires its next step is at: those of a chunk, or all at the finish."""
        chunk = self.circuit.wires if self.consumed >= self.available else CHUNK_WIRES
        return min(chunk, self.circuit.wires)

    def timings(self) -> Timings:
        """What has been measured. `queue` sums time with work at hand and no thread, `accumulate` its steps."""
        spans = [
            ("queue", self.first_ready_nanos, self.queue_nanos),
            ("accumulate", self.begun_nanos, self.accumulate_nanos),
        ]
        if self.finish_started_nanos:
            rest = self.finish_started_nanos + self.quotient_nanos
            spans.append(("quotient", self.finish_started_nanos, self.quotient_nanos))
            spans.append(("finish", rest, self.finish_nanos - self.quotient_nanos))
        return tuple(
            common_pb2.PhaseTiming(phase=phase, start_unix_nanos=start, duration_nanos=taken)
            for phase, start, taken in spans
        )

    def note_ready(self) -> None:
        """Begins to count its waiting, if it waits."""
        if self.runnable and not self.ready_since:
            self.ready_since = time.monotonic_ns()
            self.first_ready_nanos = self.first_ready_nanos or time.time_ns()

    def note_taken(self) -> None:
        """A thread has it: what it waited is added up."""
        if self.ready_since:
            self.queue_nanos += time.monotonic_ns() - self.ready_since
        self.ready_since = 0

    def shut(self) -> None:
        """Lets go of accumulators and source; the segment can begin again."""
        if self.source is not None:
            self.source.close()
        self.prover, self.source, self.consumed, self.unsettled = None, None, 0, False


Source = Callable[[SegmentKey, int], ChunkSource]
"""Opens the chunks of a segment under a lease's token, from the first on."""
Entropy = Callable[[SegmentKey, int], bytes | None]
"""What blinds a segment's proof under a lease's token (see `StreamingProver.finish`)."""
Diagnose = Callable[[SegmentKey, CircuitInfo], ProverError | None]
"""Finds out what a whole witness breaks; None if that cannot be said."""


class Executor:
    """Turns chunks into leaf proofs. `on_leaf` and `on_broken` are called from worker threads, with a lease's token.

    Before either, `on_wrong_partials` names the chunks whose partials were wrong; the proof was made without them.
    """

    def __init__(
        self,
        keys: KeyCache,
        source: Source,
        backend: Backend,
        *,
        workers: int,
        max_open: int,
        on_leaf: Callable[[SegmentKey, int, common_pb2.LeafProof, Timings], None],
        on_broken: Callable[[SegmentKey, int, status_pb2.Status, Timings], None],
        diagnose: Diagnose = lambda _key, _circuit: None,
        entropy: Entropy = lambda _key, _token: None,
        weight: Callable[[str], float] = one,
        on_wrong_partials: Callable[[SegmentKey, tuple[int, ...]], None] = lambda _key, _sequences: None,
    ) -> None:
        self._keys = keys
        self._source = source
        self._backend = backend
        self._max_open = max(max_open, workers)
        self._on_leaf = on_leaf
        self._on_broken = on_broken
        self._diagnose = diagnose
        self._entropy = entropy
        self._on_wrong_partials = on_wrong_partials
        self._wake = threading.Condition()
        self._jobs: dict[bytes, dict[int, _Work]] = {}
        self._turns = Turns(FairShare(weight))
        self._open: set[_Work] = set()
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, name=f"prove-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def threads(self) -> int:
        return len(self._threads)

    def advance(
        self,
        key: SegmentKey,
        token: int,
        circuit: CircuitInfo,
        chunks: int,
        complete: bool,
        share: Share = Share(),  # noqa: B008
    ) -> None:
        """Under this lease the segment may be read up to `chunks`; returns at once. A newer lease ends an older."""
        with self._wake:
            job = self._jobs.get(key[0])
            work = job.get(key[1]) if job is not None else None
            if work is not None and work.token != token:
                if work.token > token:
                    return
                self._drop(work)
                work, job = None, self._jobs.get(key[0])
            if job is None:
                job = self._jobs[key[0]] = {}
            self._turns.put(key[0], share)
            if work is None:
                work = job[key[1]] = _Work(key, token, circuit)
            work.available = max(work.available, chunks)
            work.complete = work.complete or complete
            work.note_ready()
            self._wake.notify()

    def discard(self, key: SegmentKey, token: int) -> None:
        """Ends work under a lease: a step that is running stops where it can and ends without effect."""
        with self._wake:
            work = self._jobs.get(key[0], {}).get(key[1])
            if work is not None and work.token == token:
                self._drop(work)

    def give_up(self, count: int) -> list[tuple[SegmentKey, int]]:
        """Forgets up to `count` segments that have not been begun, those whose turn would come last."""
        with self._wake:
            jobs = [self._jobs[job_id] for job_id in self._turns.order()]
            works = [w for job in jobs for w in job.values() if not w.begun_nanos and not w.running]
            last = works[::-1][:count]
            for work in last:
                self._drop(work)
            return [(w.key, w.token) for w in last]

    def finishing(self) -> int:
        """Segments that need nothing more from their edge."""
        with self._wake:
            return sum(w.complete for job in self._jobs.values() for w in job.values())

    def load(self) -> Load:
        """How much there is to do at this moment; O(segments at work)."""
        with self._wake:
            works = [w for job in self._jobs.values() for w in job.values()]
            return Load(
                threads=len(self._threads),
                running=sum(w.running for w in works),
                waiting=sum(w.runnable for w in works),
                open=len(self._open),
            )

    def close(self) -> None:
        """Ends the threads, each after the step it is at."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and (work := self._pick()) is None:
                    self._wake.wait()
                if self._stopping:
                    return
                assert work is not None
                settling = not work.runnable
                work.note_taken()
                work.running = True
            leaf: common_pb2.LeafProof | None = None
            error: status_pb2.Status | None = None
            try:
                with structlog.contextvars.bound_contextvars(job_id=work.key[0].hex(), segment=work.key[1]):
                    if settling:
                        self._settle(work)
                    else:
                        leaf = self._step(work)
            except Exception as e:
                error = self._explain(work, e)
            if work.prover is not None:
                work.wrong.update(work.partials[offset] for offset in work.prover.wrong_partials)
            with self._wake:
                work.running = False
                work.idle_since = time.monotonic_ns()
                work.note_ready()
                told = not work.dropped
                if leaf is not None or error is not None or work.dropped:
                    self._remove(work)
                self._wake.notify_all()
            if told and work.wrong and (leaf is not None or error is not None):
                self._on_wrong_partials(work.key, tuple(sorted(work.wrong)))
            if told and leaf is not None:
                self._on_leaf(work.key, work.token, leaf, work.timings())
            elif told and error is not None:
                self._on_broken(work.key, work.token, error, work.timings())

    def _pick(self) -> _Work | None:
        """The next step: the job whose turn it is, within it what is open first, then the order of segments; else what
        waits."""
        for job_id in self._turns.order():
            waiting = [w for w in self._jobs[job_id].values() if w.runnable]
            for work in sorted(waiting, key=lambda w: (w.prover is None, not w.complete, w.key[1])):
                if work in self._open or self._make_room(work):
                    self._open.add(work)
                    self._turns.took(job_id, work.next_wires)
                    return work
        if any(w.running for w in self._open):
            return None
        return next((w for w in self._open if w.unsettled), None)

    def _make_room(self, work: _Work) -> bool:
        """Whether one more segment may be open; one that stalls gives way to one that can be finished, and to any of a
        client that has fewer open."""
        if len(self._open) < self._max_open:
            return True
        stalled = [w for w in self._open if not w.running and not w.complete and w.consumed == w.available]
        if not work.complete:
            open_by = Counter(self._client(w) for w in self._open)
            mine = open_by[self._client(work)]
            stalled = [w for w in stalled if open_by[self._client(w)] > mine + 1]
        if not stalled:
            return False
        victim = min(stalled, key=lambda w: w.idle_since)
        victim.shut()
        self._open.discard(victim)
        return True

    def _client(self, work: _Work) -> str:
        return self._turns.share(work.key[0]).client if work.key[0] in self._jobs else ""

    def _drop(self, work: _Work) -> None:
        """Ends the work; its place is free at once, its memory when its step has ended."""
        work.dropped = True
        if work.running:
            if work.prover is not None:
                work.prover.cancel()
            self._forget(work)
        else:
            self._remove(work)

    def _remove(self, work: _Work) -> None:
        self._open.discard(work)
        work.shut()
        self._forget(work)

    def _forget(self, work: _Work) -> None:
        job = self._jobs.get(work.key[0])
        if job is not None and job.get(work.key[1]) is work:
            del job[work.key[1]]
            if not job:
                del self._jobs[work.key[0]]
                self._turns.remove(work.key[0])

    def _step(self, work: _Work) -> common_pb2.LeafProof | None:
        if work.prover is None or work.source is None:
            if not work.begun_nanos:
                work.begun_nanos = time.time_ns()
            work.prover = StreamingProver(self._keys.proving_key(work.circuit.digest), self._backend)
            work.source = self._source(work.key, work.token)
        if work.consumed < work.available:
            start = time.perf_counter_ns()
            record = require(work.source.next(), work.key, work.consumed)
            work.prover.add(record.wire_offset, decode(record), self._partial(work, record))
            work.consumed += 1
            work.unsettled = work.circuit.wires >= WORTH_SETTLING
            work.accumulate_nanos += time.perf_counter_ns() - start
            return None
        work.finish_started_nanos, start = time.time_ns(), time.perf_counter_ns()
        proof = work.prover.finish(self._entropy(work.key, work.token))
        work.finish_nanos, work.quotient_nanos = time.perf_counter_ns() - start, work.prover.quotient_nanos
        return wire_leaf(proof, work.prover.publics)

    def _settle(self, work: _Work) -> None:
        """One of the segment's sums; its next chunk waits no longer than that takes."""
        assert work.prover is not None
        start = time.perf_counter_ns()
        work.unsettled = work.prover.settle()
        work.accumulate_nanos += time.perf_counter_ns() - start

    def _partial(self, work: _Work, record: Record) -> Partial | None:
        """The chunk's partial, believed until the proof is verified; points outside their groups are wrong at once."""
        if not record.partial:
            return None
        try:
            partial = Partial.from_bytes(record.partial, self._backend)
        except InvalidInputError:
            work.wrong.add(record.sequence)
            return None
        work.partials[record.wire_offset] = record.sequence
        return partial

    def _explain(self, work: _Work, error: Exception) -> status_pb2.Status:
        """Why a segment cannot be proved; a proof that fails its check is blamed on a constraint where one is known."""
        where = f"segments[{work.key[1]}]"
        bound = log.bind(job_id=work.key[0].hex(), segment=work.key[1])
        if work.dropped:
            return status_of(error, prefix=where)
        if isinstance(error, UnsatisfiedError) and error.row < 0:
            try:
                error = self._diagnose(work.key, work.circuit) or error
            except Exception:
                bound.warning("diagnosis_failed", exc_info=True)
        if not isinstance(error, ProverError) or isinstance(error, BackendError):
            bound.error("proving_failed", exc_info=error)
        return status_of(error, prefix=where)
