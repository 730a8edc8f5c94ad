"""The sumcheck inside the wrap: kernel powers, first claim, rounds, selectors at the point, the last claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...circuit.builder import Circuit
from ...circuit.expr import Bit, Expr
from ...circuit.gadgets.limbs import LIMBS
from ...circuit.gadgets.nonnative import EmulatedField, Residue, bits_of
from .. import layout
from ..constraints import SLOT, SLOTS, SUM_START, Environment, Weights, combined
from ..ring import Element
from ..shape import Shape
from .messages import ClaimValues, Messages
from .transcript import CircuitTranscript


@dataclass(frozen=True)
class TableValues:
    """Message 2's challenges, and kappa^(2^t) for t <= 7 + group bits."""

    powers: list[Residue]
    beta: list[Residue]
    gamma: list[Residue]
    digit: Residue
    sums: list[Residue]

    @property
    def step(self) -> Residue:
        """kappa^128"""
        return self.powers[layout.ROW_BITS]


def draw_table(t: CircuitTranscript, shape: Shape) -> TableValues:
    """Draws what `protocol.after_columns` draws, and squares kappa."""
    (kappa,) = t.values(1)
    beta, gamma = t.values(SLOTS), t.values(SLOT)
    (digit,) = t.values(1)
    sums = t.values(2)
    powers = [kappa]
    for _ in range(layout.ROW_BITS + shape.group_bits):
        powers.append((powers[-1] * powers[-1]).reduce("kernel power"))
    return TableValues(powers, beta, gamma, digit, sums)


def initial_claim(
    c: Circuit, field: EmulatedField, shape: Shape, table: TableValues, words: Sequence[Residue], count: Expr
) -> Residue:
    """`evaluation.initial_claim`: Horner over blocks of m groups, and k^(E + leaves) by the bits of the count."""
    m = shape.chunk
    small = [field.constant(1), table.step]
    for i in range(2, m):
        small.append((small[i // 2] * small[i - i // 2]).reduce("kernel power"))
    giant = table.powers[layout.ROW_BITS + shape.chunk_bits]
    total: Residue | None = None
    for start in reversed(range(0, shape.groups, m)):
        inner = field.constant(0)
        for k, word in enumerate(words[start : start + m]):
            inner = inner + word * small[k]
        total = (inner if total is None else total * giant + inner).reduce("digit sum")
    assert total is not None
    bits = bits_of(c, count + shape.key_lanes, shape.group_bits + 1)
    power: Residue | None = None
    for t, bit in enumerate(bits):
        factor = _choose(c, field, bit, table.powers[layout.ROW_BITS + t])
        power = factor if power is None else (power * factor).reduce("kernel power")
    assert power is not None
    start_value = field.constant(0)
    for weight, coordinate in zip(table.sums, SUM_START, strict=True):
        start_value = start_value + weight * coordinate
    return total * table.digit + start_value * (1 - power)


def _choose(c: Circuit, field: EmulatedField, bit: Bit, value: Residue) -> Residue:
    """value if bit else 1; a row a limb."""
    columns = []
    for i, x in enumerate((value - 1).columns):
        columns.append(c.product(bit, x) + (1 if i == 0 else 0) if isinstance(x, Expr) else bit * x)
    return field.signed(columns, [(min(lo, 0), max(hi, 1)) for lo, hi in value.bounds])


def run_rounds(
    t: CircuitTranscript, shape: Shape, table: TableValues, messages: Messages, claim: Residue
) -> tuple[list[Residue], list[list[Bit]], Residue]:
    """Check c: every round's point, its bits, and the last claim."""
    field = t.field
    kernels = [*table.powers[layout.ROW_BITS : layout.ROW_BITS + shape.group_bits], *table.powers[: layout.ROW_BITS]]
    point: list[Residue] = []
    bits: list[list[Bit]] = []
    for kernel, p in zip(kernels, messages.rounds, strict=True):
        t.absorb_values(p)
        (drawn,) = t.challenges(1)
        x = field.from_bits(drawn)
        total = p[0]
        for coefficient in p[1:]:
            total = total + coefficient
        field.require(p[0] + kernel * total - claim, "round")
        x2 = (x * x).reduce("round point")
        x3 = (x2 * x).reduce("round point")
        upper = p[3] + p[4] * x + p[5] * x2
        if len(p) > 6:
            upper = upper + p[6] * x3
        claim = p[0] + p[1] * x + p[2] * x2 + upper.reduce("round") * x3
        point.append(x)
        bits.append(drawn)
    return point, bits, claim


def eq_vector(field: EmulatedField, point: Sequence[Residue]) -> list[Residue]:
    """`weights.eq_vector`, every entry short; about one reduction an entry."""
    out = [field.constant(1)]
    for x in point:
        high = [x if v.is_constant else (v * x).reduce("eq") for v in out]
        out = [(v - h).short() for v, h in zip(out, high, strict=True)] + high
    return [v if v.magnitude < 1 << 56 else v.reduce("eq") for v in out]


@dataclass(frozen=True)
class EqVectors:
    """eq at the sumcheck's point, in factors: groups = high x low (m), rows = high (8) x low (16)."""

    group_low: list[Residue]
    group_high: list[Residue]
    row_low: list[Residue]
    row_high: list[Residue]

    @classmethod
    def at(cls, field: EmulatedField, shape: Shape, point: Sequence[Residue]) -> EqVectors:
        """From the point: group coordinates first."""
        groups, rows = point[: shape.group_bits], point[shape.group_bits :]
        return cls(
            eq_vector(field, groups[: shape.chunk_bits]),
            eq_vector(field, groups[shape.chunk_bits :]),
            eq_vector(field, rows[:4]),
            eq_vector(field, rows[4:]),
        )

    def row(self, s: int) -> Residue:
        """eq of row s, reduced."""
        return (self.row_high[s // 16] * self.row_low[s % 16]).reduce("eq")


def row_selectors(field: EmulatedField, eq: EqVectors) -> dict[str, Residue]:
    """`evaluation.row_selectors_at`; `carry` and `inner` follow from others."""
    out: dict[str, Residue] = {}
    for name, values in layout.ROW_SELECTORS.items():
        if name in ("carry", "inner"):
            continue
        total = field.constant(0)
        for start in range(0, len(values), 16):
            strip = values[start : start + 16]
            if all(strip) and len(strip) == 16:
                total = total + eq.row_high[start // 16]
            elif any(strip):
                part = field.constant(0)
                for e, on in zip(eq.row_low, strip, strict=False):
                    part = part + e if on else part
                total = total + eq.row_high[start // 16] * part
        out[name] = total.short()
    out["carry"] = out["double"] + out["plus"] + out["minus"] + out["frob1"]
    out["inner"] = out["lane"] - out["top"]
    return out


def row_weight(field: EmulatedField, table: TableValues, inverse: Residue, rows: Sequence[Residue]) -> Residue:
    """`evaluation.weight_at`, with 1 / kappa from the prover."""
    field.require(inverse * table.powers[0] - 1, "inverse of kappa")
    power = (inverse * 4).short()
    value = 1 - rows[6]
    for i, x in enumerate(rows[:6]):
        value = (value * (1 - x + x * power).short()).reduce("digit weight")
        if i < 5:
            power = (power * power).reduce("digit weight")
    return value


def group_selectors(
    c: Circuit,
    field: EmulatedField,
    shape: Shape,
    eq: EqVectors,
    filled: Sequence[Bit],
    points: Sequence[tuple[Residue, Residue]],
) -> dict[str, Residue]:
    """`evaluation.group_selectors_at`, with a bit for each place; 5 rows a place."""
    lanes, m = shape.key_lanes, shape.chunk
    key, leaf, kx, ky = (field.constant(0) for _ in range(4))
    for block in range(shape.blocks):
        in_key, in_leaf, in_x, in_y = (field.constant(0) for _ in range(4))
        for k in range(m):
            g = block * m + k
            if g < lanes:
                in_key = in_key + eq.group_low[k]
                in_x, in_y = in_x + eq.group_low[k] * points[g][0], in_y + eq.group_low[k] * points[g][1]
            elif g < shape.groups:
                in_leaf = in_leaf + _masked(c, field, filled[g - lanes], eq.group_low[k])
        high = eq.group_high[block]
        if block * m < lanes:
            key, kx, ky = key + high * in_key, kx + high * in_x.short(), ky + high * in_y.short()
        if (block + 1) * m > lanes:
            leaf = leaf + high * in_leaf
    key, leaf = key.short(), leaf.short()
    return {"real": key + leaf, "leaf": leaf, "key": key, "kx": kx.short(), "ky": ky.short()}


def _masked(c: Circuit, field: EmulatedField, bit: Bit, value: Residue) -> Residue:
    """value if bit else 0."""
    columns = [c.product(bit, x) if isinstance(x, Expr) else bit * x for x in value.columns]
    return field.signed(columns, [(min(lo, 0), max(hi, 0)) for lo, hi in value.bounds])


def last_claim(
    claims: ClaimValues, table: TableValues, rows: dict[str, Residue], groups: dict[str, Residue]
) -> Residue:
    """Check d's other side: `constraints.combined` of the claims."""

    def reduce(x: Element) -> Element:
        return x.short() if isinstance(x, Residue) else x

    key = dict(zip(layout.KEY_COLUMNS, claims.key_current, strict=True))
    environment = Environment(
        current=dict(zip(layout.COLUMNS, claims.current, strict=True)),
        next=dict(zip(layout.COLUMNS, claims.next, strict=True)),
        cells=dict(zip((*layout.CELLS, *layout.POINT), claims.cells, strict=True)),
        key=key | dict(zip(layout.KEY_CELLS, claims.key_cells, strict=True)),
        row=rows,
        group=groups,
    )
    weights = Weights(table.beta, table.gamma, table.digit, table.sums, table.step)
    out = combined(environment, weights, reduce)
    assert isinstance(out, Residue)
    assert len(out.columns) <= 2 * LIMBS
    return out
