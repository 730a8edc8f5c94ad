"""The scalar field on the device: elementwise operations, transforms, the quotient, sparse products (kernels/fr.cu).

Everything here submits work to a lane and waits for nothing. Vectors are addresses of 32-byte elements.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..types import FrVector, R
from .device import Memory
from .groups import constants
from .memory import Lane, Lease, Residents
from .msm import grid

_BLOCK: Final = 256
_TWO_ADICITY: Final = 28
_LOW_BITS: Final = 22
_MOST_ROWS: Final = 8
"""log2 of the largest radix of one pass; `most_rows` in fr.cu."""
_LONG_ROW: Final = 256
"""Entries of a matrix row above which a block of threads sums it."""


def root_of_unity(k: int) -> int:
    """5^((r-1) / 2^k), as in snarkjs."""
    return pow(5, (R - 1) >> k, R)


def radices(log_n: int) -> list[int]:
    """log2 of the radix of each pass: as few passes as there can be, about equal."""
    passes = -(-log_n // _MOST_ROWS)
    return [log_n // passes + (i < log_n % passes) for i in range(passes)]


@dataclass(frozen=True, slots=True)
class _Roots:
    level: int
    low: Memory
    high: Memory
    inverses: Memory

    def arguments(self) -> tuple[tuple[int], tuple[int], int]:
        """What kernels take: powers of w below 2^22, powers of w^(2^22), log2 of w's order."""
        return (self.low.address,), (self.high.address,), self.level


class Transforms:
    """Transforms of every length, with one table of the powers of one root of unity, of the largest order asked for.

    32 bytes a power up to 2^22, and above that one more power each 2^22. Thread-safe.
    """

    def __init__(self, residents: Residents) -> None:
        self._residents = residents
        self._tables: dict[int, _Roots] = {}
        self._lock = threading.Lock()

    def _roots(self, lane: Lane, level: int) -> _Roots:
        """A table whose root has at least order 2^level. Smaller ones made before stay, since others may use them."""
        with self._lock:
            known = [t for t in self._tables.values() if t.level >= level]
            if known:
                return min(known, key=lambda t: t.level)
            stream = lane.stream
            n_low, n_high = 1 << min(level, _LOW_BITS), 1 << max(0, level - _LOW_BITS)
            low, high = self._residents.alloc(32 * n_low), self._residents.alloc(32 * n_high)
            inverses = self._residents.alloc(32 * (_TWO_ADICITY + 1))
            stream.upload(inverses.address, constants(R, [pow(2, -k, R) for k in range(_TWO_ADICITY + 1)]))
            roots = lane.scratch("roots", 32 * (_TWO_ADICITY + 1))
            stream.upload(roots, constants(R, [root_of_unity(k) for k in range(_TWO_ADICITY + 1)]))
            stream.launch("fr", "fr_powers", grid(n_low), _BLOCK, (roots,), level, 0, n_low, (low.address,))
            stream.launch("fr", "fr_powers", grid(n_high), _BLOCK, (roots,), level, _LOW_BITS, n_high, (high.address,))
            stream.synchronize()
            self._tables[level] = table = _Roots(level, low, high, inverses)
            return table

    def prepare(self, lane: Lane, log_n: int) -> None:
        """Makes the table that transforms and quotients of length 2^log_n need."""
        self._roots(lane, min(log_n + 1, _TWO_ADICITY))

    def ntt(self, lane: Lane, x: int, spare: int, log_n: int, *, inverse: bool = False, scaled: bool = True) -> int:
        """Transforms x, using `spare` of the same size; returns which of the two holds the result.

        `inverse` divides by n unless `scaled` is False. Three passes of the data for n up to 2^24.
        """
        roots = self._roots(lane, max(log_n, 1))
        if log_n == 0:
            return x
        log_s = 0
        for log_r in radices(log_n):
            last = log_s + log_r == log_n
            scale = (roots.inverses.address + 32 * log_n,) if last and inverse and scaled else None
            blocks = grid(1 << (log_n - log_r), 1 << (_MOST_ROWS + 2 - log_r))
            lane.stream.launch(
                "fr", "ntt_pass", blocks, _BLOCK, (x,), (spare,), log_n, log_s, log_r, int(inverse), *roots.arguments(),
                scale,
            )  # fmt: skip
            x, spare, log_s = spare, x, log_s + log_r
        return x

    def quotient(self, lane: Lane, a: int, b: int, c: int, spare: int, log_n: int) -> int:
        """Canonical (A B - C) at the odd points from evaluations a, b, c on the even ones; overwrites all four.

        `Backend.quotient` says what that is. Returns which of the four holds the result. Six transforms.
        """
        stream, n = lane.stream, 1 << log_n
        roots = self._roots(lane, log_n + 1)
        factor = (roots.inverses.address + 32 * log_n,)
        odd: list[int] = []
        for x in (a, b, c):
            coefficients = self.ntt(lane, x, spare, log_n, inverse=True, scaled=False)
            other = spare if coefficients == x else x
            stream.launch("fr", "fr_to_odd_points", grid(n), _BLOCK, (coefficients,), log_n, *roots.arguments(), factor)
            values = self.ntt(lane, coefficients, other, log_n)
            odd.append(values)
            spare = other if values == coefficients else coefficients
        stream.launch("fr", "fr_quotient", grid(n), _BLOCK, *((x,) for x in odd), n, (spare,))
        return spare


def multiply(lane: Lane, a: int, b: int, n: int, out: int) -> None:
    """out[i] = a[i] b[i], Montgomery."""
    lane.stream.launch("fr", "fr_mul", grid(n), _BLOCK, (a,), (b,), n, (out,))


class DeviceMatrix:
    """A sparse matrix over Fr, resident while it is used. Indices must have been checked by the caller."""

    def __init__(
        self,
        residents: Residents,
        row_start: npt.NDArray[np.uint64],
        col: npt.NDArray[np.uint32],
        value_index: npt.NDArray[np.uint32],
        values: FrVector,
    ) -> None:
        ints = values.to_ints()
        lengths = np.diff(row_start)
        self._residents = residents
        self._long = np.flatnonzero(lengths > _LONG_ROW).astype(np.uint32)
        self._arrays = (
            row_start.astype(np.uint32),
            np.ascontiguousarray(col),
            np.ascontiguousarray(value_index),
            np.ascontiguousarray(constants(R, ints)),
            np.array([1 if v == 1 else 2 if v == R - 1 else 0 for v in ints], dtype=np.uint8),
            self._long,
        )

    def product(self, lane: Lane, witness: int, first: int, n: int, out: int) -> list[Lease]:
        """out = Montgomery M[first : first + n] w for the canonical w at `witness`.

        The leases must be kept until this has run.
        """
        if n == 0:
            return []
        leases: list[Lease] = []
        try:
            for array in self._arrays:
                leases.append(self._residents.acquire(array, lane.stream))
        except BaseException:
            for lease in leases:
                lease.release()
            raise
        *arrays, row = ((lease.address,) for lease in leases)
        lane.stream.launch(
            "fr", "matrix_rows", grid(n), _BLOCK, *arrays, (witness,), first, n, _LONG_ROW, (out,)
        )  # fmt: skip
        if len(self._long):
            lane.stream.launch(
                "fr", "matrix_long_rows", len(self._long), _BLOCK, row, *arrays, (witness,), first, n, (out,)
            )  # fmt: skip
        return leases
