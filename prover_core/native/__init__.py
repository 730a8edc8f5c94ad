"""The CPU backend: BN254 in C++ behind `Backend`. Faster where there are mulx and adx, everywhere the same."""

from __future__ import annotations

from ._backend import CpuBackend

__all__ = ["CpuBackend"]
