"""Batch verification: leaf proofs of one verification key are checked together, bad ones named, the rest proceed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from google.rpc import status_pb2

from hybrid_prover.v1 import common_pb2
from prover_core.backend import Backend
from prover_core.errors import ProverError, VerificationError
from prover_core.groth16 import Proof, VerificationKey, verify, verify_batch
from prover_core.groth16.sums import MakesProofSums
from prover_core.types import Digest

from .errors import WireError, status_of
from .keys import KeyCache
from .model import CircuitInfo, SegmentKey
from .policy import BatchPolicy, ClosedBatch
from .store import BatchRecord
from .validation import parse_leaf

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One verified batch and how long that took."""

    record: BatchRecord
    good: tuple[SegmentKey, ...]
    bad: tuple[SegmentKey, ...]
    timing: common_pb2.PhaseTiming
    entropy: bytes
    """What the coefficients were drawn from, besides the key and the members."""
    proofs: tuple[bytes, ...]
    """The members' proofs, in order, as `Proof.to_bytes`."""
    waits: Mapping[SegmentKey, common_pb2.PhaseTiming]
    """Phase `batch` of each member: from its leaf proof to the beginning of the verification."""
    leaves: Mapping[SegmentKey, common_pb2.LeafProof] = field(default_factory=dict)
    """What was verified."""


class Batcher:
    """Gathers, closes when the policy says so, verifies in one thread. Lives on one event loop.

    `on_checked` and `on_broken` are called on that loop; the latter if a batch could not be verified at all.
    """

    def __init__(
        self,
        keys: KeyCache,
        backend: Backend,
        policy: BatchPolicy,
        on_checked: Callable[[Outcome], None],
        on_broken: Callable[[SegmentKey, status_pb2.Status], None],
    ) -> None:
        self._keys = keys
        self._backend = backend
        self._policy = policy
        self._on_checked = on_checked
        self._on_broken = on_broken
        self._leaves: dict[SegmentKey, tuple[CircuitInfo, common_pb2.LeafProof, int]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch-verify")
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, key: SegmentKey, circuit: CircuitInfo, leaf: common_pb2.LeafProof) -> None:
        """Takes one leaf proof, instead of an earlier one of the segment that still waits; after `close` it stays in
        the store for the next start."""
        if self._closed:
            return
        waits = key in self._leaves
        self._leaves[key] = (circuit, leaf, time.time_ns())
        if not waits:
            self._start(self._policy.add(circuit.digest, key, time.monotonic_ns()))

    def complete(self, job_id: bytes) -> None:
        """The job has no more leaf proofs to come."""
        self._start(self._policy.complete(job_id))

    def drop(self, key: SegmentKey) -> None:
        """Forgets a proof that nobody wants any more, if it still waits."""
        if self._leaves.pop(key, None) is not None:
            self._policy.drop([key])

    def flush(self) -> None:
        """Closes all batches now."""
        self._start(self._policy.drain())

    @property
    def waiting(self) -> int:
        """Leaf proofs that wait for their batch."""
        return len(self._leaves)

    @property
    def busy(self) -> bool:
        """Whether any proof waits or is being verified."""
        return bool(self._leaves or self._running)

    async def close(self) -> None:
        """Waits for what is running; what waits is taken up from the store at the next start."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._running)
        self._thread.shutdown()

    def _start(self, closed: list[ClosedBatch]) -> None:
        for batch in closed:
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._policy.next_deadline()
        if deadline is not None:
            wait = max(0.0, (deadline - time.monotonic_ns()) / 1e9) + 0.001
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._start(self._policy.tick(time.monotonic_ns()))

    async def _run(self, batch: ClosedBatch) -> None:
        members = [(key, *self._leaves.pop(key)) for key in batch.members if key in self._leaves]
        if not members:
            return
        try:
            loop = asyncio.get_running_loop()
            outcome = await loop.run_in_executor(self._thread, self._verify, batch, members)
        except Exception as e:
            log.error("batch_not_verified", members=len(members), exc_info=e)
            for key, *_ in members:
                self._on_broken(key, status_of(e, prefix=f"segments[{key[1]}]"))
            return
        log.info(
            "batch_verified",
            batch_id=outcome.record.batch_id.hex(),
            size=len(members),
            bad=len(outcome.bad),
            cause=str(batch.cause),
            milliseconds=outcome.timing.duration_nanos // 1_000_000,
        )
        self._on_checked(outcome)

    def _bad(self, key: VerificationKey, leaves: list[tuple[common_pb2.LeafProof, int]], entropy: bytes) -> set[int]:
        """Who is bad, beyond doubt: what a batch says against a proof, or cannot be told, is checked one by one."""
        items: dict[int, tuple[Proof, list[int]]] = {}
        bad = set(range(len(leaves)))
        for i, (leaf, n_public) in enumerate(leaves):
            with contextlib.suppress(WireError):
                items[i] = parse_leaf(leaf, n_public, "leaf")
        order = list(items)
        try:
            found = verify_batch(key, list(items.values()), self._backend, entropy) if items else []
            doubted = [order[i] for i in found]
        except ProverError as e:
            log.warning("batch_verified_one_by_one", members=len(items), exc_info=e)
            doubted = order
        referee = self._backend.cpu if isinstance(self._backend, MakesProofSums) else self._backend
        bad -= set(order) - set(doubted)
        for i in doubted:
            with contextlib.suppress(VerificationError):
                verify(key, *items[i], referee)
                bad.discard(i)
        return bad

    def _verify(
        self, batch: ClosedBatch, members: list[tuple[SegmentKey, CircuitInfo, common_pb2.LeafProof, int]]
    ) -> Outcome:
        start_unix, start = time.time_ns(), time.perf_counter_ns()
        key = self._keys.verification_key(batch.key)
        entropy = secrets.token_bytes(32)
        bad = self._bad(key, [(leaf, circuit.n_public) for _, circuit, leaf, _ in members], entropy)
        timing = common_pb2.PhaseTiming(
            phase="verify", start_unix_nanos=start_unix, duration_nanos=time.perf_counter_ns() - start
        )
        parts = [
            part for k, _, leaf, _ in members for part in (k[0], k[1].to_bytes(8, "little"), leaf.SerializeToString())
        ]
        record = BatchRecord(
            batch_id=Digest.of(b"hybrid-prover batch 1", key.digest.raw, *parts).raw,
            verification_key=key.digest.raw,
            members=tuple(k for k, *_ in members),
            failed=len(bad),
            cause=str(batch.cause),
            closed_nanos=start_unix,
        )
        good = tuple(k for i, (k, *_) in enumerate(members) if i not in bad)
        waits = {
            k: common_pb2.PhaseTiming(phase="batch", start_unix_nanos=since, duration_nanos=max(0, start_unix - since))
            for k, _, _, since in members
        }
        proofs = tuple(leaf.proof.a + leaf.proof.b + leaf.proof.c for _, _, leaf, _ in members)
        failed = tuple(k for i, (k, *_) in enumerate(members) if i in bad)
        leaves = {k: leaf for k, _, leaf, _ in members}
        return Outcome(record, good, failed, timing, entropy, proofs, waits, leaves)
