"""Witness programs (the DSL's tape, circom's wasm) and the check of constraint rows as wires become final."""

from .program import Inputs, InputSpec, WireSlice, WitnessProgram
from .rows import RowChecker, RowPlan
from .wasm import WasmLimits, WasmProgram

__all__ = [
    "InputSpec",
    "Inputs",
    "RowChecker",
    "RowPlan",
    "WasmLimits",
    "WasmProgram",
    "WireSlice",
    "WitnessProgram",
]
