"""Circuits written in Python: R1CS and witness tape from one definition."""

from .builder import Advice, Circuit
from .compiled import CompiledCircuit, compile_circuit
from .expr import Bit, Expr, Uint, linear_sum
from .template import gadget

__all__ = [
    "Advice",
    "Bit",
    "Circuit",
    "CompiledCircuit",
    "Expr",
    "Uint",
    "compile_circuit",
    "gadget",
    "linear_sum",
]
