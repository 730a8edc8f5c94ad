"""Assemblies as plain values: what is asked for, what is watched, what comes out."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prover_core.types import Digest

from .model import PhaseTiming, Problem

if TYPE_CHECKING:
    from prover_core.assembly import Chain, Shape
    from prover_core.groth16.keys import Proof, VerificationKey


_DOMAIN: Final = b"hybrid-prover assembly 1"


def assembly_id(job_ids: Sequence[bytes], chain: tuple[int, int] | None, *, skip_unproved: bool = False) -> Digest:
    """Names an assembly by its content: SHA-256 over the options and the jobs, in order; `chain` is (out, into)."""
    links = b"" if chain is None else b"".join(position.to_bytes(4, "little") for position in chain)
    return Digest.of(_DOMAIN, links, bytes([skip_unproved]), *job_ids)


class AssemblyState(enum.IntEnum):
    """How an assembly stands."""

    RUNNING = 1
    DONE = 2
    FAILED = 3
    CANCELLED = 4

    @property
    def ended(self) -> bool:
        """Nothing changes any more."""
        return self is not AssemblyState.RUNNING


@dataclass(frozen=True, slots=True)
class Assemble:
    """That one proof over all leaf proofs is wanted.

    With `chain` = (out, into), positions in the public signals counted from 0, each leaf must begin where the one
    before ends, and only the chain's ends come out.
    """

    chain: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class AssemblySegment:
    """One segment of one of the jobs that are assembled."""

    job: int
    """Index into the assembly's jobs."""
    segment: int


@dataclass(frozen=True, slots=True)
class AssemblyStatus:
    """One assembly as it stands; `revision` grows with every change. Times are seconds since the Unix epoch."""

    id: Digest
    jobs: tuple[Digest, ...]
    state: AssemblyState
    leaves: int
    """Leaf proofs to be assembled."""
    committed: int
    """Those that are verified and committed to."""
    nodes: int
    """Assemblies that make it up, itself included."""
    nodes_proved: int
    left_out: tuple[AssemblySegment, ...]
    """Segments without a verified leaf proof, left out as asked."""
    timings: tuple[PhaseTiming, ...]
    accepted: float
    ended: float | None
    revision: int
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class AssemblyContents:
    """What an assembly says, level by level."""

    shape: Shape
    chain: Chain | None
    leaf_key: Digest
    """Of the leaves' verification key: a circuit's, or a wrap's where they are assemblies."""
    wrap_key: Digest
    """Of the wrap's verification key, under which it verifies."""
    leaves: tuple[AssemblySegment | AssemblyContents, ...]

    def digests(self) -> Iterator[Digest]:
        """Every key that is named."""
        yield self.leaf_key
        yield self.wrap_key
        for leaf in self.leaves:
            if isinstance(leaf, AssemblyContents):
                yield from leaf.digests()

    def segments(self) -> Iterator[AssemblySegment]:
        """Every leaf at the bottom, in order."""
        for leaf in self.leaves:
            if isinstance(leaf, AssemblyContents):
                yield from leaf.segments()
            else:
                yield leaf


@dataclass(frozen=True, slots=True)
class AssemblyResult:
    """One proof for many. Nothing in it vouches for its keys: see `hybrid_prover.statement.check_statement`."""

    id: Digest
    proof: Proof
    publics: tuple[int, ...]
    """Key digest, leaf count, digest of the leaves' public signals; in a chained assembly then its ends."""
    contents: AssemblyContents
    keys: Mapping[Digest, VerificationKey]
    """Every key that `contents` names, as the service says."""
