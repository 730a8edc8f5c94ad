"""Recursion: N Groth16 proofs under one key in, one Groth16 proof out, through the BN254/Grumpkin half-pairing cycle.

Stage 1 proves the leaves' verification equations natively over Fq; `protocol` defines it. Stage 2, the wrap, is an R1CS
over Fr that verifies stage 1, proved with Groth16. See docs/assembly.md.
"""

from __future__ import annotations

from .assemble import AssemblyProof, assemble, assembly_publics, finish_assembly, verify_assembly, wrap_assembly
from .levels import Contents, verify_levels
from .prover import Assembly, AssemblyBuilder
from .shape import Shape, fitting
from .tree import Group, Node, Wrap, plan_tree, standard_shape
from .verifier import verify_stage1
from .wrap.keys import WrapCircuit, WrapKey, WrapKeys
from .wrap.statement import Chain

__all__ = [
    "Assembly",
    "AssemblyBuilder",
    "AssemblyProof",
    "Chain",
    "Contents",
    "Group",
    "Node",
    "Shape",
    "Wrap",
    "WrapCircuit",
    "WrapKey",
    "WrapKeys",
    "assemble",
    "assembly_publics",
    "finish_assembly",
    "fitting",
    "plan_tree",
    "standard_shape",
    "verify_assembly",
    "verify_levels",
    "verify_stage1",
    "wrap_assembly",
]
