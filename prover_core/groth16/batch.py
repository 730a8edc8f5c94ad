"""Many proofs under one key, checked by one random linear combination.

    Π_i e(-ρ_i A_i, B_i) · e((Σ ρ_i) α, β) · e(Σ ρ_i X_i, γ) · e(Σ ρ_i C_i, δ) = 1,  X_i = Σ_j a_ij IC_j

A false proof passes with probability 2^-128, whoever chose it, since the ρ_i come from a hash of the whole batch and
fresh entropy. n + 3 Miller loops and one final exponentiation, against 4 n and n one by one. (Bellare, Garay, Rabin,
"Fast batch verification", Eurocrypt 1998.)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Final

from ..backend import Backend
from ..errors import InvalidInputError, VerificationError
from ..types import FrVector, G1Point, R, g1_vector, g2_vector
from .keys import Proof, VerificationKey
from .verify import check_key, check_points, check_publics, negated

BatchItem = tuple[Proof, Sequence[int]]
"""A proof and its public signals."""

_TRANSCRIPT: Final = b"hybrid-prover groth16 batch v1"
_COEFFICIENT_BYTES: Final = 16


def verify_batch(
    vk: VerificationKey, items: Sequence[BatchItem], backend: Backend, entropy: bytes | None = None
) -> list[int]:
    """Indices of the proofs that do not verify, ascending; empty if all do.

    Malformed proofs (see `verify`) are named without spoiling the rest. A batch that fails is halved until each bad one
    is alone: about 2 b log2(n / b) smaller checks for b bad proofs. `entropy`, at least 32 bytes, makes the
    coefficients reproducible; None draws it from the operating system. `InvalidInputError` if the key has an
    invalid point.
    """
    if entropy is not None and len(entropy) < 32:
        raise InvalidInputError("entropy for a batch needs at least 32 bytes", field="entropy")
    check_key(vk, backend)
    bad = [i for i, item in enumerate(items) if not _well_formed(vk, item, backend)]
    malformed = set(bad)
    sound = [i for i in range(len(items)) if i not in malformed]
    if sound:
        rho = _coefficients(vk, [items[i] for i in sound], os.urandom(32) if entropy is None else entropy)
        batch = _Batch(vk, {i: items[i] for i in sound}, dict(zip(sound, rho, strict=True)), backend)
        bad += batch.bad(sound)
    return sorted(bad)


def _well_formed(vk: VerificationKey, item: BatchItem, backend: Backend) -> bool:
    proof, publics = item
    try:
        check_publics(vk, publics)
        check_points(proof, backend)
    except VerificationError:
        return False
    return True


def _coefficients(vk: VerificationKey, items: Sequence[BatchItem], entropy: bytes) -> list[int]:
    """One non-zero ρ of 128 bits each, from SHAKE-256 of the key, every proof and public signal, and the entropy."""
    h = hashlib.shake_256(_TRANSCRIPT)
    h.update(vk.digest.raw)
    h.update(len(items).to_bytes(8, "little"))
    for proof, publics in items:
        h.update(proof.to_bytes())
        for x in publics:
            h.update(x.to_bytes(32, "big"))
    h.update(entropy)
    raw = h.digest(_COEFFICIENT_BYTES * len(items))
    return [
        int.from_bytes(raw[i : i + _COEFFICIENT_BYTES], "little") or 1 for i in range(0, len(raw), _COEFFICIENT_BYTES)
    ]


class _Batch:
    """Well-formed proofs with their coefficients; each ρ_i A_i is computed once and serves every sub-batch."""

    def __init__(self, vk: VerificationKey, items: dict[int, BatchItem], rho: dict[int, int], backend: Backend) -> None:
        self._vk = vk
        self._items = items
        self._rho = rho
        self._backend = backend
        self._minus_a = {i: negated(self._sum([(rho[i], items[i][0].a)])) for i in items}

    def _sum(self, terms: list[tuple[int, G1Point]]) -> G1Point:
        return self._backend.g1_msm(g1_vector([p for _, p in terms]), FrVector.from_ints([k for k, _ in terms]))

    def holds(self, indices: Sequence[int]) -> bool:
        """Whether the combined equation is true of these proofs."""
        vk, items, rho = self._vk, self._items, self._rho
        total = sum(rho[i] for i in indices) % R
        ic = [sum(rho[i] * items[i][1][j] for i in indices) % R for j in range(vk.n_public)]
        g1 = [
            *(self._minus_a[i] for i in indices),
            self._sum([(total, vk.alpha1)]),
            self._sum(list(zip([total, *ic], vk.ic, strict=True))),
            self._sum([(rho[i], items[i][0].c) for i in indices]),
        ]
        g2 = [*(items[i][0].b for i in indices), vk.beta2, vk.gamma2, vk.delta2]
        return self._backend.pairing_product_is_one(g1_vector(g1), g2_vector(g2))

    def bad(self, indices: Sequence[int], *, known_bad: bool = False) -> list[int]:
        """All bad proofs among these; `known_bad` says that there is at least one."""
        if not known_bad and self.holds(indices):
            return []
        if len(indices) == 1:
            return list(indices)
        half = len(indices) // 2
        left = self.bad(indices[:half])
        # If the left half is sound, the right one holds whatever made the whole fail.
        return left + self.bad(indices[half:], known_bad=not left)
