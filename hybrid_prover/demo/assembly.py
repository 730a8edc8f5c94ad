"""One proof for the whole block: an assembly for each circuit, and an assembly of these.

Leaves of one assembly share a verification key, so each circuit's leaves are assembled by themselves. What comes out
are proofs under the wrap's key, all of one shape, and the same wrap key turns them into one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.rollup.decompose import OperationJob
from hybrid_prover.assembly import AssembledLeaves, Leaf, check_assembly, write_assembly
from hybrid_prover.cli.output import Advance
from hybrid_prover.model import JobResult
from prover_core.assembly import AssemblyProof, Shape, WrapKey, assemble, standard_shape
from prover_core.backend import Backend
from prover_core.formats.r1cs import read_constraint_count
from prover_core.groth16 import PROOF_BYTES, VerificationKey

from .report import operation_folder

ASSEMBLY_PUBLICS = 3
"""Public signals of an unchained assembly."""
FOLDER = "assembly"


@dataclass(frozen=True, slots=True)
class Part:
    """One assembly: the key of its leaves, what it says, its proof."""

    leaf_key: VerificationKey
    statement: AssembledLeaves
    done: AssemblyProof


@dataclass(frozen=True, slots=True)
class BlockProof:
    """The block's one proof, and the assemblies by circuit that it shows to exist."""

    key: WrapKey
    parts: Mapping[str, Part]
    whole: Part
    seconds: float

    @property
    def leaves(self) -> int:
        """How many segments' proofs it stands for."""
        return sum(len(part.statement.names) for part in self.parts.values())

    def facts(self) -> dict[str, object]:
        """What is told about it; the constraints are those of one wrap, which each assembly proves once."""
        return {
            "leaves": self.leaves,
            "assemblies": len(self.parts) + 1,
            "constraints": read_constraint_count(self.key.r1cs_path),
            "seconds": self.seconds,
            "proof_bytes": PROOF_BYTES,
            "public_inputs": len(self.whole.done.publics),
        }

    def write(self, out: Path) -> None:
        """`assembly/` with the block's proof, and a folder in it for each circuit."""
        wrap = self.key.verification_key
        write_assembly(out / FOLDER, self.whole.done, wrap, self.whole.statement)
        for name, part in self.parts.items():
            write_assembly(out / FOLDER / name, part.done, wrap, part.statement)


def leaves_by_circuit(jobs: Sequence[OperationJob], results: Sequence[JobResult]) -> dict[str, list[Leaf]]:
    """A block's leaf proofs, in order, by circuit; named as their folders are."""
    found: dict[str, list[Leaf]] = {}
    for number, (job, result) in enumerate(zip(jobs, results, strict=True)):
        for index, (segment, leaf) in enumerate(zip(job.segments, result.leaves, strict=True)):
            circuit = segment.circuit_name
            name = f"{operation_folder(number, job)}/{index}-{circuit}"
            found.setdefault(circuit, []).append(Leaf(name, leaf.proof, leaf.public_signals))
    return found


def block_shape(leaves: Mapping[str, Sequence[Leaf]]) -> Shape:
    """One shape for both levels, so that one wrap key is enough."""
    most = max(len(leaves), *(len(items) for items in leaves.values()))
    publics = max(len(leaf.publics) for items in leaves.values() for leaf in items)
    return standard_shape(most, max(publics, ASSEMBLY_PUBLICS))


async def assemble_block(
    leaves: Mapping[str, Sequence[Leaf]],
    keys: Mapping[str, VerificationKey],
    key: WrapKey,
    backend: Backend,
    advance: Advance,
) -> BlockProof:
    """Both levels, one assembly after another, each checked against its leaves before it is used."""
    start, total = time.perf_counter(), len(leaves) + 1
    parts: dict[str, Part] = {}
    for name, items in leaves.items():
        parts[name] = await asyncio.to_thread(_part, keys[name], items, key, backend)
        advance(len(parts), total)
    tops = [Leaf(name, part.done.proof, part.done.publics) for name, part in parts.items()]
    whole = await asyncio.to_thread(_part, key.verification_key, tops, key, backend)
    advance(total, total)
    return BlockProof(key, parts, whole, time.perf_counter() - start)


def _part(vk: VerificationKey, leaves: Sequence[Leaf], key: WrapKey, backend: Backend) -> Part:
    done = assemble(vk, [(leaf.proof, leaf.publics) for leaf in leaves], key, backend)
    statement = AssembledLeaves.of(key, leaves)
    check_assembly(vk, key.verification_key, done.proof, statement, backend, done.publics)
    return Part(vk, statement, done)
