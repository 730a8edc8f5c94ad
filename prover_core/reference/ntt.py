"""Number-theoretic transforms over Fr, and Groth16's quotient evaluations in the convention of `.zkey` files."""

from __future__ import annotations

from ..errors import InvalidInputError
from ..types import R
from .field import inverse, root_of_unity


def _evaluate(coefficients: list[int], w: int) -> list[int]:
    """P(w^i) for i < n: P(x) = E(x^2) + x O(x^2), recursively."""
    n = len(coefficients)
    if n == 1:
        return list(coefficients)
    even = _evaluate(coefficients[0::2], w * w % R)
    odd = _evaluate(coefficients[1::2], w * w % R)
    out = [0] * n
    x = 1
    for i in range(n // 2):
        t = x * odd[i] % R
        out[i] = (even[i] + t) % R
        out[i + n // 2] = (even[i] - t) % R
        x = x * w % R
    return out


def ntt(coefficients: list[int]) -> list[int]:
    """P(w^i), i < n, with w = 5^((r-1)/n). `InvalidInputError` unless n is a power of two up to 2^28."""
    return _evaluate(coefficients, root_of_unity(len(coefficients)))


def intt(values: list[int]) -> list[int]:
    """The coefficients of the polynomial of degree below n with these values at w^i; inverse of `ntt`."""
    n = len(values)
    scale = inverse(n, R) if n else 0
    return [x * scale % R for x in _evaluate(values, inverse(root_of_unity(n), R))]


def evaluate_on_odd_points(values: list[int]) -> list[int]:
    """From values at w_n^i to values at w_2n^(2i+1), of the interpolating polynomial; n up to 2^27."""
    shift = root_of_unity(2 * len(values))
    return ntt([c * pow(shift, i, R) % R for i, c in enumerate(intt(values))])


def quotient(a: list[int], b: list[int], c: list[int] | None = None) -> list[int]:
    """(A B - C)(w_2n^(2i+1)), i < n; A, B, C interpolate a, b, c on the n-point domain; c = None means a * b.

    On those points the vanishing polynomial X^n - 1 is -2 everywhere: the factor sits in the H bases of a `.zkey`.
    """
    if c is None:
        c = [x * y % R for x, y in zip(a, b, strict=True)]
    if not len(a) == len(b) == len(c):
        raise InvalidInputError(f"a, b and c have {len(a)}, {len(b)} and {len(c)} values", field="c")
    odd = [evaluate_on_odd_points(v) for v in (a, b, c)]
    return [(x * y - z) % R for x, y, z in zip(*odd, strict=True)]
