"""Vectors and points as they cross every border. The representation is in the type, never in a flag.

All limbs are little-endian `uint64`; Montgomery means x * 2^256 mod p. Arrays are borrowed, never copied, and may be
read-only memory maps. The point layouts are those of iden3's `.zkey`: affine, Montgomery, infinity all zero.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from .errors import InvalidInputError
from .moduli import Q as Q
from .moduli import R as R

Limbs = npt.NDArray[np.uint64]


def _checked(limbs: Limbs, tail: tuple[int, ...], what: str) -> Limbs:
    if limbs.dtype != np.uint64 or limbs.shape[1:] != tail or not limbs.flags.c_contiguous:
        raise InvalidInputError(f"{what} needs a contiguous uint64 array of shape (n, {', '.join(map(str, tail))})")
    return limbs


@dataclass(frozen=True, slots=True)
class Digest:
    """SHA-256 of some content; names circuits, artifacts, jobs."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise InvalidInputError(f"a digest has 32 bytes, not {len(self.raw)}", field="digest")

    @classmethod
    def of(cls, *parts: bytes | memoryview) -> Self:
        """SHA-256 of the parts, each preceded by its length as 8 little-endian bytes (so that borders are bound)."""
        h = hashlib.sha256()
        for part in parts:
            h.update(len(part).to_bytes(8, "little"))
            h.update(part)
        return cls(h.digest())

    @classmethod
    def parse(cls, text: str) -> Self:
        """From 64 hexadecimal digits; `InvalidInputError` otherwise."""
        try:
            return cls(bytes.fromhex(text))
        except ValueError as e:
            raise InvalidInputError(f"not a digest: {text!r}", field="digest") from e

    def __str__(self) -> str:
        return self.raw.hex()


@dataclass(frozen=True, slots=True, eq=False)
class _Vector:
    limbs: Limbs

    def __len__(self) -> int:
        return len(self.limbs)

    def __getitem__(self, s: slice) -> Self:
        """A view of a contiguous slice; O(1)."""
        return type(self)(self.limbs[s])


class FrVector(_Vector):
    """n scalars as canonical integers below r: `uint64[n, 4]`."""

    def __post_init__(self) -> None:
        _checked(self.limbs, (4,), "FrVector")

    @classmethod
    def from_ints(cls, values: list[int]) -> Self:
        """Reduces nothing: `InvalidInputError` if any value is outside [0, r)."""
        for i, v in enumerate(values):
            if not 0 <= v < R:
                raise InvalidInputError(f"value {i} is not a canonical scalar", field=f"[{i}]")
        raw = b"".join(v.to_bytes(32, "little") for v in values)
        return cls(np.frombuffer(raw, dtype="<u8").reshape(-1, 4))

    @classmethod
    def from_bytes(cls, raw: bytes | memoryview) -> Self:
        """32 little-endian bytes each; `InvalidInputError` if the length is off or any value is not below r."""
        if len(raw) % 32:
            raise InvalidInputError(f"{len(raw)} bytes are not a whole number of scalars")
        vector = cls(np.frombuffer(raw, dtype="<u8").reshape(-1, 4))
        bad = vector.first_non_canonical()
        if bad is not None:
            raise InvalidInputError(f"value {bad} is not a canonical scalar", field=f"[{bad}]")
        return vector

    def first_non_canonical(self) -> int | None:
        """Index of the first value >= r, or None; one pass over the top limbs, of which few are as large as r's."""
        suspects = np.flatnonzero(self.limbs[:, 3] >= np.uint64(R >> 192))
        limbs = self.limbs[suspects]
        below = np.zeros(len(suspects), dtype=bool)
        equal = np.ones(len(suspects), dtype=bool)
        for k in (3, 2, 1, 0):
            m = np.uint64((R >> (64 * k)) & (2**64 - 1))
            below |= equal & (limbs[:, k] < m)
            equal &= limbs[:, k] == m
        bad = suspects[~below]
        return int(bad[0]) if len(bad) else None

    def to_ints(self) -> list[int]:
        """The values as Python integers; O(n) Python."""
        raw = np.ascontiguousarray(self.limbs).tobytes()
        return [int.from_bytes(raw[i : i + 32], "little") for i in range(0, len(raw), 32)]


class FrMontVector(_Vector):
    """n scalars in Montgomery form: `uint64[n, 4]`."""

    def __post_init__(self) -> None:
        _checked(self.limbs, (4,), "FrMontVector")


class G1Vector(_Vector):
    """n affine points of G1, coordinates in Montgomery form: `uint64[n, 2, 4]`; infinity is all zero."""

    def __post_init__(self) -> None:
        _checked(self.limbs, (2, 4), "G1Vector")


class G2Vector(_Vector):
    """n affine points of the twist, x = x0 + x1 u then y, Montgomery: `uint64[n, 2, 2, 4]`; infinity is all zero."""

    def __post_init__(self) -> None:
        _checked(self.limbs, (2, 2, 4), "G2Vector")


def _fq_limbs(values: list[int]) -> Limbs:
    raw = b"".join((v * 2**256 % Q).to_bytes(32, "little") for v in values)
    return np.frombuffer(raw, dtype="<u8").astype(np.uint64)


_R_INVERSE = pow(2**256, -1, Q)


def _fq_ints(limbs: Limbs) -> list[int]:
    raw = np.ascontiguousarray(limbs).tobytes()
    return [int.from_bytes(raw[i : i + 32], "little") * _R_INVERSE % Q for i in range(0, len(raw), 32)]


@dataclass(frozen=True, slots=True)
class G1Point:
    """One affine point of G1, canonical integers; infinity is (0, 0). Not checked to be on the curve."""

    x: int
    y: int

    @property
    def is_infinity(self) -> bool:
        return self.x == 0 and self.y == 0


@dataclass(frozen=True, slots=True)
class G2Point:
    """One affine point of the twist, x = x[0] + x[1] u, canonical integers; infinity is all zero. Not checked."""

    x: tuple[int, int]
    y: tuple[int, int]

    @property
    def is_infinity(self) -> bool:
        return self.x == (0, 0) and self.y == (0, 0)


def g1_vector(points: list[G1Point]) -> G1Vector:
    """Packs points; O(n) Python, for proofs and keys' heads, not for bases."""
    return G1Vector(_fq_limbs([c for p in points for c in (p.x, p.y)]).reshape(-1, 2, 4))


def g2_vector(points: list[G2Point]) -> G2Vector:
    """Packs points; O(n) Python."""
    return G2Vector(_fq_limbs([c for p in points for c in (*p.x, *p.y)]).reshape(-1, 2, 2, 4))


def g1_points(vector: G1Vector) -> list[G1Point]:
    """Unpacks to canonical integers; O(n) Python."""
    c = _fq_ints(vector.limbs)
    return [G1Point(c[i], c[i + 1]) for i in range(0, len(c), 2)]


def g2_points(vector: G2Vector) -> list[G2Point]:
    """Unpacks to canonical integers; O(n) Python."""
    c = _fq_ints(vector.limbs)
    return [G2Point((c[i], c[i + 1]), (c[i + 2], c[i + 3])) for i in range(0, len(c), 4)]
