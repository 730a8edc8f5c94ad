"""Proofs as files that snarkjs reads."""

from __future__ import annotations

from pathlib import Path

from prover_core.formats.snarkjs_json import write_proof, write_public

from .model import LeafProof
from .names import PROOF, PUBLICS


def write_leaf(folder: Path, leaf: LeafProof) -> None:
    """proof.json and public.json in `folder`, made if missing; as `snarkjs groth16 verify` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_proof(folder / PROOF, leaf.proof)
    write_public(folder / PUBLICS, leaf.public_signals)
