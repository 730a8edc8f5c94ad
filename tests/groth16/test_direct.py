"""Proofs straight from files' bytes: the same bytes as the ordinary prover's, and everything that must be refused."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from groth16_samples import horner, horner_witness

from prover_core import direct
from prover_core.errors import InvalidInputError, UnsatisfiedError
from prover_core.formats.wtns import write_wtns, wtns_values
from prover_core.formats.zkey import read_zkey, write_zkey
from prover_core.formats.zkey_sections import TERM_BYTES, ZkeySections
from prover_core.groth16 import Proof, ProvingKey, prove, setup, verify
from prover_core.native import CpuBackend, _native
from prover_core.reference.pairing import pairing
from prover_core.types import FrVector, R, g1_vector, g2_vector

ENTROPY = b"\x07" * 32
N = 17000
"""Rows: enough for the eight-wide engine, several pieces of the terms, and several stripes of mapped points."""


@pytest.fixture(scope="module")
def large(backend: CpuBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """key.zkey and w.wtns of a circuit whose witness has zeros, ones, small and full values."""
    folder = tmp_path_factory.mktemp("large")
    rng = random.Random(5)
    write_zkey(folder / "key.zkey", setup(horner(N), backend=backend, entropy=b"the key of the direct tests"))
    x = [rng.choice((0, 1, R - 1, rng.randrange(2**30), rng.randrange(R))) for _ in range(N)]
    write_wtns(folder / "w.wtns", FrVector.from_ints(horner_witness(N, 5, x)))
    return folder


def as_bytes(sections: ZkeySections) -> ZkeySections:
    """The same with bulk sections that are private memory, free to change."""
    for name in ("terms", "a", "b1", "b2", "l", "h"):
        setattr(sections, name, memoryview(bytearray(getattr(sections, name))))
    sections.mapped = False
    return sections


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_same_entropy_gives_the_ordinary_provers_bytes(large: Path, threads: int) -> None:
    key, witness = read_zkey(large / "key.zkey"), wtns_values(large / "w.wtns")
    expected = prove(key, FrVector.from_bytes(witness), CpuBackend(threads, scalar=True), ENTROPY)
    sections = ZkeySections(large / "key.zkey")
    assert sections.mapped
    for _ in range(2):  # pages that were given back come again
        assert direct.prove(sections, witness, threads=threads, entropy=ENTROPY) == expected.to_bytes()
    fresh = Proof.from_bytes(direct.prove(as_bytes(sections), witness, threads=threads))
    assert fresh != expected
    verify(key.verification_key, fresh, FrVector.from_bytes(witness[32:96]).to_ints(), CpuBackend(1))


def test_a_small_circuit_too(key: ProvingKey, witness: FrVector, backend: CpuBackend, tmp_path: Path) -> None:
    write_zkey(tmp_path / "k.zkey", key)
    raw = memoryview(witness.limbs.tobytes())
    proof = direct.prove(ZkeySections((tmp_path / "k.zkey").read_bytes()), raw, entropy=ENTROPY)
    assert proof == prove(key, witness, backend, ENTROPY).to_bytes()


def test_terms_may_come_in_any_order_and_rows_in_parts(large: Path) -> None:
    witness = wtns_values(large / "w.wtns")
    sections = as_bytes(ZkeySections(large / "key.zkey"))
    expected = direct.prove(sections, witness, threads=2, entropy=ENTROPY)
    terms = np.frombuffer(sections.terms, dtype=np.dtype((np.void, TERM_BYTES))).copy()
    np.random.default_rng(1).shuffle(terms)
    sections.terms = memoryview(terms.tobytes())
    assert direct.prove(sections, witness, threads=2, entropy=ENTROPY) == expected
    one = 2**512 % R
    parts = (7, R - 1, one, R - one, (one - 6) % R)  # times w and together: 1
    first = bytes(terms[0])
    whole = int.from_bytes(first[12:], "little")
    rest = (whole - sum(parts)) % R
    pieces = b"".join(first[:12] + v.to_bytes(32, "little") for v in (*parts, rest))
    sections.terms = memoryview(pieces + terms[1:].tobytes())
    assert direct.prove(sections, witness, threads=2, entropy=ENTROPY) == expected


def test_every_flipped_wire_is_refused(key: ProvingKey, wires: list[int], tmp_path: Path) -> None:
    write_zkey(tmp_path / "k.zkey", key)
    sections = ZkeySections(tmp_path / "k.zkey")
    for wire in range(1, len(wires)):
        bad = list(wires)
        bad[wire] = (bad[wire] + 1) % R
        with pytest.raises(UnsatisfiedError, match="constraint"):
            direct.prove(sections, memoryview(FrVector.from_ints(bad).limbs.tobytes()))


def test_witnesses_that_are_none(key: ProvingKey, witness: FrVector, tmp_path: Path) -> None:
    write_zkey(tmp_path / "k.zkey", key)
    sections, raw = ZkeySections(tmp_path / "k.zkey"), witness.limbs.tobytes()
    for bad, message in (
        (raw[:-32], "wires, the key"),
        (raw + bytes(32), "wires, the key"),
        (raw[:64] + R.to_bytes(32, "little") + raw[96:], "wire 2 is not a canonical"),
        (raw[:-32] + b"\xff" * 32, f"wire {len(witness) - 1} is not a canonical"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            direct.prove(sections, memoryview(bad))
    with pytest.raises(UnsatisfiedError, match="wire 0"):
        direct.prove(sections, memoryview(b"\x02" + raw[1:]))
    with pytest.raises(InvalidInputError, match="32 bytes"):
        direct.prove(sections, memoryview(raw), entropy=b"short")


@pytest.mark.parametrize("threads", [1, 2])
def test_terms_that_name_what_does_not_exist(large: Path, threads: int) -> None:
    witness = wtns_values(large / "w.wtns")
    sections = as_bytes(ZkeySections(large / "key.zkey"))
    good, last = bytes(sections.terms), len(sections.terms) - TERM_BYTES
    word = 2**32 - 1
    for at, value in ((0, 2), (0, word), (4, sections.domain_size), (4, word), (8, sections.n_vars), (8, word)):
        for term in (0, last // TERM_BYTES // 2 * TERM_BYTES, last):
            bad = good[: term + at] + value.to_bytes(4, "little") + good[term + at + 4 :]
            sections.terms = memoryview(bad)
            with pytest.raises(InvalidInputError, match=f"term {term // TERM_BYTES} names"):
                direct.prove(sections, witness, threads=threads)
    sections.terms = memoryview(good[:-32] + R.to_bytes(32, "little"))
    with pytest.raises(InvalidInputError, match="not a canonical scalar"):
        direct.prove(sections, witness, threads=threads)
    sections.terms = memoryview(good[:-1])
    with pytest.raises(InvalidInputError, match="44 bytes"):
        direct.prove(sections, witness, threads=threads)


def test_sections_of_other_lengths_are_refused_natively(large: Path) -> None:
    witness = wtns_values(large / "w.wtns")
    for name in ("a", "b1", "b2", "l", "h"):
        sections = as_bytes(ZkeySections(large / "key.zkey"))
        setattr(sections, name, getattr(sections, name)[:-64])
        with pytest.raises(InvalidInputError, match=f"{name} has"):
            direct.prove(sections, witness)


def test_keys_whose_points_are_none(key: ProvingKey, witness: FrVector, tmp_path: Path) -> None:
    write_zkey(tmp_path / "k.zkey", key)
    raw = memoryview(witness.limbs.tobytes())
    for name in ("alpha1", "beta2", "gamma2", "delta2"):
        sections = ZkeySections(tmp_path / "k.zkey")
        point = getattr(sections, name)
        setattr(sections, name, point[:-32] + bytes([point[-32] ^ 1]) + point[-31:])
        with pytest.raises(InvalidInputError) as e:
            direct.prove(sections, raw)
        assert e.value.field == name
    sections = ZkeySections(tmp_path / "k.zkey")
    sections.ic = memoryview(bytes(sections.ic[:64]) + b"\1" + bytes(sections.ic[65:]))
    with pytest.raises(InvalidInputError) as e:
        direct.prove(sections, raw)
    assert e.value.field == "ic[1]"
    sections = ZkeySections(tmp_path / "k.zkey")
    sections.gamma2 = bytes(128)
    with pytest.raises(InvalidInputError, match="infinity"):
        direct.prove(sections, raw)


def test_a_wrong_sum_is_never_released(key: ProvingKey, witness: FrVector, tmp_path: Path) -> None:
    write_zkey(tmp_path / "k.zkey", key)
    sections = as_bytes(ZkeySections(tmp_path / "k.zkey"))
    sections.h = memoryview(bytes(sections.h[64:]) + bytes(sections.h[:64]))
    with pytest.raises(UnsatisfiedError, match="does not verify"):
        direct.prove(sections, memoryview(witness.limbs.tobytes()))


def test_the_pairing_of_a_key_is_the_reference_to_the_power_that_snarkjs_takes(key: ProvingKey) -> None:
    x = 4965661367192848881
    f = pairing(key.alpha1, key.beta2) ** (2 * x * (6 * x * x + 3 * x + 1) % R)
    expected = [c for half in (f.c0, f.c1) for k in (half.c0, half.c1, half.c2) for c in (k.a, k.b)]
    alpha1, beta2 = g1_vector([key.alpha1]).limbs.tobytes(), g2_vector([key.beta2]).limbs.tobytes()
    assert direct.alphabeta(alpha1, beta2) == expected


def test_native_calls_refuse_other_lengths() -> None:
    for call, arguments in (
        (_native.first_non_canonical, (bytes(31),)),
        (_native.small_sum, (3, bytes(64), bytes(32), bytearray(64))),
        (_native.small_sum, (1, bytes(65), bytes(32), bytearray(64))),
        (_native.small_sum, (2, bytes(128), bytes(32), bytearray(64))),
        (_native.pairing_value, (bytes(64), bytes(64), bytearray(384))),
        (_native.first_bad_key_point, (bytes(63), bytes(128))),
        (_native.proof_holds, (bytes(64), bytes(384), bytes(256), b"")),
        (_native.proof_holds, (bytes(128), bytes(384), bytes(255), b"")),
        (_native.proof_holds, (bytes(128), bytes(384), bytes(256), bytes(32))),
    ):
        with pytest.raises(ValueError, match=r"bytes|group|key"):
            call(*arguments)


def test_it_loads_none_of_the_slow_libraries() -> None:
    code = (
        "import sys, prover_core.direct, prover_core.formats.zkey_sections, prover_core.formats.wtns, "
        "prover_core.formats.snarkjs_text, hybrid_prover.cli.start;"
        "slow = {'numpy', 'dataclasses', 'typing', 'pathlib', 'inspect', 'json', 're', 'logging', 'cyclopts', 'rich'};"
        "sys.exit(' '.join(slow & set(sys.modules) - known) or 0)"
    )
    code = "import sys; known = set(sys.modules); " + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
