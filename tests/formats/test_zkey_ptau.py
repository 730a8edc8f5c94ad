"""`.zkey` and `.ptau`: round trips, what marks a key insecure, and malformed files."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from groth16_samples import horner, horner_witness, write_known_ptau

from prover_core.errors import FormatError, InvalidInputError
from prover_core.formats.binfile import BinFile, write_binfile
from prover_core.formats.ptau import read_ptau
from prover_core.formats.zkey import INSECURE_SECTION, read_zkey, read_zkey_verification_key, write_zkey
from prover_core.groth16 import ProvingKey, prove, setup
from prover_core.groth16.setup import G1, G2
from prover_core.native import CpuBackend
from prover_core.types import FrVector, Q, R, g1_points, g1_vector, g2_points, g2_vector

BACKEND = CpuBackend(threads=1)


@pytest.fixture(scope="module")
def key() -> ProvingKey:
    return setup(horner(4), backend=BACKEND, entropy=b"zkey")


@pytest.fixture
def path(tmp_path: Path, key: ProvingKey) -> Path:
    write_zkey(tmp_path / "k.zkey", key)
    return tmp_path / "k.zkey"


def test_round_trip_keeps_content_and_proves_the_same(path: Path, key: ProvingKey) -> None:
    back = read_zkey(path)
    assert back.digest == key.digest
    assert back.verification_key == key.verification_key == read_zkey_verification_key(path)
    wires = FrVector.from_ints(horner_witness(4, 2, [5, 6, 7, 8]))
    assert prove(back, wires, BACKEND, b"\1" * 32) == prove(key, wires, BACKEND, b"\1" * 32)
    assert not back.h.limbs.flags.owndata


@pytest.mark.parametrize("shift", range(8))
def test_any_alignment_serves(shift: int, path: Path, key: ProvingKey) -> None:
    raw = memoryview(bytes(shift) + path.read_bytes())[shift:]
    wires = FrVector.from_ints(horner_witness(4, 2, [5, 6, 7, 8]))
    assert prove(read_zkey(raw), wires, BACKEND, b"\1" * 32) == prove(key, wires, BACKEND, b"\1" * 32)


def test_insecure_is_marked_until_others_have_contributed(tmp_path: Path, path: Path, key: ProvingKey) -> None:
    assert INSECURE_SECTION in BinFile(path, b"zkey", versions=(1,))
    assert read_zkey(path).insecure
    transcript = bytes(64) + struct.pack("<I", 1) + b"a contribution"
    contributed = replace(key, insecure=False, contributions=transcript)
    write_zkey(tmp_path / "c.zkey", contributed)
    assert not read_zkey(tmp_path / "c.zkey").insecure
    assert not read_zkey_verification_key(tmp_path / "c.zkey").insecure
    assert read_zkey(tmp_path / "c.zkey").contributions == transcript
    for nobody in (bytes(64) + struct.pack("<I", 0), b""):
        write_zkey(tmp_path / "c.zkey", replace(contributed, contributions=nobody))
        assert read_zkey(tmp_path / "c.zkey").insecure


def test_malformed_zkeys(tmp_path: Path, path: Path, key: ProvingKey) -> None:
    file = BinFile(path, b"zkey", versions=(1,))
    good = {n: bytes(file.section(n)) for n in file.ids()}
    head, terms = good[2], good[4]

    def refused(**change: bytes | None) -> str:
        sections = good | {int(k[1:]): v for k, v in change.items()}
        write_binfile(tmp_path / "bad.zkey", b"zkey", 1, [(n, [v]) for n, v in sections.items() if v is not None])
        with pytest.raises(FormatError) as e:
            read_zkey(tmp_path / "bad.zkey")
        return e.value.field

    def put(raw: bytes, at: int, value: bytes) -> bytes:
        return raw[:at] + value + raw[at + len(value) :]

    word = struct.Struct("<I").pack
    q, r = Q.to_bytes(32, "little"), R.to_bytes(32, "little")
    assert refused(s1=word(2)) == "section 1"
    assert refused(s2=put(head, 4, r)) == "section 2"
    assert refused(s2=put(head, 40, q)) == "section 2"
    assert refused(s2=head + b"\0") == "section 2"
    assert refused(s2=head[:-1]) == "section 2"
    for at, value in ((72, 0), (76, 4000), (80, 0), (80, 1), (80, 12), (80, 1 << 31), (84, 0)):
        bad = put(head, at, word(value) if at != 84 else q)
        assert refused(s2=bad) == "section 2", (at, value)
    for at, value in ((72, key.n_vars + 1), (76, 1), (80, 32)):
        assert refused(s2=put(head, at, word(value))).startswith("section")
    assert refused(s3=good[3][:-32] + q) == "section 3"
    for bad in (put(terms, 0, word(3)), put(terms, 0, word(2**32 - 1)), b"", terms[:-1]):
        assert refused(s4=bad) == "section 4"
    for at, value in ((4, 2), (8, key.domain_size), (12, key.n_vars)):
        assert refused(s4=put(terms, at, word(value))) == "section 4"
    assert refused(s4=put(terms, 16, r)) == "section 4"
    for n in (3, 5, 6, 7, 8, 9):
        assert refused(**{f"s{n}": good[n][:-32]}) == f"section {n}"
        assert refused(**{f"s{n}": None}) == f"section {n}"
    assert refused(s10=bytes(63)) == "section 10"


def test_mutated_zkey_never_fails_otherwise(path: Path) -> None:
    raw, rng = path.read_bytes(), random.Random(6)
    outcomes = set()
    for _ in range(400):
        bad = bytearray(raw)
        bad[rng.choice((rng.randrange(len(bad)), rng.randrange(1200)))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
        try:
            read_zkey(bytes(bad))
            outcomes.add("read")
        except InvalidInputError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_ptau_sections_are_the_powers_they_claim(tmp_path: Path) -> None:
    write_known_ptau(tmp_path / "p.ptau", 3, BACKEND, (7, 11, 13))
    ptau = read_ptau(tmp_path / "p.ptau")
    assert (ptau.power, ptau.prepared) == (3, True)
    tau, alpha, beta = (pow(5, k, R) for k in (7, 11, 13))

    def g1(k: int) -> object:
        return BACKEND.g1_msm(g1_vector([G1]), FrVector.from_ints([k % R]))

    def g2(k: int) -> object:
        return BACKEND.g2_msm(g2_vector([G2]), FrVector.from_ints([k % R]))

    assert g1_points(ptau.tau_g1) == [g1(tau**i) for i in range(15)]
    assert g2_points(ptau.tau_g2) == [g2(tau**i) for i in range(8)]
    assert g1_points(ptau.alpha_tau_g1)[3] == g1(alpha * tau**3)
    assert g1_points(ptau.beta_tau_g1)[7] == g1(beta * tau**7)
    assert ptau.beta_g2 == g2(beta)
    # The Lagrange basis interpolates: the sum of w^(3 i) L_i is τ³ at any size above 3.
    for power in (2, 3, 4):
        n = 1 << power
        w = pow(5, (R - 1) // n, R)
        cubes = FrVector.from_ints([pow(w, 3 * i, R) for i in range(n)])
        assert BACKEND.g1_msm(ptau.lagrange_tau_g1(power), cubes) == g1(tau**3)
        if power <= 3:
            assert BACKEND.g2_msm(ptau.lagrange_tau_g2(power), cubes) == g2(tau**3)
            assert BACKEND.g1_msm(ptau.lagrange_alpha_tau_g1(power), cubes) == g1(alpha * tau**3)
            assert BACKEND.g1_msm(ptau.lagrange_beta_tau_g1(power), cubes) == g1(beta * tau**3)
    for power in (-1, 5):
        with pytest.raises(InvalidInputError, match="domain"):
            ptau.lagrange_tau_g1(power)
    with pytest.raises(InvalidInputError, match="domain"):
        ptau.lagrange_tau_g2(4)


def test_malformed_ptau(tmp_path: Path) -> None:
    path = tmp_path / "p.ptau"
    write_known_ptau(path, 1, BACKEND)
    file = BinFile(path, b"ptau", versions=(1,))
    good = {n: bytes(file.section(n)) for n in file.ids()}
    for change in (
        {1: good[1][:-8] + struct.pack("<II", 2, 2)},
        {1: good[1][:-8] + struct.pack("<II", 29, 29)},
        {1: good[1][:-8] + struct.pack("<II", 1, 0)},
        {1: good[1][:4] + R.to_bytes(32, "little") + good[1][36:]},
        {1: good[1] + b"\0"},
        *({n: good[n][:-4]} for n in good if n != 7),
    ):
        write_binfile(path, b"ptau", 1, [(n, [v]) for n, v in (good | change).items()])
        with pytest.raises(FormatError):
            read_ptau(path)
    write_binfile(path, b"ptau", 1, [(n, [v]) for n, v in good.items() if n < 12])
    assert not read_ptau(path).prepared
    with pytest.raises(InvalidInputError, match="not prepared"):
        read_ptau(path).lagrange_tau_g1(0)
