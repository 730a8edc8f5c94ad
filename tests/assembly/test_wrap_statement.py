"""The statement's gadgets and the transcript inside the wrap, by themselves: against plain Python and against lies."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "circuits"))
from cheating import assert_every_wire_is_bound, assert_lies_change_nothing, refused

from prover_core.assembly.transcript import DOMAIN, Transcript
from prover_core.assembly.weights import lane_scalar as plain_lane_scalar
from prover_core.assembly.weights import unit_value
from prover_core.assembly.wrap import statement
from prover_core.assembly.wrap.statement import Chain
from prover_core.assembly.wrap.transcript import CircuitTranscript
from prover_core.assembly.wrap.witness import chain_ends
from prover_core.circuit import Circuit, compile_circuit
from prover_core.circuit.gadgets.limbs import LIMBS, limbs_of, weigh
from prover_core.circuit.gadgets.nonnative import EmulatedField, bits_of
from prover_core.circuit.gadgets.sponge import permutation
from prover_core.errors import InvalidInputError
from prover_core.reference.poseidon import permute
from prover_core.types import Q, R

PLACES = 4


def define_places(c: Circuit) -> None:
    filled = statement.filled_places(c, c.public("count"), PLACES)
    publics = [c.private(f"row{i}", 2) for i in range(PLACES)]
    statement.empty_places_are_zero(c, filled, publics)
    first, last = statement.chain_ends(c, Chain(out=1, into=0), filled, publics)
    c.output("ends", [first, last])


def rows(values: list[list[int]]) -> dict[str, object]:
    values = [*values, *([0, 0] for _ in range(PLACES - len(values)))]
    return {f"row{i}": row for i, row in enumerate(values)}


def test_places_and_chains() -> None:
    circuit = compile_circuit(define_places, name="places")
    links = [[1, 5], [5, 9], [9, 9], [9, R - 1]]
    for count in range(1, PLACES + 1):
        inputs = {"count": count, **rows(links[:count])}
        assert circuit.evaluate(inputs)[1:3] == [1, links[count - 1][1]]
        assert_lies_change_nothing(circuit, inputs)
        assert_every_wire_is_bound(circuit, inputs)
    refused(circuit, {"count": 2, **rows([[1, 5], [6, 9]])}, "link 0")
    refused(circuit, {"count": 3, **rows([[1, 5], [5, 9], [8, 9]])}, "link 1")
    refused(circuit, {"count": 2, **rows(links[:3])}, "publics of empty places")
    for count in (PLACES + 1, R - 1, 2**200):
        refused(circuit, {"count": count, **rows(links)}, "leaf count")
    plain = chain_ends(Chain(out=1, into=0), links)
    assert plain == (1, R - 1)
    with pytest.raises(InvalidInputError, match="leaf 1 does not begin"):
        chain_ends(Chain(out=1, into=0), [[1, 5], [6, 9]])


def test_places_are_filled_in_order() -> None:
    """Two of four places with a gap between them: a lying prover's bits."""
    circuit = compile_circuit(define_places, name="places")
    inputs = {"count": 2, **rows([[0, 0]])}
    honest = circuit.evaluate(inputs)
    first = next(w for w in range(len(honest)) if honest[w : w + 4] == [1, 1, 0, 0] and w > 10)
    with pytest.raises(Exception, match="in order"):
        circuit.evaluate(inputs, overrides={first + 1: 0, first + 2: 1})


def test_lane_scalar() -> None:
    def define(c: Circuit) -> None:
        c.output("scalar", statement.lane_scalar(bits_of(c, c.private("word"), 128)))

    circuit = compile_circuit(define, name="lane scalar")
    for word in (0, 2**128 - 1, random.Random(1).getrandbits(128)):
        assert circuit.evaluate({"word": word})[1] == plain_lane_scalar(word)


@pytest.mark.parametrize("t", [3, 17])
def test_permutation(t: int) -> None:
    def define(c: Circuit) -> None:
        c.output("state", permutation(c, c.private("state", t)))

    circuit = compile_circuit(define, name="permutation")
    rng = random.Random(2)
    state = [rng.randrange(R) for _ in range(t)]
    assert circuit.evaluate({"state": state})[1 : 1 + t] == permute(state)
    if t == 17:
        assert circuit.r1cs.n_constraints == 612 + 17  # and the outputs
        first = circuit.r1cs.n_wires - 600
        assert_lies_change_nothing(circuit, {"state": state}, wires=range(first, circuit.r1cs.n_wires, 40))


def define_transcript(c: Circuit) -> None:
    field = EmulatedField(c)
    t = CircuitTranscript(c, field, DOMAIN)
    t.absorb(c.private("elements", 20))
    limbs = c.private("values", 3 * LIMBS)
    t.absorb_values([field.value(limbs[i : i + LIMBS]) for i in range(0, len(limbs), LIMBS)])
    for i, bits in enumerate(t.challenges(3)):
        c.output(f"challenge{i}", field.from_bits(bits).columns[0] + 0)
    t.absorb(c.private("more", 2))
    for i, weight in enumerate(t.units(2, as_values=True)):
        value = weight.value
        c.output(f"weight{i}", [x + 0 for x in value.columns])
    c.output("offset", t.squeeze())
    challenges = t.values(6)
    field.close(challenges[:3], challenges[3:])


def test_the_transcript_is_stage_1s() -> None:
    circuit = compile_circuit(define_transcript, name="transcript")
    rng = random.Random(3)
    elements, more = [rng.randrange(R) for _ in range(20)], [rng.randrange(R) for _ in range(2)]
    values = [Q - 1, 5, rng.randrange(Q)]
    inputs = {"elements": elements, "more": more, "values": [x for v in values for x in limbs_of(v, LIMBS)]}
    out = circuit.evaluate(inputs)[1:]
    plain = Transcript()
    plain.absorb(elements)
    plain.absorb_integers(values)
    expected = [x % 2**52 for x in plain.integers(3)]
    plain.absorb(more)
    weights = [unit_value(digits) for digits in plain.units(2)]
    assert out[:3] == expected
    assert [weigh(out[3 + LIMBS * i : 3 + LIMBS * (i + 1)]) % Q for i in range(2)] == weights
    assert out[3 + 2 * LIMBS] == plain.squeeze()


def test_lies_about_challenges_are_refused() -> None:
    """Bits of h + r, a wrong unit, another remainder: decompositions that are not the canonical one."""
    circuit = compile_circuit(define_transcript, name="transcript")
    rng = random.Random(4)
    inputs = {
        "elements": [rng.randrange(R) for _ in range(20)],
        "more": [1, 2],
        "values": [x for v in (1, 2, 3) for x in limbs_of(v, LIMBS)],
    }
    n = circuit.r1cs.n_wires
    wires = rng.sample(range(circuit.r1cs.n_public + 1 + 22 + 3 * LIMBS, n), 12)
    assert_lies_change_nothing(circuit, inputs, wires=wires)
