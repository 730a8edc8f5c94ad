"""Numbers that both stages share: endomorphisms of the half-pairing cycle and Frobenius constants.

Grumpkin is y^2 = x^3 - 17 over Fr, of prime order q: its scalars are Fq. Both curves have j-invariant 0, and the cube
roots of unity of one field act on the curve over the other.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ..reference.tower import XI, Fq2
from ..types import Q, R

CUBE_ROOT_Q: Final = 0x59E26BCEA0D48BACD4F263F1ACDB5C4F5763473177FFFFFE
"""The smaller primitive cube root of unity of Fq: (x, y) -> (CUBE_ROOT_Q x, y) is multiplication by CUBE_ROOT_R on
BN254's G1, and CUBE_ROOT_Q is the eigenvalue of Grumpkin's endomorphism."""
CUBE_ROOT_R: Final = 0xB3C4D79D41A917585BFC41088D8DAAA78B17EA66B99C90DD
"""The smaller primitive cube root of unity of Fr: (x, y) -> (CUBE_ROOT_R x, y) is multiplication by CUBE_ROOT_Q on
Grumpkin, and CUBE_ROOT_R is the eigenvalue on G1."""
GRUMPKIN_B: Final = R - 17
EIGHTH: Final = pow(8, -1, Q)
THIRD: Final = pow(3, -1, Q)


@cache
def frobenius(k: int) -> tuple[tuple[int, int], ...]:
    """[i]: xi^(i (q^k - 1) / 6), so that (sum a_i w^i)^(q^k) = sum conj^k(a_i) frobenius(k)[i] w^i; k = 1, 2, 3."""
    powers: list[Fq2] = [XI ** (i * (Q**k - 1) // 6) for i in range(6)]
    return tuple((p.a, p.b) for p in powers)
