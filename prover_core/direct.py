"""One Groth16 proof of a finished witness straight from the bytes of its files, on the CPU.

For a process that proves once and ends. Sums, formulas, checks and, from the same entropy, the bytes of the proof are
those of `groth16.prove`; what differs is what surrounds them: nothing is sorted or copied first, and neither this
module nor what it imports loads numpy, dataclasses or the like, whose import takes as long as a small proof.
Points are bytes: affine, Montgomery, as in a `.zkey`.
"""

from __future__ import annotations

from .blinding import blinding
from .errors import BackendError, InvalidInputError, UnsatisfiedError
from .moduli import Q, R
from .native import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    class KeySections(Protocol):
        """What a proof needs of a key, as it lies in its file (see `groth16.ProvingKey` for the symbols)."""

        n_vars: int
        n_public: int
        domain_size: int
        alpha1: bytes
        beta1: bytes
        delta1: bytes
        beta2: bytes
        gamma2: bytes
        delta2: bytes
        ic: memoryview
        terms: memoryview
        """44 bytes each: matrix, row, wire, coefficient times 2^512."""
        a: memoryview
        b1: memoryview
        b2: memoryview
        l: memoryview  # noqa: E741 (the paper's name)
        h: memoryview
        mapped: bool
        """The sections lie in a read-only map of a file."""


_FROM_MONTGOMERY: Final = pow(2, -256, Q)


def coordinates(points: bytes | bytearray | memoryview) -> list[int]:
    """Canonical integers of Montgomery coordinates, 32 bytes each."""
    raw = bytes(points)
    return [int.from_bytes(raw[i : i + 32], "little") * _FROM_MONTGOMERY % Q for i in range(0, len(raw), 32)]


def prove(key: KeySections, witness: memoryview, *, threads: int = 0, entropy: bytes | None = None) -> bytes:
    """The proof, verified, as `groth16.Proof.to_bytes` has it. `witness`: n_vars canonical values of 32 bytes.

    Two sparse products, six NTTs, five MSMs, one after another; memory: the largest of these. Pages of a mapped key are
    given back as they are done with. `entropy` as in `groth16.prove`; threads: 0 for all cores allowed.

    `InvalidInputError` for a witness of another length or not canonical, and for a key with a malformed term or point;
    `UnsatisfiedError` if wire 0 is not one or the proof does not verify; `BackendError` for want of memory.
    """
    if len(witness) != 32 * key.n_vars:
        raise InvalidInputError(f"the witness has {len(witness) // 32} wires, the key {key.n_vars}", field="witness")
    if (bad := _native.first_non_canonical(witness)) >= 0:
        raise InvalidInputError(f"wire {bad} is not a canonical scalar", field=f"[{bad}]")
    if int.from_bytes(witness[:32], "little") != 1:
        raise UnsatisfiedError("wire 0 of the witness is not one", field="wires")
    check_key(key)
    sums = bytearray(384)
    try:
        _native.whole_sums(
            key.terms,
            key.n_vars,
            key.n_public,
            key.domain_size,
            key.a,
            key.b1,
            key.b2,
            key.l,
            key.h,
            witness,
            sums,
            threads,
            False,
            key.mapped,
        )
    except ValueError as e:
        raise InvalidInputError(str(e), field="key") from e
    except MemoryError as e:
        raise BackendError("not enough memory for this proof on the CPU backend") from e
    r, s = blinding(entropy, lambda: _digest(key), witness)
    proof = _put_together(key, bytes(sums), r, s)
    publics = witness[32 : 32 * (key.n_public + 1)]
    g1, g2 = _key_points(key)
    if not _native.proof_holds(g1, g2, proof, publics):
        raise UnsatisfiedError(
            "the proof does not verify: the witness breaks a constraint, or the device erred "
            "(give the R1CS to learn which)"
        )
    return proof


def check_key(key: KeySections) -> None:
    """`InvalidInputError` (field = the point) unless the verification key's points are valid, in G2 not infinity."""
    g1, g2 = _key_points(key)
    bad = _native.first_bad_key_point(g1, g2)
    if bad >= 0:
        last = key.n_public + 2
        name = "alpha1" if bad == 0 else f"ic[{bad - 1}]" if bad < last else ("beta2", "gamma2", "delta2")[bad - last]
        raise InvalidInputError(f"the verification key's {name} is not a point of its group, or infinity", field=name)


def alphabeta(alpha1: bytes, beta2: bytes) -> list[int]:
    """e(α, β)^k, k = 2 x (6 x² + 3 x + 1), as twelve integers: what snarkjs calls `vk_alphabeta_12`.

    The power is that of Fuentes-Castañeda, Knapp and Rodríguez-Henríquez ("Faster hashing to G2", 2011), whose final
    exponentiation is snarkjs's and ours.
    """
    value = bytearray(384)
    _native.pairing_value(alpha1, beta2, value)
    return coordinates(value)


def _key_points(key: KeySections) -> tuple[bytes, bytes]:
    return key.alpha1 + bytes(key.ic), key.beta2 + key.gamma2 + key.delta2


def _digest(key: KeySections) -> bytes:
    from .groth16.keys import VerificationKey
    from .types import G1Point, G2Point

    def g2(point: bytes) -> G2Point:
        x0, x1, y0, y1 = coordinates(point)
        return G2Point((x0, x1), (y0, y1))

    c = coordinates(key.alpha1 + bytes(key.ic))
    alpha1, *ic = [G1Point(c[i], c[i + 1]) for i in range(0, len(c), 2)]
    return VerificationKey(alpha1, g2(key.beta2), g2(key.gamma2), g2(key.delta2), tuple(ic)).digest.raw


def _put_together(key: KeySections, sums: bytes, r: int, s: int) -> bytes:
    """A, B and C from the sums A, B1, L, H (64 bytes each) and B2; the formulas of `groth16.prove`."""
    sum_a, sum_b1, sum_l, sum_h, sum_b2 = sums[:64], sums[64:128], sums[128:192], sums[192:256], sums[256:]
    a = _sum(1, (1, key.alpha1), (1, sum_a), (r, key.delta1))
    b = _sum(2, (1, key.beta2), (1, sum_b2), (s, key.delta2))
    b1 = _sum(1, (1, key.beta1), (1, sum_b1), (s, key.delta1))
    c = _sum(1, (1, sum_l), (1, sum_h), (s, a), (r, b1), (-r * s % R, key.delta1))
    ax, ay, bx0, bx1, by0, by1, cx, cy = coordinates(a + b + c)
    return b"".join([x.to_bytes(32, "big") for x in (ax, ay, bx1, bx0, by1, by0, cx, cy)])


def _sum(group: int, *terms: tuple[int, bytes]) -> bytes:
    out = bytearray(64 * group)
    scalars = b"".join([k.to_bytes(32, "little") for k, _ in terms])
    _native.small_sum(group, b"".join([p for _, p in terms]), scalars, out)
    return bytes(out)
