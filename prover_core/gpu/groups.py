"""The groups whose sums the device computes, and their points as they come back from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..types import G1Point, G2Point, Q, R
from .device import DeviceResultError

_SHIFT: Final = 1 << 256
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Group:
    """y^2 = x^3 + b over a field of `degree` 1 or 2 above the integers modulo `modulus`, of order `order`."""

    name: str
    degree: int
    modulus: int
    order: int
    b: Pair
    module: str
    sort_module: str

    @property
    def base_bytes(self) -> int:
        """Of an affine point."""
        return 64 * self.degree

    @property
    def point_bytes(self) -> int:
        """Of a point in XYZZ coordinates."""
        return 128 * self.degree

    def _multiply(self, a: Pair, b: Pair) -> Pair:
        p = self.modulus
        return (a[0] * b[0] - a[1] * b[1]) % p, (a[0] * b[1] + a[1] * b[0]) % p

    def _invert(self, a: Pair) -> Pair:
        norm = pow(a[0] * a[0] + a[1] * a[1], -1, self.modulus)
        return a[0] * norm % self.modulus, -a[1] * norm % self.modulus

    def on_curve(self, x: Pair, y: Pair) -> bool:
        """y^2 = x^3 + b, or infinity."""
        left, cube = self._multiply(y, y), self._multiply(self._multiply(x, x), x)
        right = ((cube[0] + self.b[0]) % self.modulus, (cube[1] + self.b[1]) % self.modulus)
        return left == right or x == y == (0, 0)

    def affine(self, raw: npt.NDArray[np.uint8]) -> list[tuple[Pair, Pair]]:
        """(X, Y, ZZ, ZZZ) -> (X / ZZ, Y / ZZZ), canonical; infinity is all zero. One inversion for all.

        `DeviceResultError` for what is no point of the curve.
        """
        width, p = 32 * self.degree, self.modulus
        data = raw.tobytes()
        coordinates: list[Pair] = []
        for at in range(0, len(data), width):
            low = int.from_bytes(data[at : at + 32], "little")
            high = int.from_bytes(data[at + 32 : at + width], "little")
            if low >= p or high >= p:
                raise DeviceResultError(f"the device returned a coordinate that is not reduced ({self.name})")
            coordinates.append((low, high))
        points = [coordinates[i : i + 4] for i in range(0, len(coordinates), 4)]
        denominators = [self._multiply(zz, zzz) for _, _, zz, zzz in points]
        inverses = self._inverses(denominators)
        out: list[tuple[Pair, Pair]] = []
        for (x, y, zz, zzz), inverse in zip(points, inverses, strict=True):
            # Montgomery's factor 2^256 is in all four, and cancels in each quotient.
            affine_x = self._multiply(x, self._multiply(zzz, inverse))
            affine_y = self._multiply(y, self._multiply(zz, inverse))
            if not self.on_curve(affine_x, affine_y):
                raise DeviceResultError(f"the device returned a point that is not on the curve ({self.name})")
            out.append((affine_x, affine_y))
        return out

    def _inverses(self, values: list[Pair]) -> list[Pair]:
        before: list[Pair] = []
        product: Pair = (1, 0)
        for v in values:
            before.append(product)
            if v != (0, 0):
                product = self._multiply(product, v)
        inverse = self._invert(product)
        out: list[Pair] = [(0, 0)] * len(values)
        for i in range(len(values) - 1, -1, -1):
            if values[i] != (0, 0):
                out[i] = self._multiply(inverse, before[i])
                inverse = self._multiply(inverse, values[i])
        return out


_TWIST_B: Final = (3 * 9 * pow(82, -1, Q) % Q, -3 * pow(82, -1, Q) % Q)
"""3 / (9 + u) = 3 (9 - u) / 82."""

G1: Final = Group("g1", 1, Q, R, (3, 0), "g1", "sort")
G2: Final = Group("g2", 2, Q, R, _TWIST_B, "g2", "sort")
GRUMPKIN: Final = Group("grumpkin", 1, R, Q, (R - 17, 0), "grumpkin", "grumpkin_sort")
"""y^2 = x^3 - 17 over Fr, of order q: BN254's fields swapped."""


def g1_point(point: tuple[Pair, Pair]) -> G1Point:
    """As the rest of the package names it."""
    return G1Point(point[0][0], point[1][0])


def g2_point(point: tuple[Pair, Pair]) -> G2Point:
    """As the rest of the package names it."""
    return G2Point(point[0], point[1])


def constants(modulus: int, values: list[int]) -> npt.NDArray[Any]:
    """Montgomery limbs, `uint64[n, 4]`."""
    raw = b"".join((v * _SHIFT % modulus).to_bytes(32, "little") for v in values)
    return np.frombuffer(raw, dtype="<u8").reshape(-1, 4)
