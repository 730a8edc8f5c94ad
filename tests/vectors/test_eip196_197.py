"""Ethereum's published vectors for the BN254 precompiles, against the oracle and every native path that serves them.

A precompile reads its input as if padded with zeros, and a scalar need not be reduced (EIP-196, EIP-197).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prover_core.native import _native
from prover_core.reference import ReferenceBackend
from prover_core.reference.curve import G1, G2
from prover_core.types import G1Point, G2Point, g1_vector, g2_vector

VECTORS: dict[str, list[dict[str, str]]] = json.loads((Path(__file__).parent / "eip196_eip197.json").read_text())


def named(section: str) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(v, id=v["name"]) for v in VECTORS[section]])


def words(text: str, count: int | None = None) -> list[int]:
    """32-byte big-endian words; `count` of them, padded with zeros, if given."""
    raw = bytes.fromhex(text)
    if count is not None:
        raw = raw[: 32 * count].ljust(32 * count, b"\0")
    return [int.from_bytes(raw[i : i + 32], "big") for i in range(0, len(raw), 32)]


def pairs(text: str) -> list[tuple[G1Point, G2Point]]:
    """EIP-197 writes a1 u + a0 as (a1, a0)."""
    w = words(text)
    return [(G1Point(w[i], w[i + 1]), G2Point((w[i + 3], w[i + 2]), (w[i + 5], w[i + 4]))) for i in range(0, len(w), 6)]


@named("add")
def test_addition(case: dict[str, str]) -> None:
    w = words(case["input"], 4)
    p, q = G1Point(w[0], w[1]), G1Point(w[2], w[3])
    assert G1.is_on_curve(p)
    assert G1.is_on_curve(q)
    assert G1.add(p, q) == G1Point(*words(case["expected"]))


@named("scalar_mul")
def test_scalar_multiplication(case: dict[str, str]) -> None:
    w = words(case["input"], 3)
    p = G1Point(w[0], w[1])
    assert G1.is_on_curve(p)
    assert G1.multiply(p, w[2]) == G1Point(*words(case["expected"]))


@named("pairing")
def test_pairing_on_the_oracle(case: dict[str, str]) -> None:
    points = pairs(case["input"])
    assert all(G1.is_on_curve(p) and G2.is_on_curve(q) for p, q in points)
    oracle = ReferenceBackend()
    result = oracle.pairing_product_is_one(g1_vector([p for p, _ in points]), g2_vector([q for _, q in points]))
    assert int(result) == words(case["expected"])[0]


@named("pairing")
def test_pairing_on_native(case: dict[str, str]) -> None:
    points = pairs(case["input"])
    g1, g2 = g1_vector([p for p, _ in points]).limbs, g2_vector([q for _, q in points]).limbs
    assert _native.g2_valid(g2).all()
    assert int(_native.pairing_product_is_one(g1, g2)) == words(case["expected"])[0]
