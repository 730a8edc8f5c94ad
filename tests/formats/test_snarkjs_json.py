"""snarkjs's JSON is read strictly: only the canonical spelling of a value is that value."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from groth16_samples import horner

from prover_core.errors import FormatError
from prover_core.formats.snarkjs_json import (
    proof_json,
    public_json,
    read_proof,
    read_public,
    read_verification_key,
    verification_key_json,
    write_proof,
    write_public,
    write_verification_key,
)
from prover_core.groth16 import Proof, setup
from prover_core.groth16.setup import G1, G2
from prover_core.native import CpuBackend
from prover_core.types import G1Point, Q, R

PROOF = Proof(G1, G2, G1Point(0, 0))
VK = setup(horner(2), backend=CpuBackend(threads=1), entropy=b"json").verification_key


def encoded(data: object) -> bytes:
    return json.dumps(data).encode()


def test_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_proof(path, PROOF)
    assert read_proof(path) == PROOF
    write_public(path, [0, 1, R - 1])
    assert read_public(path) == [0, 1, R - 1]
    write_verification_key(path, VK)
    assert read_verification_key(path) == VK
    assert VK.insecure
    assert json.loads(path.read_text())["insecure"] is True


def test_infinity_is_written_as_snarkjs_writes_it() -> None:
    assert proof_json(PROOF)["pi_c"] == ["0", "1", "0"]


@pytest.mark.parametrize(
    "bad", ["01", "+1", "-1", "0x1", " 1", "1 ", "1e3", "", "١", str(Q), 1, True, None, ["1"], 1.0]
)
def test_numbers_have_one_spelling(bad: object) -> None:
    data = proof_json(PROOF) | {"pi_a": [bad, "2", "1"]}
    with pytest.raises(FormatError) as e:
        read_proof(encoded(data))
    assert e.value.field == "pi_a[0]"
    if bad != str(Q):
        with pytest.raises(FormatError):
            read_public(encoded([bad]))


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "plonk"},
        {"protocol": None},
        {"curve": "bls12381"},
        {"pi_a": ["1", "2"]},
        {"pi_a": ["1", "2", "2"]},
        {"pi_a": ["1", "2", "0"]},
        {"pi_a": "1"},
        {"pi_b": ["1", "2", "1"]},
        {"pi_b": [["1", "2"], ["3", "4"], ["1", "1"]]},
        {"pi_b": [["1", "2"], ["3", "4", "5"], ["1", "0"]]},
        {"pi_c": None},
    ],
)
def test_malformed_proofs(change: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        read_proof(encoded(proof_json(PROOF) | change))


@pytest.mark.parametrize(
    "change",
    [
        {"nPublic": 1},
        {"nPublic": "2"},
        {"nPublic": True},
        {"IC": []},
        {"IC": None},
        {"IC": [["1", "2", "1"], ["1", "2", "1"], ["1", "x", "1"]]},
        {"vk_alpha_1": None},
        {"vk_delta_2": [["1", "2"]]},
        {"curve": "bn254"},
    ],
)
def test_malformed_keys(change: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        read_verification_key(encoded(verification_key_json(VK) | change))


def test_public_signals_are_canonical() -> None:
    assert read_public(encoded(public_json([5]))) == [5]
    for bad in ([str(R)], {"0": "1"}, "1", None):
        with pytest.raises(FormatError):
            read_public(encoded(bad))


def test_deep_nesting_is_refused_whatever_the_recursion_limit() -> None:
    """Libraries raise the limit (py_ecc does), and the parser would then overflow the stack of the process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        for bad in (b"[" * 100_000, b'{"a":' * 100_000):
            with pytest.raises(FormatError, match="nested"):
                read_proof(bad)
    finally:
        sys.setrecursionlimit(before)


def test_what_is_not_json() -> None:
    doubled = json.dumps(proof_json(PROOF))[:-1] + ', "pi_a": ["1", "2", "1"]}'
    for bad in (b"", b"{", b"\xff", b"[" * 100_000, doubled.encode(), b"[]"):
        with pytest.raises(FormatError):
            read_proof(bad)
