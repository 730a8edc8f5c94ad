"""Distinct coefficients: circuits use few values many times, so matrices index a table of them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ..types import FrVector, Limbs

# Odd multipliers of an arbitrary mixing of four limbs; collisions are detected, so any would be correct.
_MIX: Final = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64
)


def value_table(coefficients: Limbs) -> tuple[FrVector, npt.NDArray[np.uint32]]:
    """(distinct values, index of each coefficient among them), so that values[index] == coefficients.

    Sorts one 64-bit mix a coefficient, O(n log n); falls back to sorting whole values should two of them collide.
    """
    mixed = (coefficients * _MIX).sum(axis=1, dtype=np.uint64)
    mixed ^= mixed >> np.uint64(29)
    _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
    values = coefficients[first]
    if not np.array_equal(values[inverse], coefficients):
        whole = np.ascontiguousarray(coefficients).view([("limbs", "V32")]).reshape(-1)
        _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
        values = coefficients[first]
    return FrVector(np.ascontiguousarray(values)), inverse.astype(np.uint32)
