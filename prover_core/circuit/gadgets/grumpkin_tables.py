"""Grumpkin on plain integers: constants, points by hashing, and tables of fixed bases as multilinear polynomials."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

from ...errors import CircuitError
from ...types import Q, R

PlainPoint = tuple[int, int]
"""An affine point other than infinity."""

B = -17
"""y^2 = x^3 + B over Fr."""


def square_root(a: int, p: int) -> int | None:
    """A square root of a modulo the odd prime p, or None (Tonelli, Shanks)."""
    a %= p
    if a == 0:
        return 0
    if pow(a, (p - 1) // 2, p) != 1:
        return None
    odd, twos = p - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    residue = 2
    while pow(residue, (p - 1) // 2, p) == 1:
        residue += 1
    z, x, t = pow(residue, odd, p), pow(a, (odd + 1) // 2, p), pow(a, odd, p)
    while t != 1:
        order, power = 0, t
        while power != 1:
            power, order = power * power % p, order + 1
        factor = pow(z, 1 << (twos - order - 1), p)
        z = factor * factor % p
        x, t, twos = x * factor % p, t * z % p, order
    return x


def is_on_curve(p: PlainPoint) -> bool:
    """Whether both coordinates are canonical and satisfy the equation."""
    x, y = p
    return 0 <= x < R and 0 <= y < R and (y * y - x * x * x - B) % R == 0


def add(p: PlainPoint | None, q: PlainPoint | None) -> PlainPoint | None:
    """p + q, None being infinity; one inversion."""
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0]:
        if (p[1] + q[1]) % R == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, R) % R
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, R) % R
    x = (slope * slope - p[0] - q[0]) % R
    return x, (slope * (p[0] - x) - p[1]) % R


def negate(p: PlainPoint) -> PlainPoint:
    """-p."""
    return p[0], -p[1] % R


def multiply_vartime(k: int, p: PlainPoint | None) -> PlainPoint | None:
    """k p, k of any sign; Jacobian double-and-add, one inversion."""
    if p is None or k % Q == 0:
        return None
    if k < 0:
        return multiply_vartime(-k, negate(p))
    x1, y1 = p
    x, y, z = x1, y1, 1
    for bit in bin(k % Q)[3:]:
        square, fourth = y * y % R, pow(y, 4, R)
        s, m = 4 * x * square % R, 3 * x * x % R
        x2 = (m * m - 2 * s) % R
        x, y, z = x2, (m * (s - x2) - 8 * fourth) % R, 2 * y * z % R
        if bit == "1":
            zz = z * z % R
            h, slope = (x1 * zz - x) % R, (y1 * z * zz - y) % R
            if h == 0:
                # total = +-p happens only next to a multiple of q: leave Jacobian form for this step.
                inverse = pow(z, -1, R)
                total = add((x * inverse**2 % R, y * inverse**3 % R), p)
                if total is None:
                    raise CircuitError("a multiple of the order inside a scalar below it")
                x, y, z = *total, 1
                continue
            hh = h * h % R
            hhh, v = h * hh % R, x * hh % R
            x2 = (slope * slope - hhh - 2 * v) % R
            x, y, z = x2, (slope * (v - x2) - y * hhh) % R, z * h % R
    inverse = pow(z, -1, R)
    square = inverse * inverse % R
    return x * square % R, y * square * inverse % R


@cache
def hash_to_curve(tag: str) -> PlainPoint:
    """The first x = SHA-512("tag/i") mod r on the curve, i = 0, 1, …, with the smaller y: of unknown logarithm."""
    i = 0
    while True:
        x = int.from_bytes(hashlib.sha512(f"{tag}/{i}".encode()).digest(), "big") % R
        y = square_root(x**3 + B, R)
        if y is not None:
            return x, min(y, R - y)
        i += 1


OMEGA = 0xB3C4D79D41A917585BFC41088D8DAAA78B17EA66B99C90DD
"""The smaller primitive cube root of unity of Fr: (x, y) -> (OMEGA x, y) multiplies by LAMBDA."""
LAMBDA = 0x59E26BCEA0D48BACD4F263F1ACDB5C4F5763473177FFFFFE
"""The smaller primitive cube root of unity of Fq."""


def _inverses(values: Sequence[int]) -> list[int]:
    """All inverses at the price of one (Montgomery's trick); no value may be zero."""
    prefix, product = [], 1
    for v in values:
        prefix.append(product)
        product = product * v % R
    if product == 0:
        raise CircuitError("two points of a table meet: it cannot be built from these bases")
    inverse = pow(product, -1, R)
    out = [0] * len(values)
    for i in reversed(range(len(values))):
        out[i] = inverse * prefix[i] % R
        inverse = inverse * values[i] % R
    return out


def add_many(left: Sequence[PlainPoint], right: Sequence[PlainPoint]) -> list[PlainPoint]:
    """left_i + right_i, all with different x; one inversion in all."""
    out = []
    for (x1, y1), (x2, y2), inverse in zip(
        left, right, _inverses([b[0] - a[0] for a, b in zip(left, right, strict=True)]), strict=True
    ):
        slope = (y2 - y1) * inverse % R
        x = (slope * slope - x1 - x2) % R
        out.append((x, (slope * (x1 - x) - y1) % R))
    return out


def double_many(points: Sequence[PlainPoint]) -> list[PlainPoint]:
    """2 p_i; one inversion in all."""
    out = []
    for (x, y), inverse in zip(points, _inverses([2 * y for _, y in points]), strict=True):
        slope = 3 * x * x * inverse % R
        x2 = (slope * slope - 2 * x) % R
        out.append((x2, (slope * (x - x2) - y) % R))
    return out


def multilinear(values: Sequence[int]) -> list[int]:
    """Coefficients over the monomials of the index bits (monomial k is the product of the bits set in k)."""
    out = list(values)
    step = 1
    while step < len(out):
        for i in range(len(out)):
            if i & step:
                out[i] = (out[i] - out[i ^ step]) % R
        step *= 2
    return out


Lookup = tuple[list[int], list[int]]
"""Coefficients of x and of y over the monomials of a window's bits."""


def signed_windows(bases: Sequence[PlainPoint], widths: Sequence[int]) -> list[list[Lookup]]:
    """For each base G and window i of w bits at 2^(s_i): digit d gives (2 d + 1 - 2^w) 2^(s_i) G, never infinity.

    Over all windows the digits of h give (2 h - (2^n - 1)) G. Cost: 2^w + w additions a window and base.
    """
    out: list[list[Lookup]] = [[] for _ in bases]
    current = list(bases)
    for width in widths:
        twice = double_many(current)
        odd = [current]
        for k in range((1 << (width - 1)) - 1):
            # 3 G = G + 2 G, 5 G = 3 G + 2 G, …
            odd.append(add_many(odd[k], twice))
        for b in range(len(bases)):
            column = [odd[k][b] for k in range(len(odd))]
            entries = [negate(p) for p in reversed(column)] + column
            out[b].append((multilinear([p[0] for p in entries]), multilinear([p[1] for p in entries])))
        for _ in range(width):
            current = double_many(current)
    return out


def unsigned_windows(base: PlainPoint, widths: Sequence[int], tag: str) -> tuple[list[Lookup], PlainPoint]:
    """For each window of w bits at 2^(s_i): digit d gives d 2^(s_i) G + O_i with O_i hashed; and the sum of all O_i."""
    out: list[Lookup] = []
    total: PlainPoint | None = None
    current = base
    for i, width in enumerate(widths):
        offset = hash_to_curve(f"{tag}/{i}")
        total = add(total, offset)
        entries: list[PlainPoint] = [offset]
        for _ in range((1 << width) - 1):
            entries += add_many(entries[-1:], [current])
        out.append((multilinear([p[0] for p in entries]), multilinear([p[1] for p in entries])))
        for _ in range(width):
            (current,) = double_many([current])
    if total is None:
        raise CircuitError("a table needs windows")
    return out, total
