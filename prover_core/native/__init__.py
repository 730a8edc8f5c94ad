"""The CPU backend: BN254 in C++ behind `Backend`. The same results on every processor, faster where it has mulx and adx."""

from __future__ import annotations

from ._backend import CpuBackend

__all__ = ["CpuBackend"]
