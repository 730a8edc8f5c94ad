"""Stamped rows against rows written out call by call: the wrap's gadgets, one within another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from prover_core.assembly.wrap.statement import Chain, chain_ends, empty_places_are_zero, filled_places
from prover_core.assembly.wrap.transcript import CircuitTranscript
from prover_core.circuit import template
from prover_core.circuit.builder import Circuit, Session
from prover_core.circuit.gadgets.grumpkin import (
    UNIT_DIGITS,
    assert_on_curve,
    assert_same,
    signed_sum,
    times_bits,
    triple,
    triple_often,
    weighted_sum,
)
from prover_core.circuit.gadgets.limbs import LIMBS
from prover_core.circuit.gadgets.nonnative import EmulatedField
from prover_core.circuit.stamping import Rows
from prover_core.circuit.template import Body
from prover_core.types import R

Row = dict[int, int]
Matrices = tuple[list[Row], list[Row], list[Row]]


def define(c: Circuit) -> None:
    """A little of each section of the wrap."""
    field = EmulatedField(c)
    count, publics = c.public("count"), c.private("publics", 6)
    filled = filled_places(c, count, 3)
    rows = [publics[i : i + 2] for i in (0, 2, 4)]
    empty_places_are_zero(c, filled, rows)
    first, last = chain_ends(c, Chain(out=0, into=1), filled, rows)
    flat = c.private("points", 8)
    points = [assert_on_curve(c, x, y) for x, y in zip(flat[::2], flat[1::2], strict=True)]
    value = field.value(c.private("value", LIMBS))
    t = CircuitTranscript(c, field)
    t.absorb([first, last, *publics])
    t.absorb_points(points)
    t.absorb_values([value])
    weights = t.units(2, as_values=True)
    scalars = t.challenges(3)
    x = field.from_bits(scalars[0])
    product = (x * value - 3).reduce() * weights[0].value
    field.require(product - x, "a product")
    end = triple_often(c, points[0], UNIT_DIGITS)
    total = weighted_sum(c, points[1:3], [w.digits for w in weights], points[0], end)
    table = [(p, triple(c, p)) for p in points[1:3]]
    assert_same(c, total, signed_sum(c, table, [scalars[0], scalars[2]], points[0]), "sums")
    assert_same(c, total, times_bits(c, points[3], scalars[1]), "multiples")
    t.absorb([count])
    field.close(t.values(2), t.values(2))


def written_out(c: Circuit, inner: dict[int, Circuit], values: list[int]) -> Matrices:
    """All rows of a recording, with no use of `stamping`: each call's rows with its inputs put in, one by one."""
    out: list[list[Row | None]] = [[None] * c.n_rows for _ in range(3)]
    for target, own in zip(out, (c.a, c.b, c.c), strict=True):
        at = 0
        for row, length in zip(c.own_rows, own.length, strict=True):
            assert target[row] is None
            target[row] = {own.col[k]: values[own.value[k]] for k in range(at, at + length)}
            at += length
    for call in c.calls:
        for target, rows in zip(out, written_out(inner[id(call.template.body)], inner, values), strict=True):
            for k, entries in enumerate(rows, start=call.row_base):
                assert target[k] is None
                target[k] = _put_in(entries, call.wire_base, call.inputs)
    a, b, d = ([row for row in rows if row is not None] for rows in out)
    assert len(a) == len(b) == len(d) == c.n_rows
    return a, b, d


def _put_in(entries: Row, wire_base: int, inputs: Sequence[Row]) -> Row:
    out: Row = {}
    for col, value in entries.items():
        terms = inputs[-col - 1] if col < 0 else {col + wire_base if col else 0: 1}
        for wire, factor in terms.items():
            out[wire] = (out.get(wire, 0) + value * factor) % R
    return {wire: value for wire, value in out.items() if value}


def as_dicts(rows: Rows, values: list[int]) -> list[Row]:
    start = rows.row_start.tolist()
    col, value = rows.col.tolist(), rows.value.tolist()
    out = []
    for begin, end in pairwise(start):
        row = {col[k]: values[value[k]] for k in range(begin, end)}
        assert len(row) == end - begin, "a column twice in one row"
        out.append(row)
    return out


@pytest.mark.parametrize("entries_at_once", [1, 1 << 19])
def test_stamped_rows_are_those_written_out(monkeypatch: pytest.MonkeyPatch, entries_at_once: int) -> None:
    recorded: list[tuple[Circuit, Body]] = []
    flatten = template.flatten

    def spy(c: Circuit) -> Body:
        body = flatten(c)
        recorded.append((c, body))
        return body

    monkeypatch.setattr(template, "flatten", spy)
    monkeypatch.setattr("prover_core.circuit.stamping._CHUNK_ENTRIES", entries_at_once)
    c = Circuit(Session(), "sections", main=True)
    define(c)
    body = spy(c)
    assert len(c.calls) > 50
    values = c.session.table.values
    inner = {id(b): circuit for circuit, b in recorded}
    expected = written_out(c, inner, values)
    for rows, wanted in zip((body.a, body.b, body.c), expected, strict=True):
        assert as_dicts(rows, values) == wanted
