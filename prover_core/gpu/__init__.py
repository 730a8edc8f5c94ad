"""The CUDA backend: one GPU through CuPy, with the CPU for what is small and for what fails."""

from __future__ import annotations

from .backend import CudaBackend

__all__ = ["CudaBackend"]
