"""What an assembly says, inside the wrap: which places are filled, the digests, the chain, the publics' combination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...circuit.builder import Circuit
from ...circuit.expr import Bit, Expr, linear_sum
from ...circuit.gadgets.nonnative import EmulatedField, Residue
from ...circuit.template import gadget
from ...errors import InvalidInputError
from ..fields import CUBE_ROOT_R
from ..shape import Shape
from ..transcript import KEY_DOMAIN, PUBLICS_DOMAIN
from ..weights import DIGIT_OFFSET, LANE_A, LANE_B
from .messages import Messages
from .transcript import CircuitTranscript


@dataclass(frozen=True, slots=True)
class Chain:
    """Public signal `out` of each leaf equals public signal `into` of the next one; counted from 0.

    `InvalidInputError` if one is negative (it would count from the end, and be a second name of another chain).
    """

    out: int
    into: int

    def __post_init__(self) -> None:
        if self.out < 0 or self.into < 0:
            raise InvalidInputError("a chain's positions are counted from 0", field="chain")


@gadget
def filled_places(c: Circuit, count: Expr, n: int) -> list[Bit]:
    """n bits, the first `count` of them set; 2 n rows. Refuses a count that is not in [1, n]."""
    bits = [c.hint.less(k, count) for k in range(n)]
    c.assert_equal(bits[0], 1, "at least one leaf")
    for before, bit in pairwise(bits):
        c.assert_product(bit, 1 - bit, 0, "filled or not", early=False)
        c.assert_product(bit, 1 - before, 0, "places are filled in order", early=False)
    c.assert_equal(linear_sum((bit, 1) for bit in bits), count, "leaf count")
    return [Bit.trust(bit) for bit in bits]


def empty_places_are_zero(c: Circuit, filled: Sequence[Bit], publics: Sequence[Sequence[Expr]]) -> None:
    """No public signal in a place that is not filled; one row a signal."""
    with c.scope("publics of empty places"):
        for bit, row in zip(filled, publics, strict=True):
            for x in row:
                c.assert_product(x, 1 - bit, 0, "are zero", early=False)


def chain_ends(c: Circuit, chain: Chain, filled: Sequence[Bit], publics: Sequence[Sequence[Expr]]) -> tuple[Expr, Expr]:
    """(the first leaf's `into`, the last filled leaf's `out`), with every link between them checked; 2 n rows."""
    with c.scope("chain"):
        last = c.constant(0)
        for i, bit in enumerate(filled):
            following = filled[i + 1] if i + 1 < len(filled) else c.constant(0)
            if i + 1 < len(filled):
                gap = publics[i][chain.out] - publics[i + 1][chain.into]
                c.assert_product(following, gap, 0, f"link {i}", early=False)
            last = last + c.product(bit - following, publics[i][chain.out])
        return publics[0][chain.into], last


def absorbed_publics(c: Circuit, field: EmulatedField, publics: Sequence[Sequence[Expr]]) -> tuple[Expr, int]:
    """`protocol.publics_digest`, and the permutations it took."""
    t = CircuitTranscript(c, field, PUBLICS_DOMAIN)
    with c.scope("publics digest"):
        t.absorb(x for row in publics for x in row)
        return t.squeeze(), t.permutations


def absorbed_key(c: Circuit, field: EmulatedField, shape: Shape, messages: Messages) -> Expr:
    """`protocol.key_digest`."""
    t = CircuitTranscript(c, field, KEY_DOMAIN)
    with c.scope("key digest"):
        t.absorb([c.constant(shape.key_lanes)])
        t.absorb_points(messages.key_commitments)
        t.absorb_values([x for point in messages.key_points for x in point])
        return t.squeeze()


def lane_scalar(word: Sequence[Bit]) -> Expr:
    """`weights.lane_scalar` of a word's bits; linear."""
    a = linear_sum(((bit, 2 << i) for i, bit in enumerate(word[1::2])), LANE_A)
    b = linear_sum(((bit, 2 << i) for i, bit in enumerate(word[::2])), LANE_B)
    return a + b * CUBE_ROOT_R


def combine_publics(
    c: Circuit, shape: Shape, filled: Sequence[Bit], rho: Sequence[Sequence[Bit]], messages: Messages
) -> None:
    """Check b: the key lanes' words multiply by y_j, the publics combined by the leaves' scalars; N (L + 1) rows."""
    with c.scope("publics combined"):
        scalars = [
            c.product(bit, lane_scalar(word), "scalar of a filled place") for bit, word in zip(filled, rho, strict=True)
        ]
        for j in range(shape.publics + 1):
            if j == 0:
                total = linear_sum((s, 1) for s in scalars)
            else:
                columns = zip(scalars, messages.publics, strict=True)
                total = linear_sum((c.product(s, row[j - 1], "publics combined"), 1) for s, row in columns)
            low, high = messages.words[2 * j], messages.words[2 * j + 1]
            c.assert_equal(lane_scalar(low) + lane_scalar(high) * (1 << 64), total, f"words of public {j}")


def digit_sums(
    c: Circuit, field: EmulatedField, filled: Sequence[Bit], rho: Sequence[Sequence[Bit]], messages: Messages
) -> list[Residue]:
    """2 word - DIGIT_OFFSET for each key lane and leaf, 0 for an empty place; 3 rows a leaf."""
    out = [field.from_bits(word) * 2 - DIGIT_OFFSET for word in messages.words]
    with c.scope("words of filled places"):
        for bit, word in zip(filled, rho, strict=True):
            value = field.from_bits(word) * 2 - DIGIT_OFFSET
            columns = [c.product(bit, x) if isinstance(x, Expr) else bit * x for x in value.columns]
            bounds = [(min(lo, 0), max(hi, 0)) for lo, hi in value.bounds]
            out.append(field.signed(columns, bounds))
    return out
