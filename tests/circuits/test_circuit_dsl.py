"""The DSL itself: what costs a row, how wires and rows are numbered and named, and what a definition may not do."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from prover_core.circuit import Bit, Circuit, CompiledCircuit, Expr, Uint, compile_circuit, gadget, linear_sum
from prover_core.circuit.builder import MATERIALISE_AFTER
from prover_core.errors import CircuitError, InvalidInputError, UnsatisfiedError
from prover_core.types import R


def rows_of(circuit: CompiledCircuit) -> list[tuple[dict[int, int], ...]]:
    values = circuit.r1cs.values.to_ints()
    out = []
    for row in range(circuit.r1cs.n_constraints):
        sides = []
        for matrix in (circuit.r1cs.a, circuit.r1cs.b, circuit.r1cs.c):
            part = slice(int(matrix.row_start[row]), int(matrix.row_start[row + 1]))
            cols = matrix.col[part].tolist()
            assert len(set(cols)) == len(cols), "a row names a wire twice"
            sides.append(dict(zip(cols, (values[v] for v in matrix.value_index[part].tolist()), strict=True)))
            assert 0 not in sides[-1].values(), "a stored entry is zero"
        out.append(tuple(sides))
    return out


def test_wires_are_numbered_as_in_circom() -> None:
    def define(c: Circuit) -> None:
        x = c.private("x")
        p = c.public("p", 2)
        y = x * p[0]
        c.output("out", y + 1)
        c.private("unused", 2)
        c.output("more", [p[1] * y, x])

    circuit = compile_circuit(define, name="order")
    witness = circuit.evaluate({"x": 3, "p": [5, 7], "unused": [8, 9]})
    assert witness == [1, 16, 105, 3, 5, 7, 3, 8, 9, 15, 105]
    r1cs = circuit.r1cs
    counts = (r1cs.n_outputs, r1cs.n_public_inputs, r1cs.n_private_inputs, r1cs.n_wires)
    assert counts == (3, 2, 3, 11)
    assert circuit.public_names == ("out", "more[0]", "more[1]", "p[0]", "p[1]")
    assert [spec.name for spec in circuit.inputs] == ["x", "p", "unused"]


def test_only_products_and_assertions_cost_rows() -> None:
    def define(c: Circuit) -> None:
        x, y = c.private("x", 2)
        z = 3 * x - y * 2 + 7 - (-x) + sum([x, y], start=c.constant(1))
        w = z * y
        c.assert_equal(w + x, w + x)
        c.assert_equal(w, 2 * x - x + 1 * y, "goal")

    circuit = compile_circuit(define, name="costs")
    assert rows_of(circuit) == [
        ({1: 5, 2: R - 1, 0: 8}, {2: 1}, {3: 1}),
        ({}, {}, {3: 1, 1: R - 1, 2: R - 1}),
    ]
    assert circuit.evaluate({"x": [0, 0]}) == [1, 0, 0, 0]


def test_constants_fold() -> None:
    def define(c: Circuit) -> None:
        x = c.private("x")
        assert (x * 0).is_constant
        assert (c.constant(5) * c.constant(6)).constant == 30
        c.assert_product(x, 2, 10, "twice")
        c.output("same", x * c.constant(1))

    circuit = compile_circuit(define, name="fold")
    assert circuit.r1cs.n_constraints == 2
    assert circuit.evaluate({"x": 5}) == [1, 5, 5]
    with pytest.raises(UnsatisfiedError, match="twice"):
        circuit.evaluate({"x": 6})


class Pair(NamedTuple):
    first: Expr
    second: Expr


@gadget
def cube(c: Circuit, x: Expr, offset: int) -> Expr:
    with c.scope("power"):
        return x * x * x + offset


@gadget
def mixed(c: Circuit, pair: Pair, others: list[Expr], negate: bool = False) -> tuple[Pair, list[Expr]]:
    a = cube(c, pair.first - pair.second, 1)
    b = cube(c, linear_sum([(x, k + 1) for k, x in enumerate(others)], 4), 2)
    c.assert_product(a, b, a * b, "product")
    both = a * pair.second
    return Pair(both if negate else -both, pair.first), [a + b, others[0]]


def random_definition(seed: int, call: Callable[..., tuple[Pair, list[Expr]]]) -> Callable[[Circuit], None]:
    def define(c: Circuit) -> None:
        rng = random.Random(seed)
        pool: list[Expr] = [*c.private("x", 3), c.public("p")]

        def pick() -> Expr:
            terms = [(rng.choice(pool), rng.choice([1, -1, 5, R - 2])) for _ in range(rng.randint(1, 4))]
            return linear_sum(terms, rng.choice([0, 0, 9])) if rng.random() < 0.7 else rng.choice(pool)

        for _ in range(12):
            pair, more = call(c, Pair(pick(), pick()), [pick() for _ in range(rng.randint(1, 2))], rng.random() < 0.5)
            pool += [*pair, *more]
            pool = pool[-9:]
        c.output("out", pool)

    return define


@pytest.mark.parametrize("seed", range(12))
def test_a_stamped_gadget_is_the_gadget_written_out(seed: int) -> None:
    """Same witness, and the same rows up to the side a factor is on."""
    inputs = {"x": [3, seed, R - 5], "p": 11}
    stamped = compile_circuit(random_definition(seed, mixed), name="stamped")
    inlined = compile_circuit(random_definition(seed, mixed.__wrapped__), name="inlined")  # type: ignore[attr-defined]
    assert stamped.evaluate(inputs) == inlined.evaluate(inputs)

    def normal(circuit: CompiledCircuit) -> list[object]:
        return [
            (frozenset((frozenset(a.items()), frozenset(b.items()))), frozenset(d.items()))
            for a, b, d in rows_of(circuit)
        ]

    assert normal(stamped) == normal(inlined)


def test_a_template_is_traced_once_for_each_static_choice() -> None:
    traces = []

    @gadget
    def counted(c: Circuit, xs: list[Expr], power: int) -> Expr:
        traces.append((len(xs), power))
        return xs[0] * xs[-1] * power

    def define(c: Circuit) -> None:
        x, y = c.private("x", 2)
        for _ in range(5):
            x = counted(c, [x, y], 3)
            y = counted(c, [y], 3)
        counted(c, [x, y], power=4)

    compile_circuit(define, name="traces")
    assert traces == [(2, 3), (1, 3), (2, 4)]


def test_types_pass_through_templates() -> None:
    kinds = []

    @gadget
    def through(c: Circuit, bit: Bit, number: Uint) -> tuple[Bit, Uint]:
        kinds.append((type(bit), number.bits))
        c.assert_product(bit, number, number)
        return bit, number

    def define(c: Circuit) -> None:
        bit, number = through(c, Bit.trust(c.private("b")), Uint.trust(c.private("n"), 9))
        kinds.append((type(bit), number.bits))
        assert type(bit + 0) is Expr

    compile_circuit(define, name="types")
    assert kinds == [(Bit, 9), (Bit, 9)]


def test_scopes_name_rows() -> None:
    def define(c: Circuit) -> None:
        x = c.private("x")
        with c.scope("transfer"):
            with c.scope("signature"):
                c.assert_equal(cube(c, x, 0), 8, "cube is eight")
            c.assert_zero(x - 2, "is two")
        c.assert_equal(x, 2)

    circuit = compile_circuit(define, name="scopes")
    assert circuit.r1cs.labels == (
        (0, "transfer: signature: cube: power"),
        (2, "transfer: signature: cube is eight"),
        (3, "transfer: is two"),
        (4, ""),
    )
    with pytest.raises(UnsatisfiedError) as caught:
        circuit.evaluate({"x": 3})
    assert (caught.value.row, caught.value.label) == (2, "transfer: signature: cube is eight")
    assert str(caught.value).startswith("transfer: signature: cube is eight")
    with pytest.raises(UnsatisfiedError, match="cube: power"):
        circuit.check([1, 2, 4, 9])


def test_a_long_expression_used_often_gets_a_wire() -> None:
    def define(uses: int) -> Callable[[Circuit], None]:
        def build(c: Circuit) -> None:
            xs = c.private("x", 100)
            total = linear_sum((x, 1) for x in xs)
            for x in xs[:uses]:
                c.assert_zero(total * x - x * x * 100)

        return build

    few, many = (compile_circuit(define(n), name="rent") for n in (2, 50))
    assert few.r1cs.n_constraints == 3 * 2
    assert many.r1cs.n_constraints == 3 * 50 + 1
    assert many.r1cs.a.non_zeros < 2 * MATERIALISE_AFTER + 3 * 50
    many.evaluate({"x": [1] * 100})
    with pytest.raises(UnsatisfiedError):
        many.evaluate({"x": [1] * 99 + [2]})


def test_a_long_argument_of_a_busy_template_gets_a_wire() -> None:
    @gadget
    def busy(c: Circuit, x: Expr) -> None:
        for k in range(40):
            c.assert_product(x - k, x - k, (x - k) * (x - k))

    def define(c: Circuit) -> None:
        busy(c, linear_sum((x, 1) for x in c.private("x", 50)))

    circuit = compile_circuit(define, name="busy")
    assert circuit.r1cs.n_constraints == 81
    circuit.evaluate({"x": list(range(50))})


def test_the_shorter_side_goes_to_b() -> None:
    def define(c: Circuit) -> None:
        x, y, z = c.private("x", 3)
        c.output("a", x * (y + z))
        c.output("b", (y + z) * x)

    for a, b, _ in rows_of(compile_circuit(define, name="sides")):
        assert len(a) >= len(b)


def _wrong(define: Callable[[Circuit], None], match: str) -> None:
    with pytest.raises(CircuitError, match=match):
        compile_circuit(define, name="wrong")


def test_wrong_definitions_are_refused() -> None:
    def comparing(c: Circuit) -> None:
        assert c.private("x") == 3

    def branching(c: Circuit) -> None:
        if c.private("x"):
            c.public("y")

    def contradiction(c: Circuit) -> None:
        x = c.private("x")
        c.assert_equal(x + 1, x, "impossible")

    def twice(c: Circuit) -> None:
        c.private("x")
        c.public("x")

    def free_hint(c: Circuit) -> None:
        c.output("y", c.private("x"))
        c.hint.inverse(c.private("z"))

    def free_in_gadget(c: Circuit) -> None:
        @gadget
        def careless(c: Circuit, x: Expr) -> Expr:
            c.hint.bits(x, 3)
            return x * x

        careless(c, c.private("x"))

    def captures(c: Circuit) -> None:
        outer = c.private("x")

        @gadget
        def closure(c: Circuit, y: Expr) -> Expr:
            return y * outer

        closure(c, c.private("y"))

    def returns_outer(c: Circuit) -> None:
        outer = c.private("x")

        @gadget
        def closure(c: Circuit, y: Expr) -> Expr:
            return outer

        closure(c, c.private("y"))

    def nested_input(c: Circuit) -> None:
        @gadget
        def declares(c: Circuit) -> Expr:
            return c.private("inner")

        declares(c)

    def empty(c: Circuit) -> None:
        c.private("x")

    def unhashable(c: Circuit) -> None:
        @gadget
        def strange(c: Circuit, x: Expr, what: object) -> Expr:
            return x * x

        strange(c, c.private("x"), {1, 2})

    def advice_out(c: Circuit) -> None:
        cube(c, c.advice.inverse(c.private("x")), 1)  # type: ignore[arg-type]

    _wrong(comparing, "assert_equal")
    _wrong(branching, "gadgets.select")
    _wrong(contradiction, "impossible")
    _wrong(twice, "'x' is defined twice")
    _wrong(free_hint, "wire 0 of its own is assigned by a hint but in no constraint")
    _wrong(free_in_gadget, "careless: wire 0")
    _wrong(captures, "pass it as an argument")
    _wrong(returns_outer, "returns an expression of another circuit")
    _wrong(nested_input, "gadget cannot define")
    _wrong(empty, "constrains nothing")
    _wrong(unhashable, "not hashable")
    _wrong(advice_out, "hint.copy")


def test_expressions_of_two_circuits_do_not_mix() -> None:
    kept: list[Expr] = []

    def define(c: Circuit) -> None:
        x = c.private("x")
        kept.append(x)
        c.output("y", x * x)

    compile_circuit(define, name="first")

    def other(c: Circuit) -> None:
        c.output("y", c.private("x") + kept[0])

    _wrong(other, "another circuit")


def test_check_refuses_what_is_not_a_witness() -> None:
    def define(c: Circuit) -> None:
        x = c.private("x")
        c.output("y", x * x)

    circuit = compile_circuit(define, name="square")
    good = circuit.evaluate({"x": 4})
    circuit.check(good)
    for bad in (good[:-1], [2, *good[1:]], [*good[:-1], R], [*good[:-1], -1]):
        with pytest.raises(InvalidInputError):
            circuit.check(bad)
    with pytest.raises(UnsatisfiedError):
        circuit.check([1, 16, 5, 16])


def test_digests_tell_circuits_apart() -> None:
    def define(factor: int, public: bool) -> Callable[[Circuit], None]:
        def build(c: Circuit) -> None:
            x = c.public("x") if public else c.private("x")
            c.output("y", x * x * factor)

        return build

    digests = {compile_circuit(define(f, p), name="d").digest for f in (2, 3) for p in (False, True)}
    assert len(digests) == 4
    assert compile_circuit(define(2, True), name="other name").digest in digests


def test_matrices_have_the_types_of_the_contract() -> None:
    def define(c: Circuit) -> None:
        c.output("y", cube(c, c.private("x") + 1, 2))

    r1cs = compile_circuit(define, name="types").r1cs
    for matrix in (r1cs.a, r1cs.b, r1cs.c):
        assert (matrix.row_start.dtype, matrix.col.dtype, matrix.value_index.dtype) == (np.uint64, np.uint32, np.uint32)
        assert matrix.row_start[0] == 0
        assert matrix.row_start[-1] == len(matrix.col) == len(matrix.value_index)
