"""EdDSA with Poseidon on Baby Jubjub: S B8 = R8 + 8 h A, h = Poseidon(R8.x, R8.y, A.x, A.y, m).

The equation and the bound on S are those of circomlib's EdDSAPoseidonVerifier, so signatures of circomlibjs pass.
Beyond it, A and R8 are proven to be on the curve, without which the group law means nothing.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ...reference import babyjubjub as plain
from ...reference.eddsa import PrivateKey, Signature
from ..builder import Circuit
from ..expr import Bit, Expr
from ..template import gadget
from . import babyjubjub as curve
from .poseidon import poseidon
from .ranges import bits_at_most, canonical_bits
from .select import select


class SignatureExpr(NamedTuple):
    """R8 as two coordinates (checked to be on the curve by `verify`) and S."""

    r8_x: Expr
    r8_y: Expr
    s: Expr


def verify(
    c: Circuit, key_x: Expr, key_y: Expr, signature: SignatureExpr, message: Expr, enabled: Bit | None = None
) -> None:
    """The signature is valid for the public key and message; about 3,400 rows.

    Refused: S not below the subgroup's order l (so signatures are not malleable by adding l), A or R8 off the curve,
    8 A the identity. With `enabled`, six rows put a valid constant signature in the place of the given one where the
    bit is 0, so that nothing is asked of unused inputs.
    """
    given = [key_x, key_y, *signature, message]
    if enabled is not None:
        given = [select(c, enabled, value, spare) for value, spare in zip(given, _spare(), strict=True)]
    _eddsa(c, *given)


@gadget
def _eddsa(c: Circuit, key_x: Expr, key_y: Expr, r8_x: Expr, r8_y: Expr, s: Expr, message: Expr) -> None:
    key = curve.assert_on_curve(c, key_x, key_y, "public key is on the curve")
    r8 = curve.assert_on_curve(c, r8_x, r8_y, "R8 is on the curve")
    s_bits = bits_at_most(c, s, plain.SUBGROUP_ORDER - 1, "S is below the subgroup order")
    challenge = poseidon(c, [r8.x, r8.y, key.x, key.y, message])
    left = curve.fixed_base(c, s_bits, plain.BASE8)
    right = curve.add(c, r8, curve.cofactor_variable_base(c, canonical_bits(c, challenge, "challenge"), key))
    curve.assert_equal_points(c, left, right, "signature matches key and message")


@cache
def _spare() -> tuple[int, ...]:
    """(A.x, A.y, R8.x, R8.y, S, m) of some valid signature; its key is public and protects nothing."""
    key = PrivateKey(1)
    signature: Signature = key.sign(0)
    return (*key.public, *signature.r8, signature.s, 0)
