"""What a device must do for us. `reference`, `cpu` and `cuda` implement `Backend`; everything above speaks only this.

All methods are pure functions of their arguments, safe to call from several threads at once, and release the GIL.
`threads` bounds the cores one call may use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import BackendError, InvalidInputError
from .types import FrMontVector, FrVector, G1Point, G1Vector, G2Point, G2Vector

P = TypeVar("P", covariant=True)


class Accumulator(Protocol[P]):
    """The open state of a streaming MSM over fixed bases. Not thread-safe; `finish` may be called once.

    Buckets stay open between calls and are reduced in `finish`, so that m calls cost little more than one.
    """

    def add(self, start: int, scalars: FrVector) -> None:
        """Adds sum of scalars[i] * bases[start + i]. `InvalidInputError` if the range leaves the bases."""

    def add_point(self, point: G1Point | G2Point) -> None:
        """Adds one point of the accumulator's own group (a partial computed elsewhere)."""

    def settle(self, missing: int) -> None:
        """Does what can be done of `finish` before the rest, `missing` scalars or fewer, is added.

        For idle times: the sum is the same and comes sooner after the last `add`, but the whole costs more.
        `InvalidInputError` after `finish`.
        """

    def finish(self) -> P:
        """The sum, affine. O(2^c * windows) group additions."""


class Matrix(Protocol):
    """A sparse matrix over Fr prepared for products with canonical vectors."""

    rows: int

    def product(self, witness: FrVector, first_row: int = 0, rows: int | None = None) -> FrMontVector:
        """Montgomery M[first_row : first_row + rows] * w. One field product a non-zero entry that is not 1 or -1."""


class ProofBatch(Protocol):
    """Groth16 proofs under one key, decoded and ready to be checked in any combination. Safe to call from threads."""

    @property
    def well_formed(self) -> npt.NDArray[np.bool_]:
        """Per proof: canonical, all points on their curves, B of order r, public signals below r."""

    def holds(self, first: int, last: int) -> bool:
        """Whether the combined equation is true of the well-formed proofs first <= i < last.

        Π e(-ρ_i A_i, B_i) · e(Σ ρ_i α, β) · e(Σ ρ_i X_i, γ) · e(Σ ρ_i C_i, δ) = 1, X_i = IC_0 + Σ_j x_ij IC_j.
        True of no proofs. One final exponentiation; the proofs' own Miller loops are not run again.
        """


class Backend(Protocol):
    """One device's arithmetic."""

    @property
    def name(self) -> str:
        """`reference`, `cpu` or `cuda`."""

    @property
    def device(self) -> str:
        """For people: model, instruction set or GPU, threads."""

    def fr_to_montgomery(self, v: FrVector) -> FrMontVector: ...

    def fr_from_montgomery(self, v: FrMontVector) -> FrVector: ...

    def fr_mul(self, a: FrMontVector, b: FrMontVector) -> FrMontVector:
        """Elementwise product."""

    def ntt(self, v: FrMontVector, *, inverse: bool = False) -> FrMontVector:
        """Evaluations at w^i of the polynomial with coefficients v (inverse: the reverse, 1/n included).

        Natural order in and out; n a power of two up to 2^28; w = 5^((r-1)/n), as in snarkjs. Cost n/2 log2 n products.
        """

    def quotient(self, a: FrMontVector, b: FrMontVector, c: FrMontVector | None = None) -> FrVector:
        """Groth16's H scalars: (A B - C) at the odd points w_{2n}^{2i+1}, i < n, canonical, for the `.zkey` H bases.

        a, b, c: evaluations on the n-point domain (c = None means a * b elementwise). Six NTTs of size n.
        """

    def g1_msm(self, bases: G1Vector, scalars: FrVector) -> G1Point: ...

    def g2_msm(self, bases: G2Vector, scalars: FrVector) -> G2Point: ...

    def g1_accumulator(self, bases: G1Vector) -> Accumulator[G1Point]: ...

    def g2_accumulator(self, bases: G2Vector) -> Accumulator[G2Point]: ...

    def g1_fixed_base(self, base: G1Point, scalars: FrVector) -> G1Vector:
        """[scalars[i] * base]; one table, then about 254/c batch-affine additions a scalar."""

    def g2_fixed_base(self, base: G2Point, scalars: FrVector) -> G2Vector: ...

    def matrix(
        self,
        rows: int,
        cols: int,
        row_start: npt.NDArray[np.uint64],
        col: npt.NDArray[np.uint32],
        value_index: npt.NDArray[np.uint32],
        values: FrVector,
    ) -> Matrix:
        """CSR over a table of distinct values: entries of row i are row_start[i] .. row_start[i + 1]."""

    def pairing_product_is_one(self, g1: G1Vector, g2: G2Vector) -> bool:
        """Whether the product of e(g1[i], g2[i]) is 1. Points must be valid; infinity contributes 1."""

    def proof_batch(
        self,
        g1: G1Vector,
        g2: G2Vector,
        proofs: npt.NDArray[np.uint8],
        publics: npt.NDArray[np.uint8],
        coefficients: npt.NDArray[np.uint64],
    ) -> ProofBatch:
        """Decodes n proofs, checks their points and runs their Miller loops.

        g1 is α, IC_0, ..., IC_l and g2 is β, γ, δ: valid, g2 not infinity. proofs: uint8[n, 256], as `Proof.to_bytes`;
        publics: uint8[n l, 32], little-endian; either may hold anything at all. coefficients: uint64[n, 2], for
        ρ = (2 k_0 + 1) + (2 k_1 + 1) λ with λ a primitive cube root of 1 in Fr: never 0, distinct for distinct words,
        and cheap where λ P is. `InvalidInputError` if the shapes do not agree.
        """

    def g1_valid(self, points: G1Vector) -> npt.NDArray[np.bool_]:
        """Per point: canonical coordinates, on the curve or infinity (G1 has cofactor 1)."""

    def g2_valid(self, points: G2Vector) -> npt.NDArray[np.bool_]:
        """Per point: canonical coordinates, on the twist, and in the subgroup of order r; or infinity."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A backend and, for people, why it and no other."""

    backend: Backend
    reason: str


def select(prefer: str | None = None, threads: int | None = None) -> Selection:
    """The fastest backend that works here: cuda, else cpu, else reference, saying why.

    `prefer` names one (else the environment's HYBRID_PROVER_BACKEND): it alone is tried, and `BackendError` says what
    it lacks; `InvalidInputError` for an unknown name. `threads` bounds the cores of the CPU's part; None means all.
    """
    chosen = prefer or os.environ.get("HYBRID_PROVER_BACKEND") or None
    if chosen is not None and chosen not in _MAKERS:
        raise InvalidInputError(f"no backend is called {chosen!r}; there are {', '.join(_MAKERS)}", field="backend")
    refused: list[str] = []
    for name in _MAKERS if chosen is None else [chosen]:
        try:
            backend = _MAKERS[name](threads)
        except (BackendError, ImportError) as e:
            refused.append(f"{name} cannot serve: {e}")
            continue
        if chosen is None:
            why = "; ".join(["the fastest that works here", *refused])
        else:
            why = "asked for by name" if prefer else "asked for by HYBRID_PROVER_BACKEND"
        return Selection(backend, f"{name} ({backend.device}): {why}")
    raise BackendError("; ".join(refused), field="backend")


def _cuda(threads: int | None) -> Backend:
    if find_spec(f"{__package__}.gpu") is None:
        raise BackendError("this version has no CUDA backend")
    backend: Backend = import_module(f"{__package__}.gpu").CudaBackend(threads)
    return backend


def _cpu(threads: int | None) -> Backend:
    from .native import CpuBackend

    return CpuBackend(threads)


def _reference(threads: int | None) -> Backend:
    from .reference import ReferenceBackend

    return ReferenceBackend()


_MAKERS: dict[str, Callable[[int | None], Backend]] = {"cuda": _cuda, "cpu": _cpu, "reference": _reference}
