"""The assembler: one thread that commits to leaf proofs as they come and turns complete ones into assemblies.

One step of work is a leaf committed to (10 ms), or one assembly of a tree proved (1 to 3 s); wrap keys are read before.
Assemblies whose leaves are all there go first, in the order in which they became complete; an inner assembly that is
complete before its tree is proved when the provers have nothing to do. The thread is nice: proving leaf proofs comes
first. Memory: a few MB for an open builder, of which there is a bounded number; leaves beyond wait as proofs.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from google.rpc import status_pb2

from hybrid_prover.assemblywire import key_to_wire
from hybrid_prover.v1 import assembly_pb2, common_pb2
from prover_core.assembly import (
    AssemblyBuilder,
    AssemblyProof,
    Node,
    WrapKey,
    assembly_publics,
    finish_assembly,
)
from prover_core.backend import Backend
from prover_core.errors import BackendError, FormatError, InvalidInputError, UnavailableError, VerificationError
from prover_core.groth16 import Proof, VerificationKey, verify

from .assembly import Work
from .errors import DATA_LOSS, WireError, make_status, status_of
from .keys import KeyCache
from .validation import parse_leaf, wire_leaf
from .wrapkeys import WrapStock

log = structlog.get_logger(__name__)

Timings = tuple[common_pb2.PhaseTiming, ...]
MAX_BUILDERS: Final = 16
"""Assemblies that grow at the same time, over all trees."""
NICE: Final = 5
TELL_SECONDS: Final = 0.25
PHASES: Final = ("assembly_queue", "commit", "stage1", "wrap")
_FINAL: Final = (WireError, InvalidInputError, FormatError)
"""Errors that come again however often it is tried."""


class _Stopped(Exception):
    """Nobody wants the assembly any more."""


@dataclass(slots=True, eq=False)
class _Part:
    """One assembly of a tree."""

    plan: Node
    inner: tuple[int, ...]
    """Numbers of the parts that are its leaves."""
    waiting: deque[int] = field(default_factory=deque)
    """Positions of leaves that are there and not committed to."""
    placed: int = 0
    builder: AssemblyBuilder | None = None
    made: AssemblyProof | None = None
    key: WrapKey | None = None
    leaf_key: VerificationKey | None = None


@dataclass(slots=True, eq=False)
class _Run:
    """One tree. `leaves`, `waiting`, `complete` and `stopped` change under the lock, the rest in the thread only."""

    assembly_id: bytes
    work: Work
    parts: list[_Part]
    """Each after those that it holds; the last is the tree's root."""
    places: dict[int, tuple[int, int]]
    """Part and position of each leaf."""
    leaves: dict[int, common_pb2.LeafProof] = field(default_factory=dict)
    complete: bool = False
    stopped: bool = False
    warm: bool = False
    """Its wrap keys have been loaded once."""
    failures: int = 0
    ready: int = 0
    """When it became complete, on the monotonic clock; 0 once it has been begun."""
    spent: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Beginning (Unix) and nanoseconds of each phase, summed over the parts."""
    told: float = 0.0

    def timings(self) -> Timings:
        """What has been measured."""
        return tuple(
            common_pb2.PhaseTiming(phase=p, start_unix_nanos=self.spent[p][0], duration_nanos=self.spent[p][1])
            for p in PHASES
            if p in self.spent
        )

    def spend(self, phase: str, nanos: int) -> None:
        """A phase took so long, until now."""
        begun, before = self.spent.get(phase, (time.time_ns() - nanos, 0))
        self.spent[phase] = (begun, before + nanos)

    def again(self) -> None:
        """From the leaf proofs on."""
        for part in self.parts:
            part.builder = part.made = None
            part.placed = 0
            part.waiting.clear()
        for number in sorted(self.leaves):
            index, position = self.places[number]
            self.parts[index].waiting.append(position)


def _run(assembly_id: bytes, work: Work) -> _Run:
    order = list(work.tree.bottom_up())
    numbers = {id(node): i for i, node in enumerate(order)}
    parts = [_Part(node, tuple(numbers[id(inner)] for inner in node.nodes)) for node in order]
    places = {leaf: (i, k) for i, node in enumerate(order) for k, leaf in enumerate(node.leaves)}
    return _Run(assembly_id, work, parts, places)


class Assembler:
    """Works on all assemblies of a cloud. Callbacks are called from its thread; `idle` says whether the provers are."""

    def __init__(
        self,
        keys: KeyCache,
        wraps: WrapStock,
        backend: Backend,
        *,
        idle: Callable[[], bool],
        on_moved: Callable[[bytes, int, int, Timings], None],
        on_made: Callable[[bytes, assembly_pb2.AssemblyResult, Timings], None],
        on_broken: Callable[[bytes, status_pb2.Status, Timings], None],
    ) -> None:
        self._keys, self._wraps, self._backend = keys, wraps, backend
        self._idle, self._on_moved, self._on_made, self._on_broken = idle, on_moved, on_made, on_broken
        self._wake = threading.Condition()
        self._runs: dict[bytes, _Run] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="assembler", daemon=True)
        self._thread.start()

    # From the event loop.

    def put(
        self, assembly_id: bytes, work: Work, leaves: Mapping[int, common_pb2.LeafProof], *, complete: bool
    ) -> None:
        """These verified leaf proofs are there; `complete`: no others are missing."""
        with self._wake:
            run = self._runs.get(assembly_id)
            if run is None:
                run = self._runs[assembly_id] = _run(assembly_id, work)
            for number in sorted(set(leaves) - set(run.leaves)):
                run.leaves[number] = leaves[number]
                index, position = run.places[number]
                run.parts[index].waiting.append(position)
            if complete and not run.complete:
                run.complete, run.ready = True, time.monotonic_ns()
                self._runs[assembly_id] = self._runs.pop(assembly_id)
            self._wake.notify()

    def stop(self, assembly_id: bytes) -> None:
        """Nobody wants it any more; what is being done for it ends within a second or so, and nothing is said of it."""
        with self._wake:
            run = self._runs.pop(assembly_id, None)
            if run is not None:
                run.stopped = True

    @property
    def waiting(self) -> int:
        """Assemblies with all their leaves that are not done."""
        with self._wake:
            return sum(run.complete for run in self._runs.values())

    def close(self) -> None:
        """Ends the thread; what is unfinished starts again from the store. Blocks for as long as a step cannot stop."""
        with self._wake:
            self._closing = True
            for run in self._runs.values():
                run.stopped = True
            self._wake.notify()
        self._thread.join(timeout=10.0)

    # The thread.

    def _serve(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            with self._wake:
                while not self._closing and (found := self._next()) is None:
                    # An inner assembly may wait for idle provers, of which nobody tells.
                    self._wake.wait(TELL_SECONDS if self._may_go_ahead() else None)
                if self._closing:
                    return
            assert found is not None
            run, part = found
            try:
                self._step(run, part)
            except _Stopped:
                pass
            except Exception as e:
                self._failed(run, e)

    def _next(self) -> tuple[_Run, _Part] | None:
        for run in self._runs.values():
            if run.complete:
                return run, next(part for part in run.parts if part.made is None)
        for run in self._runs.values():
            if not run.warm:
                return run, run.parts[0]
        grown = sum(part.builder is not None for run in self._runs.values() for part in run.parts)
        for run in self._runs.values():
            for part in run.parts:
                if part.waiting and (part.builder is not None or grown < MAX_BUILDERS):
                    return run, part
        if self._idle():
            return next(self._ahead(), None)
        return None

    def _ahead(self) -> Iterator[tuple[_Run, _Part]]:
        """Inner assemblies that could be proved although their trees are not complete."""
        for run in self._runs.values():
            for part in run.parts:
                there = all(run.parts[i].made is not None for i in part.inner) and part.placed == len(part.plan.leaves)
                if part.made is None and there and part is not run.parts[-1]:
                    yield run, part

    def _may_go_ahead(self) -> bool:
        return next(self._ahead(), None) is not None

    def _step(self, run: _Run, part: _Part) -> None:
        if not run.warm:
            # Before the first leaf, or what is missing is known late, and the last leaf waits for what is slow to read.
            for wrap in run.work.tree.wraps():
                self._goes_on(run)
                self._wraps.key(wrap)
            run.warm = True
            return
        if run.ready:
            run.spend("assembly_queue", time.monotonic_ns() - run.ready)
            run.ready = 0
        if part.placed < len(part.plan.leaves):
            self._commit(run, part)
        else:
            self._prove(run, part)
            if part is run.parts[-1]:
                self._made(run)
                return
        self._tell(run)

    def _tell(self, run: _Run) -> None:
        now, proved = time.monotonic(), sum(part.made is not None for part in run.parts)
        if now - run.told > TELL_SECONDS and not run.stopped:
            run.told = now
            committed = sum(part.placed for part in run.parts)
            self._on_moved(run.assembly_id, committed, proved, run.timings())

    def _goes_on(self, run: _Run) -> None:
        if run.stopped:
            raise _Stopped

    def _commit(self, run: _Run, part: _Part) -> None:
        """One leaf; all that are there where there are many and none has been placed, which goes side by side."""
        self._goes_on(run)
        start = time.perf_counter_ns()
        builder = self._builder(run, part)
        with self._wake:
            positions = sorted(part.waiting) if part.placed == 0 else [part.waiting[0]]
        if positions != list(range(len(positions))):
            positions = positions[:1]
        items = [self._leaf(run, part, position) for position in positions]
        try:
            if positions[0] == 0 and part.placed == 0:
                builder.extend(items)
            else:
                builder.place(positions[0], *items[0])
        except VerificationError as e:
            # Verified before and stored since.
            raise WireError(self._damaged(run, part, positions, e)) from e
        with self._wake:
            for position in positions:
                part.waiting.remove(position)
        part.placed += len(positions)
        run.spend("commit", time.perf_counter_ns() - start)

    def _builder(self, run: _Run, part: _Part) -> AssemblyBuilder:
        if part.builder is None:
            part.key = self._wraps.key(part.plan.wrap)
            part.leaf_key = self._leaf_key(run, part)
            part.builder = AssemblyBuilder(part.key.shape, part.leaf_key)
        return part.builder

    def _leaf_key(self, run: _Run, part: _Part) -> VerificationKey:
        if part.inner:
            lower = run.parts[part.inner[0]].key
            assert lower is not None
            return lower.verification_key
        return self._keys.verification_key(run.work.members[part.plan.leaves[0]].circuit.digest)

    def _leaf(self, run: _Run, part: _Part, position: int) -> tuple[Proof, list[int]]:
        number = part.plan.leaves[position]
        member = run.work.members[number]
        where = f"jobs[{member.job}].segments[{member.segment}]"
        return parse_leaf(run.leaves[number], member.circuit.n_public, where)

    def _damaged(self, run: _Run, part: _Part, positions: list[int], error: VerificationError) -> status_pb2.Status:
        at = error.field.removeprefix("leaves[").removesuffix("]")
        member = run.work.members[part.plan.leaves[positions[int(at) if at.isdecimal() else 0]]]
        where = f"jobs[{member.job}].segments[{member.segment}]"
        return make_status(DATA_LOSS, f"{where}: {error}", reason="LEAF_DAMAGED", field=where)

    def _prove(self, run: _Run, part: _Part) -> None:
        self._goes_on(run)
        builder, start = self._builder(run, part), time.perf_counter_ns()
        inner = [made for i in part.inner if (made := run.parts[i].made) is not None]
        if inner and not len(builder):
            builder.extend([(made.proof, made.publics) for made in inner])
        key, leaf_key = part.key, part.leaf_key
        assert key is not None
        assert leaf_key is not None
        rows = [made.publics for made in inner] or [
            tuple(self._leaf(run, part, i)[1]) for i in range(len(part.plan.leaves))
        ]
        if inner:
            run.spend("commit", time.perf_counter_ns() - start)
        made = finish_assembly(builder, key, self._backend, goes_on=lambda: self._goes_on(run))
        start = time.perf_counter_ns()
        expected = assembly_publics(key.shape, leaf_key, rows, key.chain)
        if made.publics != expected:
            raise BackendError("an assembly's public signals are not those of its leaves")
        try:
            verify(key.verification_key, made.proof, list(expected), self._backend)
        except VerificationError as e:
            raise BackendError(f"an assembly that was made here does not verify: {e}") from e
        first = int(made.seconds["stage 1"] * 1e9)
        rest = int(sum(s for name, s in made.seconds.items() if name != "stage 1") * 1e9)
        run.spend("wrap", rest + time.perf_counter_ns() - start)
        run.spend("stage1", first)
        part.made, part.builder = made, None

    def _made(self, run: _Run) -> None:
        with self._wake:
            if run.stopped:
                return
            del self._runs[run.assembly_id]
        root = run.parts[-1]
        assert root.made is not None
        keys: dict[bytes, VerificationKey] = {}
        for part in run.parts:
            for key in (part.leaf_key, part.key.verification_key if part.key is not None else None):
                if key is not None:
                    keys[key.digest.raw] = key
        result = assembly_pb2.AssemblyResult(
            assembly_id=run.assembly_id,
            proof=wire_leaf(root.made.proof, list(root.made.publics)),
            contents=_contents(run, root),
            keys=[key_to_wire(key) for key in keys.values()],
        )
        log.info(
            "assembled",
            assembly_id=run.assembly_id.hex(),
            leaves=len(run.leaves),
            assemblies=len(run.parts),
            milliseconds={t.phase: t.duration_nanos // 1_000_000 for t in run.timings()},
        )
        self._on_made(run.assembly_id, result, run.timings())

    def _failed(self, run: _Run, error: Exception) -> None:
        """Once more from the leaf proofs on, where that may help; the store being away is waited for."""
        if isinstance(error, UnavailableError):
            log.warning("assembly_waits", assembly_id=run.assembly_id.hex(), error=str(error))
            return
        run.failures += 1
        again = run.failures == 1 and not isinstance(error, _FINAL)
        log.error("assembly_failed", assembly_id=run.assembly_id.hex(), again=again, exc_info=error)
        with self._wake:
            if run.stopped:
                return
            if again:
                run.again()
                return
            del self._runs[run.assembly_id]
        self._on_broken(run.assembly_id, status_of(error, prefix="assembly"), run.timings())


def _contents(run: _Run, part: _Part) -> assembly_pb2.AssemblyContents:
    shape, chain = part.plan.wrap.shape, part.plan.wrap.chain
    assert part.key is not None
    assert part.leaf_key is not None
    contents = assembly_pb2.AssemblyContents(
        places=shape.leaves,
        publics=shape.publics,
        chunk=shape.chunk,
        leaf_key=part.leaf_key.digest.raw,
        wrap_key=part.key.verification_key.digest.raw,
    )
    if chain is not None:
        contents.chain.CopyFrom(assembly_pb2.AssemblyChain(out=chain.out, into=chain.into))
    for number in part.plan.leaves:
        member = run.work.members[number]
        contents.leaves.add(segment=assembly_pb2.AssemblySegment(job=member.job, segment=member.segment))
    for i in part.inner:
        contents.leaves.add(assembly=_contents(run, run.parts[i]))
    return contents
