"""Which points native takes for points of G2, against plain multiplication by r."""

from __future__ import annotations

import random
from math import gcd

import numpy as np
import pytest

from prover_core.native import _native
from prover_core.reference import ReferenceBackend
from prover_core.reference.curve import G2
from prover_core.reference.field import limb_rows, to_limbs
from prover_core.reference.pairing import U, frobenius_g2
from prover_core.reference.tower import Fq2
from prover_core.types import G2Point, G2Vector, Q, R, g2_vector

RNG = random.Random(1972)
COFACTOR = 2 * Q - R
SMALL_FACTORS = (10069, 5864401)
"""The cofactor's small primes: on points of such order the incomplete additions meet equal and opposite points."""


def twist_point() -> G2Point:
    """A random point of the whole twist."""
    while True:
        x = Fq2(RNG.randrange(Q), RNG.randrange(Q))
        y = (x * x * x + G2.b).sqrt()
        if y is not None:
            return G2Point((x.a, x.b), (y.a, y.b))


def small_order_point(order: int) -> G2Point:
    while True:
        p = G2.multiply(twist_point(), R * (COFACTOR // order))
        if not p.is_infinity:
            return p


def test_the_polynomial_annihilates_exactly_the_r_torsion() -> None:
    """The argument beside in_g2, with numbers: psi^2 - t psi + q = 0 on the twist."""
    t = 6 * U * U + 1
    assert (6 * U + 2 + Q - Q**2 + Q**3) % R == 0
    assert (Q * Q - t * Q + Q) % R == 0, "psi acts as q on the r-torsion"
    a, b = 6 * U + 2 + Q - t * Q, 1 - t + t * t - Q
    assert gcd(a * a + a * b * t + b * b * Q, R * COFACTOR) == R
    assert COFACTOR % R != 0
    p = twist_point()
    psi = G2.join(*frobenius_g2(G2.split(p)))
    psi2 = G2.join(*frobenius_g2(frobenius_g2(G2.split(p))))
    assert G2.add(psi2, G2.multiply(p, Q)) == G2.multiply(psi, t)


def test_points_of_g2_pass() -> None:
    points = [G2.infinity, G2.generator, G2.negate(G2.generator)]
    points += [G2.multiply(G2.generator, k) for k in (2, 3, R - 1, 6 * U + 2, *(RNG.randrange(R) for _ in range(20)))]
    points += [G2.multiply(twist_point(), COFACTOR) for _ in range(5)]
    for threads in (0, 1, 2):
        assert _native.g2_valid(g2_vector(points).limbs, threads).tolist() == [True] * len(points)
    assert ReferenceBackend().g2_valid(g2_vector(points[:4])).all()


def test_points_outside_the_subgroup_are_refused() -> None:
    points = [twist_point() for _ in range(20)]
    assert all(G2.is_on_curve(p) for p in points)
    points += [G2.multiply(p, R) for p in points[:5]]
    for order in SMALL_FACTORS:
        assert COFACTOR % order == 0
        p = small_order_point(order)
        assert G2.multiply(p, order).is_infinity
        points += [p, G2.multiply(p, 2), G2.negate(p), G2.add(p, G2.generator)]
    assert not _native.g2_valid(g2_vector(points).limbs).any()
    assert not ReferenceBackend().g2_valid(g2_vector(points[18:28])).any()


def test_points_of_every_small_multiple_are_refused() -> None:
    """Runs through all residues of 6x + 2 the loop can meet on a point of order 10069."""
    p = small_order_point(SMALL_FACTORS[0])
    points, q = [], p
    for _ in range(200):
        points.append(q)
        q = G2.add(q, p)
    assert not _native.g2_valid(g2_vector(points).limbs).any()


def test_points_off_the_twist_are_refused() -> None:
    g = G2.generator
    points = [
        G2Point(g.x, (g.y[0], (g.y[1] + 1) % Q)),
        G2Point(g.y, g.x),
        G2Point((0, 0), g.y),
        G2Point(g.x, (0, 0)),
        G2Point((1, 0), (2, 0)),
    ]
    assert not any(G2.is_on_curve(p) for p in points)
    assert not _native.g2_valid(g2_vector(points).limbs).any()


@pytest.mark.parametrize("k", range(4))
def test_coordinates_that_are_not_canonical_are_refused(k: int) -> None:
    limbs = g2_vector([G2.generator]).limbs.copy()
    flat = limbs.reshape(4, 4)
    flat[k] = to_limbs([limb_rows(flat[k])[0] + Q])[0]
    assert _native.g2_valid(limbs).tolist() == [False]
    assert ReferenceBackend().g2_valid(G2Vector(limbs)).tolist() == [False]
    zero = np.zeros((1, 2, 2, 4), np.uint64)
    zero.reshape(4, 4)[k] = to_limbs([Q])[0]
    assert _native.g2_valid(zero).tolist() == [False], "infinity has one encoding"


def test_a_bad_point_among_many_is_named() -> None:
    points = [G2.multiply(G2.generator, k) for k in range(1, 101)]
    points[57] = twist_point()
    valid = _native.g2_valid(g2_vector(points).limbs, 2)
    assert valid.dtype == np.bool_
    assert np.flatnonzero(~valid).tolist() == [57]
    assert _native.g2_valid(np.zeros((0, 2, 2, 4), np.uint64)).shape == (0,)
