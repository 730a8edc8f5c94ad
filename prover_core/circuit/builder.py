"""The recorder behind a definition: every product and assertion becomes a row, every value a tape instruction.

One `Circuit` records the main definition; each gadget's template is recorded once by another one (see `template`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from ..errors import CircuitError
from ..types import R
from ..witness.opcodes import CONSTANT, INPUT, KIND_SHIFT, MAX_BITS, TEMP, TO_WIRES, WIRE, Op
from ..witness.program import InputSpec
from .expr import Expr
from .stamping import OUTPUT_COLUMN
from .values import ValueTable

if TYPE_CHECKING:
    from .template import Template

MATERIALISE_AFTER = 256
"""Non-zeros of A and B that repeated use of one expression may cost before it gets a wire of its own.

A row costs about 12 µs of proving and some 400 key bytes, a non-zero about 40 ns and 44 key bytes: a wire pays after
300 non-zeros in time and after 9 in bytes. Buying once the rent has reached the price costs at most twice the optimum.
"""


class Advice:
    """A value the tape computes that is not a wire: it can feed hints, never constraints."""

    __slots__ = ("circuit", "operand")

    def __init__(self, circuit: Circuit, operand: int) -> None:
        self.circuit = circuit
        self.operand = operand


Value = Expr | Advice | int
V = TypeVar("V")


class Hints(Generic[V]):
    """The closed set of operations a witness may use. Their results are NOT constrained; the caller must do that."""

    def __init__(self, circuit: Circuit, emit: Callable[[Op, tuple[int, ...], int], list[V]]) -> None:
        self._circuit = circuit
        self._emit = emit

    def linear(self, terms: Sequence[tuple[Value, int]], constant: int = 0) -> V:
        """sum of value * coefficient + constant."""
        c = self._circuit
        words = [len(terms), c.session.table.add(constant % R)]
        for value, coefficient in terms:
            words += (c.operand(value), c.session.table.add(coefficient % R))
        return self._emit(Op.LINEAR, tuple(words), 1)[0]

    def copy(self, value: Value) -> V:
        """The value itself, as a new wire or advice."""
        return self.linear([(value, 1)])

    def product(self, a: Value, b: Value) -> V:
        """a * b."""
        return self._binary(Op.PRODUCT, a, b)[0]

    def inverse(self, a: Value) -> V:
        """1 / a, or 0 where a = 0."""
        return self._emit(Op.INVERSE, (self._circuit.operand(a),), 1)[0]

    def quotient(self, a: Value, b: Value) -> V:
        """a / b in the field, or 0 where b = 0."""
        return self._binary(Op.QUOTIENT, a, b)[0]

    def bits(self, a: Value, n: int) -> list[V]:
        """The n low bits of the canonical integer, least first; n <= 254."""
        if not 1 <= n <= MAX_BITS:
            raise CircuitError(f"{n} bits of a field element: 1 to {MAX_BITS} make sense")
        return self._emit(Op.BITS, (n, self._circuit.operand(a)), n)

    def divmod(self, a: Value, b: Value) -> tuple[V, V]:
        """Integer quotient and remainder of canonical integers; (0, a) where b = 0."""
        quotient, remainder = self._binary(Op.DIVMOD, a, b, 2)
        return quotient, remainder

    def less(self, a: Value, b: Value) -> V:
        """1 if a < b as canonical integers, else 0."""
        return self._binary(Op.LESS, a, b)[0]

    def select(self, s: Value, a: Value, b: Value) -> V:
        """a where s is not 0, else b."""
        c = self._circuit
        return self._emit(Op.SELECT, (c.operand(s), c.operand(a), c.operand(b)), 1)[0]

    def _binary(self, op: Op, a: Value, b: Value, results: int = 1) -> list[V]:
        return self._emit(op, (self._circuit.operand(a), self._circuit.operand(b)), results)


@dataclass(slots=True)
class Matrix:
    """One matrix's own rows while they are recorded."""

    length: array[int] = field(default_factory=lambda: array("i"))
    col: array[int] = field(default_factory=lambda: array("i"))
    value: array[int] = field(default_factory=lambda: array("I"))


@dataclass(slots=True)
class Call:
    """One use of a template: where its rows and wires go, and what its inputs are."""

    template: Template
    row_base: int
    wire_base: int
    inputs: list[dict[int, int]]


class Session:
    """What all recordings of one compilation share."""

    def __init__(self) -> None:
        self.table = ValueTable()
        self.templates: dict[object, Template] = {}
        self.routines: list[Template] = []


class Circuit:
    """What a definition receives. Expressions of it are linear; see `Expr`."""

    def __init__(self, session: Session, name: str, *, main: bool) -> None:
        self.session = session
        self.name = name
        self.main = main
        self.inputs: list[InputSpec] = []
        self.outputs: list[InputSpec] = []
        self.n_inputs = 0
        self.n_outputs = 0
        self.n_rows = 0
        self.n_wires = 0
        self.n_temps = 0
        self.a, self.b, self.c = Matrix(), Matrix(), Matrix()
        self.own_rows = array("q")
        self.calls: list[Call] = []
        self.code = array("I")
        self.label_events: list[tuple[int, str, Template | None]] = []
        self.hint: Hints[Expr] = Hints(self, self._emit_wires)
        """Hints whose results are new wires, unconstrained until the caller constrains them."""
        self.advice: Hints[Advice] = Hints(self, self._emit_temps)
        """Hints whose results only feed other hints."""
        self._scope = "" if main else name
        self._last_label: str | None = None
        self._in_b = bytearray()

    # Signals

    @overload
    def public(self, name: str) -> Expr: ...
    @overload
    def public(self, name: str, size: int) -> list[Expr]: ...
    def public(self, name: str, size: int | None = None) -> Expr | list[Expr]:
        """A public input signal; with `size`, a list of field elements."""
        return self._input(name, size, public=True)

    @overload
    def private(self, name: str) -> Expr: ...
    @overload
    def private(self, name: str, size: int) -> list[Expr]: ...
    def private(self, name: str, size: int | None = None) -> Expr | list[Expr]:
        """A private input signal; with `size`, a list of field elements."""
        return self._input(name, size, public=False)

    def output(self, name: str, value: Expr | int | Sequence[Expr | int]) -> None:
        """A public output signal equal to `value`; one linear row an element."""
        self._only_main("outputs")
        if any(spec.name == name for spec in self.outputs) or not name:
            raise CircuitError(f"output {name!r} is defined twice or has no name")
        values = list(value) if isinstance(value, Sequence) else [value]
        self.outputs.append(InputSpec(name, len(values), True))
        with self.scope(f"output {name}"):
            for item in values:
                expr = self._expr(item)
                self._code(Op.OUTPUT, (self.operand(expr),))
                self._row({}, {}, {**expr.terms, OUTPUT_COLUMN - self.n_outputs: R - 1}, "")
                self.n_outputs += 1

    def constant(self, value: int) -> Expr:
        """The constant `value` mod r as an expression."""
        return Expr(self, {0: value % R} if value % R else {})

    # Constraints

    def product(self, a: Expr, b: Expr, label: str = "") -> Expr:
        """a * b as a new wire: one row. The same as `a * b`, with a label."""
        code = (self.operand(a), self.operand(b))
        self._code(Op.PRODUCT, code, TO_WIRES)
        wire = self._new_wire()
        self._row(self._rent(a), self._rent(b), {wire: 1}, label)
        return Expr(self, {wire: 1})

    def assert_equal(self, a: Expr | int, b: Expr | int, label: str = "") -> None:
        """One linear row a = b, which costs no non-zeros in A and B; nothing if they are the same expression."""
        difference = self._expr(a) - b
        if difference.is_constant:
            if difference.constant:
                raise CircuitError(f"{self._label(label)}: two different constants can never be equal")
            return
        self._code(Op.CHECK_ZERO, (self.n_rows, self.operand(difference)))
        self._row({}, {}, difference.terms, label)

    def assert_zero(self, a: Expr, label: str = "") -> None:
        """One linear row a = 0."""
        self.assert_equal(a, 0, label)

    def assert_product(
        self, a: Expr | int, b: Expr | int, c: Expr | int, label: str = "", *, early: bool = True
    ) -> None:
        """One row a * b = c. With `early` the tape checks it too, and so names a bad input before its row closes."""
        left, right, result = self._expr(a), self._expr(b), self._expr(c)
        if left.is_constant or right.is_constant:
            self.assert_equal(left * right, result, label)
            return
        if early:
            words = (self.n_rows, self.operand(left), self.operand(right), self.operand(result))
            self._code(Op.CHECK_PRODUCT, words)
        self._row(self._rent(left), self._rent(right), result.terms, label)

    def materialise(self, a: Expr, label: str = "") -> Expr:
        """A wire equal to `a`: one linear row. Pays where a long expression is used often; see MATERIALISE_AFTER."""
        if len(a.terms) == 1 and a.terms.get(0, 0) == 0 and 1 in a.terms.values():
            return a
        wire = self.hint.copy(a)
        self._row({}, {}, (a - wire).terms, label)
        return wire

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names the rows inside: an unsatisfied row reads `outer: name: label`."""
        outer = self._scope
        self._scope = f"{outer}: {name}" if outer else name
        try:
            yield
        finally:
            self._scope = outer

    # Recording

    def operand(self, value: Value) -> int:
        """Where the tape finds a value; a linear expression is computed into a temporary once."""
        if isinstance(value, int):
            return CONSTANT << KIND_SHIFT | self.session.table.add(value % R)
        if value.circuit is not self:
            raise CircuitError("a value of another circuit or gadget: pass it as an argument instead")
        if isinstance(value, Advice):
            return value.operand
        if value._operand < 0:
            value._operand = self._operand_of(value.terms)
        return value._operand

    def _operand_of(self, terms: dict[int, int]) -> int:
        if not terms:
            return CONSTANT << KIND_SHIFT
        if len(terms) == 1:
            ((wire, coefficient),) = terms.items()
            if wire == 0:
                return CONSTANT << KIND_SHIFT | self.session.table.add(coefficient)
            if coefficient == 1:
                return _place(wire)
        add = self.session.table.add
        words = [len(terms) - (0 in terms), add(terms.get(0, 0))]
        for wire, coefficient in terms.items():
            if wire:
                words += (_place(wire), add(coefficient))
        return self._emit_temps(Op.LINEAR, tuple(words), 1)[0].operand

    def _emit_wires(self, op: Op, words: tuple[int, ...], results: int) -> list[Expr]:
        self._code(op, words, TO_WIRES)
        return [Expr(self, {self._new_wire(): 1}) for _ in range(results)]

    def _emit_temps(self, op: Op, words: tuple[int, ...], results: int) -> list[Advice]:
        self._code(op, words)
        first = self.n_temps
        self.n_temps += results
        return [Advice(self, TEMP << KIND_SHIFT | first + k) for k in range(results)]

    def _code(self, op: Op, words: tuple[int, ...], flags: int = 0) -> None:
        self.code.append(op | flags)
        self.code.extend(words)

    def _new_wire(self) -> int:
        self.n_wires += 1
        return self.n_wires

    def _expr(self, value: Expr | int) -> Expr:
        if isinstance(value, int):
            return self.constant(value)
        if value.circuit is not self:
            raise CircuitError("an expression of another circuit or gadget: pass it as an argument instead")
        return value

    def _rent(self, expr: Expr) -> dict[int, int]:
        """The terms to use in A or B, or the wire that replaces them once they have been used often enough."""
        terms = expr.terms
        if len(terms) <= 2:
            return terms
        if expr._wire is None:
            if expr._spent and expr._spent + len(terms) > MATERIALISE_AFTER:
                expr._wire = self.materialise(expr)
            else:
                expr._spent += len(terms)
                return terms
        return expr._wire.terms

    def passed(self, expr: Expr, uses: int) -> Expr:
        """What a call passes for `expr` when the callee's A and B name that input `uses` times."""
        terms = expr.terms
        if len(terms) <= 2 and uses <= MATERIALISE_AFTER:
            return expr
        if expr._wire is None:
            cost = (len(terms) - 1) * uses
            if expr._spent + cost <= MATERIALISE_AFTER:
                expr._spent += cost
                return expr
            expr._wire = self.materialise(expr)
        return expr._wire

    def _row(self, a: dict[int, int], b: dict[int, int], c: dict[int, int], label: str) -> None:
        # B also lives in G2, the dearest group: the shorter side goes there, or the one that is there already.
        if len(b) > len(a) or (len(a) == 1 == len(b) and self._is_in_b(a) and not self._is_in_b(b)):
            a, b = b, a
        if len(b) == 1:
            self._mark_in_b(b)
        text = self._label(label)
        if text != self._last_label:
            self._last_label = text
            self.label_events.append((self.n_rows, text, None))
        self.own_rows.append(self.n_rows)
        self.n_rows += 1
        add = self.session.table.add
        for matrix, terms in ((self.a, a), (self.b, b), (self.c, c)):
            matrix.length.append(len(terms))
            for wire, coefficient in terms.items():
                matrix.col.append(wire)
                matrix.value.append(1 if coefficient == 1 else add(coefficient))

    def record_call(self, call: Call) -> None:
        """Appends a template's rows, wires and tape call; `template.gadget` is the caller."""
        template = call.template
        self._code(Op.CALL, (template.routine, self.n_rows, *(self._operand_of(terms) for terms in call.inputs)))
        if template.n_rows:
            self.label_events.append((self.n_rows, self._scope, template))
            self._last_label = None
        self.calls.append(call)
        self.n_rows += template.n_rows
        self.n_wires += template.n_wires

    def _is_in_b(self, terms: dict[int, int]) -> bool:
        (wire,) = terms
        return 0 < wire < len(self._in_b) and self._in_b[wire] != 0

    def _mark_in_b(self, terms: dict[int, int]) -> None:
        (wire,) = terms
        if wire > 0:
            if wire >= len(self._in_b):
                self._in_b.extend(bytes(wire + 1024))
            self._in_b[wire] = 1

    def _label(self, label: str) -> str:
        if not label:
            return self._scope
        return f"{self._scope}: {label}" if self._scope else label

    def _input(self, name: str, size: int | None, *, public: bool) -> Expr | list[Expr]:
        self._only_main("input signals")
        if not name or any(spec.name == name for spec in self.inputs):
            raise CircuitError(f"input {name!r} is defined twice or has no name")
        count = 1 if size is None else size
        if count < 0:
            raise CircuitError(f"input {name!r} has a negative size")
        self.inputs.append(InputSpec(name, count, public))
        exprs = [self.new_input() for _ in range(count)]
        return exprs[0] if size is None else exprs

    def new_input(self) -> Expr:
        """The next input of this recording."""
        self.n_inputs += 1
        return Expr(self, {-self.n_inputs: 1})

    def _only_main(self, what: str) -> None:
        if not self.main:
            raise CircuitError(f"a gadget cannot define {what}: it receives arguments and returns expressions")


def _place(wire: int) -> int:
    return WIRE << KIND_SHIFT | wire - 1 if wire > 0 else INPUT << KIND_SHIFT | -wire - 1
