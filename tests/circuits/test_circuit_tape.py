"""The native machine against the interpreter, and tapes from outside: only safe ones run."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
from catalogue import CASES, Case, define_asserts, define_eddsa, define_merkle, define_select
from hypothesis import given, settings
from hypothesis import strategies as st

from prover_core.circuit import Circuit, CompiledCircuit, compile_circuit, gadget
from prover_core.circuit.expr import Expr
from prover_core.errors import FormatError, InvalidInputError, UnsatisfiedError
from prover_core.formats.tape import read_tape, write_tape
from prover_core.types import FrVector, R
from prover_core.witness import Inputs, Tape, TapeProgram, WireSlice, check_tape
from prover_core.witness.interpreter import interpret
from prover_core.witness.opcodes import Op
from prover_core.witness.tape import bind_inputs

IDS = [case.name for case in CASES]


def collect(slices: list[WireSlice], n_wires: int) -> list[int]:
    witness: list[int | None] = [None] * n_wires
    for piece in slices:
        for k, value in enumerate(piece.values.to_ints()):
            assert witness[piece.offset + k] is None, "a wire was emitted twice"
            witness[piece.offset + k] = value
    assert None not in witness, "a wire was never emitted"
    return [w for w in witness if w is not None]


def native(circuit: CompiledCircuit, inputs: Inputs, slice_wires: int = 97) -> list[int]:
    program = TapeProgram(circuit.tape)
    return collect(list(program.run(inputs, slice_wires=slice_wires)), program.n_wires)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_native_witness_is_the_plain_one(case: Case) -> None:
    circuit = compile_circuit(case.define, name=case.name)
    assert native(circuit, case.inputs) == circuit.evaluate(case.inputs)


def every_operation(c: Circuit) -> None:
    a, b = c.private("a"), c.private("b")
    hint = c.hint
    results = [
        hint.linear([(a, 5), (b, -1), (c.advice.product(a, b), 1)], 77),
        hint.product(a, b),
        hint.inverse(a),
        hint.quotient(a, b),
        *hint.bits(a, 254),
        *hint.divmod(a, b),
        hint.less(a, b),
        hint.select(a, b, 3),
        hint.copy(a - b),
    ]
    c.output("all", results)


WORDS = st.one_of(
    st.integers(0, R - 1),
    st.integers(0, 2**70),
    st.sampled_from([0, 1, 2, R - 1, 2**64 - 1, 2**64, 2**128, 2**192 + 5]),
)


@settings(max_examples=60, deadline=None)
@given(a=WORDS, b=WORDS)
def test_every_operation_agrees(a: int, b: int) -> None:
    circuit = _every_operation()
    inputs = {"a": a, "b": b}
    plain = interpret(circuit.tape, bind_inputs(circuit.inputs, inputs))
    assert native(circuit, inputs) == plain
    assert tuple(plain[1 + 4 + 254 : 1 + 6 + 254]) == (divmod(a, b) if b else (0, a))


_CACHE: dict[str, CompiledCircuit] = {}


def _every_operation() -> CompiledCircuit:
    if not _CACHE:
        _CACHE["all"] = compile_circuit(every_operation, name="operations")
    return _CACHE["all"]


def test_the_body_comes_in_order_and_the_head_last_where_outputs_wait() -> None:
    circuit = compile_circuit(define_merkle, name="merkle")
    case = next(case for case in CASES if case.name == "merkle")
    slices = list(TapeProgram(circuit.tape).run(case.inputs, slice_wires=100))
    head = circuit.r1cs.n_public + 1
    assert [s.offset for s in slices] == [*range(head, circuit.r1cs.n_wires, 100), 0]
    assert len(slices[-1].values) == head


def test_the_head_comes_first_where_there_are_no_outputs() -> None:
    circuit = compile_circuit(define_eddsa, name="eddsa")
    case = next(case for case in CASES if case.name == "eddsa")
    slices = TapeProgram(circuit.tape).run(case.inputs, slice_wires=1000)
    assert next(slices).offset == 0
    assert next(slices).offset == circuit.r1cs.n_public + 1


def test_a_slice_leaves_before_the_inputs_are_found_inconsistent() -> None:
    def define(c: Circuit) -> None:
        x = c.private("x")
        y = x
        for _ in range(50):
            y = y * x
        c.assert_equal(y, 1, "last")

    slices = TapeProgram(compile_circuit(define, name="late").tape).run({"x": 2}, slice_wires=10)
    assert next(slices).offset == 0
    assert next(slices).values.to_ints()[:3] == [2, 4, 8]
    with pytest.raises(UnsatisfiedError, match="last") as caught:
        list(slices)
    assert caught.value.row == 50


@pytest.mark.parametrize(
    ("define", "inputs"),
    [
        (define_asserts, {"a": 0, "b": 3}),
        (define_asserts, {"a": 9, "b": 2}),
        (define_select, {"bits": [1, 3], "a": 1, "b": 2, "index": 0}),
    ],
)
def test_the_tape_names_the_row_it_refuses(define: object, inputs: dict[str, object]) -> None:
    circuit = compile_circuit(define, name="refused")  # type: ignore[arg-type]
    with pytest.raises(UnsatisfiedError) as plain:
        circuit.evaluate(inputs)
    with pytest.raises(UnsatisfiedError) as fast:
        native(circuit, inputs)
    assert (plain.value.row, plain.value.label) == (fast.value.row, fast.value.label)
    assert plain.value.label


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"a": 1}, "b"),
        ({"a": 1, "b": 2, "d": 3}, "d"),
        ({"a": [1, 2], "b": 2}, "a"),
        ({"a": 1, "b": R}, "b"),
        ({"a": 1, "b": "zwei"}, "b"),
        ({"a": 1, "b": 2.5}, "b"),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, object], field: str) -> None:
    circuit = compile_circuit(define_asserts, name="inputs")
    for attempt in (circuit.evaluate, TapeProgram(circuit.tape).run):
        with pytest.raises(InvalidInputError) as caught:
            attempt(inputs)
        assert caught.value.field == field


def test_threads_share_a_program() -> None:
    circuit = compile_circuit(define_eddsa, name="eddsa")
    case = next(case for case in CASES if case.name == "eddsa")
    program, expected = TapeProgram(circuit.tape), circuit.evaluate(case.inputs)
    results: list[bool] = []

    def work() -> None:
        results.append(collect(list(program.run(case.inputs)), program.n_wires) == expected)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_files_hold_the_tape(case: Case, tmp_path: Path) -> None:
    tape = compile_circuit(case.define, name=case.name).tape
    write_tape(tmp_path / "t.tape", tape)
    again = read_tape(tmp_path / "t.tape")
    assert (again.inputs, again.n_outputs, again.labels) == (tape.inputs, tape.n_outputs, tape.labels)
    for name in ("code", "routine_inputs", "routine_start"):
        assert np.array_equal(getattr(again, name), getattr(tape, name))
    assert np.array_equal(again.constants.limbs, tape.constants.limbs)
    TapeProgram(again)


def sample_bytes(tmp_path: Path) -> bytes:
    write_tape(tmp_path / "t.tape", small_tape())
    return (tmp_path / "t.tape").read_bytes()


def small_tape() -> Tape:
    @gadget
    def inner(c: Circuit, x: Expr, y: Expr) -> Expr:
        bits = c.hint.bits(x, 4)
        for bit in bits:
            c.assert_product(bit, 1 - bit, 0, "bit")
        return x * y + bits[0]

    def define(c: Circuit) -> None:
        x, y = c.public("x"), c.private("y", 2)
        z = inner(c, x + y[0], y[1]) + inner(c, y[0], x)
        q, r = c.hint.divmod(z, y[1])
        c.assert_product(q, y[1], z - r, "division")
        c.output("z", z)

    return compile_circuit(define, name="small").tape


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_code_is_judged_alike_and_never_harms(data: st.DataObject) -> None:
    tape = small_tape()
    code = tape.code.copy()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(code) - 1))
        kinds = st.sampled_from([1 << 30, 2 << 30, 3 << 30, 256 + 4])
        code[at] = data.draw(st.one_of(st.integers(0, 20), st.integers(0, 2**32 - 1), kinds))
    mutant = dataclasses.replace(tape, code=code)
    verdicts = []
    for judge in (check_tape, TapeProgram):
        try:
            judge(mutant)
            verdicts.append(True)
        except FormatError:
            verdicts.append(False)
    assert verdicts[0] == verdicts[1]
    if verdicts[0]:
        inputs = {"x": 5, "y": [3, 4]}
        outcomes = []
        for run in (
            lambda: interpret(mutant, bind_inputs(mutant.inputs, inputs)),
            lambda: collect(list(TapeProgram(mutant).run(inputs)), TapeProgram(mutant).n_wires),
        ):
            try:
                outcomes.append(run())
            except UnsatisfiedError as e:
                outcomes.append([e.row])
        assert outcomes[0] == outcomes[1]


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.booleans())
def test_mutated_files_give_a_tape_or_a_format_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, cut: bool
) -> None:
    if "file" not in _FILES:
        _FILES["file"] = sample_bytes(tmp_path_factory.mktemp("tape"))
    raw = bytearray(_FILES["file"])
    at %= len(raw)
    if cut:
        del raw[at:]
    else:
        raw[at] = value
    try:
        tape = read_tape(bytes(raw))
    except FormatError:
        return
    program = TapeProgram(tape, max_wires=1 << 16)
    with contextlib.suppress(UnsatisfiedError):
        list(program.run({spec.name: [1] * spec.size for spec in tape.inputs}))


_FILES: dict[str, bytes] = {}


def bomb(depth: int) -> Tape:
    """Routine i calls routine i - 1 twice: 2^depth products."""
    words: list[int] = [Op.PRODUCT | 256, 1, 1]
    starts = [0, 3]
    for i in range(1, depth):
        words += [Op.CALL, i - 1, 0, Op.CALL, i - 1, 0]
        starts.append(len(words))
    return Tape(
        inputs=(),
        n_outputs=0,
        constants=FrVector.from_ints([0, 1, R - 1]),
        routine_inputs=np.zeros(depth, dtype=np.uint32),
        routine_start=np.array(starts, dtype=np.uint64),
        code=np.array(words, dtype=np.uint32),
    )


@pytest.mark.parametrize("depth", [40, 5000])
def test_a_tape_that_multiplies_itself_is_refused(depth: int) -> None:
    for judge in (check_tape, TapeProgram):
        with pytest.raises(FormatError, match="limits"):
            judge(bomb(depth))


def test_a_caller_can_ask_for_a_lower_limit() -> None:
    assert TapeProgram(bomb(10)).n_wires == 513
    with pytest.raises(FormatError):
        TapeProgram(bomb(10), max_wires=100)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"n_outputs": 2}, "code"),
        ({"constants": FrVector.from_ints([0, 1, 2])}, "constants"),
        ({"routine_inputs": np.zeros(0, dtype=np.uint32)}, "routines"),
        ({"routine_start": np.array([0, 10**9], dtype=np.uint64)}, "routines"),
        ({"inputs": ()}, "inputs"),
        ({"labels": ((5, "a"), (5, "b"))}, "labels"),
    ],
)
def test_a_head_that_lies_is_refused(change: dict[str, object], field: str) -> None:
    mutant = dataclasses.replace(small_tape(), **change)  # type: ignore[arg-type]
    for judge in (check_tape, TapeProgram):
        with pytest.raises(FormatError) as caught:
            judge(mutant)
        assert caught.value.field == field
