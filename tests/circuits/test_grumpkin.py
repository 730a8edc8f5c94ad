"""Grumpkin inside circuits: against plain integers, and against provers that lie."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from cheating import assert_every_wire_is_bound, assert_lies_change_nothing, refused

from prover_core.circuit import Circuit, CompiledCircuit, compile_circuit
from prover_core.circuit.expr import Bit
from prover_core.circuit.gadgets import grumpkin as gk
from prover_core.circuit.gadgets import grumpkin_tables as plain
from prover_core.circuit.gadgets.grumpkin_fixed import fixed_base, monomials, signed_fold
from prover_core.circuit.gadgets.nonnative import bits_of
from prover_core.types import Q, R

P = plain.hash_to_curve("test/p")
S = plain.hash_to_curve("test/s")
T = plain.hash_to_curve("test/t")


def times(k: int, p: plain.PlainPoint) -> plain.PlainPoint:
    out = plain.multiply_vartime(k, p)
    assert out is not None
    return out


def plus(*points: plain.PlainPoint) -> plain.PlainPoint:
    total: plain.PlainPoint | None = None
    for p in points:
        total = plain.add(total, p)
    assert total is not None
    return total


def point(c: Circuit, name: str) -> gk.Point:
    return gk.assert_on_curve(c, *c.private(name, 2))


def bits(c: Circuit, name: str, n: int) -> list[Bit]:
    return bits_of(c, c.private(name), n)


def define_law(c: Circuit) -> None:
    p, q = point(c, "p"), point(c, "q")
    c.output("sum", list(gk.add_distinct(c, p, q)))
    c.output("difference", list(gk.add_distinct(c, p, gk.negate(q))))
    c.output("double", list(gk.double(c, p)))
    c.output("triple", list(gk.triple(c, p)))
    c.output("turned", list(gk.endomorphism(p)))


LAW = compile_circuit(define_law, name="law")


def test_endomorphism() -> None:
    assert (OMEGA := plain.OMEGA) != 1
    assert pow(OMEGA, 3, R) == 1 == pow(plain.LAMBDA, 3, Q)
    assert times(plain.LAMBDA, P) == (OMEGA * P[0] % R, P[1])
    assert plain.multiply_vartime(Q, P) is None
    assert times(Q - 1, P) == plain.negate(P)


def test_group_law() -> None:
    witness = LAW.evaluate({"p": list(P), "q": list(S)})
    minus = plain.negate(S)
    expected = [plus(P, S), plus(P, minus), times(2, P), times(3, P), times(plain.LAMBDA, P)]
    assert witness[1:11] == [x for point in expected for x in point]
    assert_every_wire_is_bound(LAW, {"p": list(P), "q": list(S)})
    assert_lies_change_nothing(LAW, {"p": list(P), "q": list(S)})


def test_what_addition_must_refuse() -> None:
    refused(LAW, {"p": list(P), "q": list(P)}, "the points differ")
    refused(LAW, {"p": list(P), "q": list(plain.negate(P))}, "the points differ")
    for x, y in [(P[0], (P[1] + 1) % R), (0, 0), (0, 1), (P[1], P[0])]:
        refused(LAW, {"p": [x, y], "q": list(S)}, "is on Grumpkin")


def digit_rows(rng: random.Random, n: int) -> list[list[int]]:
    return [[rng.randrange(6) for _ in range(gk.UNIT_DIGITS)] for _ in range(n)]


def weight_of(digits: Sequence[int]) -> int:
    """Digit e stands for (-1)^(e mod 2) lambda^(e div 2)."""
    return sum((-1) ** (e & 1) * pow(plain.LAMBDA, e >> 1, Q) * 3**j for j, e in enumerate(digits)) % Q


def define_weighted(c: Circuit) -> None:
    points = [point(c, "p"), point(c, "q")]
    digits = []
    for raw in c.private("digits", 2 * gk.UNIT_DIGITS):
        digit = gk.unit_digit(c, gk.unit_of_digit(c, raw))
        c.assert_equal(gk.digit_of_unit(digit), raw, "digit")
        digits.append(digit)
    offset = point(c, "offset")
    end = gk.triple_often(c, offset, gk.UNIT_DIGITS)
    weights = [digits[: gk.UNIT_DIGITS], digits[gk.UNIT_DIGITS :]]
    before = c.n_rows
    c.output("sum", list(gk.weighted_sum(c, points, weights, offset, end)))
    assert c.n_rows - before == 49 * (6 + 5 * 2) + 4 + 2


def test_weighted_sum() -> None:
    circuit = compile_circuit(define_weighted, name="weighted")
    rng = random.Random(6)
    for _ in range(2):
        rows = digit_rows(rng, 2)
        inputs = {"p": list(P), "q": list(S), "offset": list(T), "digits": [*rows[0], *rows[1]]}
        expected = plus(times(weight_of(rows[0]), P), times(weight_of(rows[1]), S))
        assert circuit.evaluate(inputs)[1:3] == list(expected)
    computed = range(circuit.r1cs.n_wires - 300, circuit.r1cs.n_wires, 7)
    assert_lies_change_nothing(circuit, inputs, wires=computed)


def test_a_weighted_sum_from_a_bad_offset_is_not_a_licence() -> None:
    """The offset equals minus a third of the first term: the prover's own tape cannot go on, nor can its lies."""
    circuit = compile_circuit(define_weighted, name="weighted")
    rows = [[0] * gk.UNIT_DIGITS, [0] * gk.UNIT_DIGITS]
    bad = times(pow(3, -1, Q), plain.negate(P))
    inputs = {"p": list(P), "q": list(S), "offset": list(bad), "digits": [*rows[0], *rows[1]]}
    refused(circuit, inputs, "")


def test_a_unit_is_one_of_six() -> None:
    def define(c: Circuit) -> None:
        digit = gk.unit_digit(c, c.private("unit"))
        c.output("digit", gk.digit_of_unit(digit))

    circuit = compile_circuit(define, name="unit")
    for e in range(6):
        unit = (-1) ** (e & 1) * pow(plain.OMEGA, e >> 1, R) % R
        assert circuit.evaluate({"unit": unit})[1] == e
    for wrong in (0, 2, plain.OMEGA + 2, 5):
        refused(circuit, {"unit": wrong}, "is a unit")


def define_signed(c: Circuit) -> None:
    p, q = point(c, "p"), point(c, "q")
    table = [(p, gk.triple(c, p)), (q, gk.triple(c, q))]
    scalars = [bits(c, "a", 128), bits(c, "b", 128)]
    offset = point(c, "offset")
    before = c.n_rows
    c.output("sum", list(gk.signed_sum(c, table, scalars, offset)))
    # both scalars' highest bits, long expressions, become wires: two rows
    assert c.n_rows - before == 64 * (16 + 14) + 4 + 2 + 2


def test_signed_sum() -> None:
    circuit = compile_circuit(define_signed, name="signed")
    rng = random.Random(7)
    for a, b in [(rng.getrandbits(128), rng.getrandbits(128)), (0, 2**128 - 1)]:
        inputs = {"p": list(P), "q": list(S), "offset": list(T), "a": a, "b": b}
        expected = plus(times(2 * a + 1 - 2**128, P), times(2 * b + 1 - 2**128, S))
        assert circuit.evaluate(inputs)[1:3] == list(expected)
    assert_lies_change_nothing(circuit, inputs, wires=range(circuit.r1cs.n_wires - 200, circuit.r1cs.n_wires, 11))


@pytest.mark.parametrize("n", [128, 125])
def test_times_bits(n: int) -> None:
    def define(c: Circuit) -> None:
        c.output("product", list(gk.times_bits(c, point(c, "p"), bits(c, "h", n))))

    circuit = compile_circuit(define, name="times")
    for h in (1, 2, 2**n - 1, random.Random(8).getrandbits(n)):
        assert circuit.evaluate({"p": list(P), "h": h})[1:3] == list(times(2 * h, P))
    refused(circuit, {"p": list(P), "h": 0}, "the points differ")


def fold_circuit(widths: Sequence[int], bases: Sequence[Sequence[plain.PlainPoint]]) -> CompiledCircuit:
    def define(c: Circuit) -> None:
        scalars = [monomials(c, bits(c, f"h{k}", n)) for k, n in enumerate(widths)]
        for s, total in enumerate(signed_fold(c, scalars, bases, "test fold")):
            c.output(f"sum{s}", list(total))

    return compile_circuit(define, name="fold")


def test_signed_fold() -> None:
    bases = [[plain.hash_to_curve(f"test/base/{k}/{s}") for s in range(2)] for k in range(2)]
    circuit = fold_circuit([16, 13], bases)
    for h0, h1 in [(0, 0), (2**16 - 1, 2**13 - 1), (12345, 4567)]:
        witness = circuit.evaluate({"h0": h0, "h1": h1})
        z0, z1 = 2 * h0 + 1 - 2**16, 2 * h1 + 1 - 2**13
        expected = [plus(times(z0, bases[0][s]), times(z1, bases[1][s])) for s in range(2)]
        assert witness[1:5] == [x for p in expected for x in p]
    assert_lies_change_nothing(circuit, {"h0": 12345, "h1": 4567})


def test_fixed_base() -> None:
    def define(c: Circuit) -> None:
        limbs = [*bits(c, "low", 127), *bits(c, "high", 127)]
        c.output("product", list(fixed_base(c, limbs, S, "test fixed")))

    circuit = compile_circuit(define, name="fixed")
    for v in (1, Q - 1, Q + 5, 2**254 - 1, random.Random(9).randrange(Q)):
        witness = circuit.evaluate({"low": v % 2**127, "high": v >> 127})
        assert witness[1:3] == list(times(v, S))
    refused(circuit, {"low": 0, "high": 0}, "the points differ")
    refused(circuit, {"low": Q % 2**127, "high": Q >> 127}, "the points differ")
