"""The plain Poseidon, Baby Jubjub and EdDSA against circomlibjs (tests/vectors/circomlibjs.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prover_core.errors import InvalidInputError, VerificationError
from prover_core.reference import babyjubjub as bjj
from prover_core.reference.eddsa import PrivateKey, Signature, verify_vartime
from prover_core.reference.poseidon import poseidon, poseidon_constants
from prover_core.types import R

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "circomlibjs.json").read_text())


def ints(values: list[str]) -> list[int]:
    return [int(v) for v in values]


@pytest.mark.parametrize("vector", VECTORS["poseidon"], ids=lambda v: f"{len(v['inputs'])}-{v['inputs'][0][:4]}")
def test_poseidon_digest(vector: dict[str, Any]) -> None:
    assert poseidon(ints(vector["inputs"])) == int(vector["digest"])


def test_poseidon_constants_of_width_three_begin_as_published() -> None:
    constants, mds, full, partial = poseidon_constants(3)
    assert (full, partial, len(constants), len(mds)) == (8, 57, 195, 3)
    # poseidonperm_x5_254_3 of the paper's reference implementation
    assert constants[0] == 0x0EE9A592BA9A9518D05986D656F40C2114C4993C11BB29938D21D47304CD8E6E
    assert mds[0][0] == 0x109B7F411BA0E4C9B2B70CAF5C36A7B194BE7C11AD24378BFEDB68592BA8118B


@pytest.mark.parametrize("inputs", [[], [0] * 17, [R], [-1], [1, 2, R + 5]])
def test_poseidon_refuses(inputs: list[int]) -> None:
    with pytest.raises(InvalidInputError):
        poseidon(inputs)


@pytest.mark.parametrize("vector", VECTORS["babyjubjub"], ids=lambda v: f"{v['base']}-{v['scalar'][:8]}")
def test_babyjubjub_multiple(vector: dict[str, Any]) -> None:
    base = {"generator": bjj.GENERATOR, "base8": bjj.BASE8}[vector["base"]]
    point = bjj.Point(*ints(vector["point"]))
    assert bjj.multiply_vartime(int(vector["scalar"]), base) == point
    assert bjj.on_curve(point)


def test_babyjubjub_group() -> None:
    p, q = bjj.multiply_vartime(1234, bjj.BASE8), bjj.multiply_vartime(98765, bjj.BASE8)
    assert bjj.add(p, q) == bjj.multiply_vartime(1234 + 98765, bjj.BASE8)
    assert bjj.double(p) == bjj.multiply_vartime(2468, bjj.BASE8)
    assert bjj.add(p, bjj.negate(p)) == bjj.IDENTITY
    assert bjj.multiply_vartime(8, bjj.GENERATOR) == bjj.BASE8
    assert bjj.in_subgroup(bjj.BASE8)
    assert not bjj.in_subgroup(bjj.GENERATOR)
    assert not bjj.on_curve(bjj.Point(1, 1))
    assert not bjj.on_curve(bjj.Point(p.x + R, p.y))


@pytest.mark.parametrize("vector", VECTORS["eddsa"], ids=range(len(VECTORS["eddsa"])))
def test_eddsa_accepts_circomlibjs(vector: dict[str, Any]) -> None:
    assert vector["accepted"] is True
    key, r8 = bjj.Point(*ints(vector["key"])), bjj.Point(*ints(vector["r8"]))
    message, s = int(vector["message"]), int(vector["s"])
    verify_vartime(key, message, Signature(r8, s))
    with pytest.raises(VerificationError, match="does not match"):
        verify_vartime(key, (message + 1) % R, Signature(r8, s))
    with pytest.raises(VerificationError, match="does not match"):
        verify_vartime(bjj.double(key), message, Signature(r8, s))
    with pytest.raises(VerificationError, match="below"):
        verify_vartime(key, message, Signature(r8, s + bjj.SUBGROUP_ORDER))


def test_eddsa_signs_and_refuses() -> None:
    private = PrivateKey.from_seed(b"a seed")
    signature = private.sign(42)
    assert signature == PrivateKey.from_seed(b"a seed").sign(42)
    assert signature.r8 != private.sign(43).r8
    assert str(private.scalar) not in repr(private)
    verify_vartime(private.public, 42, signature)
    order_two = bjj.Point(0, R - 1)
    with pytest.raises(VerificationError, match="small order"):
        verify_vartime(order_two, 42, signature)
    with pytest.raises(VerificationError, match="R8"):
        verify_vartime(private.public, 42, Signature(bjj.Point(1, 1), signature.s))
    with pytest.raises(VerificationError, match="key"):
        verify_vartime(bjj.Point(1, 1), 42, signature)
    with pytest.raises(InvalidInputError):
        private.sign(R)
    with pytest.raises(InvalidInputError):
        PrivateKey(0)
