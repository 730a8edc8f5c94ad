"""Gadgets: traced once per static parameters into a template, then only recorded, and stamped out at the end."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np
import numpy.typing as npt

from ..errors import CircuitError
from ..types import R
from .builder import Advice, Call, Circuit, Matrix, Session
from .expr import Expr
from .stamping import Piece, Rows, Substitution, assemble, stamp
from .values import ValueTable

P = ParamSpec("P")
T = TypeVar("T")

Labels = list[tuple[int, str]]


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A recording with its calls stamped out: three matrices in local columns, and the names of their rows."""

    a: Rows
    b: Rows
    c: Rows
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One gadget for one choice of static parameters."""

    name: str
    routine: int
    n_inputs: int
    n_rows: int
    n_wires: int
    body: Body
    uses: list[int]
    """How often A and B name each input."""
    result: object
    code: npt.NDArray[np.uint32]


def gadget(function: Callable[Concatenate[Circuit, P], T]) -> Callable[Concatenate[Circuit, P], T]:
    """Makes `function(c, ...)` a gadget: recorded once for each shape and each value of its non-expression arguments.

    Arguments: expressions, and lists, tuples or frozen dataclasses of them, are inputs; everything else is static and
    must be hashable. Inputs need not be wires: linear expressions are substituted into the stamped rows, unless
    substitution would add more than MATERIALISE_AFTER non-zeros to A and B, when a wire is made first.
    Results: expressions, and the same containers. Inputs, outputs and outer expressions are refused inside.
    """
    name = function.__name__.strip("_").replace("_", " ")

    @functools.wraps(function)
    def wrapper(c: Circuit, /, *args: P.args, **kwargs: P.kwargs) -> T:
        actual: list[Expr] = []
        shape = (_shape(args, actual), _shape(kwargs, actual))
        key = (function, shape)
        template = c.session.templates.get(key)
        if template is None:
            template = _trace(c.session, name, function, args, kwargs)
            c.session.templates[key] = template
        for expr in actual:
            if expr.circuit is not c:
                raise CircuitError(f"{name} receives an expression of another circuit or gadget")
        inputs = [c.passed(expr, uses).terms for expr, uses in zip(actual, template.uses, strict=True)]
        call = Call(template, c.n_rows, c.n_wires, inputs)
        c.record_call(call)
        return cast(T, _map(template.result, lambda expr: _instantiate(c, expr, call)))

    return wrapper


def flatten(c: Circuit) -> Body:
    """Stamps out all calls of a recording, grouped by template; own rows go between them where they were recorded."""
    table = c.session.table
    groups: dict[int, list[Call]] = {}
    for call in c.calls:
        if call.template.n_rows:
            groups.setdefault(call.template.routine, []).append(call)
    own = np.array(c.own_rows, dtype=np.int64)
    stamped: list[list[Piece]] = [[_own_piece(own, m)] for m in (c.a, c.b, c.c)]
    for calls in groups.values():
        body = calls[0].template.body
        substitution = _substitution(calls, table)
        row_base = np.fromiter((call.row_base for call in calls), dtype=np.int64, count=len(calls))
        for pieces, rows in zip(stamped, (body.a, body.b, body.c), strict=True):
            pieces.extend(stamp(rows, row_base, substitution, table))
    a, b, d = (assemble(c.n_rows, pieces) for pieces in stamped)
    _refuse_free_wires(c, (a, b, d))
    return Body(a, b, d, _labels(c))


def _own_piece(own: npt.NDArray[np.int64], matrix: Matrix) -> Piece:
    return Piece(
        own,
        np.array(matrix.length, dtype=np.int32),
        np.array(matrix.col, dtype=np.int32),
        np.array(matrix.value, dtype=np.uint32),
    )


def _substitution(calls: list[Call], table: ValueTable) -> Substitution:
    col: list[int] = []
    value: list[int] = []
    start: list[int] = []
    length: list[int] = []
    for call in calls:
        for terms in call.inputs:
            start.append(len(col))
            length.append(len(terms))
            col.extend(terms)
            value.extend(table.add(coefficient) for coefficient in terms.values())
    shape = (len(calls), calls[0].template.n_inputs)
    return Substitution(
        np.fromiter((call.wire_base for call in calls), dtype=np.int32, count=len(calls)),
        np.array(start, dtype=np.int64).reshape(shape),
        np.array(length, dtype=np.int64).reshape(shape),
        np.array(col, dtype=np.int32),
        np.array(value, dtype=np.uint32),
    )


def _refuse_free_wires(c: Circuit, matrices: tuple[Rows, Rows, Rows]) -> None:
    seen = np.zeros(c.n_wires + 1, dtype=bool)
    for rows in matrices:
        seen[rows.col[rows.col > 0]] = True
    free = np.flatnonzero(~seen[1:])
    if len(free):
        raise CircuitError(f"{c.name}: wire {free[0]} of its own is assigned by a hint but in no constraint")


def _labels(c: Circuit) -> Labels:
    labels: Labels = []
    last: str | None = None
    for row, text, template in c.label_events:
        inner: Labels = [(0, text)] if template is None else template.body.labels
        for offset, name in inner:
            full = name if template is None or not text else f"{text}: {name}"
            if full != last:
                labels.append((row + offset, full))
                last = full
    return labels


def _trace(
    session: Session, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Template:
    inner = Circuit(session, name, main=False)

    def fresh(expr: Expr) -> Expr:
        return expr._like(inner, inner.new_input().terms)

    result = function(inner, *_map(args, fresh), **{key: _map(value, fresh) for key, value in kwargs.items()})
    _map(result, lambda expr: _own(inner, expr))
    body = flatten(inner)
    uses = np.zeros(inner.n_inputs + 1, dtype=np.int64)
    for rows in (body.a, body.b):
        uses += np.bincount(-rows.col[rows.col < 0], minlength=inner.n_inputs + 1)
    template = Template(
        name,
        len(session.routines),
        inner.n_inputs,
        inner.n_rows,
        inner.n_wires,
        body,
        uses[1:].tolist(),
        result,
        np.array(inner.code, dtype=np.uint32),
    )
    session.routines.append(template)
    return template


def _own(inner: Circuit, expr: Expr) -> Expr:
    if expr.circuit is not inner:
        raise CircuitError(f"{inner.name} returns an expression of another circuit or gadget")
    return expr


def _instantiate(c: Circuit, expr: Expr, call: Call) -> Expr:
    """A template's expression in the caller's wires."""
    terms: dict[int, int] = {}
    for wire, coefficient in expr.terms.items():
        if wire > 0:
            terms[wire + call.wire_base] = coefficient
        elif wire == 0:
            terms[0] = (terms.get(0, 0) + coefficient) % R
        else:
            for outer, factor in call.inputs[-wire - 1].items():
                terms[outer] = (terms.get(outer, 0) + coefficient * factor) % R
    if 0 in terms.values():
        terms = {wire: coefficient for wire, coefficient in terms.items() if coefficient}
    return expr._like(c, terms)


def _shape(value: object, found: list[Expr]) -> Hashable:
    """A hashable picture of an argument with its expressions taken out, which `found` collects in order."""
    if isinstance(value, Expr):
        found.append(value)
        return value._kind()
    if isinstance(value, list | tuple):
        return (type(value), *(_shape(item, found) for item in value))
    if isinstance(value, dict):
        return (dict, *((key, _shape(item, found)) for key, item in value.items()))
    if isinstance(value, Advice):
        raise CircuitError("advice cannot be passed to a gadget: make it a wire with hint.copy first")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (type(value), *(_shape(getattr(value, f.name), found) for f in dataclasses.fields(value)))
    if not isinstance(value, Hashable):
        raise CircuitError(f"a gadget's static argument of type {type(value).__name__} is not hashable")
    return (type(value), value)


def _map(value: Any, change: Callable[[Expr], Expr]) -> Any:
    """The same containers with every expression changed."""
    if isinstance(value, Expr):
        return change(value)
    if isinstance(value, tuple):
        items = [_map(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [_map(item, change) for item in value]
    if isinstance(value, Advice):
        raise CircuitError("a gadget cannot return advice: return a wire")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: _map(getattr(value, f.name), change) for f in dataclasses.fields(value)})
    return value
