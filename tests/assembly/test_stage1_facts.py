"""Number-theoretic facts that docs/assembly-security.md rests on, by exact arithmetic."""

from __future__ import annotations

from math import gcd

import pytest

from prover_core.assembly import layout
from prover_core.assembly.fields import CUBE_ROOT_Q, CUBE_ROOT_R, frobenius
from prover_core.assembly.leaf_key import LOOP, RESIDUE
from prover_core.reference.pairing import U
from prover_core.types import Q, R

TRACE = 6 * U * U + 1
TWIST_ORDER = R * (2 * Q - R)


def annihilated_by(a: int, b: int) -> int:
    """The norm of a + b psi: a point of the twist that a + b psi kills has an order dividing it. psi^2 = t psi - q."""
    return a * a + a * b * TRACE + b * b * Q


def reduced(*coefficients: int) -> tuple[int, int]:
    """sum c_i psi^i as a + b psi."""
    a = b = 0
    for c in reversed(coefficients):
        a, b = c - b * Q, a + b * TRACE
    return a, b


def test_the_curves_orders() -> None:
    assert R == Q + 1 - TRACE
    assert TWIST_ORDER % 2 == 1
    assert TWIST_ORDER % (R * R) != 0


def test_the_subgroup_check_admits_order_r_only() -> None:
    """(6x + 2 + psi - psi^2 + psi^3) B = 0 implies r B = 0."""
    norm = annihilated_by(*reduced(LOOP, 1, -1, 1))
    assert norm % R == 0
    assert gcd(norm, TWIST_ORDER) == R


def test_no_step_of_the_chain_is_exceptional() -> None:
    """For every point but O of the whole twist, of whatever order: no sum of equal or opposite points, no infinity."""
    k = 1
    for step in layout.STEPS:
        if step == "D":
            k *= 2
        elif step in "+-":
            sign = 1 if step == "+" else -1
            assert gcd(k - sign, TWIST_ORDER) == 1
            assert gcd(k + sign, TWIST_ORDER) == 1
            k += sign
        elif step == "1":
            assert all(gcd(annihilated_by(*reduced(k, s)), TWIST_ORDER) == 1 for s in (1, -1))
        else:
            assert all(gcd(annihilated_by(*reduced(k, 1, s)), TWIST_ORDER) == 1 for s in (1, -1))
        assert gcd(k, TWIST_ORDER) == 1
    assert k == LOOP
    assert layout.STEPS.count("D") == 64


def test_the_residue_exponent() -> None:
    """lambda = 6x + 2 + q - q^2 + q^3 is r times a number prime to the order of Fq12* / Fq6*, which is q^6 + 1."""
    order = Q**6 + 1
    assert RESIDUE % R == 0
    assert order % R == 0
    assert order % (R * R) != 0
    assert gcd(RESIDUE, order) == R
    assert ((Q**12 - 1) // R) % (Q**6 - 1) == 0


def test_no_zero_coordinates() -> None:
    """G1 has no point with x = 0 or y = 0: charts and tangents have no zero denominators."""
    assert pow(3, (Q - 1) // 2, Q) == Q - 1
    assert pow(-3 % Q, (Q - 1) // 3, Q) != 1


def test_short_scalars_are_distinct() -> None:
    """Norms a^2 - a b + b^2 of differences stay below r and q, of which nonzero multiples of lambda-relations are."""
    lane = 2 * (2**66) ** 2 * 3
    assert lane < R
    assert CUBE_ROOT_R**2 + CUBE_ROOT_R + 1 == R * ((CUBE_ROOT_R**2 + CUBE_ROOT_R + 1) // R)
    unit = (3**49 - 1) ** 2
    assert unit < Q
    assert (CUBE_ROOT_Q**2 + CUBE_ROOT_Q + 1) % Q == 0
    assert 6**49 > 2**126


@pytest.mark.parametrize("i", [1, 3, 5])
def test_frobenius_squared_on_the_torus(i: int) -> None:
    z = frobenius(2)[2][0]
    assert frobenius(2)[i] == ({1: 1 + z, 3: Q - 1, 5: -z % Q}[i] % Q, 0)
    assert (z * z + z + 1) % Q == 0
