"""What one chunk of a witness contributes to a proof's sums, as points: made by whoever has the wires and the key.

    A_c = Σ a_i [u_i]_1     B1_c = Σ a_i [v_i]_1     B2_c = Σ a_i [v_i]_2     L_c = Σ_{i > l} a_i [l_i]_1     (i in c)

The sums are linear, so the chunks' partials add up to the sums over all wires whoever made each. No blinding is in them
(r and s enter when the proof is put together): a partial is a deterministic function of the key and the chunk.

Why a wrong one does no harm. The prover adds partials unchecked, since a check of one costs as much as making it, by a
random linear combination too: that is again a multi-scalar multiplication over the chunk. But a proof is verified
before it is released, against public signals read from the wires and not from any partial. By the soundness of Groth16
what verifies is true, however its points came about; what does not verify is made again without partials, which also
says which were wrong (`StreamingProver.wrong_partials`). All that partials can do unseen is to re-randomize the proof
(A + x δ and its match in L), which anybody can do to any Groth16 proof afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from ..backend import Backend
from ..errors import InvalidInputError, StreamOrderError
from ..types import FrVector, G1Point, G2Point, Q, g1_vector, g2_vector
from .keys import ProvingKey

PARTIAL_BYTES: Final = 320
"""A partial as bytes: A, B1, B2, L uncompressed. Small beside a chunk: compression would only cost square roots."""


@dataclass(frozen=True, slots=True)
class Partial:
    """One chunk's share of the four sums over wires; any of the points may be infinity."""

    a: G1Point
    b1: G1Point
    b2: G2Point
    l: G1Point  # noqa: E741 (the paper's name)

    def to_bytes(self) -> bytes:
        """A (64), B1 (64), B2 (128), L (64): coordinates big-endian, x1 before x0 as in EIP-197, infinity all zero."""
        b = self.b2
        words = (self.a.x, self.a.y, self.b1.x, self.b1.y, b.x[1], b.x[0], b.y[1], b.y[0], self.l.x, self.l.y)
        return b"".join([w.to_bytes(32, "big") for w in words])

    @classmethod
    def from_bytes(cls, raw: bytes, backend: Backend) -> Self:
        """Inverse of `to_bytes`, every point checked: on its curve, B2 in the subgroup of order r (G1 has no other).

        `InvalidInputError` (field `partial`, or `partial.a` … for a point) for a wrong length, a coordinate not below
        q, or such a point. About 0.1 ms.
        """
        if len(raw) != PARTIAL_BYTES:
            raise InvalidInputError(f"a partial has {PARTIAL_BYTES} bytes, not {len(raw)}", field="partial")
        c = [int.from_bytes(raw[i : i + 32], "big") for i in range(0, PARTIAL_BYTES, 32)]
        if max(c) >= Q:
            raise InvalidInputError("the partial has a coordinate that is not below q", field="partial")
        made = cls(G1Point(c[0], c[1]), G1Point(c[2], c[3]), G2Point((c[5], c[4]), (c[7], c[6])), G1Point(c[8], c[9]))
        in_g1 = backend.g1_valid(g1_vector([made.a, made.b1, made.l]))
        in_g2 = backend.g2_valid(g2_vector([made.b2]))
        for name, valid in (("a", in_g1[0]), ("b1", in_g1[1]), ("l", in_g1[2]), ("b2", in_g2[0])):
            if not valid:
                raise InvalidInputError(f"the partial's point {name} is not in its group", field=f"partial.{name}")
        return made


def partial_of(key: ProvingKey, offset: int, wires: FrVector, backend: Backend) -> Partial:
    """The partial of wires offset .. offset + len(wires): four MSMs of that length, one of them in G2.

    `StreamOrderError` if the range leaves the circuit, `InvalidInputError` for a value that is not below r.
    """
    end, private = offset + len(wires), key.n_public + 1
    if not 0 <= offset <= end <= key.n_vars:
        raise StreamOrderError(f"wires {offset} to {end} leave the circuit's {key.n_vars}", field="offset")
    if (bad := wires.first_non_canonical()) is not None:
        raise InvalidInputError(f"wire {offset + bad} is not a canonical scalar", field=f"[{bad}]")
    first = min(max(offset, private), end)
    return Partial(
        backend.g1_msm(key.a[offset:end], wires),
        backend.g1_msm(key.b1[offset:end], wires),
        backend.g2_msm(key.b2[offset:end], wires),
        backend.g1_msm(key.l[max(0, first - private) : max(0, end - private)], wires[first - offset :]),
    )
