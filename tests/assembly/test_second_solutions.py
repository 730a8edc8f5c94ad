"""Second solutions that a prover would like to have: other decompositions, other statements with the same digests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from stage1_samples import BACKEND, SampleKey, sample_key
from wrap_support import inputs_of, outcome

from prover_core.assembly.assemble import assembly_publics
from prover_core.assembly.engine import engine
from prover_core.assembly.leaf_key import leaf_key
from prover_core.assembly.protocol import Statement, publics_digest
from prover_core.assembly.prover import Assembly, AssemblyBuilder, _Blinds
from prover_core.assembly.shape import Shape
from prover_core.assembly.transcript import DOMAIN, PUBLICS_DOMAIN, UNIT_DIGITS, Transcript
from prover_core.assembly.verifier import make_statement
from prover_core.assembly.wrap.opening import _diagonal
from prover_core.assembly.wrap.statement import Chain
from prover_core.assembly.wrap.transcript import CircuitTranscript
from prover_core.assembly.wrap.witness import chain_ends
from prover_core.circuit import Circuit, CompiledCircuit, compile_circuit
from prover_core.circuit.gadgets.grumpkin import Point, _sixth_roots
from prover_core.circuit.gadgets.grumpkin_tables import add
from prover_core.circuit.gadgets.nonnative import EmulatedField
from prover_core.errors import InvalidInputError, UnsatisfiedError
from prover_core.groth16 import verify
from prover_core.types import G1Point, R

SHAPE = Shape(leaves=3, publics=2, chunk=4)


@cache
def sample() -> SampleKey:
    return sample_key(1, 77)


def squeezed(x: int) -> int:
    t = Transcript()
    t.absorb([x])
    return t.squeeze()


def an_element_below(bound: int) -> tuple[int, int]:
    """(absorbed element, squeezed element), the latter below `bound`."""
    return next((x, h) for x in range(64) if (h := squeezed(x)) < bound)


def wires_of(circuit: CompiledCircuit, x: int, values: list[int], stride: int) -> list[int]:
    """Where the witness holds `values` one after the other, `stride` wires apart; the last follows the one before."""
    witness = circuit.evaluate({"x": x})
    n = len(values)
    places = [stride * i for i in range(n)]
    found = [w for w in range(len(witness) - places[-1]) if [witness[w + p] for p in places] == values]
    assert len(found) == 1
    return [found[0] + p for p in places]


def refusal(circuit: CompiledCircuit, x: int, lies: dict[int, int]) -> str:
    with pytest.raises(UnsatisfiedError) as caught:
        circuit.evaluate({"x": x}, overrides=lies)
    return str(caught.value)


def test_challenge_bits_of_h_plus_r_fail_by_the_leading_bits_alone() -> None:
    """h + r < 2^254 has other bits with the same sum mod r: only the comparison with r's leading bits refuses them."""

    def define(c: Circuit) -> None:
        field = EmulatedField(c)
        t = CircuitTranscript(c, field, DOMAIN)
        t.absorb([c.private("x")])
        low, high = t.challenges(2)
        c.output("low", sum((bit * 2**i for i, bit in enumerate(low)), c.constant(0)))
        c.output("high", sum((bit * 2**i for i, bit in enumerate(high)), c.constant(0)))

    circuit = compile_circuit(define, name="challenge")
    x, h = an_element_below(2**254 - R)
    wires = wires_of(circuit, x, [h >> i & 1 for i in range(254)], 1)
    assert "challenge is canonical" in refusal(circuit, x, {w: (h + R) >> i & 1 for i, w in enumerate(wires)})
    assert "challenge bits" in refusal(circuit, x, {w: (h + 1) >> i & 1 for i, w in enumerate(wires)})


@pytest.mark.parametrize("as_values", [False, True])
def test_unit_digits_of_h_plus_r_fail_by_the_leading_digits_alone(as_values: bool) -> None:
    """The same for weights: base-6 digits of h + r < 2 6^98, every one of them a proper unit."""

    def define(c: Circuit) -> None:
        t = CircuitTranscript(c, EmulatedField(c), DOMAIN)
        t.absorb([c.private("x")])
        first, second = t.units(2, as_values=as_values)
        c.output("ends", [w.digits[i].unit for w in (first, second) for i in (0, UNIT_DIGITS - 1)])

    circuit = compile_circuit(define, name="weights")
    x, h = an_element_below(2 * 6**98 - R)
    roots = _sixth_roots()

    def units(value: int) -> list[int]:
        return [roots[value // 6**i % 6] for i in range(2 * UNIT_DIGITS)]

    wires = wires_of(circuit, x, units(h), 5 if as_values else 4)
    beyond = wires[-1] + wires[1] - wires[0]
    assert circuit.evaluate({"x": x})[beyond] == h // 6**98

    def lie(value: int) -> dict[int, int]:
        return {**dict(zip(wires, units(value), strict=True)), beyond: value // 6**98}

    assert "weights are canonical" in refusal(circuit, x, lie(h + R))
    assert "digits of the weights" in refusal(circuit, x, lie(h + 1))


def test_an_empty_absorption_repeats_no_challenge() -> None:
    """Absorbing nothing must not begin the squeezing anew: the next challenge would be the one before."""
    t = Transcript()
    t.absorb([5])
    first = t.squeeze()
    t.absorb([])
    second = t.squeeze()
    assert first != second

    def define(c: Circuit) -> None:
        t = CircuitTranscript(c, EmulatedField(c), DOMAIN)
        t.absorb([c.private("x")])
        h = [t.squeeze()]
        t.absorb([])
        c.output("h", [*h, t.squeeze()])

    assert compile_circuit(define, name="empty").evaluate({"x": 5})[1:3] == [first, second]


def test_statements_of_fewer_publics_or_leaves_are_others() -> None:
    """Trailing zeros do not count twice: a public or a leaf that is 0 is not one that is missing."""
    vk, x = sample().vk, 12345
    wide = replace(vk, ic=(*vk.ic, G1Point(1, 2)))
    narrow_key, wide_key = leaf_key(vk, 2), leaf_key(wide, 2)
    # A place that the key does not use holds the generator. The wide key says the same of x, 0 as the narrow one of x,
    assert narrow_key.digest == wide_key.digest
    assert make_statement(SHAPE, narrow_key, [[x]]) == make_statement(SHAPE, wide_key, [[x, 0]])
    proof = sample().leaf([x], 3)
    verify(vk, proof, [x], BACKEND)
    verify(wide, proof, [x, 0], BACKEND)
    # and nothing but that:
    statements = [
        make_statement(SHAPE, wide_key, publics)
        for publics in ([[x, 0]], [[x, 1]], [[0, x]], [[x, 0], [0, 0]], [[0, 0], [x, 0]], [[x, 0], [0, 0], [0, 0]])
    ]
    assert len(set(statements)) == len(statements)
    with pytest.raises(InvalidInputError, match="public signals"):
        make_statement(SHAPE, narrow_key, [[x, 0]])
    # Another number of publics is another key, though the digest of the publics may be the same.
    flat = publics_digest(Shape(2, 1, 2), [[x], [7]])
    assert flat == publics_digest(Shape(1, 2, 2), [[x, 7]])
    assert leaf_key(vk, 1).digest != narrow_key.digest


def test_a_chain_over_signals_that_leaves_do_not_have() -> None:
    """In the wrap they are zeros, 0 = 0 links everything: the verifier refuses to make such a statement."""
    chain = Chain(out=1, into=0)
    with pytest.raises(InvalidInputError, match="too few for the chain") as caught:
        chain_ends(chain, [[1, 5], [5]])
    assert caught.value.field == "publics[1]"
    with pytest.raises(InvalidInputError, match="too few for the chain"):
        assembly_publics(SHAPE, sample().vk, [[3], [4]], chain)
    for out, into in ((-1, 0), (0, -1)):
        with pytest.raises(InvalidInputError, match="counted from 0"):
            Chain(out, into)


def test_no_leaves_are_no_assembly() -> None:
    """Stage 1 proves "no leaf" about any key with nothing in hand; verifier and wrap refuse the count."""
    with pytest.raises(InvalidInputError, match="at least one leaf"):
        make_statement(SHAPE, leaf_key(sample().vk, 2), [])
    builder = AssemblyBuilder(SHAPE, sample().vk)
    digest = publics_digest(SHAPE, [], Transcript(PUBLICS_DOMAIN))
    nothing = Statement(builder.key.digest, 0, digest)
    proof = builder._prove(nothing, _Blinds(b"none" * 8, 0))
    assembly = Assembly(SHAPE, nothing, (), proof)
    assert outcome(SHAPE, inputs_of(assembly, sample().vk)) == "statement: filled places: at least one leaf"


def test_equal_or_opposite_cross_terms_are_refused() -> None:
    """Check e's only defence against a free slope: the prover knows all that its sum depends on when it chooses D.

    With one, D_00 = D_11 = P, D_22 anything and D_33 = -(the target) leave an equation of degree 6 for the slope.
    """

    def define(c: Circuit) -> None:
        flat = c.private("points", 8)
        points = [Point(x, y) for x, y in zip(flat[::2], flat[1::2], strict=True)]
        total = _diagonal(c, [[p] * 4 for p in points])
        c.output("x", total.x)

    circuit = compile_circuit(define, name="diagonal")
    honest = engine().generator_points(2)[:4]
    circuit.evaluate({"points": [x for p in honest for x in p]})
    for again in (honest[0], (honest[0][0], R - honest[0][1])):
        lie = [honest[0], again, *honest[2:]]
        with pytest.raises(UnsatisfiedError, match="the points differ"):
            circuit.evaluate({"points": [x for p in lie for x in p]})
    first, second, third, _ = honest
    twice = add(first, second)
    assert twice is not None
    lie = [first, second, twice, third]
    with pytest.raises(UnsatisfiedError, match="the points differ"):
        circuit.evaluate({"points": [x for p in lie for x in p]})
