"""Proving: a bounded set of threads grows the accumulators of many segments while their chunks arrive.

One step of work is one chunk, or the finish of a segment whose chunks are all in. Steps go round the jobs in turn, and
within a job to segments already begun, earlier ones first: no job waits for another, and few accumulators are open at
once. A segment whose edge stalls may lose its accumulators to one that can be finished; its log has all that is needed
to begin again. What the device, not the witness, got wrong is tried once more. Native calls release the GIL and share
the backend's own thread pool.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from google.rpc import status_pb2

from hybrid_prover.v1 import common_pb2
from prover_core.backend import Backend
from prover_core.errors import BackendError, FormatError, ProverError, UnsatisfiedError
from prover_core.formats.chunk import decode_chunk
from prover_core.groth16 import StreamingProver
from prover_core.types import FrVector
from prover_core.witness.rows import first_broken_row, label_of

from .chunklog import ChunkLogReader, Record, log_path, require
from .errors import INTERNAL, status_of
from .keys import KeyCache
from .model import CircuitInfo, SegmentKey
from .validation import wire_leaf

log = structlog.get_logger(__name__)

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
    circuit: CircuitInfo
    available: int = 0
    complete: bool = False
    consumed: int = 0
    running: bool = False
    dropped: bool = False
    retried: bool = False
    idle_since: int = 0
    ready_since: int = 0
    """When it last became runnable, on the monotonic clock; 0 while it runs or has nothing to do."""
    first_ready_nanos: int = 0
    queue_nanos: int = 0
    prover: StreamingProver | None = None
    reader: ChunkLogReader | None = None
    begun_nanos: int = 0
    accumulate_nanos: int = 0
    finish_started_nanos: int = 0
    finish_nanos: int = 0

    @property
    def runnable(self) -> bool:
        return not self.running and (self.consumed < self.available or self.complete)

    def timings(self) -> Timings:
        """What has been measured. `queue` sums time with work at hand and no thread, `accumulate` its steps."""
        spans = [
            ("queue", self.first_ready_nanos, self.queue_nanos),
            ("accumulate", self.begun_nanos, self.accumulate_nanos),
        ]
        if self.finish_started_nanos:
            spans.append(("finish", self.finish_started_nanos, self.finish_nanos))
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
        self.queue_nanos += time.monotonic_ns() - self.ready_since
        self.ready_since = 0

    def shut(self) -> None:
        """Lets go of accumulators and log; the segment can begin again."""
        if self.reader is not None:
            self.reader.close()
        self.prover, self.reader, self.consumed = None, None, 0


class Executor:
    """Turns chunk logs into leaf proofs. `on_leaf`, `on_broken` and `on_fault` are called from worker threads.

    `on_fault`: the device erred once, and the segment is begun again.
    """

    def __init__(
        self,
        keys: KeyCache,
        log_root: Path,
        backend: Backend,
        *,
        workers: int,
        max_open: int,
        on_leaf: Callable[[SegmentKey, common_pb2.LeafProof, Timings], None],
        on_broken: Callable[[SegmentKey, status_pb2.Status, Timings], None],
        on_fault: Callable[[SegmentKey], None] = lambda _: None,
    ) -> None:
        self._keys = keys
        self._root = log_root
        self._backend = backend
        self._max_open = max(max_open, workers)
        self._on_leaf = on_leaf
        self._on_broken = on_broken
        self._on_fault = on_fault
        self._wake = threading.Condition()
        self._jobs: dict[bytes, dict[int, _Work]] = {}
        self._turn: deque[bytes] = deque()
        self._open: set[_Work] = set()
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, name=f"prove-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    def advance(self, key: SegmentKey, circuit: CircuitInfo, chunks: int, complete: bool) -> None:
        """The segment's log may be read up to `chunks`; returns at once."""
        with self._wake:
            job = self._jobs.get(key[0])
            if job is None:
                job = self._jobs[key[0]] = {}
                self._turn.append(key[0])
            work = job.get(key[1])
            if work is None:
                work = job[key[1]] = _Work(key, circuit)
            work.available = max(work.available, chunks)
            work.complete = work.complete or complete
            work.note_ready()
            self._wake.notify()

    def discard(self, key: SegmentKey) -> None:
        """Forgets a segment; a step that is running ends without effect."""
        with self._wake:
            work = self._jobs.get(key[0], {}).get(key[1])
            if work is not None:
                work.dropped = True
                if not work.running:
                    self._remove(work)

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
                work.note_taken()
                work.running = True
            leaf: common_pb2.LeafProof | None = None
            error: status_pb2.Status | None = None
            faulty = False
            try:
                leaf = self._step(work)
            except Exception as e:
                error = self._explain(work, e)
            with self._wake:
                if error is not None and error.code == INTERNAL and not work.retried:
                    # The device erred, not the edge: the log has all that a second attempt needs.
                    work.retried, error, faulty = True, None, True
                    work.shut()
                    self._open.discard(work)
                work.running = False
                work.idle_since = time.monotonic_ns()
                work.note_ready()
                told = not work.dropped
                if leaf is not None or error is not None or work.dropped:
                    self._remove(work)
                self._wake.notify_all()
            if faulty:
                self._on_fault(work.key)
            if told and leaf is not None:
                self._on_leaf(work.key, leaf, work.timings())
            elif told and error is not None:
                self._on_broken(work.key, error, work.timings())

    def _pick(self) -> _Work | None:
        """The next step: jobs in turn, within a job what is open first, then the order of segments."""
        for _ in range(len(self._turn)):
            job_id = self._turn[0]
            self._turn.rotate(-1)
            waiting = [w for w in self._jobs[job_id].values() if w.runnable]
            for work in sorted(waiting, key=lambda w: (w.prover is None, not w.complete, w.key[1])):
                if work in self._open or self._make_room(work):
                    self._open.add(work)
                    return work
        return None

    def _make_room(self, work: _Work) -> bool:
        """Whether one more segment may be open; one that stalls gives way to one that can be finished."""
        if len(self._open) < self._max_open:
            return True
        if not work.complete:
            return False
        stalled = [w for w in self._open if not w.running and not w.complete and w.consumed == w.available]
        if not stalled:
            return False
        victim = min(stalled, key=lambda w: w.idle_since)
        victim.shut()
        self._open.discard(victim)
        return True

    def _remove(self, work: _Work) -> None:
        self._open.discard(work)
        work.shut()
        job = self._jobs.get(work.key[0])
        if job is not None:
            job.pop(work.key[1], None)
            if not job:
                del self._jobs[work.key[0]]
                self._turn.remove(work.key[0])

    def _step(self, work: _Work) -> common_pb2.LeafProof | None:
        if work.prover is None or work.reader is None:
            if not work.begun_nanos:
                work.begun_nanos = time.time_ns()
            work.prover = StreamingProver(self._keys.proving_key(work.circuit.digest), self._backend)
            work.reader = ChunkLogReader(log_path(self._root, work.key))
        if work.consumed < work.available:
            start = time.perf_counter_ns()
            record = require(work.reader.next(), work.key, work.consumed)
            try:
                values = _decode(record)
            except FormatError as e:
                raise FormatError(str(e), field=f"chunks[{record.sequence}].{e.field}") from e
            work.prover.add(record.wire_offset, values)
            work.consumed += 1
            work.accumulate_nanos += time.perf_counter_ns() - start
            return None
        work.finish_started_nanos, start = time.time_ns(), time.perf_counter_ns()
        proof = work.prover.finish()
        work.finish_nanos = time.perf_counter_ns() - start
        return wire_leaf(proof, work.prover.publics)

    def _explain(self, work: _Work, error: Exception) -> status_pb2.Status:
        """Why a segment cannot be proved; a proof that fails its check is blamed on a constraint where one is known."""
        where = f"segments[{work.key[1]}]"
        bound = log.bind(job_id=work.key[0].hex(), segment=work.key[1])
        if isinstance(error, UnsatisfiedError) and error.row < 0:
            try:
                error = self._diagnose(work) or error
            except Exception:
                bound.warning("diagnosis_failed", exc_info=True)
        if not isinstance(error, ProverError) or isinstance(error, BackendError):
            bound.error("proving_failed", exc_info=error)
        return status_of(error, prefix=where)

    def _diagnose(self, work: _Work) -> ProverError | None:
        """Reads the whole witness again and finds the first broken row; None where no R1CS is kept."""
        r1cs = self._keys.r1cs(work.circuit.digest)
        if r1cs is None:
            return None
        witness = np.zeros((work.circuit.wires, 4), dtype=np.uint64)
        reader = ChunkLogReader(log_path(self._root, work.key))
        try:
            while (record := reader.next()) is not None:
                witness[record.wire_offset : record.wire_offset + record.wire_count] = _decode(record).limbs
        finally:
            reader.close()
        row = first_broken_row(r1cs, FrVector(witness), self._backend)
        if row is None:
            return BackendError("the witness satisfies the circuit, but its proof does not verify: the device erred")
        label = label_of(r1cs, row)
        named = f" ({label})" if label else ""
        return UnsatisfiedError(f"the witness breaks constraint {row}{named}", row=row, label=label, field="witness")


def _decode(record: Record) -> FrVector:
    return decode_chunk(record.payload, record.wire_count, record.encoding)
