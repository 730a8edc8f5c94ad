"""Each operation of the headers against Python's integers: fields, the tower, the curves' complete formulas."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from prover_core.gpu.device import Device
from prover_core.gpu.groups import G1, G2, Group, Pair, constants
from prover_core.reference import curve
from prover_core.types import G1Point, G2Point, Q, R

INVERSE = {p: pow(2**256, -1, p) for p in (Q, R)}


def run(device: Device, kernel: str, n: int, inputs: list[Any], out: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Uploads, launches, downloads."""
    stream = device.stream()
    memory = [device.alloc(max(x.nbytes, 1)) for x in (*inputs, out)]
    for piece, x in zip(memory, inputs, strict=False):
        stream.upload(piece.address, np.ascontiguousarray(x))
    *sources, target = ((piece.address,) for piece in memory)
    stream.launch("laws", kernel, -(-n // 128), 128, *sources, n, target)
    stream.download(target[0], out)
    stream.synchronize()
    for piece in memory:
        piece.free()
    return out


def ints(limbs: np.ndarray[Any, Any], p: int) -> list[int]:
    raw = limbs.tobytes()
    values = [int.from_bytes(raw[i : i + 32], "little") for i in range(0, len(raw), 32)]
    assert max(values) < p, "a result is not reduced"
    return [v * INVERSE[p] % p for v in values]


def edges(p: int) -> list[int]:
    """Values whose Montgomery form or themselves sit at carries and at the modulus."""
    forms = [0, 1, 2, p - 1, p - 2, (1 << 32) - 1, 1 << 32, (1 << 224) - 1, p >> 1, p - (1 << 32), 2**253 - 1]
    return sorted({f * INVERSE[p] % p for f in forms} | {0, 1, p - 1})


@pytest.mark.parametrize(("kernel", "p"), [("fr_laws", R), ("fq_laws", Q)])
def test_fields(device: Device, kernel: str, p: int) -> None:
    rng = random.Random(p)
    few = edges(p)
    pairs = list(itertools.product(few, repeat=2)) + [(rng.randrange(p), rng.randrange(p)) for _ in range(60)]
    pool = [*few, *(rng.randrange(p) for _ in range(8))]
    rows = [(a, b, rng.choice(pool), rng.choice(pool)) for a, b in pairs]
    rows.append((p - 1, p - 1, p - 1, p - 1))
    columns = [constants(p, list(c)) for c in zip(*rows, strict=True)]
    out = run(device, kernel, len(rows), columns, np.empty((len(rows), 7, 4), dtype=np.uint64))
    expected = [x % p for a, b, c, d in rows for x in (a + b, a - b, -a, a * b, a * a, a * b + c * d, a * b - c * d)]
    assert ints(out, p) == expected


def test_the_tower(device: Device) -> None:
    rng = random.Random(2)
    few = [0, 1, Q - 1, INVERSE[Q] * (Q - 1) % Q, rng.randrange(Q)]
    elements = list(itertools.product(few, repeat=2))
    rows = [(a, b, rng.choice(elements), rng.choice(elements)) for a, b in itertools.product(elements[:9], elements)]
    rows += [((Q - 1, Q - 1),) * 4]
    columns = [constants(Q, [x for pair in c for x in pair]) for c in zip(*rows, strict=True)]
    out = run(device, "fq2_laws", len(rows), columns, np.empty((len(rows), 14, 4), dtype=np.uint64))

    def times(a: Pair, b: Pair) -> Pair:
        return (a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0])

    expected: list[int] = []
    for a, b, c, d in rows:
        ab, cd = times(a, b), times(c, d)
        for i in range(2):
            expected.append(a[i] + b[i])
        for i in range(2):
            expected.append(a[i] - b[i])
        expected += [-a[0], -a[1], *ab, *times(a, a), ab[0] + cd[0], ab[1] + cd[1], ab[0] - cd[0], ab[1] - cd[1]]
    assert ints(out, Q) == [x % Q for x in expected]


def test_forms(device: Device) -> None:
    values = [0, 1, 2, R - 1, R, R + 1, 2**255, 2**256 - 1, R >> 1, 2**32, R - 2**32]
    raw = np.frombuffer(b"".join(v.to_bytes(32, "little") for v in values), dtype="<u8").reshape(-1, 4)
    stream, n = device.stream(), len(values)
    below, out = np.empty(n, dtype=np.uint32), np.empty((n, 2, 4), dtype=np.uint64)
    memory = [device.alloc(x.nbytes) for x in (raw, below, out)]
    stream.upload(memory[0].address, raw)
    stream.launch("laws", "fr_forms", 1, 128, (memory[0].address,), n, (memory[1].address,), (memory[2].address,))
    stream.download(memory[1].address, below)
    stream.download(memory[2].address, out)
    stream.synchronize()
    assert below.tolist() == [int(v < R) for v in values]
    for i, v in enumerate(values):
        if v < R:
            assert ints(out[i, :1], R) == [v]
            assert out[i, 1].tobytes() == v.to_bytes(32, "little")
    for piece in memory:
        piece.free()


def xyzz(group: Group, oracle: Any, point: Any, z: int) -> list[int]:
    """A point with ZZ = z^2, ZZZ = z^3; infinity with ZZ = 0 and anything as X, Y."""
    p, zero = group.modulus, [0] * group.degree
    if point == oracle.infinity:
        return [*zero, *zero, *zero, *zero] if z == 1 else [*([5] * 2 * group.degree), *zero, *zero]
    coordinates = [point.x, point.y] if group.degree == 1 else [*point.x, *point.y]
    zz, zzz = z * z % p, z * z * z % p
    half = group.degree
    scaled = [c * zz % p for c in coordinates[:half]] + [c * zzz % p for c in coordinates[half:]]
    return [*scaled, *([zz, 0][:half]), *([zzz, 0][:half])]


@pytest.mark.parametrize("group", [G1, G2], ids=["g1", "g2"])
def test_the_group_law_is_complete(device: Device, group: Group) -> None:
    """P + Q for every pair out of infinity, P, -P, 2P, another point, in several representations of each."""
    oracle: Any = curve.G1 if group is G1 else curve.G2
    g = oracle.generator
    points = [oracle.infinity, g, oracle.negate(g), oracle.multiply(g, 2), oracle.multiply(g, 123457)]
    rows = [(p, q, z) for p, q in itertools.product(points, repeat=2) for z in (1, 7)]
    affine = [[q.x, q.y] if group is G1 else [*q.x, *q.y] for _, q, _ in rows]
    left = constants(group.modulus, [c for p, _, z in rows for c in xyzz(group, oracle, p, z)])
    middle = constants(group.modulus, [c for q in affine for c in q])
    right = constants(group.modulus, [c for _, q, z in rows for c in xyzz(group, oracle, q, z + 2)])
    out = np.empty((len(rows) * 3 * group.point_bytes,), dtype=np.uint8)
    run(device, f"{group.name}_laws", len(rows), [left, middle, right], out)
    got = group.affine(out)
    for i, (p, q, _) in enumerate(rows):
        total, double = oracle.add(p, q), oracle.add(p, p)
        kind = G1Point if group is G1 else G2Point
        for j, expected in enumerate((total, total, double)):
            x, y = got[3 * i + j]
            point = kind(x[0], y[0]) if group is G1 else kind(x, y)  # type: ignore[arg-type]
            assert point == expected, (p, q, j)
