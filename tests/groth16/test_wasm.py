"""circom's wasm programs: values, names, assertions and limits; and what is no such program."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import wasmtime
from toolchain import Toolchain

from prover_core.errors import InvalidInputError, ProverError, UnsatisfiedError, WitnessProgramError
from prover_core.formats.r1cs import read_r1cs
from prover_core.native import CpuBackend
from prover_core.types import R
from prover_core.witness import InputSpec, RowChecker, WasmLimits, WasmProgram

pytestmark = pytest.mark.node

INPUTS: dict[str, object] = {
    "from": {"balance": "100", "nonce": 1},
    "to": [{"balance": 7, "nonce": "0x7"}, {"balance": 7, "nonce": 3}],
    "weights": [[1, 2], [3, 4], [-5, 6]],
    "amount": 7,
}


@pytest.fixture(scope="module")
def stem(tools: Toolchain, circuits: Path) -> Path:
    return tools.circom(circuits / "ledger.circom")


@pytest.fixture(scope="module")
def wasm(stem: Path) -> bytes:
    return (stem.parent / "ledger_js" / "ledger.wasm").read_bytes()


@pytest.fixture(scope="module")
def program(wasm: bytes) -> WasmProgram:
    return WasmProgram(wasm)


def run(program: WasmProgram, inputs: dict[str, object], slice_wires: int = 5) -> list[int]:
    return [x for s in program.run(inputs, slice_wires=slice_wires) for x in s.values.to_ints()]


def test_the_witness_satisfies_its_rows_slice_by_slice(program: WasmProgram, stem: Path, backend: CpuBackend) -> None:
    r1cs = read_r1cs(stem.with_suffix(".r1cs"))
    checker = RowChecker(r1cs, backend)
    offsets = []
    for piece in program.run(INPUTS, slice_wires=5):
        offsets.append(piece.offset)
        checker.add(piece.offset, piece.values)
    checker.finish()
    assert offsets == list(range(0, program.n_wires, 5))
    assert program.n_wires == r1cs.n_wires
    total, left, amount = run(program, INPUTS)[1:4]
    assert (total, left, amount) == ((7 * 3 + 1 + 2 + 12 - 30) % R, 93, 7)


def test_runs_share_nothing(program: WasmProgram) -> None:
    expected = run(program, INPUTS)
    with ThreadPoolExecutor(4) as pool:
        assert all(w == expected for w in pool.map(lambda k: run(program, INPUTS, k), range(1, 13)))


def test_assertions_become_errors_that_name_template_and_line(program: WasmProgram) -> None:
    with pytest.raises(UnsatisfiedError, match=r"Ledger_\d+ line: 17"):
        run(program, INPUTS | {"amount": 13})
    with pytest.raises(UnsatisfiedError, match="Ledger"):
        run(program, INPUTS | {"amount": 8})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"weights": [[1, 2], [3, 4]]}, "weights"),
        ({"weights": [[1, 2], [3, 4], [5, 6], [7, 8]]}, "weights"),
        ({"amount": []}, "amount"),
        ({"amount": R}, "amount"),
        ({"amount": str(-R)}, "amount"),
        ({"amount": "seven"}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": None}, "amount"),
        ({"bogus": 1}, "bogus"),
        ({"from": {"balance": 1, "nonce": 1, "extra": 1}}, "from.extra"),
        ({"from": {"balance": 1}}, "inputs"),
        ({"from": {}}, "inputs"),
    ],
)
def test_bad_inputs_are_named(change: dict[str, object], field: str, program: WasmProgram) -> None:
    with pytest.raises(InvalidInputError) as e:
        run(program, INPUTS | change)
    assert e.value.field == field


def test_declared_inputs_let_the_missing_be_named(wasm: bytes) -> None:
    specs = (InputSpec("weights", 6, False), InputSpec("amount", 1, True))
    program = WasmProgram(wasm, inputs=specs)
    assert program.inputs == specs
    with pytest.raises(InvalidInputError) as e:
        run(program, {k: v for k, v in INPUTS.items() if k != "amount"})
    assert e.value.field == "amount"


def test_limits(wasm: bytes, program: WasmProgram) -> None:
    with pytest.raises(WitnessProgramError, match="memory"):
        WasmProgram(wasm, limits=WasmLimits(memory_bytes=1 << 16))
    with pytest.raises(InvalidInputError, match="limit"):
        WasmProgram(wasm, limits=WasmLimits(module_bytes=1000))
    with pytest.raises(WitnessProgramError, match="fuel"):
        run(WasmProgram(wasm, limits=WasmLimits(fuel=1500)), INPUTS)
    with pytest.raises(InvalidInputError, match="slice"):
        run(program, INPUTS, 0)


HOSTILE = {
    "empty": b"",
    "text": b"(module)",
    "junk": b"\0asm" + bytes(40),
    "no exports": "(module)",
    "other imports": '(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))))',
    "wrong types": '(module (memory (export "memory") 1) (func (export "getVersion") (param i32)))',
    "endless start": "(module (func $f (loop br 0)) (start $f))",
    "endless recursion": "(module (func $f call $f) (start $f))",
    "trap at start": "(module (func $f unreachable) (start $f))",
    "huge memory": '(module (memory (export "memory") 65536))',
    "huge table": '(module (table 4000000000 funcref) (memory (export "memory") 1))',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_witness_program_is_refused(name: str) -> None:
    text = HOSTILE[name]
    raw = bytes(wasmtime.wat2wasm(text)) if isinstance(text, str) else text
    with pytest.raises(ProverError):
        WasmProgram(raw, limits=WasmLimits(fuel=1_000_000, memory_bytes=1 << 24))


def test_another_field_is_refused() -> None:
    abi = """(module (memory (export "memory") 1)
      (func (export "getVersion") (result i32) i32.const 2)
      (func (export "getFieldNumLen32") (result i32) i32.const 8)
      (func (export "getRawPrime"))
      (func (export "readSharedRWMemory") (param i32) (result i32) i32.const 1)
      (func (export "writeSharedRWMemory") (param i32 i32))
      (func (export "getWitness") (param i32))
      (func (export "setInputSignal") (param i32 i32 i32)))"""
    with pytest.raises(InvalidInputError, match="another field"):
        WasmProgram(bytes(wasmtime.wat2wasm(abi)))
