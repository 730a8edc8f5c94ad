"""Arithmetic modulo q inside Fr: against plain integers, and against provers that lie."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from cheating import assert_lies_change_nothing, refused

from prover_core.circuit import Circuit, CompiledCircuit, compile_circuit
from prover_core.circuit.gadgets.limbs import LIMBS, limbs_of, weigh
from prover_core.circuit.gadgets.nonnative import EmulatedField, Residue, bits_of, inner_product
from prover_core.errors import CircuitError
from prover_core.types import Q, R
from prover_core.witness import TapeProgram

EDGES = [0, 1, 2, Q - 1, Q - 2, R, R - 1, R + 1, 2**254 - 1, 2**253, 2**208, 2**52 - 1]
CHALLENGES = 3


def circuit_of(name: str, count: int, compute: Callable[[EmulatedField, list[Residue]], Residue]) -> CompiledCircuit:
    """Values below 2^254 in, `compute` of them reduced and given out in limbs; challenges are inputs."""

    def define(c: Circuit) -> None:
        field = EmulatedField(c)
        limbs = c.private("values", LIMBS * count)
        values = [field.value(limbs[i : i + LIMBS]) for i in range(0, len(limbs), LIMBS)]
        out = compute(field, values).reduce()
        c.output("limbs", [x if not isinstance(x, int) else c.constant(x) for x in out.columns])
        raw = [bits_of(c, x, 125) for x in c.private("challenges", 2 * CHALLENGES)]
        challenges = [field.from_bits(bits) for bits in raw]
        field.close(challenges[:CHALLENGES], challenges[CHALLENGES:])

    return compile_circuit(define, name=name)


FIRST = 60
"""Wires below are outputs and inputs."""


def inputs_for(values: list[int], rng: random.Random) -> dict[str, list[int]]:
    return {
        "values": [limb for v in values for limb in limbs_of(v, LIMBS)],
        "challenges": [rng.getrandbits(125) for _ in range(2 * CHALLENGES)],
    }


PRODUCTS = circuit_of("products", 6, lambda f, v: inner_product(f, v[:3], v[3:]) - 7 * v[0] + 5)
CHAIN = circuit_of("chain", 3, lambda f, v: (v[0] - v[1]) * (v[0] * v[1]) * (2**200 - Q) - v[2] * v[2] * (v[1] + v[2]))


def plain_products(v: list[int]) -> int:
    return (sum(a * b for a, b in zip(v[:3], v[3:], strict=True)) - 7 * v[0] + 5) % Q


def plain_chain(v: list[int]) -> int:
    return ((v[0] - v[1]) * v[0] * v[1] * (2**200 - Q) - v[2] * v[2] * (v[1] + v[2])) % Q


@pytest.mark.parametrize(
    ("circuit", "plain", "count"), [(PRODUCTS, plain_products, 6), (CHAIN, plain_chain, 3)], ids=["products", "chain"]
)
def test_reductions_agree_with_integers(
    circuit: CompiledCircuit, plain: Callable[[list[int]], int], count: int
) -> None:
    rng = random.Random(1)
    cases = [[rng.choice(EDGES) for _ in range(count)] for _ in range(4)]
    cases += [[rng.randrange(2**254) for _ in range(count)] for _ in range(4)]
    for values in cases:
        witness = circuit.evaluate(inputs_for(values, rng))
        assert weigh(witness[1 : 1 + LIMBS]) == plain(values)


def test_the_native_tape_computes_the_same_witness() -> None:
    rng = random.Random(2)
    inputs = inputs_for([rng.randrange(Q) for _ in range(6)], rng)
    slices = TapeProgram(PRODUCTS.tape).run(inputs)
    native: dict[int, int] = {}
    for part in slices:
        native.update(enumerate(part.values.to_ints(), part.offset))
    assert [native[i] for i in range(len(native))] == PRODUCTS.evaluate(inputs)


def test_a_limb_out_of_range_is_refused() -> None:
    inputs = inputs_for([1, 2, 3, 4, 5, 6], random.Random(3))
    for at, value in ((0, 2**52), (4, 2**46), (7, R - 1)):
        changed = {**inputs, "values": [*inputs["values"][:at], value, *inputs["values"][at + 1 :]]}
        refused(PRODUCTS, changed, "is below 2^")


def test_a_lying_prover_changes_nothing() -> None:
    """Every hinted wire, a sample of lies each: the result in limbs stays what it is, or a row breaks.

    The output may be v or v + q where both fit 254 bits: the lie v + q is tried below, and is harmless by design.
    """
    rng = random.Random(4)
    inputs = inputs_for([rng.randrange(Q) for _ in range(6)], rng)
    first = PRODUCTS.r1cs.n_public + 1 + PRODUCTS.r1cs.n_private_inputs
    n = PRODUCTS.r1cs.n_wires
    wires = [w for w in range(first, n) if rng.random() < 0.02]
    assert_lies_change_nothing(PRODUCTS, inputs, wires=wires)


def test_a_wrong_remainder_is_refused() -> None:
    """All limbs of the reduced value are replaced, consistently, by those of another value: the batch refuses it."""
    rng = random.Random(5)
    values = [rng.randrange(Q) for _ in range(6)]
    inputs = inputs_for(values, rng)
    witness = PRODUCTS.evaluate(inputs)
    result = weigh(witness[1 : 1 + LIMBS])
    places = [
        next(w for w in range(len(witness)) if witness[w] == limb and w > FIRST) for limb in witness[1 : 1 + LIMBS]
    ]
    for wrong in ((result + 1) % Q, (result - 1) % Q, (result + R) % 2**254, 0):
        lies = dict(zip(places, limbs_of(wrong, LIMBS), strict=True))
        with pytest.raises(Exception, match=r"reductions|below|wrap|multiple"):
            PRODUCTS.evaluate(inputs, overrides=lies)


def test_widths_are_guarded() -> None:
    def too_wide(c: Circuit) -> None:
        field = EmulatedField(c)
        x = field.value(c.private("x", LIMBS))
        wide = x.times(x)
        for _ in range(30):
            wide = wide + wide
        field.require(wide, "wide")

    with pytest.raises(CircuitError, match="too wide"):
        compile_circuit(too_wide, name="too wide")

    def late(c: Circuit) -> None:
        field = EmulatedField(c)
        x = field.value(c.private("x", LIMBS))
        (x * x).reduce()
        field.close([field.constant(1)], [field.constant(1)])
        (x + 1).reduce()

    with pytest.raises(CircuitError, match="already closed"):
        compile_circuit(late, name="late")


def test_costs() -> None:
    """9 rows a product, 254 a value: 6 values, 4 products with the 3 of close's two levels, one reduction."""
    assert PRODUCTS.r1cs.n_constraints < 6 * 254 + 3 * 9 + 254 + 6 * 125 + 3 * 60 + 2200
