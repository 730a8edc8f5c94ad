"""The Solidity verifiers, compiled by solc and run on an EVM: what they accept, what they refuse and by which error."""

from __future__ import annotations

from functools import cache

import pytest
from evm import Contract

from prover_core.assembly.solidity import (
    batch_arguments,
    batch_verifier_source,
    verifier_source,
    verify_arguments,
)
from prover_core.circuit import Circuit, compile_circuit
from prover_core.errors import InvalidInputError
from prover_core.groth16 import Proof, VerificationKey, prove, setup
from prover_core.native import CpuBackend
from prover_core.types import FrVector, G1Point, G2Point, Q, R

pytestmark = pytest.mark.node
BATCH = 8
PUBLICS = 3
"""As many as an unchained assembly has."""


def define(c: Circuit) -> None:
    a, b, d = c.public("a"), c.public("b"), c.public("d")
    x = c.private("x")
    c.assert_equal(a * x + b, d, "d = a x + b")


@cache
def samples() -> tuple[VerificationKey, list[tuple[Proof, list[int]]]]:
    backend = CpuBackend(1)
    circuit = compile_circuit(define, name="line")
    key = setup(circuit.r1cs, backend=backend, entropy=b"evm tests" * 8)
    items = []
    for i in range(BATCH):
        a, x, b = 3 + i, 5 * i + 2, R - 1 - i
        publics = [a, b, (a * x + b) % R]
        witness = circuit.evaluate({"a": a, "b": b, "d": publics[2], "x": x})
        items.append((prove(key, FrVector.from_ints(witness), backend, b"\x07" * 32), publics))
    return key.verification_key, items


@cache
def single() -> Contract:
    return Contract(verifier_source(samples()[0]), "AssemblyVerifier")


@cache
def batch() -> Contract:
    return Contract(batch_verifier_source(samples()[0]), "BatchVerifier")


def off_subgroup() -> G2Point:
    """A point of the twist that is not in G2: almost every point is not."""
    from py_ecc.fields import bn128_FQ2 as FQ2

    one, i, b = FQ2([1, 0]), FQ2([0, 1]), FQ2([3, 0]) / FQ2([9, 1])
    for x0 in range(1, 100):
        x = FQ2([x0, 1])
        square = x * x * x + b
        # A root in Fq2 for q = 3 mod 4 (Adj, Rodriguez-Henriquez, 2012).
        base = square ** ((Q - 3) // 4)
        alpha, root = base * base * square, base * square
        y = i * root if alpha == -one else (one + alpha) ** ((Q - 1) // 2) * root
        if y * y == square:
            return G2Point((x0, 1), (int(y.coeffs[0]), int(y.coeffs[1])))
    raise AssertionError("half of all x have a y")


def test_valid_proofs_are_accepted_within_the_gas_goal() -> None:
    _, items = samples()
    for proof, publics in items:
        outcome = single().call("verify", verify_arguments(proof, publics))
        assert outcome.error is None
        assert outcome.gas <= 280_000
    print(f"\ngas of one verification with {PUBLICS} public inputs: {outcome.gas}")


def changed(proof: Proof) -> dict[str, tuple[Proof, str]]:
    """Malformed or false variants, and the error that each must meet."""
    a, b, c = proof.a, proof.b, proof.c
    twist = off_subgroup()
    return {
        "A negated": (Proof(G1Point(a.x, Q - a.y), b, c), "InvalidProof"),
        "C for A": (Proof(c, b, a), "InvalidProof"),
        "C at infinity": (Proof(a, b, G1Point(0, 0)), "InvalidProof"),
        "all at infinity": (Proof(G1Point(0, 0), G2Point((0, 0), (0, 0)), G1Point(0, 0)), "InvalidProof"),
        "A off the curve": (Proof(G1Point(a.x, (a.y + 1) % Q), b, c), "MalformedPoint"),
        "C off the curve": (Proof(a, b, G1Point(c.y, c.x)), "MalformedPoint"),
        "A + q": (Proof(G1Point(a.x + Q, a.y), b, c), "MalformedPoint"),
        "C + q": (Proof(a, b, G1Point(c.x, c.y + Q)), "MalformedPoint"),
        "B + q": (Proof(a, G2Point((b.x[0] + Q, b.x[1]), b.y), c), "MalformedPoint"),
        "B off the twist": (Proof(a, G2Point(b.x, (b.y[1], b.y[0])), c), "MalformedPoint"),
        "B outside the subgroup": (Proof(a, twist, c), "MalformedPoint"),
    }


NAMES = [
    *("A negated", "C for A", "C at infinity", "all at infinity", "A off the curve", "C off the curve"),
    *("A + q", "C + q", "B + q", "B off the twist", "B outside the subgroup"),
]


@pytest.mark.parametrize("name", NAMES)
def test_changed_proofs_are_refused(name: str) -> None:
    proof, publics = samples()[1][0]
    variant, error = changed(proof)[name]
    assert single().call("verify", verify_arguments(variant, publics)).error == error


@pytest.mark.parametrize("name", NAMES)
def test_one_bad_proof_spoils_a_batch(name: str) -> None:
    items = list(samples()[1][:3])
    variant, error = changed(items[1][0])[name]
    items[1] = (variant, items[1][1])
    expected = "InvalidBatch" if error == "InvalidProof" else error
    assert batch().call("verifyBatch", batch_arguments(items)).error == expected


def test_public_inputs_are_canonical_and_bound() -> None:
    proof, publics = samples()[1][0]
    for at in range(PUBLICS):
        wrong = [*publics[:at], (publics[at] + 1) % R, *publics[at + 1 :]]
        assert single().call("verify", verify_arguments(proof, wrong)).error == "InvalidProof"
        alias = [*publics[:at], publics[at] + R, *publics[at + 1 :]]
        assert single().call("verify", verify_arguments(proof, alias)).error == "PublicNotCanonical"
        items = [samples()[1][1], (proof, alias)]
        assert batch().call("verifyBatch", batch_arguments(items)).error == "PublicNotCanonical"
        assert batch().call("verifyBatch", batch_arguments([items[0], (proof, wrong)])).error == "InvalidBatch"


def test_swapped_publics_and_wrong_counts() -> None:
    items = samples()[1][:2]
    swapped = [(items[0][0], items[1][1]), (items[1][0], items[0][1])]
    assert batch().call("verifyBatch", batch_arguments(swapped)).error == "InvalidBatch"
    assert batch().call("verifyBatch", batch_arguments([])).error == "WrongCount"
    proofs = batch_arguments(items)
    fewer = proofs[: -32 * (PUBLICS * 2 + 1)] + (1).to_bytes(32, "big") + proofs[-32 * PUBLICS * 2 : -32 * PUBLICS]
    assert batch().call("verifyBatch", fewer).error == "WrongCount"


def test_truncated_calls_are_refused() -> None:
    proof, publics = samples()[1][0]
    arguments = verify_arguments(proof, publics)
    assert single().call("verify", arguments[:-32]).error is not None
    assert batch().call("verifyBatch", batch_arguments(samples()[1][:2])[:-32]).error is not None


def test_two_wrong_proofs_do_not_cancel() -> None:
    """C_0 + D and C_1 - D would cancel if the coefficients were equal."""
    from py_ecc.optimized_bn128 import FQ, add, neg, normalize

    def moved(p: G1Point, sign: int) -> G1Point:
        step = (FQ(1), FQ(2), FQ(1))
        x, y = normalize(add((FQ(p.x), FQ(p.y), FQ(1)), step if sign > 0 else neg(step)))
        return G1Point(int(x), int(y))

    (p0, x0), (p1, x1) = samples()[1][:2]
    items = [(Proof(p0.a, p0.b, moved(p0.c, 1)), x0), (Proof(p1.a, p1.b, moved(p1.c, -1)), x1)]
    assert batch().call("verifyBatch", batch_arguments(items)).error == "InvalidBatch"


@pytest.mark.parametrize("missing", [(6,), (7,), (8,), (6, 7, 8)], ids=str)
def test_a_chain_without_the_precompiles_accepts_nothing(missing: tuple[int, ...]) -> None:
    """A call to an address without code succeeds and returns nothing: what lay in memory would be the answer.

    That is A.x = 1 where the pairing is missing, and infinity for every sum, true for any proof, where the sums are.
    """

    def without(source: str) -> str:
        for address in missing:
            assert f"staticcall(gas(), {address}," in source
            source = source.replace(f"staticcall(gas(), {address},", f"staticcall(gas(), {0xABCDEF00 + address},")
        return source

    vk, items = samples()
    proof, publics = items[0]
    forged = Proof(G1Point(1, 2), proof.b, proof.c)
    one = Contract(without(verifier_source(vk)), "AssemblyVerifier")
    assert one.call("verify", verify_arguments(forged, publics)).error == "MalformedPoint"
    many = Contract(without(batch_verifier_source(vk)), "BatchVerifier")
    assert many.call("verifyBatch", batch_arguments([(forged, publics)])).error == "MalformedPoint"
    assert many.call("verifyBatch", batch_arguments([(proof, [1, 2, 3])])).error == "MalformedPoint"


def test_batches_and_their_gas() -> None:
    items = samples()[1]
    one = single().call("verify", verify_arguments(*items[0])).gas
    print(f"\n{'N':>4} {'gas of a batch':>16} {'a proof':>10} {'N single calls':>16}")
    for n in (1, 2, 4, 8, 16, 32, 64):
        batch_items = [items[i % len(items)] for i in range(n)]
        outcome = batch().call("verifyBatch", batch_arguments(batch_items))
        assert outcome.error is None
        print(f"{n:4d} {outcome.gas:16,d} {outcome.gas // n:10,d} {n * one:16,d}")
        assert n < 2 or outcome.gas < n * one


def test_names_and_keys_are_checked() -> None:
    vk, _ = samples()
    for name in ("", "1A", "A B", "A{}"):
        with pytest.raises(InvalidInputError):
            verifier_source(vk, name=name)
