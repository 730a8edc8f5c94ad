"""What Groth16 keeps: proofs, verification keys and proving keys, in the shape of iden3's `.zkey`.

Symbols as in Groth, "On the Size of Pairing-based Non-interactive Arguments" (eprint 2016/260), section 3.2; brackets
with an index, [x]_1 and [x]_2, are x times the generator of G1 or G2. snarkjs's conventions: the domain is the smallest
power of two above constraints + public signals, A gets one more row for each public wire, C is not kept since
C w = A w ∘ B w, and the H bases are Lagrange polynomials on the odd coset.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInputError
from ..r1cs import SparseRows
from ..types import Digest, FrVector, G1Point, G1Vector, G2Point, G2Vector, Q, g1_points

PROOF_BYTES: Final = 256
_BLOCK: Final = 1 << 18


def _words(*coordinates: int) -> bytes:
    return b"".join([c.to_bytes(32, "big") for c in coordinates])


def _g1_bytes(p: G1Point) -> bytes:
    return _words(p.x, p.y)


def _g2_bytes(p: G2Point) -> bytes:
    return _words(p.x[1], p.x[0], p.y[1], p.y[0])


@dataclass(frozen=True, slots=True)
class Proof:
    """π = ([A]_1, [B]_2, [C]_1)."""

    a: G1Point
    b: G2Point
    c: G1Point

    def to_bytes(self) -> bytes:
        """256 bytes: A, B, C as Ethereum's precompile 8 takes them (EIP-197: big-endian, x1 before x0)."""
        a, b, c = self.a, self.b, self.c
        return _words(a.x, a.y, b.x[1], b.x[0], b.y[1], b.y[0], c.x, c.y)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Inverse of `to_bytes`; `InvalidInputError` for a wrong length or a coordinate not below q.

        Points are not checked to be on the curve; `verify` does that.
        """
        if len(raw) != PROOF_BYTES:
            raise InvalidInputError(f"a proof has {PROOF_BYTES} bytes, not {len(raw)}", field="proof")
        c = [int.from_bytes(raw[i : i + 32], "big") for i in range(0, PROOF_BYTES, 32)]
        if max(c) >= Q:
            raise InvalidInputError("the proof has a coordinate that is not below q", field="proof")
        return cls(G1Point(c[0], c[1]), G2Point((c[3], c[2]), (c[5], c[4])), G1Point(c[6], c[7]))


@dataclass(frozen=True)
class VerificationKey:
    """([α]_1, [β]_2, [γ]_2, [δ]_2, IC), with IC_i = [(β u_i(τ) + α v_i(τ) + w_i(τ)) / γ]_1 for i <= l."""

    alpha1: G1Point
    beta2: G2Point
    gamma2: G2Point
    delta2: G2Point
    ic: tuple[G1Point, ...]
    insecure: bool = False
    """Whoever made the key may know its secrets and forge proofs."""
    checked: list[bool] = field(default_factory=list, init=False, repr=False, compare=False)
    """Not content: remembers that the points were found valid."""

    @property
    def n_public(self) -> int:
        return len(self.ic) - 1

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 over all points; the same for a key made here and one read from a file."""
        g2 = (self.beta2, self.gamma2, self.delta2)
        return Digest.of(
            b"groth16 bn254 verification key",
            _g1_bytes(self.alpha1),
            *(_g2_bytes(p) for p in g2),
            *(_g1_bytes(p) for p in self.ic),
        )


@dataclass(frozen=True, eq=False)
class ProvingKey:
    """The content of a `.zkey`; vectors may be views of a memory map. With m wires, l publics and domain size n."""

    n_vars: int
    """m, wire 0 included."""
    n_public: int
    domain_size: int
    alpha1: G1Point
    beta1: G1Point
    delta1: G1Point
    beta2: G2Point
    gamma2: G2Point
    delta2: G2Point
    ic: G1Vector
    """l + 1 points, see `VerificationKey`."""
    a: G1Vector
    """[u_i(τ)]_1, m points."""
    b1: G1Vector
    """[v_i(τ)]_1, m points."""
    b2: G2Vector
    """[v_i(τ)]_2, m points."""
    l: G1Vector  # noqa: E741 (the paper's name)
    """[(β u_i(τ) + α v_i(τ) + w_i(τ)) / δ]_1 for the m - l - 1 wires that are not public."""
    h: G1Vector
    """[Λ_{2i+1}(τ) / δ]_1, i < n, with Λ the Lagrange basis on the 2n-th roots of unity."""
    a_rows: SparseRows
    """A, n rows: the constraints, then row (constraints + i) selects wire i for i <= l, then empty rows."""
    b_rows: SparseRows
    values: FrVector
    """Distinct coefficients of A and B."""
    insecure: bool
    """Made by a single party, or never contributed to: whoever made it may know its secrets. Not for production."""
    contributions: bytes = b""
    """Section 10 of the `.zkey`, kept as it is: the transcript of the ceremony."""
    memo: dict[int, object] = field(default_factory=dict, init=False, repr=False)
    """What backends derive from the key once; not content."""

    def __post_init__(self) -> None:
        n, m, p = self.domain_size, self.n_vars, self.n_public
        if n < 2 or n & (n - 1) or n > 1 << 27:
            raise InvalidInputError(f"{n} is not a domain size", field="domain_size")
        if p + 1 > m:
            raise InvalidInputError("more public signals than wires", field="n_public")
        expected = {"ic": p + 1, "a": m, "b1": m, "b2": m, "l": m - p - 1, "h": n}
        for name, count in expected.items():
            if len(getattr(self, name)) != count:
                raise InvalidInputError(f"{name} has {len(getattr(self, name))} points, not {count}", field=name)
        if self.a_rows.rows != n or self.b_rows.rows != n:
            raise InvalidInputError(f"A and B need {n} rows", field="a_rows")

    @cached_property
    def verification_key(self) -> VerificationKey:
        """The key's public part."""
        ic = tuple(g1_points(self.ic))
        return VerificationKey(self.alpha1, self.beta2, self.gamma2, self.delta2, ic, self.insecure)

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 over all content but the contributions; names the key. Reads it all once: about 1 GB/s."""
        h = _Hasher()
        h.add(np.array([self.n_vars, self.n_public, self.domain_size, self.insecure], dtype=np.uint64))
        for g1 in (self.alpha1, self.beta1, self.delta1):
            h.add(_g1_bytes(g1))
        for g2 in (self.beta2, self.gamma2, self.delta2):
            h.add(_g2_bytes(g2))
        for vector in (self.ic, self.a, self.b1, self.b2, self.l, self.h):
            h.add(vector.limbs)
        for rows in (self.a_rows, self.b_rows):
            h.add(rows.row_start)
            h.add(rows.col)
            for lo in range(0, rows.non_zeros, _BLOCK):
                h.add(self.values.limbs[rows.value_index[lo : lo + _BLOCK]])
        return h.digest()


class _Hasher:
    """SHA-256 over parts, each preceded by its length, as `Digest.of` but one part at a time."""

    def __init__(self) -> None:
        self._h = hashlib.sha256(b"groth16 bn254 proving key")

    def add(self, part: bytes | npt.NDArray[np.generic]) -> None:
        flat = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else np.ascontiguousarray(part).reshape(-1)
        view = flat.view(np.uint8).data
        self._h.update(len(view).to_bytes(8, "little"))
        self._h.update(view)

    def digest(self) -> Digest:
        return Digest(self._h.digest())
