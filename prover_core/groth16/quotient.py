"""From constraints to polynomials: the padded matrices, and the scalars of h(X) = (u v - w)(X) / t(X)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..backend import Backend, Matrix
from ..errors import InvalidInputError
from ..r1cs import R1cs, SparseRows
from ..types import FrVector
from .keys import ProvingKey


def domain_size(n_constraints: int, n_public: int) -> int:
    """The smallest power of two above constraints + public signals, and at least 2 (snarkjs, `zkey_new`).

    `InvalidInputError` above 2^27: the H bases need a 2n-th root of unity, and Fr has none beyond 2^28.
    """
    n = max(2, 1 << (n_constraints + n_public).bit_length())
    if n > 1 << 27:
        raise InvalidInputError(f"{n_constraints} constraints exceed a domain of 2^27", field="constraints")
    return n


def padded_rows(r1cs: R1cs) -> tuple[SparseRows, SparseRows, FrVector]:
    """A and B with `domain_size` rows, and their table of values.

    A gains one row for wire 0 and each public wire that holds just this wire, so that the u_i of the public wires are
    linearly independent; without them a proof could be changed to fit other public signals.
    """
    n = domain_size(r1cs.n_constraints, r1cs.n_public)
    extra = r1cs.n_public + 1
    one = np.flatnonzero((r1cs.values.limbs == np.array([1, 0, 0, 0], dtype=np.uint64)).all(axis=1))
    values = r1cs.values
    if not len(one):
        one = np.array([len(values)])
        values = FrVector(np.concatenate([values.limbs, np.array([[1, 0, 0, 0]], dtype=np.uint64)]))
    end = r1cs.a.non_zeros
    a = SparseRows(
        _padded(np.append(r1cs.a.row_start, np.arange(end + 1, end + extra + 1, dtype=np.uint64)), n),
        np.append(r1cs.a.col, np.arange(extra, dtype=np.uint32)),
        np.append(r1cs.a.value_index, np.full(extra, one[0], dtype=np.uint32)),
    )
    b = SparseRows(_padded(r1cs.b.row_start, n), r1cs.b.col, r1cs.b.value_index)
    return a, b, values


def _padded(row_start: npt.NDArray[np.uint64], rows: int) -> npt.NDArray[np.uint64]:
    return np.append(row_start, np.full(rows + 1 - len(row_start), row_start[-1], dtype=np.uint64))


@dataclass(frozen=True, slots=True, eq=False)
class Quotient:
    """A key's matrices, made ready for one backend once and used by every proof."""

    a: Matrix
    b: Matrix

    @classmethod
    def of(cls, key: ProvingKey, backend: Backend) -> Quotient:
        """O(non-zeros) the first time; remembered in the key."""
        known = key.memo.get(id(backend))
        if isinstance(known, tuple) and isinstance(known[1], cls):
            return known[1]
        n, m = key.domain_size, key.n_vars
        a, b = (
            backend.matrix(n, m, rows.row_start, rows.col, rows.value_index, key.values)
            for rows in (key.a_rows, key.b_rows)
        )
        quotient = cls(a, b)
        key.memo[id(backend)] = (backend, quotient)  # the backend is kept, so that its id stays its own
        return quotient

    def scalars(self, witness: FrVector, backend: Backend) -> FrVector:
        """The n scalars that the key's H bases ask for.

        p = u v - w vanishes on the domain when the witness satisfies the circuit, so that
        h(τ) t(τ) = p(τ) = sum_i p(ω_{2n}^{2i+1}) Λ_{2i+1}(τ); h itself is never computed. Two sparse products and six
        NTTs of size n.
        """
        return backend.quotient(self.a.product(witness), self.b.product(witness))
