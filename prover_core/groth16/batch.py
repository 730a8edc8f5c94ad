"""Many proofs under one key, checked by one random linear combination.

    Π_i e(-ρ_i A_i, B_i) · e((Σ ρ_i) α, β) · e(Σ ρ_i X_i, γ) · e(Σ ρ_i C_i, δ) = 1,  X_i = Σ_j a_ij IC_j

A false proof passes with probability 2^-128, whoever chose it, since each ρ_i is one of 2^128 values, chosen by a hash
of the whole batch and fresh entropy. n + 3 Miller loops and one final exponentiation, against 4 n and n one by one.
(Bellare, Garay, Rabin, "Fast batch verification", Eurocrypt 1998.)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ..backend import Backend, ProofBatch
from ..errors import InvalidInputError
from .keys import PROOF_BYTES, Proof, VerificationKey
from .verify import PUBLIC_BYTES, check_key, encode_publics, open_batch

BatchItem = tuple[Proof, Sequence[int]]
"""A proof and its public signals."""

_TRANSCRIPT: Final = b"hybrid-prover groth16 batch v2"
_COEFFICIENT_BYTES: Final = 16
_NO_PROOF: Final = b"\xff" * PROOF_BYTES
"""No coordinate is canonical: stands for a proof that has no encoding."""


def verify_batch(
    vk: VerificationKey, items: Sequence[BatchItem], backend: Backend, entropy: bytes | None = None
) -> list[int]:
    """Indices of the proofs that do not verify, ascending; empty if all do.

    Malformed proofs (see `verify`) are named without spoiling the rest. A batch that fails is halved until each bad one
    is alone: about b log2(n / b) further checks for b bad proofs, which run no proof's Miller loop again but once those
    of its group. `entropy`, at least 32 bytes, makes the coefficients reproducible; None draws it from the operating
    system. `InvalidInputError` if the key has an invalid point.
    """
    if entropy is not None and len(entropy) < 32:
        raise InvalidInputError("entropy for a batch needs at least 32 bytes", field="entropy")
    check_key(vk, backend)
    if not items:
        return []
    proofs, publics = _encode(vk.n_public, items)
    coefficients = _coefficients(vk, proofs, publics, os.urandom(32) if entropy is None else entropy)
    batch = open_batch(vk, proofs, publics, coefficients, backend)
    malformed = np.flatnonzero(~batch.well_formed).tolist()
    return sorted(malformed + _false(batch, 0, len(items), set(malformed)))


def _encode(n_public: int, items: Sequence[BatchItem]) -> tuple[bytes, bytes]:
    """All proofs, and all public signals; what has no encoding of the right size becomes what no backend accepts."""
    proofs, publics = [], []
    nothing = bytes(n_public * PUBLIC_BYTES)
    for proof, values in items:
        try:
            encoded = proof.to_bytes()
            signals = encode_publics(values)
        except OverflowError:
            encoded, signals = _NO_PROOF, nothing
        if len(signals) != len(nothing):
            encoded, signals = _NO_PROOF, nothing
        proofs.append(encoded)
        publics.append(signals)
    return b"".join(proofs), b"".join(publics)


def _coefficients(vk: VerificationKey, proofs: bytes, publics: bytes, entropy: bytes) -> npt.NDArray[np.uint64]:
    """128 bits for each ρ, from SHAKE-256 of the key, every proof and public signal, and the entropy."""
    h = hashlib.shake_256(_TRANSCRIPT)
    h.update(vk.digest.raw)
    h.update((len(proofs) // PROOF_BYTES).to_bytes(8, "little"))
    h.update(proofs)
    h.update(publics)
    h.update(entropy)
    raw = h.digest(_COEFFICIENT_BYTES * (len(proofs) // PROOF_BYTES))
    return np.frombuffer(raw, "<u8").astype(np.uint64).reshape(-1, 2)


def _false(batch: ProofBatch, first: int, last: int, malformed: set[int], *, known: bool = False) -> list[int]:
    """The well-formed proofs first <= i < last that do not verify; `known` says that there is at least one."""
    if not known and batch.holds(first, last):
        return []
    members = [i for i in range(first, last) if i not in malformed]
    if len(members) == 1:
        return members
    middle = members[len(members) // 2]
    left = _false(batch, first, middle, malformed)
    # If the left half is sound, the right one holds whatever made the whole fail.
    return left + _false(batch, middle, last, malformed, known=not left)
