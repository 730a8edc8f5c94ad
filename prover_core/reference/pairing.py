"""The optimal ate pairing of BN254, from the formulas (Vercauteren, eprint 2008/096; Naehrig et al., eprint 2010/186).

e(P, Q) = (f_{6u+2,Q}(P) * l_{(6u+2)Q, pi(Q)}(P) * l_{(6u+2)Q + pi(Q), -pi^2(Q)}(P)) ^ ((q^12 - 1)/r)

Affine arithmetic on the twist with one inversion a step; final exponentiation by the integer (q^4 - q^2 + 1)/r itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..types import G1Point, G2Point, Q, R
from .curve import G2
from .tower import Fq2, Fq6, Fq12, frobenius_coefficient

U = 4965661367192848881
"""The BN parameter: q = 36u^4 + 36u^3 + 24u^2 + 6u + 1, r = 36u^4 + 36u^3 + 18u^2 + 6u + 1."""

Affine = tuple[Fq2, Fq2]


def frobenius_g2(q: Affine) -> Affine:
    """psi = twist^-1 o (x -> x^q) o twist: (conj(x) xi^((q-1)/3), conj(y) xi^((q-1)/2))."""
    x, y = q
    return x.conjugate() * frobenius_coefficient(2), y.conjugate() * frobenius_coefficient(3)


def line_step(t: Affine, q: Affine, p: G1Point) -> tuple[Fq12, Affine]:
    """The line through t and q (its tangent where they are equal) evaluated at p, and t + q.

    On the untwisted curve the points are (x w^2, y w^3) and the slope is m w, so that the line at p = (xp, yp) is
    yp - m xp w + (m x_t - y_t) w^3. t = -q does not occur for points of order r.
    """
    (xt, yt), (xq, yq) = t, q
    m = (xt * xt).scale(3) * yt.scale(2).inverse() if t == q else (yq - yt) * (xq - xt).inverse()
    x3 = m * m - xt - xq
    zero = Fq2(0, 0)
    line = Fq12(Fq6(Fq2(p.y, 0), zero, zero), Fq6(-m.scale(p.x), m * xt - yt, zero))
    return line, (x3, m * (xt - x3) - yt)


def miller_loop(p: G1Point, q: G2Point) -> Fq12:
    """f of the formula above, before the final exponentiation; 1 if p or q is infinity. Both must be valid."""
    if p.is_infinity or q.is_infinity:
        return Fq12.one()
    base = G2.split(q)
    f, t = Fq12.one(), base
    for bit in bin(6 * U + 2)[3:]:
        line, t = line_step(t, t, p)
        f = f * f * line
        if bit == "1":
            line, t = line_step(t, base, p)
            f = f * line
    q1 = frobenius_g2(base)
    x2, y2 = frobenius_g2(q1)
    line, t = line_step(t, q1, p)
    f = f * line
    line, t = line_step(t, (x2, -y2), p)
    return f * line


def final_exponentiation(f: Fq12) -> Fq12:
    """f^((q^12 - 1)/r), as f^(q^6 - 1), then ^(q^2 + 1), then ^((q^4 - q^2 + 1)/r); f must not be 0."""
    f = f.conjugate() * f.inverse()
    f = f.frobenius().frobenius() * f
    return f ** ((Q**4 - Q**2 + 1) // R)


def pairing(p: G1Point, q: G2Point) -> Fq12:
    """e(p, q), of order r in Fq12; 1 if either is infinity. Both must be valid."""
    return final_exponentiation(miller_loop(p, q))


def pairing_product(pairs: Iterable[tuple[G1Point, G2Point]]) -> Fq12:
    """The product of e(p, q) over the pairs: many Miller loops, one final exponentiation."""
    f = Fq12.one()
    for p, q in pairs:
        f = f * miller_loop(p, q)
    return final_exponentiation(f)
