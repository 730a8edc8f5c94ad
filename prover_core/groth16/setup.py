"""Setup by a single party: quick, and insecure, since whoever runs it could keep τ and forge proofs.

Groth16 section 3.2, with the polynomials evaluated at τ through their Lagrange basis. Keys for production come from a
ceremony, through `formats.zkey.read_zkey`.
"""

from __future__ import annotations

import hashlib
import logging
import os

import numpy as np

from ..backend import Backend
from ..r1cs import R1cs, SparseRows
from ..types import FrMontVector, FrVector, G1Point, G2Point, Limbs, R, g1_points, g2_points
from .keys import ProvingKey
from .quotient import domain_size, padded_rows

log = logging.getLogger(__name__)

G1 = G1Point(1, 2)
"""Generator of G1 (EIP-197)."""
G2 = G2Point(
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)
"""Generator of G2 (EIP-197)."""


def setup(r1cs: R1cs, *, backend: Backend, entropy: bytes | None = None) -> ProvingKey:
    """A proving key for the circuit, marked insecure.

    `entropy` makes the key reproducible, for tests; None draws from the operating system. Cost: inverse NTTs of size n
    and 2n, sparse products with the transposed constraints, 3 m + n fixed-base multiplications in G1 and m in G2.
    """
    log.warning("single-party setup: the key is for development, not for production")
    tau, alpha, beta, gamma, delta = _secrets(entropy, 5)
    n, m, first_private = domain_size(r1cs.n_constraints, r1cs.n_public), r1cs.n_wires, r1cs.n_public + 1
    a_rows, b_rows, values = padded_rows(r1cs)

    powers = _powers(backend, tau, 2 * n)
    lagrange = backend.ntt(powers[:n], inverse=True)
    odd = FrMontVector(np.ascontiguousarray(backend.ntt(powers, inverse=True).limbs[1::2]))
    h = backend.fr_from_montgomery(_scaled(backend, odd, pow(delta, -1, R)))

    at_tau = [backend.fr_from_montgomery(_scaled(backend, lagrange, k)) for k in (1, beta, alpha)]
    u = _transposed_product(backend, m, n, [a_rows], values, at_tau[0])
    v = _transposed_product(backend, m, n, [b_rows], values, at_tau[0])
    # β u_i + α v_i + w_i is one product of (A | B | C)ᵀ with (β Λ, α Λ, Λ).
    stacked = FrVector(np.concatenate([at_tau[1].limbs, at_tau[2].limbs, at_tau[0].limbs]))
    k = _transposed_product(backend, m, n, [a_rows, b_rows, r1cs.c], values, stacked)
    u_scalars, v_scalars = backend.fr_from_montgomery(u), backend.fr_from_montgomery(v)
    ic = backend.fr_from_montgomery(_scaled(backend, k[:first_private], pow(gamma, -1, R)))
    l_scalars = backend.fr_from_montgomery(_scaled(backend, k[first_private:], pow(delta, -1, R)))

    alpha1, beta1, delta1 = (_times_g1(backend, x) for x in (alpha, beta, delta))
    beta2, gamma2, delta2 = (_times_g2(backend, x) for x in (beta, gamma, delta))
    key = ProvingKey(
        n_vars=m,
        n_public=r1cs.n_public,
        domain_size=n,
        alpha1=alpha1,
        beta1=beta1,
        delta1=delta1,
        beta2=beta2,
        gamma2=gamma2,
        delta2=delta2,
        ic=backend.g1_fixed_base(G1, ic),
        a=backend.g1_fixed_base(G1, u_scalars),
        b1=backend.g1_fixed_base(G1, v_scalars),
        b2=backend.g2_fixed_base(G2, v_scalars),
        l=backend.g1_fixed_base(G1, l_scalars),
        h=backend.g1_fixed_base(G1, h),
        a_rows=a_rows,
        b_rows=b_rows,
        values=values,
        insecure=True,
    )
    for secret in (powers, lagrange, odd, h, *at_tau, stacked, u, v, k, u_scalars, v_scalars, ic, l_scalars):
        _wipe(secret.limbs)
    return key


def _secrets(entropy: bytes | None, count: int) -> list[int]:
    """Non-zero scalars, 512 bits reduced each (bias below 2^-250)."""
    seed = os.urandom(64) if entropy is None else entropy
    raw = hashlib.shake_256(b"hybrid-prover groth16 setup v1" + seed).digest(64 * count)
    return [1 + int.from_bytes(raw[64 * i : 64 * i + 64], "little") % (R - 1) for i in range(count)]


def _wipe(limbs: Limbs) -> None:
    """Best effort: Python's own integers and the allocator's copies are out of reach."""
    if limbs.flags.writeable:
        limbs.fill(0)


def _constant(value: int, n: int) -> FrMontVector:
    raw = np.frombuffer((value * 2**256 % R).to_bytes(32, "little"), dtype="<u8")
    return FrMontVector(np.tile(raw, (n, 1)))


def _scaled(backend: Backend, v: FrMontVector, factor: int) -> FrMontVector:
    return backend.fr_mul(v, _constant(factor, len(v)))


def _powers(backend: Backend, tau: int, n: int) -> FrMontVector:
    """(1, τ, …, τ^{n-1}), n a power of two, by doubling. As coefficients of an inverse NTT they give Λ_i(τ), since
    the transform's matrix is symmetric: p(τ) = Σ_j (F⁻¹ e)_j τ^j = Σ_i e_i (F⁻¹ τ-powers)_i.
    """
    limbs = _constant(1, 1).limbs
    while len(limbs) < n:
        upper = _scaled(backend, FrMontVector(limbs), pow(tau, len(limbs), R))
        limbs = np.concatenate([limbs, upper.limbs])
    return FrMontVector(limbs)


def _transposed_product(
    backend: Backend, m: int, n: int, blocks: list[SparseRows], values: FrVector, x: FrVector
) -> FrMontVector:
    """(M_0 | M_1 | …)ᵀ x with block k taking x[k n : k n + n]; a counting sort by column, then one sparse product."""
    col = np.concatenate([b.col for b in blocks])
    order = np.argsort(col, kind="stable")
    row = np.concatenate(
        [
            np.repeat(np.arange(k * n, k * n + b.rows, dtype=np.uint32), np.diff(b.row_start).astype(np.int64))
            for k, b in enumerate(blocks)
        ]
    )[order]
    value_index = np.concatenate([b.value_index for b in blocks])[order]
    row_start = np.zeros(m + 1, dtype=np.uint64)
    np.cumsum(np.bincount(col, minlength=m), out=row_start[1:])
    return backend.matrix(m, len(x), row_start, row, value_index, values).product(x)


def _times_g1(backend: Backend, k: int) -> G1Point:
    return g1_points(backend.g1_fixed_base(G1, FrVector.from_ints([k])))[0]


def _times_g2(backend: Backend, k: int) -> G2Point:
    return g2_points(backend.g2_fixed_base(G2, FrVector.from_ints([k])))[0]
