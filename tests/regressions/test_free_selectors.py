"""Gadgets that are sound for bits and for integers in range only refuse anything else while the circuit is built."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prover_core.circuit import Circuit, Expr, compile_circuit
from prover_core.circuit.gadgets import babyjubjub, boolean, compare, merkle, ranges, select
from prover_core.errors import CircuitError
from prover_core.reference import babyjubjub as plain

Use = Callable[[Circuit, Expr, Expr], object]


@pytest.mark.parametrize(
    "use",
    [
        lambda c, s, x: select.select(c, s, x, 1),
        lambda c, s, x: select.select(c, s, 1, 0),
        lambda c, s, x: select.swap(c, s, x, x + 1),
        lambda c, s, x: select.mux(c, [s], [x, 2]),
        lambda c, s, x: merkle.root(c, x, [s], [x + 1]),
        lambda c, s, x: boolean.not_(s),
        lambda c, s, x: boolean.and_(c, s, boolean.assert_bit(c, x)),
        lambda c, s, x: boolean.or_(c, boolean.assert_bit(c, x), s),
        lambda c, s, x: boolean.xor(c, s, s),
        lambda c, s, x: boolean.all_of(c, [s]),
        lambda c, s, x: boolean.any_of(c, [s] * 5),
        lambda c, s, x: ranges.from_bits([s]),
        lambda c, s, x: babyjubjub.fixed_base(c, [s], plain.BASE8),
        lambda c, s, x: babyjubjub.variable_base(c, [s], babyjubjub.constant_point(c, plain.BASE8)),
        lambda c, s, x: babyjubjub.cofactor_variable_base(c, [s], babyjubjub.constant_point(c, plain.BASE8)),
    ],
)
def test_a_selector_that_no_row_makes_a_bit_is_refused(use: Use) -> None:
    """`select(c, s, a, b)` with s = 5 was b + 5 (a - b), whatever the prover liked; only the type checker objected."""
    with pytest.raises(CircuitError, match="bit is needed"):
        compile_circuit(lambda c: c.output("y", use(c, c.private("s"), c.private("x"))), name="free")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "use",
    [compare.less_than, compare.less_equal, compare.assert_less_than, compare.assert_less_equal],
)
def test_an_order_of_integers_without_a_range_is_refused(use: Use) -> None:
    def define(c: Circuit) -> None:
        use(c, c.private("a"), ranges.range_check(c, c.private("b"), 8))

    with pytest.raises(CircuitError, match="known range"):
        compile_circuit(define, name="free")
