"""Linear expressions: what a circuit definition computes with.

An expression is a sum of coefficient * wire over Fr, wire 0 being the constant one. Inside a definition wires have
local numbers: 0 one, k + 1 the k-th wire made here, -(k + 1) the k-th input. Sums and multiples by constants cost
nothing; a product of two expressions costs one constraint and one wire.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from ..errors import CircuitError
from ..types import R

if TYPE_CHECKING:
    from .builder import Circuit


class Expr:
    """An immutable linear expression of one circuit or gadget trace; `+ - *` with expressions and integers."""

    __slots__ = ("_operand", "_spent", "_wire", "circuit", "terms")

    def __init__(self, circuit: Circuit, terms: dict[int, int]) -> None:
        self.circuit = circuit
        self.terms = terms
        """wire -> coefficient in [1, r); no zero coefficients."""
        self._operand = -1
        self._spent = 0
        self._wire: Expr | None = None

    def _like(self, circuit: Circuit, terms: dict[int, int]) -> Self:
        """The same kind of expression over other wires (as templates are stamped out)."""
        return type(self)(circuit, terms)

    def _kind(self) -> object:
        """What a gadget's template depends on besides the wires."""
        return type(self)

    @property
    def is_constant(self) -> bool:
        """Whether no wire but the constant one occurs."""
        terms = self.terms
        return not terms or (len(terms) == 1 and 0 in terms)

    @property
    def constant(self) -> int:
        """The constant term, in [0, r)."""
        return self.terms.get(0, 0)

    def __add__(self, other: Expr | int) -> Expr:
        terms = dict(self.terms)
        if isinstance(other, Expr):
            self._same_circuit(other)
            if len(other.terms) > len(terms):
                terms, added = dict(other.terms), self.terms
            else:
                added = other.terms
            for wire, coefficient in added.items():
                total = (terms.get(wire, 0) + coefficient) % R
                if total:
                    terms[wire] = total
                else:
                    del terms[wire]
        elif isinstance(other, int):
            total = (terms.get(0, 0) + other) % R
            if total:
                terms[0] = total
            else:
                terms.pop(0, None)
        else:
            return NotImplemented
        return Expr(self.circuit, terms)

    __radd__ = __add__

    def __neg__(self) -> Expr:
        return Expr(self.circuit, {wire: R - coefficient for wire, coefficient in self.terms.items()})

    def __sub__(self, other: Expr | int) -> Expr:
        if isinstance(other, Expr | int):
            return self + (-other)
        return NotImplemented

    def __rsub__(self, other: int) -> Expr:
        return (-self) + other

    def __mul__(self, other: Expr | int) -> Expr:
        if isinstance(other, int):
            factor = other % R
            if factor == 1:
                return Expr(self.circuit, self.terms)
            if factor == 0:
                return Expr(self.circuit, {})
            return Expr(self.circuit, {wire: c * factor % R for wire, c in self.terms.items()})
        if isinstance(other, Expr):
            self._same_circuit(other)
            if other.is_constant:
                return self * other.constant
            if self.is_constant:
                return other * self.constant
            return self.circuit.product(self, other)
        return NotImplemented

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        raise CircuitError("expressions have no value yet: use assert_equal or gadgets.compare.is_equal, not ==")

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise CircuitError("an expression has no value while the circuit is built: use gadgets.select, not if")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.terms)} terms>"

    def _same_circuit(self, other: Expr) -> None:
        if self.circuit is not other.circuit:
            raise CircuitError("an expression of another circuit or gadget: pass it as an argument instead")


class Bit(Expr):
    """An expression that its maker has constrained to 0 or 1. Arithmetic on it gives plain expressions."""

    __slots__ = ()

    @classmethod
    def trust(cls, expr: Expr) -> Bit:
        """Claims that `expr` can only be 0 or 1; sound only where existing constraints imply it."""
        return cls(expr.circuit, expr.terms)


def require_bits(*bits: Expr) -> None:
    """`CircuitError` unless each is a `Bit`: what a gadget that is only sound for bits asks of its arguments."""
    for bit in bits:
        if not isinstance(bit, Bit):
            raise CircuitError("a bit is needed here: prove one with boolean.assert_bit, or get it from a gadget")


class Uint(Expr):
    """An expression that its maker has constrained to [0, 2^bits), bits <= 252 so that sums of two cannot wrap."""

    __slots__ = ("bits",)

    def __init__(self, circuit: Circuit, terms: dict[int, int], bits: int = 0) -> None:
        super().__init__(circuit, terms)
        self.bits = bits

    @classmethod
    def trust(cls, expr: Expr, bits: int) -> Uint:
        """Claims that `expr` is below 2^bits; sound only where existing constraints imply it."""
        if not 0 <= bits <= 252:
            raise CircuitError(f"an unsigned integer has at most 252 bits, not {bits}")
        return cls(expr.circuit, expr.terms, bits)

    def _like(self, circuit: Circuit, terms: dict[int, int]) -> Uint:
        return Uint(circuit, terms, self.bits)

    def _kind(self) -> object:
        return (Uint, self.bits)


def linear_sum(items: Iterable[tuple[Expr, int]], constant: int = 0) -> Expr:
    """sum of expr * coefficient + constant in O(total terms); at least one item."""
    terms: dict[int, int] = {0: constant % R}
    circuit: Circuit | None = None
    for expr, factor in items:
        if circuit is not None and expr.circuit is not circuit:
            raise CircuitError("an expression of another circuit or gadget: pass it as an argument instead")
        circuit = expr.circuit
        for wire, coefficient in expr.terms.items():
            terms[wire] = terms.get(wire, 0) + coefficient * factor
    if circuit is None:
        raise CircuitError("a sum needs at least one expression")
    return Expr(circuit, {wire: c for wire, raw in terms.items() if (c := raw % R)})
