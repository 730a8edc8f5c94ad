"""Where proofs come from: signed records of leaf proofs and batches, and what it takes to make a proof again."""

from .node import NodeKey
from .records import (
    ASSEMBLY_TYPE,
    BATCH_TYPE,
    LEAF_TYPE,
    AssemblyFacts,
    BatchFacts,
    LeafFacts,
    assembly_statement,
    batch_statement,
    leaf_statement,
    proof_digest,
)
from .seeds import BlindingSeeds, commitment

__all__ = [
    "ASSEMBLY_TYPE",
    "BATCH_TYPE",
    "LEAF_TYPE",
    "AssemblyFacts",
    "BatchFacts",
    "BlindingSeeds",
    "LeafFacts",
    "NodeKey",
    "assembly_statement",
    "batch_statement",
    "commitment",
    "leaf_statement",
    "proof_digest",
]
