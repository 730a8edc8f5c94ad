"""Stage 2: the circuit over Fr that verifies stage 1, check by check; it mirrors `assembly.protocol`.

Public inputs: the key's digest, the leaf count, the digest of all publics, and in a chained wrap the chain's ends. What
emulated arithmetic rests on is checked last, in one batch, under challenges drawn after everything has been absorbed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isqrt

from ...circuit.builder import Circuit
from ...circuit.expr import linear_sum
from ...circuit.gadgets.grumpkin_tables import PlainPoint
from ...circuit.gadgets.limbs import LIMB_BITS
from ...circuit.gadgets.nonnative import EmulatedField
from ...errors import InvalidInputError
from .. import layout
from ..protocol import STRIPS
from ..shape import Shape
from . import opening, statement, sumcheck
from .messages import Messages, declare
from .statement import Chain
from .transcript import CircuitTranscript

KEY_DIGEST, LEAF_COUNT, PUBLICS_DIGEST, CHAIN_FIRST, CHAIN_LAST = (
    "key_digest",
    "leaf_count",
    "publics_digest",
    "chain_first",
    "chain_last",
)
"""Names of the public inputs, in their order."""


@dataclass(frozen=True)
class Generators:
    """Stage 1's fixed points of Grumpkin."""

    vectors: tuple[tuple[PlainPoint, ...], ...]
    """[part][row]"""
    value: PlainPoint


@dataclass
class Account:
    """Rows by section, filled while the circuit is defined."""

    rows: dict[str, int] = field(default_factory=dict)
    permutations: int = 0
    reductions: int = 0

    @contextmanager
    def section(self, c: Circuit, name: str) -> Iterator[None]:
        """Counts the rows recorded inside, and names them."""
        before = c.n_rows
        with c.scope(name):
            yield
        self.rows[name] = self.rows.get(name, 0) + c.n_rows - before


def define_wrap(
    shape: Shape, chain: Chain | None, generators: Generators, account: Account | None = None
) -> Callable[[Circuit], None]:
    """The definition of the wrap for `compile_circuit`; `InvalidInputError` if the chain names no public signal."""
    if chain is not None and not (0 <= chain.out < shape.publics and 0 <= chain.into < shape.publics):
        raise InvalidInputError("the chain names a public signal that leaves do not have", field="chain")
    counts = account or Account()

    def define(c: Circuit) -> None:
        _define(c, shape, chain, generators, counts)

    return define


def _define(c: Circuit, shape: Shape, chain: Chain | None, generators: Generators, counts: Account) -> None:
    key_digest, count, publics_digest = (c.public(name) for name in (KEY_DIGEST, LEAF_COUNT, PUBLICS_DIGEST))
    ends = (c.public(CHAIN_FIRST), c.public(CHAIN_LAST)) if chain else None
    fq = EmulatedField(c)
    with counts.section(c, "messages"):
        messages = declare(c, shape, fq)

    with counts.section(c, "statement"):
        filled = statement.filled_places(c, count, shape.leaves)
        statement.empty_places_are_zero(c, filled, messages.publics)
        if chain and ends:
            first, last = statement.chain_ends(c, chain, filled, messages.publics)
            c.assert_equal(first, ends[0], "the chain's first value")
            c.assert_equal(last, ends[1], "the chain's last value")
        digest, used = statement.absorbed_publics(c, fq, messages.publics)
        c.assert_equal(digest, publics_digest, "publics digest")
        c.assert_equal(statement.absorbed_key(c, fq, shape, messages), key_digest, "key digest")
        counts.permutations += used

    t = CircuitTranscript(c, fq)
    with counts.section(c, "commitments"):
        t.absorb([c.constant(x) for x in (shape.leaves, shape.publics, shape.chunk)])
        t.absorb([key_digest, count, publics_digest])
        t.absorb_points(messages.points)
        rho = t.challenges(shape.leaves)
        statement.combine_publics(c, shape, filled, rho, messages)
        for column in messages.columns:
            t.absorb_points(column)
        t.absorb_integers(messages.words)

    with counts.section(c, "first claim"):
        table = sumcheck.draw_table(t, shape)
        words = statement.digit_sums(c, fq, filled, rho, messages)
        claim = sumcheck.initial_claim(c, fq, shape, table, words, count)

    with counts.section(c, "rounds"):
        point, point_bits, claim = sumcheck.run_rounds(t, shape, table, messages, claim)

    with counts.section(c, "selectors"):
        eq = sumcheck.EqVectors.at(fq, shape, point)
        rows = sumcheck.row_selectors(fq, eq)
        rows["weight"] = sumcheck.row_weight(fq, table, messages.kernel_inverse, point[shape.group_bits :])
        groups = sumcheck.group_selectors(c, fq, shape, eq, filled, messages.key_points)

    with counts.section(c, "constraints at the point"):
        fq.require(sumcheck.last_claim(messages.claims, table, rows, groups) - claim, "constraints at the point")

    with counts.section(c, "opening value"):
        t.absorb_values(messages.claims.all())
        weights = t.units(layout.VECTORS, as_values=True)
        theta = opening.theta_powers(fq, t.values(1)[0])
        offset = opening.draw_offset(t, messages, 0)
        value = opening.opening_value(fq, messages.claims, eq, weights, theta)

    with counts.section(c, "columns weighed"):
        blocks, key = opening.column_sums(c, shape, messages, weights, offset)
    with counts.section(c, "blocks folded"):
        high_bits = point_bits[shape.chunk_bits : shape.group_bits]
        folded = opening.fold_blocks(c, blocks, high_bits)
        opening.check_first_level(c, folded, len(high_bits), key, value, messages, generators.value)

    with counts.section(c, "first cross terms"):
        for row in messages.cross:
            t.absorb_points(row)
        part_units = t.units(shape.chunk, as_values=False)
        odd = t.challenges(shape.chunk)
        offset = opening.draw_offset(t, messages, 1)
        opening.check_second_level(c, messages, part_units, odd, offset)
    with counts.section(c, "generators folded"):
        rows_folded = opening.fold_generators(c, odd, generators.vectors)

    with counts.section(c, "strips"):
        for row in messages.strip_cross:
            t.absorb_points(row)
        strip_units = t.units(STRIPS, as_values=False)
        generator_units = t.units(STRIPS, as_values=True)
        offset = opening.draw_offset(t, messages, 2)
        units = (strip_units, generator_units)
        opening.check_final(c, fq, messages, eq, theta, odd, units, rows_folded, offset, generators.value)

    with counts.section(c, "reductions"):
        _close(t, fq, messages)
    counts.permutations += t.permutations
    counts.reductions = len(fq.pending)


def _close(t: CircuitTranscript, fq: EmulatedField, messages: Messages) -> None:
    """Absorbs all that identities depend on and that is not absorbed yet, and checks the batch.

    Not absorbed so far: the final scalars, 1 / kappa, and every reduced value v < 2^254. These go in as v mod r and,
    packed, their highest bits: the pair determines v, as 2^253 < r.
    """
    t.absorb_integers([bits for pair in messages.final for bits in pair])
    values = [messages.kernel_inverse, *fq.reduced]
    t.absorb(
        linear_sum((x, 1 << (LIMB_BITS * i)) for i, x in enumerate(v.columns) if not isinstance(x, int)) for v in values
    )
    t.absorb_integers([[v.bits[-1]] for v in values if v.bits is not None])
    n = len(fq.pending)
    width = isqrt(n - 1) + 1
    inner = t.values(width)
    outer = t.values(-(-n // width))
    fq.close(inner, outer)
