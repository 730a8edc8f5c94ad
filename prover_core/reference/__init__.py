"""The oracle: slow, readable, plain Python integers. It shares no derived constant with `native`.

`ReferenceBackend` implements `Backend` for small sizes, as a definition to compare with, never to prove with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInputError
from ..types import (
    FrMontVector,
    FrVector,
    G1Point,
    G1Vector,
    G2Point,
    G2Vector,
    Q,
    g1_points,
    g1_vector,
    g2_points,
    g2_vector,
)
from . import msm, ntt
from .batch import ReferenceProofBatch
from .curve import G1, G2
from .field import Fq, fr_vector, from_montgomery, limb_rows, to_montgomery
from .pairing import pairing_product
from .tower import Fq2, Fq12

__all__ = ["ReferenceBackend", "ReferenceMatrix"]


class ReferenceMatrix:
    """`Matrix` over `msm.SparseMatrix`."""

    def __init__(self, matrix: msm.SparseMatrix) -> None:
        self._matrix = matrix
        self.rows = matrix.rows

    def product(self, witness: FrVector, first_row: int = 0, rows: int | None = None) -> FrMontVector:
        """Montgomery M[first_row : first_row + rows] * w."""
        return to_montgomery(self._matrix.product(witness.to_ints(), first_row, rows))


class ReferenceBackend:
    """`Backend` by definition. An MSM costs about 0.5 ms a point, a pairing about 0.2 s."""

    @property
    def name(self) -> str:
        """`reference`."""
        return "reference"

    @property
    def device(self) -> str:
        """For people."""
        return "plain Python integers, one thread"

    def fr_to_montgomery(self, v: FrVector) -> FrMontVector:
        """x * 2^256 mod r of each."""
        return to_montgomery(v.to_ints())

    def fr_from_montgomery(self, v: FrMontVector) -> FrVector:
        """The canonical x of each x * 2^256 mod r."""
        return fr_vector(from_montgomery(v))

    def fr_mul(self, a: FrMontVector, b: FrMontVector) -> FrMontVector:
        """Elementwise product; `InvalidInputError` if the lengths differ."""
        if len(a) != len(b):
            raise InvalidInputError(f"{len(a)} factors for {len(b)}", field="b")
        return to_montgomery(x * y for x, y in zip(from_montgomery(a), from_montgomery(b), strict=True))

    def ntt(self, v: FrMontVector, *, inverse: bool = False) -> FrMontVector:
        """See `ntt.ntt` and `ntt.intt`."""
        values = from_montgomery(v)
        return to_montgomery(ntt.intt(values) if inverse else ntt.ntt(values))

    def quotient(self, a: FrMontVector, b: FrMontVector, c: FrMontVector | None = None) -> FrVector:
        """See `ntt.quotient`; `InvalidInputError` if the lengths differ."""
        if len(a) != len(b) or (c is not None and len(c) != len(a)):
            raise InvalidInputError("a, b and c differ in length", field="c")
        return fr_vector(
            ntt.quotient(from_montgomery(a), from_montgomery(b), None if c is None else from_montgomery(c))
        )

    def g1_msm(self, bases: G1Vector, scalars: FrVector) -> G1Point:
        """The sum of scalars[i] * bases[i]; `InvalidInputError` if the lengths differ."""
        return msm.msm(G1, g1_points(bases), scalars.to_ints())

    def g2_msm(self, bases: G2Vector, scalars: FrVector) -> G2Point:
        """The sum of scalars[i] * bases[i]; `InvalidInputError` if the lengths differ."""
        return msm.msm(G2, g2_points(bases), scalars.to_ints())

    def g1_accumulator(self, bases: G1Vector) -> msm.MsmAccumulator[Fq, G1Point]:
        """See `msm.MsmAccumulator`."""
        return msm.MsmAccumulator(G1, g1_points(bases))

    def g2_accumulator(self, bases: G2Vector) -> msm.MsmAccumulator[Fq2, G2Point]:
        """See `msm.MsmAccumulator`."""
        return msm.MsmAccumulator(G2, g2_points(bases))

    def g1_fixed_base(self, base: G1Point, scalars: FrVector) -> G1Vector:
        """See `msm.fixed_base`."""
        return g1_vector(msm.fixed_base(G1, base, scalars.to_ints()))

    def g2_fixed_base(self, base: G2Point, scalars: FrVector) -> G2Vector:
        """See `msm.fixed_base`."""
        return g2_vector(msm.fixed_base(G2, base, scalars.to_ints()))

    def matrix(
        self,
        rows: int,
        cols: int,
        row_start: npt.NDArray[np.uint64],
        col: npt.NDArray[np.uint32],
        value_index: npt.NDArray[np.uint32],
        values: FrVector,
    ) -> ReferenceMatrix:
        """See `msm.SparseMatrix`."""
        return ReferenceMatrix(
            msm.SparseMatrix(
                rows,
                cols,
                [int(x) for x in row_start],
                [int(x) for x in col],
                [int(x) for x in value_index],
                values.to_ints(),
            )
        )

    def pairing_product_is_one(self, g1: G1Vector, g2: G2Vector) -> bool:
        """Whether the product of e(g1[i], g2[i]) is 1; `InvalidInputError` if the lengths differ."""
        if len(g1) != len(g2):
            raise InvalidInputError(f"{len(g1)} points of G1 for {len(g2)} of G2", field="g2")
        return pairing_product(zip(g1_points(g1), g2_points(g2), strict=True)) == Fq12.one()

    def proof_batch(
        self,
        g1: G1Vector,
        g2: G2Vector,
        proofs: npt.NDArray[np.uint8],
        publics: npt.NDArray[np.uint8],
        coefficients: npt.NDArray[np.uint64],
    ) -> ReferenceProofBatch:
        """See `Backend.proof_batch`; about 0.3 s a proof, and 0.7 s a check."""
        return ReferenceProofBatch(g1_points(g1), g2_points(g2), proofs, publics, coefficients)

    def g1_valid(self, points: G1Vector) -> npt.NDArray[np.bool_]:
        """Canonical coordinates, and on the curve or infinity."""
        canonical = [all(c < Q for c in limb_rows(row)) for row in points.limbs]
        return np.array([ok and G1.is_on_curve(p) for ok, p in zip(canonical, g1_points(points), strict=True)], bool)

    def g2_valid(self, points: G2Vector) -> npt.NDArray[np.bool_]:
        """Canonical coordinates, and r p = 0 on the twist, by plain multiplication."""
        canonical = [all(c < Q for c in limb_rows(row)) for row in points.limbs]
        return np.array([ok and G2.is_in_subgroup(p) for ok, p in zip(canonical, g2_points(points), strict=True)], bool)
