"""What a processor is called. Imports nothing but the compiled module."""

from __future__ import annotations

from . import _native


def device_name(threads: int, *, scalar: bool = False) -> str:
    """For people: model, instruction set, threads."""
    unit = "thread" if threads == 1 else "threads"
    return f"{_native.cpu_model()}, {'scalar' if scalar else _native.cpu_isa()}, {threads} {unit}"
