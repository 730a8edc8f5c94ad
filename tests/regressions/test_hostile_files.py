"""Files made to hurt their reader: what they claim must not cost more than what they hold, and errors stay typed."""

from __future__ import annotations

import dataclasses
import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import wasmtime

from examples.rollup.encoding import claim_from_json
from prover_core.backend import Backend
from prover_core.circuit import Circuit, compile_circuit
from prover_core.errors import FormatError, WitnessProgramError
from prover_core.formats.zkey import read_zkey, write_zkey
from prover_core.groth16 import setup
from prover_core.native import _native
from prover_core.types import FrVector, R
from prover_core.witness import Tape, TapeProgram, WasmProgram, check_tape
from prover_core.witness.opcodes import Op


def test_a_zkey_cannot_claim_a_domain_that_it_does_not_hold(tmp_path: Path, backend: Backend) -> None:
    """2.6 kB that claimed a domain of 2^27 took 5 GiB before section 9 was found too short."""

    def define(c: Circuit) -> None:
        x = c.private("x")
        c.output("y", x * x)

    key = setup(compile_circuit(define, name="square").r1cs, backend=backend, entropy=bytes(32))
    write_zkey(tmp_path / "k.zkey", key)
    raw = bytearray((tmp_path / "k.zkey").read_bytes())
    at = raw.index(struct.pack("<III", key.n_vars, key.n_public, key.domain_size))
    raw[at + 8 : at + 12] = struct.pack("<I", 1 << 22)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="section 9"):
            read_zkey(bytes(raw))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# A circom 2 program as far as its reader asks. $x is replaced by each test.
_EXPORTS = {
    "getVersion": "(result i32) i32.const 2",
    "getFieldNumLen32": "(result i32) i32.const 8",
    "getRawPrime": "",
    "readSharedRWMemory": "(param i32) (result i32) (i32.load (i32.mul (local.get 0) (i32.const 4)))",
    "writeSharedRWMemory": "(param i32 i32)",
    "getWitness": "(param i32)",
    "setInputSignal": "(param i32 i32 i32)",
    "getWitnessSize": "(result i32) i32.const 3",
    "getInputSize": "(result i32) i32.const 1",
    "getInputSignalSize": "(param i32 i32) (result i32) i32.const 1",
    "init": "(param i32)",
}
_SAY = '(import "runtime" "printErrorMessage" (func $say))'


def program(changes: dict[str, str | None], more: str = "", imports: str = "") -> bytes:
    functions = "".join(
        f'(func (export "{name}") {body})' for name, body in {**_EXPORTS, **changes}.items() if body is not None
    )
    prime = "".join(f"\\{byte:02x}" for byte in R.to_bytes(32, "little"))
    return bytes(wasmtime.wat2wasm(f'(module {imports} (memory 1) (data (i32.const 0) "{prime}") {functions} {more})'))


def test_the_smallest_program_that_is_taken() -> None:
    slices = list(WasmProgram(program({})).run({"a": 1}))
    assert [len(s.values) for s in slices] == [3]


@pytest.mark.parametrize(
    ("changes", "more", "imports"),
    [
        ({"init": None}, "", ""),
        ({"getWitnessSize": None}, "", ""),
        ({"getInputSignalSize": None}, "", ""),
        ({"init": None}, '(global (export "init") i32 (i32.const 1))', ""),
        ({"init": "(param i32 i32)"}, "", ""),
        ({"getWitnessSize": ""}, "", ""),
        ({"getWitnessSize": "(result f64) f64.const nan"}, "", ""),
        ({"getInputSize": "(result i32 i32) i32.const 1 i32.const 1"}, "", ""),
        ({"getInputSignalSize": "(param i32 i32) (result f64) f64.const inf"}, "", ""),
        ({"init": "(param i32) (call $say)", "getMessageChar": "(result f64) f64.const 1.5"}, "", _SAY),
        ({"init": "(param i32) (call $say)", "getMessageChar": ""}, "", _SAY),
    ],
)
def test_a_wasm_with_other_exports_is_no_witness_program(
    changes: dict[str, str | None], more: str, imports: str
) -> None:
    """These left as KeyError, TypeError, ValueError and OverflowError."""
    with pytest.raises(WitnessProgramError):
        list(WasmProgram(program(changes, more, imports)).run({"a": 1}))


def test_a_program_that_says_something_without_a_way_to_say_it() -> None:
    assert WasmProgram(program({"init": "(param i32) (call $say)"}, "", _SAY)).n_wires == 3


def test_tables_are_bounded_like_memory() -> None:
    """A table grew to as much memory as the machine had, whatever the limit on linear memory."""
    grow = """(table $t 1 funcref) (elem declare func $f) (func $f)
      (func $start (if (i32.eq (table.grow $t (ref.func $f) (i32.const 8000000)) (i32.const -1)) (then unreachable)))
      (start $start)"""
    with pytest.raises(WitnessProgramError, match="executing"):
        WasmProgram(program({}, grow))
    assert WasmProgram(program({}, grow.replace("8000000", "1000"))).n_wires == 3


def deep(instruction: list[int], levels: int) -> Tape:
    """A tape of 2^levels times eight instructions: each routine calls the one below twice."""

    def define(c: Circuit) -> None:
        c.output("y", c.private("x") + 1)

    tape = compile_circuit(define, name="y").tape
    main = tape.code.tolist()
    routines = [instruction * 8, *([Op.CALL, k, 0, Op.CALL, k, 0] for k in range(levels)), [Op.CALL, levels, 0, *main]]
    starts = np.cumsum([0, *map(len, routines)]).astype(np.uint64)
    inputs = np.array([0] * (levels + 1) + [1], dtype=np.uint32)
    code = np.array([word for words in routines for word in words], dtype=np.uint32)
    return dataclasses.replace(tape, routine_inputs=inputs, routine_start=starts, code=code, labels=())


DEAR = [[Op.INVERSE, 2], [Op.QUOTIENT, 1, 2], [Op.DIVMOD, 2, 1], [Op.BITS, 254, 2]]


@pytest.mark.parametrize("instruction", DEAR, ids=["inverse", "quotient", "divmod", "bits"])
def test_the_limit_on_work_counts_what_an_instruction_costs(instruction: list[int]) -> None:
    """Counted by words, a tape of inversions was allowed 18 hours, and one native call 16 seconds."""
    with pytest.raises(FormatError, match="limits"):
        check_tape(deep(instruction, 28))
    with pytest.raises(FormatError, match="limits"):
        TapeProgram(deep(instruction, 28))
    cheap = deep([Op.PRODUCT, 1, 2], 28)
    assert check_tape(cheap)[-1].steps < 1 << 36
    TapeProgram(cheap)


def test_a_tape_of_inversions_can_be_interrupted() -> None:
    tape = deep([Op.INVERSE, 2], 15)
    arrays = (tape.code, tape.constants.limbs, tape.routine_inputs, tape.routine_start)
    program = _native.Tape(*arrays, tape.n_outputs, 10)
    run = _native.TapeRun(program, FrVector.from_ints([5]).limbs)
    calls = 1
    while run.run(1) == 0:
        calls += 1
    assert calls >= 2
    assert sum(len(piece.values) for piece in TapeProgram(tape).run({"x": 5})) == 3


CLAIM = {"chain_id": 1, "state_before": "1", "state_after": "2", "operations": []}
OPERATION = {
    "sender": 1,
    "nonce": 0,
    "action": {"type": "transfer", "recipient": 2, "amount": "5"},
    "signature": ["1", "2", "3"],
}


@pytest.mark.parametrize("value", [float("inf"), 1.9, "1_0", " 1", "01", "٣", "-1", True, None, "9" * 5000])
def test_a_claim_has_one_spelling(value: object) -> None:
    """Infinity left as OverflowError; 1.9 was read as 1 and "1_0" as 10."""
    assert claim_from_json({**CLAIM, "operations": [OPERATION]}).operations[0].operation.nonce == 0
    for bad in (
        {**CLAIM, "chain_id": value},
        {**CLAIM, "state_after": value},
        {**CLAIM, "operations": [{**OPERATION, "nonce": value}]},
        {**CLAIM, "operations": [{**OPERATION, "action": {**OPERATION["action"], "amount": value}}]},  # type: ignore[dict-item]
        {**CLAIM, "operations": [{**OPERATION, "signature": ["1", value, "3"]}]},
    ):
        with pytest.raises(FormatError):
            claim_from_json(json.loads(json.dumps(bad)))


def test_a_program_gives_its_address_space_back() -> None:
    """Every run reserves 16 GiB of addresses; the host's functions once kept each store, and so all of it, alive."""

    def reserved() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * 4096

    wasm = program({})
    list(WasmProgram(wasm).run({"a": 1}))
    before = reserved()
    for _ in range(8):
        list(WasmProgram(wasm).run({"a": 1}))
    assert reserved() - before < 8 << 30
