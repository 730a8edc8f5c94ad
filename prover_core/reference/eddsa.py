"""EdDSA with Poseidon on Baby Jubjub, as circomlib's `EdDSAPoseidonVerifier` accepts it, on plain integers.

    key        A = k * Base8                                            k in [1, l)
    signature  R8 = n * Base8,  h = Poseidon(R8.x, R8.y, A.x, A.y, m),  S = n + 8 h k mod l
    check      S * Base8 = R8 + 8 h A,  S < l,  8 A not the identity

l is the order of the subgroup. The derivation of k and n from a seed is our own (circomlibjs uses BLAKE-512 with
clamping): k = 1 + SHA-512("hybrid-prover/eddsa/key" | seed) mod (l - 1), and n = SHA-512("hybrid-prover/eddsa/nonce"
| k | m) mod l with k and m as 32 little-endian bytes; n never repeats for two messages. Not constant time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from ..errors import InvalidInputError, VerificationError
from ..types import R
from .babyjubjub import BASE8, COFACTOR, IDENTITY, SUBGROUP_ORDER, Point, add, multiply_vartime, on_curve
from .poseidon import poseidon


@dataclass(frozen=True, slots=True)
class Signature:
    """R8 is a point of Baby Jubjub, s a scalar below the subgroup's order."""

    r8: Point
    s: int


@dataclass(frozen=True)
class PrivateKey:
    """A scalar in [1, l). Kept out of repr, so that it cannot reach a log by accident."""

    scalar: int

    def __post_init__(self) -> None:
        if not 1 <= self.scalar < SUBGROUP_ORDER:
            raise InvalidInputError("a private key is a scalar in [1, l)", field="private_key")

    def __repr__(self) -> str:
        return "PrivateKey(...)"

    @classmethod
    def from_seed(cls, seed: bytes) -> PrivateKey:
        """k = 1 + SHA-512(domain | seed) mod (l - 1). As secret as the seed is; any length of seed serves."""
        wide = int.from_bytes(hashlib.sha512(b"hybrid-prover/eddsa/key" + seed).digest(), "little")
        return cls(1 + wide % (SUBGROUP_ORDER - 1))

    @cached_property
    def public(self) -> Point:
        """A = k * Base8."""
        return multiply_vartime(self.scalar, BASE8)

    def sign(self, message: int) -> Signature:
        """Signs one scalar, deterministically; one scalar multiplication. `InvalidInputError` outside [0, r)."""
        if not 0 <= message < R:
            raise InvalidInputError("a message is a canonical scalar", field="message")
        material = b"hybrid-prover/eddsa/nonce" + self.scalar.to_bytes(32, "little") + message.to_bytes(32, "little")
        nonce = int.from_bytes(hashlib.sha512(material).digest(), "little") % SUBGROUP_ORDER
        r8 = multiply_vartime(nonce, BASE8)
        h = challenge(r8, self.public, message)
        return Signature(r8, (nonce + COFACTOR * h * self.scalar) % SUBGROUP_ORDER)


def challenge(r8: Point, key: Point, message: int) -> int:
    """h = Poseidon(R8.x, R8.y, A.x, A.y, m)."""
    return poseidon([r8.x, r8.y, key.x, key.y, message])


def verify_vartime(key: Point, message: int, signature: Signature) -> None:
    """None if S * Base8 = R8 + 8 h A; else `VerificationError` naming the part that is wrong.

    Refuses what circomlib's circuit refuses (S not below l, a key of order dividing 8) and points off the curve, which
    the circuit leaves to its user. Three scalar multiplications' worth of work.
    """
    if not 0 <= message < R:
        raise VerificationError("the message is not a canonical scalar", field="message")
    if not on_curve(key):
        raise VerificationError("the public key is not on Baby Jubjub", field="key")
    if not on_curve(signature.r8):
        raise VerificationError("R8 is not on Baby Jubjub", field="r8")
    if not 0 <= signature.s < SUBGROUP_ORDER:
        raise VerificationError("S is not below the subgroup's order", field="s")
    key8 = multiply_vartime(COFACTOR, key)
    if key8 == IDENTITY:
        raise VerificationError("the public key has small order", field="key")
    left = multiply_vartime(signature.s, BASE8)
    right = add(signature.r8, multiply_vartime(challenge(signature.r8, key, message), key8))
    if left != right:
        raise VerificationError("the signature does not match the key and message", field="signature")
