"""The table of distinct field values that a compilation shares between its matrices and its tape."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..types import FrVector, R


class ValueTable:
    """Distinct values in [0, r), numbered in order of first use; 0, 1 and -1 come first."""

    def __init__(self) -> None:
        self.index: dict[int, int] = {0: 0, 1: 1, R - 1: 2}
        self.values: list[int] = [0, 1, R - 1]

    def add(self, value: int) -> int:
        """The number of `value`, which must be in [0, r)."""
        found = self.index.get(value)
        if found is None:
            found = self.index[value] = len(self.values)
            self.values.append(value)
        return found

    def products(self, a: npt.NDArray[np.uint32], b: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Elementwise products of numbered values; one field product a distinct pair, the rest numpy."""
        pairs, inverse = np.unique(a.astype(np.uint64) << np.uint64(32) | b, return_inverse=True)
        table = np.fromiter(
            (self.add(self.values[pair >> 32] * self.values[pair & 0xFFFFFFFF] % R) for pair in pairs.tolist()),
            dtype=np.uint32,
            count=len(pairs),
        )
        return table[inverse]

    def total(self, numbers: list[int]) -> int:
        """The number of the sum of numbered values."""
        return self.add(sum(self.values[n] for n in numbers) % R)

    def vector(self) -> FrVector:
        return FrVector.from_ints(self.values)
