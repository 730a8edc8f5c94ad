"""`Backend` over the compiled module: allocates results, names types, and turns native errors into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from ..errors import BackendError, InvalidInputError
from ..types import (
    FrMontVector,
    FrVector,
    G1Point,
    G1Vector,
    G2Point,
    G2Vector,
    g1_points,
    g1_vector,
    g2_points,
    g2_vector,
)
from . import _native
from ._device import device_name


@contextmanager
def _native_errors(field: str = "") -> Iterator[None]:
    try:
        yield
    except ValueError as e:
        raise InvalidInputError(str(e), field=field) from e
    except MemoryError as e:
        raise BackendError("not enough memory for this call on the CPU backend", field=field) from e


def _empty(n: int, *tail: int) -> npt.NDArray[np.uint64]:
    try:
        return np.empty((n, *tail), dtype=np.uint64)
    except MemoryError as e:
        raise BackendError(f"not enough memory for {n} results") from e


class G1Accumulator:
    """`Accumulator[G1Point]`. Holds the bases' buffer until it is dropped."""

    def __init__(self, bases: G1Vector, threads: int, scalar: bool) -> None:
        with _native_errors("bases"):
            self._open = _native.G1Accumulator(bases.limbs, threads, scalar)

    def add(self, start: int, scalars: FrVector) -> None:
        """Adds sum of scalars[i] * bases[start + i]; about 20 additions a full-size scalar, one a small one.

        `InvalidInputError` if the range leaves the bases (nothing is added) or a scalar is not below r. The latter,
        and whatever else fails halfway, closes the accumulator.
        """
        if start < 0:
            raise InvalidInputError("the range leaves the bases", field="start")
        with _native_errors("scalars"):
            self._open.add(start, scalars.limbs)

    def add_point(self, point: G1Point | G2Point) -> None:
        """Adds one point of G1; `InvalidInputError` for a point of G2 or after `finish`."""
        if not isinstance(point, G1Point):
            raise InvalidInputError("a point of G2 cannot be added to a sum in G1", field="point")
        with _native_errors("point"):
            self._open.add_point(g1_vector([point]).limbs)

    def settle(self, missing: int) -> None:
        """Sums what waits for more of its kind; few missing scalars get windows, and buckets, of their own size."""
        with _native_errors():
            self._open.settle(missing)

    def finish(self) -> G1Point:
        """The sum; frees the buckets. `InvalidInputError` when called twice."""
        out = _empty(1, 2, 4)
        with _native_errors():
            self._open.finish(out)
        return g1_points(G1Vector(out))[0]


class G2Accumulator:
    """`Accumulator[G2Point]`. Holds the bases' buffer until it is dropped."""

    def __init__(self, bases: G2Vector, threads: int, scalar: bool) -> None:
        with _native_errors("bases"):
            self._open = _native.G2Accumulator(bases.limbs, threads, scalar)

    def add(self, start: int, scalars: FrVector) -> None:
        """As in G1, at about three times the cost."""
        if start < 0:
            raise InvalidInputError("the range leaves the bases", field="start")
        with _native_errors("scalars"):
            self._open.add(start, scalars.limbs)

    def add_point(self, point: G1Point | G2Point) -> None:
        """Adds one point of G2; `InvalidInputError` for a point of G1 or after `finish`."""
        if not isinstance(point, G2Point):
            raise InvalidInputError("a point of G1 cannot be added to a sum in G2", field="point")
        with _native_errors("point"):
            self._open.add_point(g2_vector([point]).limbs)

    def settle(self, missing: int) -> None:
        """As in G1."""
        with _native_errors():
            self._open.settle(missing)

    def finish(self) -> G2Point:
        """The sum; frees the buckets. `InvalidInputError` when called twice."""
        out = _empty(1, 2, 2, 4)
        with _native_errors():
            self._open.finish(out)
        return g2_points(G2Vector(out))[0]


class CpuMatrix:
    """`Matrix` whose indices were checked once and are borrowed: the arrays must not change while it lives."""

    def __init__(self, native: _native.Matrix, rows: int, threads: int) -> None:
        self._native = native
        self._threads = threads
        self.rows = rows

    def product(self, witness: FrVector, first_row: int = 0, rows: int | None = None) -> FrMontVector:
        """Montgomery M[first_row : first_row + rows] * w; `InvalidInputError` if w or the rows do not fit."""
        count = self.rows - first_row if rows is None else rows
        if first_row < 0 or count < 0 or first_row + count > self.rows:
            raise InvalidInputError("the rows asked for leave the matrix", field="first_row")
        out = _empty(count, 4)
        with _native_errors("witness"):
            self._native.product(witness.limbs, first_row, out, self._threads)
        return FrMontVector(out)


class CpuProofBatch:
    """`ProofBatch`: Miller values kept in groups of 32 proofs, and one by one for groups that a check cut."""

    def __init__(self, native: _native.ProofBatch) -> None:
        self._native = native
        self.well_formed: npt.NDArray[np.bool_] = native.well_formed()

    def holds(self, first: int, last: int) -> bool:
        """See `ProofBatch.holds`; `InvalidInputError` if the range leaves the batch."""
        if not 0 <= first <= last:
            raise InvalidInputError("the range leaves the batch", field="first")
        with _native_errors("last"):
            return self._native.holds(first, last)


class CpuBackend:
    """`Backend` on the processor. `threads` bounds every call; None means HYBRID_PROVER_THREADS or all cores allowed.

    `scalar` keeps to one element at a time where the processor could do eight: for tests and comparisons.
    All calls share one pool of threads, release the GIL, and take part in their own work.
    """

    def __init__(self, threads: int | None = None, *, scalar: bool = False) -> None:
        if threads is not None and threads < 1:
            raise InvalidInputError(f"{threads} threads cannot work", field="threads")
        self.threads: int = threads or _native.default_threads()
        self.scalar = scalar

    @property
    def name(self) -> str:
        return "cpu"

    @property
    def device(self) -> str:
        return device_name(self.threads, scalar=self.scalar)

    def fr_to_montgomery(self, v: FrVector) -> FrMontVector:
        """x -> x 2^256; one product each."""
        out = _empty(len(v), 4)
        with _native_errors("v"):
            _native.fr_to_montgomery(v.limbs, out, self.threads)
        return FrMontVector(out)

    def fr_from_montgomery(self, v: FrMontVector) -> FrVector:
        """The reverse; one product each."""
        out = _empty(len(v), 4)
        with _native_errors("v"):
            _native.fr_from_montgomery(v.limbs, out, self.threads)
        return FrVector(out)

    def fr_mul(self, a: FrMontVector, b: FrMontVector) -> FrMontVector:
        """Elementwise product; `InvalidInputError` if the lengths differ."""
        out = _empty(len(a), 4)
        with _native_errors("b"):
            _native.fr_mul(a.limbs, b.limbs, out, self.threads)
        return FrMontVector(out)

    def ntt(self, v: FrMontVector, *, inverse: bool = False) -> FrMontVector:
        """See `Backend.ntt`; `InvalidInputError` unless the length is a power of two up to 2^28."""
        out = _empty(len(v), 4)
        with _native_errors("v"):
            _native.ntt(v.limbs, out, inverse, self.threads, self.scalar)
        return FrMontVector(out)

    def quotient(self, a: FrMontVector, b: FrMontVector, c: FrMontVector | None = None) -> FrVector:
        """See `Backend.quotient`; lengths equal, a power of two up to 2^27. Memory: 96 n bytes with the result."""
        out = _empty(len(a), 4)
        with _native_errors("a"):
            _native.quotient(a.limbs, b.limbs, None if c is None else c.limbs, out, self.threads, self.scalar)
        return FrVector(out)

    def g1_msm(self, bases: G1Vector, scalars: FrVector) -> G1Point:
        """sum of scalars[i] * bases[i]; `InvalidInputError` if there are more scalars than bases."""
        accumulator = self.g1_accumulator(bases)
        accumulator.add(0, scalars)
        return accumulator.finish()

    def g2_msm(self, bases: G2Vector, scalars: FrVector) -> G2Point:
        """As `g1_msm`, in G2."""
        accumulator = self.g2_accumulator(bases)
        accumulator.add(0, scalars)
        return accumulator.finish()

    def g1_accumulator(self, bases: G1Vector) -> G1Accumulator:
        """Memory: 2^(c-1) buckets of 64 bytes in each of 254/c windows, c chosen for len(bases): at most 64 MiB."""
        return G1Accumulator(bases, self.threads, self.scalar)

    def g2_accumulator(self, bases: G2Vector) -> G2Accumulator:
        """As `g1_accumulator`, with 128 bytes a bucket."""
        return G2Accumulator(bases, self.threads, self.scalar)

    def g1_fixed_base(self, base: G1Point, scalars: FrVector) -> G1Vector:
        """[scalars[i] * base]; one table, then about 254/c batch-affine additions a scalar."""
        out = _empty(len(scalars), 2, 4)
        with _native_errors("scalars"):
            _native.g1_fixed_base(g1_vector([base]).limbs, scalars.limbs, out, self.threads, self.scalar)
        return G1Vector(out)

    def g2_fixed_base(self, base: G2Point, scalars: FrVector) -> G2Vector:
        """As `g1_fixed_base`, in G2."""
        out = _empty(len(scalars), 2, 2, 4)
        with _native_errors("scalars"):
            _native.g2_fixed_base(g2_vector([base]).limbs, scalars.limbs, out, self.threads, self.scalar)
        return G2Vector(out)

    def matrix(
        self,
        rows: int,
        cols: int,
        row_start: npt.NDArray[np.uint64],
        col: npt.NDArray[np.uint32],
        value_index: npt.NDArray[np.uint32],
        values: FrVector,
    ) -> CpuMatrix:
        """Checks the indices, O(entries), and borrows them. `InvalidInputError` names what is out of range."""
        if row_start.dtype != np.uint64 or col.dtype != np.uint32 or value_index.dtype != np.uint32:
            raise InvalidInputError("a matrix needs row_start of uint64, col and value_index of uint32", field="matrix")
        if rows < 0 or cols < 0:
            raise InvalidInputError("a matrix cannot have a negative size", field="matrix")
        with _native_errors("matrix"):
            native = _native.Matrix(rows, cols, row_start, col, value_index, values.limbs)
        return CpuMatrix(native, rows, self.threads)

    def pairing_product_is_one(self, g1: G1Vector, g2: G2Vector) -> bool:
        """See `Backend.pairing_product_is_one`; `InvalidInputError` if the lengths differ."""
        with _native_errors("g2"):
            return bool(_native.pairing_product_is_one(g1.limbs, g2.limbs, self.threads))

    def proof_batch(
        self,
        g1: G1Vector,
        g2: G2Vector,
        proofs: npt.NDArray[np.uint8],
        publics: npt.NDArray[np.uint8],
        coefficients: npt.NDArray[np.uint64],
    ) -> CpuProofBatch:
        """See `Backend.proof_batch`: eight Miller loops side by side where the processor can."""
        with _native_errors("proofs"):
            native = _native.ProofBatch(g1.limbs, g2.limbs, proofs, publics, coefficients, self.threads, self.scalar)
        return CpuProofBatch(native)

    def g1_valid(self, points: G1Vector) -> npt.NDArray[np.bool_]:
        """See `Backend.g1_valid`; four products a point."""
        out = np.empty(len(points), dtype=np.bool_)
        with _native_errors("points"):
            _native.g1_valid(points.limbs, out, self.threads)
        return out

    def g2_valid(self, points: G2Vector) -> npt.NDArray[np.bool_]:
        """See `Backend.g2_valid`; a 64-bit scalar multiplication a point."""
        with _native_errors("points"):
            return np.asarray(_native.g2_valid(points.limbs, self.threads), dtype=np.bool_)
