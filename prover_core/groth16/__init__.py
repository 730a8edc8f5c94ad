"""Groth16 over BN254, one file a phase: keys, setup, quotient, prove, verify, batch."""

from .batch import BatchItem, verify_batch
from .keys import PROOF_BYTES, Proof, ProvingKey, VerificationKey
from .prove import StreamingProver, prove
from .setup import setup
from .verify import verify

__all__ = [
    "PROOF_BYTES",
    "BatchItem",
    "Proof",
    "ProvingKey",
    "StreamingProver",
    "VerificationKey",
    "prove",
    "setup",
    "verify",
    "verify_batch",
]
