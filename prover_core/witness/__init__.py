"""Witness programs (the DSL's tape, circom's wasm) and the check of constraint rows as wires become final."""

from .program import Inputs, InputSpec, WireSlice, WitnessProgram
from .rows import RowChecker, RowPlan
from .tape import Tape, check_tape
from .vm import TapeProgram
from .wasm import WasmLimits, WasmProgram

__all__ = [
    "InputSpec",
    "Inputs",
    "RowChecker",
    "RowPlan",
    "Tape",
    "TapeProgram",
    "WasmLimits",
    "WasmProgram",
    "WireSlice",
    "WitnessProgram",
    "check_tape",
]
