"""The CPU backend: BN254 in C++ behind `Backend`. Faster where there are mulx and adx, everywhere the same.

`CpuBackend` loads on first use: `prover_core.direct` takes the compiled module alone, without numpy.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._backend import CpuBackend

__all__ = ["CpuBackend"]


def __getattr__(name: str) -> object:
    if name != "CpuBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._backend import CpuBackend

    return CpuBackend
