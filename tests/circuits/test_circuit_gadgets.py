"""Every gadget on honest inputs, on inputs that must be refused, and against provers that lie."""

from __future__ import annotations

import random
from functools import cache

import pytest
from catalogue import (
    CASES,
    VECTORS,
    Case,
    define_asserts,
    define_bits,
    define_bounded,
    define_canonical,
    define_cofactor,
    define_curve,
    define_division,
    define_eddsa,
    define_fixed,
    define_merkle,
    define_order,
    define_poseidon,
    define_ranges,
    define_select,
    define_switched_eddsa,
    define_variable,
    eddsa_inputs,
)
from cheating import assert_every_wire_is_bound, assert_lies_change_nothing, refused

from prover_core.circuit import Circuit, CompiledCircuit, compile_circuit
from prover_core.circuit.gadgets import babyjubjub as curve
from prover_core.circuit.gadgets import compare, division, merkle, poseidon, ranges, select
from prover_core.errors import CircuitError, UnsatisfiedError
from prover_core.reference import babyjubjub as plain
from prover_core.reference.poseidon import poseidon as hash_plain
from prover_core.types import R

IDS = [case.name for case in CASES]


@cache
def compiled(case: Case) -> CompiledCircuit:
    return compile_circuit(case.define, name=case.name)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_outputs_are_those_of_plain_python(case: Case) -> None:
    circuit = compiled(case)
    witness = circuit.evaluate(case.inputs)
    assert witness[1 : 1 + circuit.r1cs.n_outputs] == case.outputs


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_no_single_wire_can_change(case: Case) -> None:
    circuit = compiled(case)
    free: set[int] = set()
    witness = circuit.evaluate(case.inputs)
    if case.name == "eddsa switched off":
        free = {1, 2, 3, 4, 6, 7}  # key, R8, S and message; wire 5 is the switch
    if "order" in case.name or "bits" in case.name:
        # is_zero leaves its helper inverse free where the value is zero: the wire before a result of 1.
        free = {w - 1 for w in range(1, len(witness)) if witness[w] == 1 and witness[w - 1] == 0}
    assert_every_wire_is_bound(circuit, case.inputs, free=free)


@pytest.mark.parametrize("case", [case for case in CASES if case.outputs], ids=lambda case: case.name)
def test_no_lie_changes_an_output(case: Case) -> None:
    circuit = compiled(case)
    first = circuit.r1cs.n_public + 1 + circuit.r1cs.n_private_inputs
    wires = list(range(first, circuit.r1cs.n_wires))
    if len(wires) > 200:
        wires = random.Random(case.name).sample(wires, 10)
    assert_lies_change_nothing(circuit, case.inputs, wires=wires)


BAD = [
    ("bit of 2", define_bits, {"bits": [2, 0, 0, 0]}, "is 0 or 1"),
    ("17 bits", define_ranges, {"x": 1 << 16, "y": 5}, "x: fits: is below 2^16"),
    ("negative", define_ranges, {"x": -1, "y": 5}, "x: fits"),
    ("one bit", define_ranges, {"x": 1, "y": 7}, "y: fits: is below 2^1"),
    ("above the bound", define_bounded, {"x": 0b1011010}, "is at most the bound"),
    ("far above the bound", define_bounded, {"x": 1 << 200}, "is below 2^7"),
    ("equal", define_asserts, {"a": 9, "b": 9}, "a < b"),
    ("greater", define_asserts, {"a": 10, "b": 9}, "a < b"),
    ("zero", define_asserts, {"a": 0, "b": 9}, "a is not zero"),
    ("index too large", define_select, {"bits": [0, 1], "a": 5, "b": 6, "index": 5}, "is in [0, 5)"),
    ("division by zero", define_division, {"a": 5, "b": 0}, "remainder is below the divisor"),
    ("off the curve", define_curve, {"p": [1, 1], "q": list(plain.BASE8), "s": 0}, "is on the curve"),
    ("small order", define_cofactor(3), {"p": [0, R - 1], "k": 1}, "is not of small order"),
    ("identity", define_cofactor(3), {"p": [0, 1], "k": 1}, "is not of small order"),
]


@pytest.mark.parametrize(("define", "inputs", "label"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_inputs_are_named(define: object, inputs: dict[str, object], label: str) -> None:
    refused(compile_circuit(define, name="bad"), inputs, label)  # type: ignore[arg-type]


def test_a_wrong_root_is_no_member() -> None:
    case = next(case for case in CASES if case.name == "merkle")
    refused(compiled(case), {**case.inputs, "leaf": 4}, "membership: root matches")


def test_the_alias_of_a_field_element_is_refused() -> None:
    circuit = compile_circuit(define_canonical, name="alias")
    first = 1 + 254 + 1  # after one, the outputs and x: the bits come first
    alias = {first + i: (5 + R) >> i & 1 for i in range(254)}
    with pytest.raises(UnsatisfiedError, match="is at most the bound"):
        circuit.evaluate({"x": 5}, overrides=alias)


def test_a_quotient_that_wraps_around_the_field_is_refused() -> None:
    circuit = compile_circuit(define_division, name="division")
    a, b = 1000, 7
    quotient = 1 + 2 + 2 + 39 + 19  # after the outputs, the inputs and the bits of both ranges
    assert circuit.evaluate({"a": a, "b": b})[quotient : quotient + 2] == [142, 6]
    for remainder in range(b + 2):
        wrapped = (a - remainder) * pow(b, -1, R) % R  # b * wrapped + remainder = a in the field
        lie = {quotient: wrapped, quotient + 1: remainder}
        if remainder != a % b:
            with pytest.raises(UnsatisfiedError, match="division"):
                circuit.evaluate({"a": a, "b": b}, overrides=lie)


def test_is_zero_cannot_be_talked_out_of_a_zero() -> None:
    def define(c: Circuit) -> None:
        c.output("zero", compare.is_zero(c, c.private("x")))

    circuit = compile_circuit(define, name="is zero")
    for x, claim in ((0, 0), (5, 1), (5, R - 1)):
        for inverse in (0, 1, pow(5, -1, R), R - 1):
            with pytest.raises(UnsatisfiedError):
                circuit.check([1, claim, x, inverse, claim])


@pytest.mark.parametrize("vector", VECTORS["poseidon"], ids=lambda v: str(len(v["inputs"])))
def test_poseidon_gives_circomlibjs_digests(vector: dict[str, object]) -> None:
    inputs = vector["inputs"]
    assert isinstance(inputs, list)
    circuit = compile_circuit(define_poseidon(len(inputs)), name="poseidon")
    assert circuit.evaluate({"x": inputs})[1] == int(str(vector["digest"]))


def test_poseidon_folds_constants() -> None:
    def define(c: Circuit) -> None:
        c.output("h", poseidon.poseidon(c, [7, c.private("x"), c.constant(9)]))
        c.output("k", poseidon.poseidon(c, [1, 2]))

    circuit = compile_circuit(define, name="folded")
    assert circuit.r1cs.n_constraints == 261 - 6 + 2
    assert circuit.evaluate({"x": 8})[1:3] == [hash_plain([7, 8, 9]), hash_plain([1, 2])]


@pytest.mark.parametrize("vector", VECTORS["eddsa"], ids=lambda v: v["message"][:8])
def test_eddsa_accepts_circomlibjs_signatures(vector: dict[str, object]) -> None:
    circuit = compile_circuit(define_eddsa, name="eddsa")
    inputs = eddsa_inputs(vector)
    circuit.evaluate(inputs)
    refused(circuit, {**inputs, "message": (int(inputs["message"]) + 1) % R}, "signature matches key and message")


def test_eddsa_refuses_what_is_not_a_signature() -> None:
    circuit = compile_circuit(define_eddsa, name="eddsa")
    good = eddsa_inputs(VECTORS["eddsa"][0])
    other = eddsa_inputs(VECTORS["eddsa"][-1])
    s = int(good["s"])
    refused(circuit, {**good, "s": s + 1}, "signature matches key and message")
    refused(circuit, {**good, "s": s + plain.SUBGROUP_ORDER}, "S is below the subgroup order")
    refused(circuit, {**good, "s": -s}, "S is below the subgroup order")
    refused(circuit, {**good, "key": other["key"]}, "signature matches key and message")
    refused(circuit, {**good, "key": [1, 2]}, "public key is on the curve")
    refused(circuit, {**good, "r8": [1, 2]}, "R8 is on the curve")
    refused(circuit, {**good, "key": [0, R - 1]}, "is not of small order")
    # With a key of small order 8 h A vanishes, and R8 = S B8 would be a signature of everything.
    refused(circuit, {"key": [0, 1], "r8": list(plain.BASE8), "s": 1, "message": 3}, "is not of small order")


def test_eddsa_switched_on_still_verifies() -> None:
    circuit = compile_circuit(define_switched_eddsa, name="eddsa")
    good = eddsa_inputs(VECTORS["eddsa"][2])
    refused(circuit, {**good, "on": 1, "message": 12345}, "signature matches key and message")
    refused(circuit, {**good, "on": 2}, "is 0 or 1")


def test_eddsa_survives_lies() -> None:
    circuit = compile_circuit(define_eddsa, name="eddsa")
    inputs = eddsa_inputs(VECTORS["eddsa"][3])
    forged = {**inputs, "message": 4242}
    honest = circuit.r1cs.n_wires
    first = circuit.r1cs.n_public + circuit.r1cs.n_private_inputs + 1
    for wire in random.Random(7).sample(range(first, honest), 24):
        with pytest.raises(UnsatisfiedError):
            circuit.evaluate(forged, overrides={wire: 0})


@pytest.mark.parametrize("scalar", [0, 1, 2, 7, 2**10, 2**11 - 1])
def test_scalar_products_at_the_edges(scalar: int) -> None:
    p = plain.multiply_vartime(12345, plain.GENERATOR)
    inputs = {"p": list(p), "k": scalar}
    for define, factor in ((define_variable(11), 1), (define_cofactor(11), 8)):
        witness = compile_circuit(define, name="product").evaluate(inputs)
        assert tuple(witness[1:3]) == plain.multiply_vartime(factor * scalar, p)
    witness = compile_circuit(define_fixed(11), name="fixed").evaluate({"k": scalar})
    assert tuple(witness[1:3]) == plain.multiply_vartime(scalar, plain.BASE8)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 248, 251, 253])
def test_fixed_base_of_any_length(bits: int) -> None:
    for scalar in ((1 << bits) - 1, 0, plain.SUBGROUP_ORDER % (1 << bits)):
        witness = compile_circuit(define_fixed(bits), name="fixed").evaluate({"k": scalar})
        assert tuple(witness[1:3]) == plain.multiply_vartime(scalar, plain.BASE8)


def test_a_point_added_to_itself_and_to_its_negative() -> None:
    circuit = compile_circuit(define_curve, name="curve")
    p = plain.BASE8
    assert tuple(circuit.evaluate({"p": list(p), "q": list(p), "s": 1})[1:3]) == plain.double(p)
    assert circuit.evaluate({"p": list(p), "q": list(plain.negate(p)), "s": 1})[1:3] == [0, 1]


COSTS = [
    ("poseidon 1", define_poseidon(1), 213),
    ("poseidon 2", define_poseidon(2), 240),
    ("poseidon 3", define_poseidon(3), 261),
    ("poseidon 4", define_poseidon(4), 297),
    ("poseidon 5", define_poseidon(5), 321),
    ("eddsa", define_eddsa, 3366),
]


@pytest.mark.parametrize(("define", "rows"), [case[1:] for case in COSTS], ids=[case[0] for case in COSTS])
def test_costs_are_those_documented(define: object, rows: int) -> None:
    circuit = compile_circuit(define, name="cost")  # type: ignore[arg-type]
    assert circuit.r1cs.n_constraints - circuit.r1cs.n_outputs == rows


def test_poseidon_keeps_a_and_b_sparse() -> None:
    r1cs = compile_circuit(define_poseidon(2), name="poseidon").r1cs
    assert r1cs.a.non_zeros + r1cs.b.non_zeros < 500


def test_definitions_that_make_no_sense_are_refused() -> None:
    def attempt(define: object) -> None:
        compile_circuit(define, name="wrong")  # type: ignore[arg-type]

    with pytest.raises(CircuitError, match="253 bits"):
        attempt(lambda c: ranges.to_bits(c, c.private("x"), 254))
    with pytest.raises(CircuitError, match="252 bits"):
        attempt(lambda c: ranges.range_check(c, c.private("x"), 253))
    with pytest.raises(CircuitError, match="252 bits"):
        attempt(
            lambda c: division.divmod_(
                c, ranges.range_check(c, c.private("x"), 200), ranges.range_check(c, c.private("y"), 53)
            )
        )
    with pytest.raises(CircuitError, match="16 inputs"):
        attempt(lambda c: poseidon.poseidon(c, c.private("x", 17)))
    with pytest.raises(CircuitError, match="index bits"):
        attempt(lambda c: merkle.root(c, c.private("x"), [], [c.private("y")]))
    with pytest.raises(CircuitError, match="prime subgroup"):
        attempt(lambda c: curve.fixed_base(c, ranges.to_bits(c, c.private("x"), 5), plain.GENERATOR))
    with pytest.raises(CircuitError, match="table of 3"):
        attempt(lambda c: select.mux(c, ranges.to_bits(c, c.private("x"), 2), [1, 2, 3]))


@pytest.mark.parametrize("define", [define_order, define_merkle], ids=["order", "merkle"])
def test_circuits_are_deterministic(define: object) -> None:
    one = compile_circuit(define, name="a")  # type: ignore[arg-type]
    two = compile_circuit(define, name="b")  # type: ignore[arg-type]
    assert one.digest == two.digest
