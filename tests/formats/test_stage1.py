"""Stage-1 proofs as bytes: one encoding each, and everything else is refused by name."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "assembly"))

from stage1_samples import sample_key

from prover_core.assembly import Assembly, AssemblyBuilder, Shape, verify_stage1
from prover_core.errors import FormatError, InvalidInputError
from prover_core.formats.stage1 import decode_stage1, encode_stage1, stage1_bytes
from prover_core.types import Q, R

SHAPE = Shape(3, 2, 4)
HEADER = 12


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    """Two leaves, placed in reverse."""
    key = sample_key(2, 71)
    builder = AssemblyBuilder(SHAPE, key.vk)
    for i in (1, 0):
        builder.place(i, key.leaf([10 + i, 20], 5 + i), [10 + i, 20])
    return builder.finish(b"entropy of this test" * 2)


def refused(raw: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        decode_stage1(raw)
    return caught.value.field


def test_decoding_gives_what_was_encoded_and_that_verifies(assembly: Assembly) -> None:
    raw = encode_stage1(SHAPE, assembly.proof)
    assert len(raw) == stage1_bytes(SHAPE)
    shape, proof = decode_stage1(raw)
    assert (shape, proof) == (SHAPE, assembly.proof)
    assert encode_stage1(shape, proof) == raw
    assert verify_stage1(shape, sample_key(2, 71).vk, assembly.publics, proof) == assembly.statement


def test_places_are_taken_once_and_without_gaps(assembly: Assembly) -> None:
    key = sample_key(2, 71)
    builder = AssemblyBuilder(SHAPE, key.vk)
    builder.place(1, key.leaf([1, 2], 5), [1, 2])
    with pytest.raises(InvalidInputError, match="free"):
        builder.finish(bytes(32))
    with pytest.raises(InvalidInputError, match="not free"):
        builder.place(1, key.leaf([1, 2], 5), [1, 2])
    with pytest.raises(InvalidInputError, match="holds 3"):
        builder.place(3, key.leaf([1, 2], 5), [1, 2])
    builder.place(0, key.leaf([3, 2], 6), [3, 2])
    first = builder.finish(b"some entropy of 32 bytes........")
    second = builder.finish(b"other entropy of 32 bytes.......")
    assert first.proof != second.proof
    for made in (first, second):
        assert verify_stage1(SHAPE, key.vk, [(3, 2), (1, 2)], made.proof) == first.statement


@pytest.mark.parametrize(
    ("at", "new", "field"),
    [
        (0, b"zkey", "magic"),
        (4, b"\x02\x00", "version"),
        (4, b"\x01\x01", "version"),
        (6, b"\x00\x00", "shape"),
        (10, b"\x03\x00", "shape"),
        (8, b"\x03\x00", "length"),
        (HEADER, R.to_bytes(32, "little"), "points[0]"),
        (HEADER + 32, b"\xff" * 32, "points[1]"),
        (-32, Q.to_bytes(32, "little"), "final[15]"),
    ],
)
def test_what_is_not_version_1_is_refused(assembly: Assembly, at: int, new: bytes, field: str) -> None:
    raw = bytearray(encode_stage1(SHAPE, assembly.proof))
    at %= len(raw)
    raw[at : at + len(new)] = new
    assert refused(bytes(raw)) == field


@pytest.mark.parametrize("cut", [0, 11, 12, -1, None])
def test_neither_less_nor_more(assembly: Assembly, cut: int | None) -> None:
    raw = encode_stage1(SHAPE, assembly.proof)
    assert refused(raw + b"\0" if cut is None else raw[:cut]) in ("header", "length")


def test_a_proof_of_another_form_is_not_encoded(assembly: Assembly) -> None:
    proof = assembly.proof
    for wrong in (
        replace(proof, final=proof.final[:-1]),
        replace(proof, words=(1 << 128, *proof.words[1:])),
        replace(proof, points=((R, 1), *proof.points[1:])),
        replace(proof, cross=proof.cross[1:]),
    ):
        with pytest.raises(InvalidInputError):
            encode_stage1(SHAPE, wrong)
    with pytest.raises(InvalidInputError):
        encode_stage1(Shape(3, 3, 4), proof)
