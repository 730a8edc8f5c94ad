"""Groth16 over BN254, one file a phase: keys, setup, quotient, prove, verify, batch."""

from .batch import BatchItem, verify_batch
from .keys import PROOF_BYTES, Proof, ProvingKey, VerificationKey
from .partials import PARTIAL_BYTES, Partial, partial_of
from .prove import StreamingProver, prove
from .setup import setup
from .verify import verify

__all__ = [
    "PARTIAL_BYTES",
    "PROOF_BYTES",
    "BatchItem",
    "Partial",
    "Proof",
    "ProvingKey",
    "StreamingProver",
    "VerificationKey",
    "partial_of",
    "prove",
    "setup",
    "verify",
    "verify_batch",
]
