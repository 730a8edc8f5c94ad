"""Verification: e(A, B) = e(α, β) e(Σ_{i<=l} a_i IC_i, γ) e(C, δ) (Groth, eprint 2016/260, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ..backend import Backend, ProofBatch
from ..errors import InvalidInputError, VerificationError
from ..types import G1Point, G2Point, Q, R, g1_vector, g2_vector
from .keys import PROOF_BYTES, Proof, VerificationKey

PUBLIC_BYTES: Final = 32


def verify(vk: VerificationKey, proof: Proof, publics: Sequence[int], backend: Backend) -> None:
    """Returns if the proof holds for these public signals. Four Miller loops, one final exponentiation.

    `VerificationError` (field = `a`, `b`, `c`, `publics` or `proof`) for a coordinate that is not canonical, a point
    off its curve or out of its subgroup, a wrong number of public signals, one that is not in [0, r), or a false
    equation. `InvalidInputError` if the key itself has such a point.
    """
    check_key(vk, backend)
    check_publics(vk, publics)
    if not _holds(vk, proof, publics, backend):
        check_points(proof, backend)
        raise VerificationError("the proof does not verify", field="proof")


def _holds(vk: VerificationKey, proof: Proof, publics: Sequence[int], backend: Backend) -> bool:
    """A batch of one, whose coefficient need not be random."""
    try:
        encoded = proof.to_bytes()
    except OverflowError:
        return False
    batch = open_batch(vk, encoded, encode_publics(publics), np.zeros((1, 2), np.uint64), backend)
    return bool(batch.well_formed[0]) and batch.holds(0, 1)


def open_batch(
    vk: VerificationKey, proofs: bytes, publics: bytes, coefficients: npt.NDArray[np.uint64], backend: Backend
) -> ProofBatch:
    """`Backend.proof_batch` of encoded proofs under a checked key."""
    return backend.proof_batch(
        g1_vector([vk.alpha1, *vk.ic]),
        g2_vector([vk.beta2, vk.gamma2, vk.delta2]),
        np.frombuffer(proofs, np.uint8).reshape(-1, PROOF_BYTES),
        np.frombuffer(publics, np.uint8).reshape(-1, PUBLIC_BYTES),
        coefficients,
    )


def encode_publics(publics: Sequence[int]) -> bytes:
    """32 little-endian bytes each; `OverflowError` for what they cannot hold."""
    return b"".join([x.to_bytes(PUBLIC_BYTES, "little") for x in publics])


def check_key(vk: VerificationKey, backend: Backend) -> None:
    """`InvalidInputError` (field = the point) unless all points are canonical, on their curves and in their groups."""
    if vk.checked:
        return
    g1 = {"alpha1": vk.alpha1, **{f"ic[{i}]": p for i, p in enumerate(vk.ic)}}
    g2 = {"beta2": vk.beta2, "gamma2": vk.gamma2, "delta2": vk.delta2}
    for name in (*_invalid_g1(g1, backend), *_invalid_g2(g2, backend)):
        raise InvalidInputError(f"the verification key's {name} is not a point of its group", field=name)
    for name, point in g2.items():
        if point.is_infinity:
            raise InvalidInputError(f"the verification key's {name} is infinity", field=name)
    vk.checked.append(True)


def check_publics(vk: VerificationKey, publics: Sequence[int]) -> None:
    """`VerificationError` for a wrong count, or a value outside [0, r), which would be an alias of another."""
    if len(publics) != vk.n_public:
        raise VerificationError(f"{len(publics)} public signals given, the key has {vk.n_public}", field="publics")
    for i, x in enumerate(publics):
        if not 0 <= x < R:
            raise VerificationError(f"public signal {i} is not a canonical scalar", field=f"publics[{i}]")


def check_points(proof: Proof, backend: Backend) -> None:
    """`VerificationError` for a point that is not canonical, on its curve and, for B, in the subgroup of order r."""
    for name in (*_invalid_g1({"a": proof.a, "c": proof.c}, backend), *_invalid_g2({"b": proof.b}, backend)):
        raise VerificationError(f"the proof's {name} is not a point of its group", field=name)


def negated(p: G1Point) -> G1Point:
    """-P; infinity is its own."""
    return p if p.is_infinity else G1Point(p.x, Q - p.y)


def _invalid_g1(points: dict[str, G1Point], backend: Backend) -> list[str]:
    names = list(points)
    bad = [n for n in names if not all(0 <= c < Q for c in (points[n].x, points[n].y))]
    if bad:
        return bad
    valid = backend.g1_valid(g1_vector(list(points.values())))
    return [n for n, ok in zip(names, valid, strict=True) if not ok]


def _invalid_g2(points: dict[str, G2Point], backend: Backend) -> list[str]:
    names = list(points)
    bad = [n for n in names if not all(0 <= c < Q for c in (*points[n].x, *points[n].y))]
    if bad:
        return bad
    valid = backend.g2_valid(g2_vector(list(points.values())))
    return [n for n, ok in zip(names, valid, strict=True) if not ok]
