"""Partials: linear, equal to the oracle's, no trace of them in the proof, and no wrong one gets through."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from groth16_samples import horner, horner_witness
from hypothesis import given, settings
from hypothesis import strategies as st

from prover_core.errors import BackendError, InvalidInputError, StreamOrderError, UnsatisfiedError
from prover_core.formats.chunk import partial_digest
from prover_core.groth16 import PARTIAL_BYTES, Partial, ProvingKey, StreamingProver, partial_of, prove, setup, verify
from prover_core.groth16.setup import G1, G2
from prover_core.groth16.sums import Sums
from prover_core.native import CpuBackend
from prover_core.r1cs import R1cs
from prover_core.reference import ReferenceBackend
from prover_core.reference.curve import G2 as TWIST
from prover_core.reference.tower import Fq2
from prover_core.types import FrVector, G1Point, G1Vector, G2Point, Q, R

ENTROPY = b"\x07" * 32
N = 40
SIZE = 16
INFINITY = Partial(G1Point(0, 0), G1Point(0, 0), G2Point((0, 0), (0, 0)), G1Point(0, 0))


@pytest.fixture(scope="module")
def circuit() -> R1cs:
    return horner(N)


@pytest.fixture(scope="module")
def big(circuit: R1cs, backend: CpuBackend) -> ProvingKey:
    return setup(circuit, backend=backend, entropy=b"the key of the tests of partials")


@pytest.fixture(scope="module")
def values() -> FrVector:
    rng = random.Random(2)
    return FrVector.from_ints(horner_witness(N, 5, [rng.choice((0, 1, 9, rng.randrange(R))) for _ in range(N)]))


def slices(values: FrVector) -> list[tuple[int, FrVector]]:
    return [(at, values[at : at + SIZE]) for at in range(0, len(values), SIZE)]


def negative(p: G1Point) -> G1Point:
    return G1Point(p.x, (Q - p.y) % Q)


def streamed(
    key: ProvingKey,
    values: FrVector,
    backend: CpuBackend,
    partials: dict[int, Partial],
    r1cs: R1cs | None = None,
) -> StreamingProver:
    prover = StreamingProver(key, backend, r1cs=r1cs)
    for at, wires in slices(values):
        prover.add(at, wires, partials.get(at))
    return prover


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_partials_equal_the_reference_and_add_up(data: st.DataObject) -> None:
    backend, oracle = CpuBackend(threads=1), ReferenceBackend()
    r1cs = horner(3)
    key = setup(r1cs, backend=backend, entropy=b"a key for partials that add up..")
    scalars = st.sampled_from((0, 1, 2, 2**64, R - 1)) | st.integers(0, R - 1)
    wires = FrVector.from_ints(data.draw(st.lists(scalars, min_size=key.n_vars, max_size=key.n_vars)))
    lo = data.draw(st.integers(0, key.n_vars))
    hi = data.draw(st.integers(lo, key.n_vars))
    middle = data.draw(st.integers(lo, hi))
    whole = partial_of(key, lo, wires[lo:hi], backend)
    assert partial_of(key, lo, wires[lo:hi], oracle) == whole
    left, right = partial_of(key, lo, wires[lo:middle], backend), partial_of(key, middle, wires[middle:hi], backend)
    for name in ("a", "b1", "l"):
        accumulator = backend.g1_accumulator(key.h)
        accumulator.add_point(getattr(left, name))
        accumulator.add_point(getattr(right, name))
        assert accumulator.finish() == getattr(whole, name)
    twist = backend.g2_accumulator(key.b2)
    twist.add_point(left.b2)
    twist.add_point(right.b2)
    assert twist.finish() == whole.b2


@pytest.mark.parametrize("seed", range(6))
def test_any_mix_of_partials_gives_the_same_proof(
    seed: int, circuit: R1cs, big: ProvingKey, values: FrVector, backend: CpuBackend
) -> None:
    rng = random.Random(seed)
    chosen = {at: partial_of(big, at, w, backend) for at, w in slices(values) if seed == 5 or rng.random() < 0.5}
    prover = streamed(big, values, backend, chosen, circuit)
    assert prover.finish(ENTROPY) == prove(big, values, backend, ENTROPY)
    assert prover.wrong_partials == ()


def test_a_whole_witness_has_no_use_for_partials(big: ProvingKey, values: FrVector, backend: CpuBackend) -> None:
    prover = StreamingProver(big, backend, whole=True)
    prover.add(0, values, INFINITY)
    assert prover.finish(ENTROPY) == prove(big, values, backend, ENTROPY)
    assert prover.wrong_partials == ()


WRONG: dict[str, Callable[[Partial], Partial]] = {
    "a": lambda p: replace(p, a=G1),
    "b1": lambda p: replace(p, b1=negative(p.b1)),
    "b2": lambda p: replace(p, b2=G2),
    "l": lambda p: replace(p, l=p.a),
    "nothing": lambda _: INFINITY,
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_partial_is_named_and_the_proof_made_without_it(
    kind: str, circuit: R1cs, big: ProvingKey, values: FrVector, backend: CpuBackend
) -> None:
    chosen = {at: partial_of(big, at, w, backend) for at, w in slices(values)}
    chosen[2 * SIZE] = WRONG[kind](chosen[2 * SIZE])
    prover = streamed(big, values, backend, chosen, circuit)
    proof = prover.finish(ENTROPY)
    assert proof == prove(big, values, backend, ENTROPY)
    verify(big.verification_key, proof, prover.publics, backend)
    assert prover.wrong_partials == (2 * SIZE,)


def test_every_wrong_partial_is_named(big: ProvingKey, values: FrVector, backend: CpuBackend) -> None:
    chosen = {at: partial_of(big, at, w, backend) for at, w in slices(values)}
    chosen[0], chosen[SIZE] = chosen[SIZE], replace(chosen[0], a=G1)
    prover = streamed(big, values, backend, chosen)
    assert prover.finish(ENTROPY) == prove(big, values, backend, ENTROPY)
    assert prover.wrong_partials == (0, SIZE)


def test_partials_exchanged_between_chunks_cancel_and_change_nothing(
    big: ProvingKey, values: FrVector, backend: CpuBackend
) -> None:
    chosen = {at: partial_of(big, at, w, backend) for at, w in slices(values)}
    chosen[0], chosen[SIZE] = chosen[SIZE], chosen[0]
    assert streamed(big, values, backend, chosen).finish(ENTROPY) == prove(big, values, backend, ENTROPY)


@pytest.mark.parametrize("honest", [True, False])
def test_a_broken_witness_stays_broken_with_partials_right_or_wrong(
    honest: bool, circuit: R1cs, big: ProvingKey, values: FrVector, backend: CpuBackend
) -> None:
    ints = values.to_ints()
    ints[7] = (ints[7] + 1) % R
    bad = FrVector.from_ints(ints)
    # The dishonest edge sends the partials of a witness that does satisfy the circuit.
    chosen = {at: partial_of(big, at, w, backend) for at, w in slices(bad if honest else values)}
    prover = streamed(big, bad, backend, chosen, circuit)
    with pytest.raises(UnsatisfiedError) as e:
        prover.finish()
    assert e.value.row == 4
    assert prover.wrong_partials == ()


def test_a_device_that_errs_blames_no_partial(big: ProvingKey, values: FrVector, circuit: R1cs) -> None:
    class Erring(CpuBackend):
        def g1_msm(self, bases: G1Vector, scalars: FrVector) -> G1Point:
            return G1 if bases.limbs.base is big.a.limbs else super().g1_msm(bases, scalars)

    backend = CpuBackend(threads=1)
    honest = {at: partial_of(big, at, w, backend) for at, w in slices(values)}
    prover = StreamingProver(big, Erring(threads=1), r1cs=circuit)
    for at, wires in slices(values):
        prover.add(at, wires, honest[at])
    # Right partials, but H is summed wrongly, and so is every partial that is made again.
    prover._sums.finish = lambda _: Sums(*[INFINITY.a] * 2, INFINITY.b2, *[INFINITY.a] * 2)  # type: ignore[method-assign]
    with pytest.raises(BackendError, match="erred"):
        prover.finish()
    assert prover._partials[0, SIZE] != honest[0]
    assert prover.wrong_partials == ()


def test_partials_of_other_publics_prove_nothing_about_these(
    circuit: R1cs, big: ProvingKey, values: FrVector, backend: CpuBackend
) -> None:
    ints = values.to_ints()
    ints[1] = (ints[1] + 1) % R
    claimed = FrVector.from_ints(ints)
    chosen = {at: partial_of(big, at, w, backend) for at, w in slices(values)}
    with pytest.raises(UnsatisfiedError, match="square"):
        streamed(big, claimed, backend, chosen, circuit).finish()


def test_bytes_and_back(big: ProvingKey, values: FrVector, backend: CpuBackend) -> None:
    for at, wires in slices(values):
        partial = partial_of(big, at, wires, backend)
        raw = partial.to_bytes()
        assert len(raw) == PARTIAL_BYTES
        assert Partial.from_bytes(raw, backend) == partial
    assert Partial.from_bytes(bytes(PARTIAL_BYTES), backend) == INFINITY


def outside_the_subgroup() -> G2Point:
    rng = random.Random(3)
    while True:
        x = Fq2(rng.randrange(Q), rng.randrange(Q))
        y = (x * x * x + TWIST.b).sqrt()
        if y is not None and not TWIST.multiply(G2Point((x.a, x.b), (y.a, y.b)), R).is_infinity:
            return G2Point((x.a, x.b), (y.a, y.b))


@pytest.mark.parametrize("name", ["a", "b1", "l", "b2"])
def test_points_outside_their_groups_are_refused(name: str, backend: CpuBackend) -> None:
    honest = Partial(G1, G1, G2, G1)
    wrong = replace(honest, **{name: outside_the_subgroup() if name == "b2" else G1Point(G1.x, G1.y + 1)})
    with pytest.raises(InvalidInputError) as e:
        Partial.from_bytes(wrong.to_bytes(), backend)
    assert e.value.field == f"partial.{name}"
    off_the_twist = replace(honest, b2=G2Point(G2.x, (G2.y[0], G2.y[1] + 1)))
    with pytest.raises(InvalidInputError, match="b2"):
        Partial.from_bytes(off_the_twist.to_bytes(), backend)


@pytest.mark.parametrize("word", range(10))
def test_other_encodings_are_refused(word: int, backend: CpuBackend) -> None:
    raw = bytearray(Partial(G1, G1, G2, G1).to_bytes())
    value = int.from_bytes(raw[32 * word : 32 * word + 32], "big") + Q
    raw[32 * word : 32 * word + 32] = value.to_bytes(32, "big")
    with pytest.raises(InvalidInputError, match="below q") as e:
        Partial.from_bytes(bytes(raw), backend)
    assert e.value.field == "partial"
    for size in (0, PARTIAL_BYTES - 1, PARTIAL_BYTES + 1):
        with pytest.raises(InvalidInputError, match="320 bytes"):
            Partial.from_bytes(bytes(size), backend)


def test_ranges_and_values_are_checked(key: ProvingKey, backend: CpuBackend) -> None:
    with pytest.raises(StreamOrderError, match="leave the circuit"):
        partial_of(key, key.n_vars - 1, FrVector.from_ints([1, 2]), backend)
    high = FrVector.from_ints([0, 0])
    limbs = high.limbs.copy()
    limbs[1] = 2**64 - 1
    with pytest.raises(InvalidInputError, match="wire 4"):
        partial_of(key, 3, FrVector(limbs), backend)


def test_a_digest_binds_a_partial_to_its_chunk() -> None:
    chunk, partial = b"\x01" * 32, bytes(PARTIAL_BYTES)
    digests = {partial_digest(c, p) for c in (chunk, b"\x02" * 32) for p in (partial, b"\x01" + partial[1:], b"")}
    assert len(digests) == 6
