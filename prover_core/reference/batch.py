"""Batches of Groth16 proofs by definition: one Miller loop a proof, sums by plain multiplication."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInputError
from ..types import G1Point, G2Point, Q, R
from .curve import G1, G2
from .pairing import final_exponentiation, miller_loop
from .tower import Fq12

LAMBDA = pow(5, (R - 1) // 3, R)
"""A primitive cube root of 1 in Fr; which of the two does not matter here."""


@dataclass(frozen=True, slots=True)
class _Member:
    rho: int
    publics: tuple[int, ...]
    c: G1Point
    value: Fq12
    """The Miller function of (-rho A, B)."""


class ReferenceProofBatch:
    """`ProofBatch` over lists of integers."""

    def __init__(
        self,
        g1: list[G1Point],
        g2: list[G2Point],
        proofs: npt.NDArray[np.uint8],
        publics: npt.NDArray[np.uint8],
        coefficients: npt.NDArray[np.uint64],
    ) -> None:
        n, n_public = len(proofs), len(g1) - 2
        if len(g1) < 2 or len(g2) != 3:
            raise InvalidInputError("a key has alpha, IC_0, ... in G1 and beta, gamma, delta in G2", field="g1")
        if proofs.shape != (n, 256) or publics.shape != (n * n_public, 32) or coefficients.shape != (n, 2):
            raise InvalidInputError("proofs, public signals and coefficients differ in number", field="proofs")
        self._alpha, self._ic, self._g2 = g1[0], g1[1:], g2
        self._members = [
            self._decode(
                proofs[i].tobytes(),
                [int.from_bytes(x.tobytes(), "little") for x in publics[i * n_public : (i + 1) * n_public]],
                [int(k) for k in coefficients[i]],
            )
            for i in range(n)
        ]
        self.well_formed = np.array([m is not None for m in self._members], dtype=np.bool_)

    @staticmethod
    def _decode(raw: bytes, publics: list[int], k: list[int]) -> _Member | None:
        x = [int.from_bytes(raw[i : i + 32], "big") for i in range(0, 256, 32)]
        a, b, c = G1Point(x[0], x[1]), G2Point((x[3], x[2]), (x[5], x[4])), G1Point(x[6], x[7])
        if max(x) >= Q or any(p >= R for p in publics):
            return None
        if not (G1.is_on_curve(a) and G1.is_on_curve(c) and G2.is_in_subgroup(b)):
            return None
        rho = (2 * k[0] + 1 + (2 * k[1] + 1) * LAMBDA) % R
        return _Member(rho, tuple(publics), c, miller_loop(G1.negate(G1.multiply(a, rho)), b))

    def holds(self, first: int, last: int) -> bool:
        """See `ProofBatch.holds`; `InvalidInputError` if the range leaves the batch."""
        if not 0 <= first <= last <= len(self._members):
            raise InvalidInputError("the range leaves the batch", field="first")
        members = [m for m in self._members[first:last] if m is not None]
        total = sum(m.rho for m in members) % R
        sums = [total, *(sum(m.rho * m.publics[j] for m in members) % R for j in range(len(self._ic) - 1))]
        x, c = G1.infinity, G1.infinity
        for k, p in zip(sums, self._ic, strict=True):
            x = G1.add(x, G1.multiply(p, k))
        for m in members:
            c = G1.add(c, G1.multiply(m.c, m.rho))
        f = Fq12.one()
        for p, q in zip((G1.multiply(self._alpha, total), x, c), self._g2, strict=True):
            f = f * miller_loop(p, q)
        for m in members:
            f = f * m.value
        return final_exponentiation(f) == Fq12.one()
