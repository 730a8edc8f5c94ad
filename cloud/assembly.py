"""Assemblies as the cloud knows them: which leaf proofs, in which tree, and how far it has come. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from google.rpc import status_pb2

from hybrid_prover.assemblymodel import assembly_id as content_id
from hybrid_prover.v1 import assembly_pb2, common_pb2
from prover_core.assembly.tree import Group, Node, Wrap, plan_tree
from prover_core.assembly.wrap.statement import Chain
from prover_core.errors import InvalidInputError

from .errors import FAILED_PRECONDITION, INVALID_ARGUMENT, make_status, refuse

if TYPE_CHECKING:
    from .model import CircuitInfo, Job

RUNNING: Final = assembly_pb2.ASSEMBLY_STATE_RUNNING
DONE: Final = assembly_pb2.ASSEMBLY_STATE_DONE
FAILED: Final = assembly_pb2.ASSEMBLY_STATE_FAILED
CANCELLED: Final = assembly_pb2.ASSEMBLY_STATE_CANCELLED

MAX_SEGMENTS: Final = 1 << 14
"""Leaf proofs of one assembly; a statement has five levels at most, and the smallest wrap eight places."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Which wrap keys there are, and how many leaves one assembly may have."""

    known: frozenset[Wrap] = frozenset()
    makes: bool = False
    """Missing keys are made, by a development setup."""
    places: int = 64


@dataclass(frozen=True, slots=True)
class Member:
    """One leaf: a segment of one of the jobs."""

    job: int
    """Index into the assembly's jobs."""
    segment: int
    circuit: CircuitInfo


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do: the leaves by number, in order, and the tree over those numbers."""

    members: tuple[Member, ...]
    tree: Node


@dataclass(slots=True, eq=False)
class Assembly:
    """One assembly as it stands."""

    assembly_id: bytes
    job_ids: tuple[bytes, ...]
    chain: Chain | None
    owner: bytes = b""
    """The job whose last stage it is; empty for one that was asked for by itself."""
    client: str = ""
    work: Work | None = None
    """None for ended ones that come from the store."""
    state: assembly_pb2.AssemblyState = RUNNING
    error: status_pb2.Status | None = None
    leaves: int = 0
    nodes: int = 0
    committed: int = 0
    proved: int = 0
    left_out: tuple[tuple[int, int], ...] = ()
    """(job, segment) of those that have no verified leaf proof."""
    timings: list[common_pb2.PhaseTiming] = field(default_factory=list)
    accepted_nanos: int = 0
    ended_nanos: int = 0
    revision: int = 1
    starts: int = 0
    """How often it was begun with all its leaves: more than once only where the process ended under it."""
    result: assembly_pb2.AssemblyResult | None = None

    def take(self, work: Work) -> None:
        """Takes up the work, from the beginning."""
        self.work, self.leaves = work, len(work.members)
        self.nodes = sum(1 for _ in work.tree.bottom_up())
        self.committed = self.proved = 0
        self.timings = []

    def renew(self) -> None:
        """As if it had never been begun: it goes again."""
        self.state, self.error, self.ended_nanos, self.result = RUNNING, None, 0, None
        self.starts = self.committed = self.proved = 0
        self.timings = []
        self.revision += 1


def assembly_id(job_ids: Sequence[bytes], chain: Chain | None, *, skip_unproved: bool = False) -> bytes:
    """Its name, from its content."""
    links = (chain.out, chain.into) if chain is not None else None
    return content_id(job_ids, links, skip_unproved=skip_unproved).raw


def chain_of(options: assembly_pb2.AssemblyOptions) -> Chain | None:
    """The chain that is asked for, if one is."""
    return Chain(out=options.chain.out, into=options.chain.into) if options.HasField("chain") else None


def options_of(assembly: Assembly) -> assembly_pb2.AssemblyOptions:
    """The inverse of `chain_of`."""
    options = assembly_pb2.AssemblyOptions()
    if assembly.chain is not None:
        options.chain.CopyFrom(assembly_pb2.AssemblyChain(out=assembly.chain.out, into=assembly.chain.into))
    return options


def members_of(jobs: Sequence[Job], left_out: Iterable[tuple[int, int]] = ()) -> tuple[Member, ...]:
    """All segments of the jobs, in order, but for those left out."""
    out = set(left_out)
    every = ((j, s) for j, job in enumerate(jobs) for s in job.segments)
    return tuple(Member(j, s.index, s.circuit) for j, s in every if (j, s.index) not in out)


def plan(members: Sequence[Member], chain: Chain | None, shelf: Shelf, where: str) -> Work:
    """The work for these leaves. `WireError`: INVALID_ARGUMENT names the option (below `where`) that does not fit them,
    FAILED_PRECONDITION the wrap key that is missing.
    """
    groups: dict[bytes, list[int]] = {}
    publics: dict[bytes, int] = {}
    for number, member in enumerate(members):
        groups.setdefault(member.circuit.digest, []).append(number)
        publics[member.circuit.digest] = member.circuit.n_public
    try:
        tree = plan_tree([Group(publics[key], tuple(of)) for key, of in groups.items()], shelf.places, chain)
    except InvalidInputError as e:
        field = f"{where}.chain" if e.field == "chain" else where
        raise refuse(INVALID_ARGUMENT, f"{field}: {e}", reason="ASSEMBLY_SHAPE", field=field) from e
    for wrap in tree.wraps():
        if wrap not in shelf.known and not shelf.makes:
            raise refuse(
                FAILED_PRECONDITION,
                f"this cloud has no wrap key for {describe(wrap)}",
                reason="WRAP_KEY_MISSING",
                field=where,
                shape=describe(wrap),
            )
    return Work(tuple(members), tree)


def describe(wrap: Wrap) -> str:
    """A wrap key in words."""
    shape, chain = wrap.shape, wrap.chain
    links = "" if chain is None else f", chained {chain.out}:{chain.into}"
    return f"{shape.leaves} leaves of {shape.publics} public signals (chunk {shape.chunk}){links}"


def broken_chain(
    work: Work, chain: Chain | None, leaves: Mapping[int, common_pb2.LeafProof]
) -> status_pb2.Status | None:
    """The first leaf that does not begin where the one before ends, as an error that names both; None if all do."""
    if chain is None:
        return None
    for number in range(1, len(work.members)):
        before, after = leaves[number - 1].public_signals, leaves[number].public_signals
        if before[chain.out] != after[chain.into]:
            a, b = work.members[number - 1], work.members[number]
            field = f"jobs[{b.job}].segments[{b.segment}]"
            return make_status(
                FAILED_PRECONDITION,
                f"{field}: public signal {chain.into} differs from public signal {chain.out} of "
                f"jobs[{a.job}].segments[{a.segment}]: the chain is broken",
                reason="CHAIN_BROKEN",
                field=field,
            )
    return None


def assembly_view(assembly: Assembly) -> assembly_pb2.Assembly:
    """The assembly as clients see it."""
    return assembly_pb2.Assembly(
        assembly_id=assembly.assembly_id,
        job_ids=assembly.job_ids,
        options=options_of(assembly),
        state=assembly.state,
        error=assembly.error,
        leaves=assembly.leaves,
        committed=assembly.committed,
        nodes=assembly.nodes,
        nodes_proved=assembly.proved,
        left_out=[assembly_pb2.AssemblySegment(job=job, segment=segment) for job, segment in assembly.left_out],
        timings=assembly.timings,
        accepted_unix_nanos=assembly.accepted_nanos,
        ended_unix_nanos=assembly.ended_nanos,
        revision=assembly.revision,
    )


def assembly_from_view(view: assembly_pb2.Assembly) -> Assembly:
    """The inverse, but for what the view does not tell."""
    return Assembly(
        assembly_id=view.assembly_id,
        job_ids=tuple(view.job_ids),
        chain=chain_of(view.options),
        state=view.state,
        error=status_pb2.Status.FromString(view.error.SerializeToString()) if view.HasField("error") else None,
        leaves=view.leaves,
        committed=view.committed,
        nodes=view.nodes,
        proved=view.nodes_proved,
        left_out=tuple((s.job, s.segment) for s in view.left_out),
        timings=list(view.timings),
        accepted_nanos=view.accepted_unix_nanos,
        ended_nanos=view.ended_unix_nanos,
        revision=view.revision,
    )
