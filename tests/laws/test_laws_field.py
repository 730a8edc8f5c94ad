"""Field laws of the native arithmetic, against Python's integers, with and without the processor's extensions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover_core.native import CpuBackend, _native
from prover_core.types import FrVector, Q, R

MODULI = {"fr": R, "fq": Q}
EDGES = [0, 1, 2, 3, 2**62 - 1, 2**62, 2**63, 2**64 - 1, 2**64, 2**128 - 1, 2**192, 2**253]


def pack(values: list[int], p: int) -> npt.NDArray[np.uint64]:
    raw = b"".join((v * 2**256 % p).to_bytes(32, "little") for v in values)
    return np.frombuffer(raw, dtype="<u8").reshape(-1, 4)


def unpack(limbs: npt.NDArray[np.uint64], p: int) -> list[int]:
    raw = limbs.tobytes()
    plain = [int.from_bytes(raw[i : i + 32], "little") for i in range(0, len(raw), 32)]
    assert all(v < p for v in plain), "results are below the modulus"
    return [v * pow(2**256, -1, p) % p for v in plain]


def run(field: str, operation: str, a: list[int], b: list[int]) -> list[int]:
    p = MODULI[field]
    out = np.empty((len(a), 4), dtype=np.uint64)
    _native.elementwise(field, operation, pack(a, p), pack(b, p), out)
    return unpack(out, p)


def edges(p: int) -> list[int]:
    """Values whose Montgomery limbs, or whose plain limbs, are extreme."""
    plain = [*EDGES, p - 1, p - 2, (p - 1) // 2, (p + 1) // 2]
    return plain + [v * pow(2**256, -1, p) % p for v in plain]


@pytest.mark.parametrize("field", ["fr", "fq"])
def test_edges_against_integers(field: str) -> None:
    p = MODULI[field]
    a = [x for x in edges(p) for _ in edges(p)]
    b = [y for _ in edges(p) for y in edges(p)]
    for suffix in ("", "_portable"):
        assert run(field, "add" + suffix, a, b) == [(x + y) % p for x, y in zip(a, b, strict=True)]
        assert run(field, "sub" + suffix, a, b) == [(x - y) % p for x, y in zip(a, b, strict=True)]
        assert run(field, "mul" + suffix, a, b) == [x * y % p for x, y in zip(a, b, strict=True)]
    assert run(field, "divide", a, b) == [x * pow(y, -1, p) % p if y else 0 for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("field", ["fr", "fq"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_axioms(field: str, data: st.DataObject) -> None:
    p = MODULI[field]
    element = st.integers(0, p - 1)
    a, b, c = ([data.draw(element)] for _ in range(3))

    def add(x: list[int], y: list[int]) -> list[int]:
        return run(field, "add", x, y)

    def mul(x: list[int], y: list[int]) -> list[int]:
        return run(field, "mul", x, y)

    assert add(a, add(b, c)) == add(add(a, b), c)
    assert mul(a, mul(b, c)) == mul(mul(a, b), c)
    assert add(a, b) == add(b, a)
    assert mul(a, b) == mul(b, a)
    assert mul(a, add(b, c)) == add(mul(a, b), mul(a, c))
    assert run(field, "sub", add(a, b), b) == a
    assert mul(a, [1]) == a
    assert add(a, [0]) == a
    if b != [0]:
        assert mul(run(field, "divide", a, b), b) == a


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, R - 1), max_size=40), st.sampled_from([1, 2, 3]))
def test_montgomery_round_trip(values: list[int], threads: int) -> None:
    backend = CpuBackend(threads)
    v = FrVector.from_ints(values)
    m = backend.fr_to_montgomery(v)
    assert unpack(m.limbs, R) == values
    assert backend.fr_from_montgomery(m).to_ints() == values
    squares = backend.fr_from_montgomery(backend.fr_mul(m, m)).to_ints()
    assert squares == [x * x % R for x in values]


def test_unknown_names_are_refused() -> None:
    one = np.zeros((1, 4), dtype=np.uint64)
    with pytest.raises(ValueError, match="no operation"):
        _native.elementwise("fr", "power", one, one, one.copy())
    with pytest.raises(ValueError, match="no field"):
        _native.elementwise("fx", "add", one, one, one.copy())
