"""Where proofs come from: signed records of leaf proofs and batches, and what it takes to make a proof again."""

from .node import NodeKey
from .records import BATCH_TYPE, LEAF_TYPE, BatchFacts, LeafFacts, batch_statement, leaf_statement, proof_digest
from .seeds import BlindingSeeds, commitment

__all__ = [
    "BATCH_TYPE",
    "LEAF_TYPE",
    "BatchFacts",
    "BlindingSeeds",
    "LeafFacts",
    "NodeKey",
    "batch_statement",
    "commitment",
    "leaf_statement",
    "proof_digest",
]
