"""circom's `.wasm` witness programs, sandboxed under wasmtime: no imports but circom's own, memory and fuel bounded.

The ABI is circom 2's (`code_producers/src/wasm_elements`): values pass one 32-bit word at a time through a shared
window of eight. A small module of ours, instantiated beside the program, loops over that window inside wasm; from
Python it would cost nine foreign calls a wire.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import wasmtime

from ..errors import InvalidInputError, ProverError, UnsatisfiedError, WitnessProgramError
from ..types import FrVector, R
from .program import Inputs, InputSpec, WireSlice, flatten_input

_WORDS: Final = 8
_BYTES: Final = 32
_INPUT_BLOCK: Final = 1 << 12
_MAX_MESSAGE: Final = 4096
_ASSERT_FAILED: Final = 4
_INPUT_ERRORS: Final = {
    1: "signal not found",
    2: "too many values",
    3: "signal already set",
    6: "index beyond its size",
}
_PROGRAM_ERRORS: Final = {5: "not enough memory", 7: "array access out of bounds"}

_ABI: Final = {
    "getVersion": (0, 1),
    "getFieldNumLen32": (0, 1),
    "getRawPrime": (0, 0),
    "readSharedRWMemory": (1, 1),
    "writeSharedRWMemory": (2, 0),
    "getWitnessSize": (0, 1),
    "getWitness": (1, 0),
    "getInputSize": (0, 1),
    "getInputSignalSize": (2, 1),
    "setInputSignal": (3, 0),
    "init": (1, 0),
}
"""Functions that a program must export: how many words each takes and gives."""
_MESSAGE_CHAR: Final = "getMessageChar"

_REFUSED_FEATURES: Final = (
    "wasm_relaxed_simd",
    "wasm_simd",
    "wasm_threads",
    "wasm_memory64",
    "wasm_tail_call",
    "wasm_multi_memory",
    "wasm_exceptions",
    "wasm_gc",
    "wasm_function_references",
)
"""What circom does not use. wasmtime's C API ends the process where a host asks about a type with vectors in it."""

_COPIER: Final = """
(module
  (import "circuit" "getWitness" (func $getWitness (param i32)))
  (import "circuit" "readSharedRWMemory" (func $read (param i32) (result i32)))
  (import "circuit" "writeSharedRWMemory" (func $write (param i32 i32)))
  (import "circuit" "setInputSignal" (func $setInput (param i32 i32 i32)))
  (memory (export "memory") 2)

  ;; wires first .. first + count, 32 bytes each, to address 0
  (func (export "get") (param $first i32) (param $count i32)
    (local $i i32) (local $j i32) (local $at i32)
    (block $done
      (loop $wire
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        (call $getWitness (i32.add (local.get $first) (local.get $i)))
        (local.set $j (i32.const 0))
        (loop $word
          (i32.store (local.get $at) (call $read (local.get $j)))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (local.set $j (i32.add (local.get $j) (i32.const 1)))
          (br_if $word (i32.lt_u (local.get $j) (i32.const 8))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $wire))))

  ;; values first .. first + count of the input with this hash, from address 0
  (func (export "set") (param $high i32) (param $low i32) (param $first i32) (param $count i32)
    (local $i i32) (local $j i32) (local $at i32)
    (block $done
      (loop $value
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        (local.set $j (i32.const 0))
        (loop $word
          (call $write (local.get $j) (i32.load (local.get $at)))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (local.set $j (i32.add (local.get $j) (i32.const 1)))
          (br_if $word (i32.lt_u (local.get $j) (i32.const 8))))
        (call $setInput (local.get $high) (local.get $low) (i32.add (local.get $first) (local.get $i)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $value)))))
"""


@dataclass(frozen=True, slots=True)
class WasmLimits:
    """What one run may use."""

    fuel: int = 1_000_000_000_000
    """wasm instructions, about 10^9 a second."""
    memory_bytes: int = 4 << 30
    """Linear memory of the program."""
    module_bytes: int = 1 << 30
    """Size of the `.wasm` itself."""
    table_elements: int = 1 << 20
    """Entries of any table of functions; circom's programs hold one an operator and template."""


class WasmProgram:
    """A compiled program; each `run` gets a fresh instance, so that runs share nothing and threads may run at once."""

    def __init__(
        self, wasm: bytes, *, inputs: Sequence[InputSpec] = (), limits: WasmLimits = WasmLimits(), cache: bool = False
    ) -> None:
        """Compiles (seconds for large circuits; `cache` keeps the result in wasmtime's own cache folder).

        A `.wasm` knows its inputs only by hash; `inputs`, if given, lets errors name those that are missing.
        `WitnessProgramError` if it is not a circom 2 witness program, `InvalidInputError` if its prime is not BN254's
        r or it is too large.
        """
        if len(wasm) > limits.module_bytes:
            raise InvalidInputError(
                f"the program has {len(wasm)} bytes, the limit is {limits.module_bytes}", field="wasm"
            )
        if not wasm.startswith(b"\0asm"):
            raise WitnessProgramError("not a WebAssembly module", field="wasm")
        self._limits = limits
        self._inputs = tuple(inputs)
        config = wasmtime.Config()
        config.consume_fuel = True
        for feature in _REFUSED_FEATURES:
            setattr(config, feature, False)
        if cache:
            config.cache = True
        self._engine = wasmtime.Engine(config)
        try:
            self._module = wasmtime.Module(self._engine, wasm)
            self._copier = wasmtime.Module(self._engine, _COPIER)
        except wasmtime.WasmtimeError as e:
            raise WitnessProgramError(f"not a WebAssembly module: {_first_line(e)}", field="wasm") from e
        self._n_wires = self._new_run().n_wires

    @property
    def n_wires(self) -> int:
        return self._n_wires

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """As given to the constructor; a `.wasm` has no names of its own."""
        return self._inputs

    def _new_run(self) -> _Run:
        return _Run(self._engine, self._module, self._copier, self._limits)

    def run(self, inputs: Inputs, *, slice_wires: int = 1 << 14) -> Iterator[WireSlice]:
        """Computes the whole witness when the last input is set, then yields it in order from wire 0.

        Errors as in `WitnessProgram`; a failed assertion is an `UnsatisfiedError` with circom's message, which names
        the template and line.
        """
        if slice_wires < 1:
            raise InvalidInputError("a slice needs at least one wire", field="slice_wires")
        values = {name: flatten_input(name, value) for name, value in _qualified(inputs)}
        run = self._new_run()
        self._check_inputs(run, values)
        for name, flat in values.items():
            run.set_input(name, flat)
        for first in range(0, self._n_wires, slice_wires):
            yield WireSlice(first, run.wires(first, min(slice_wires, self._n_wires - first)))

    def _check_inputs(self, run: _Run, values: Mapping[str, list[int]]) -> None:
        for name, flat in values.items():
            size = run.input_size(name)
            if size < 0 or (size == 0 and flat):  # circom answers 0 for most unknown names
                raise InvalidInputError(f"the circuit has no input {name!r}", field=name)
            if len(flat) != size:
                raise InvalidInputError(f"input {name!r} needs {size} values, not {len(flat)}", field=name)
        for spec in self._inputs:
            if spec.name not in values:
                raise InvalidInputError(f"input {spec.name!r} is missing", field=spec.name)
        missing = run.n_inputs - sum(map(len, values.values()))
        if missing:
            raise InvalidInputError(f"{missing} of {run.n_inputs} input values are missing", field="inputs")


class _Said:
    """What a running program tells its host.

    Apart from the run: wasmtime keeps the host's functions for as long as the store lives, and so whatever they refer
    to; functions that referred to the store would keep it, and its reserved memory, for ever.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.error: ProverError | None = None
        self.setting = ""

    def exception(self, code: int) -> None:
        """circom's `exceptionHandler`: raises the error that the code stands for."""
        said = "; ".join(m for m in self.messages if m)
        if code == _ASSERT_FAILED:
            self.error = UnsatisfiedError(
                f"the inputs do not satisfy the circuit: {said or 'assert failed'}", label=said
            )
        elif code in _INPUT_ERRORS:
            self.error = InvalidInputError(f"input {self.setting!r}: {_INPUT_ERRORS[code]}", field=self.setting)
        else:
            what = _PROGRAM_ERRORS.get(code, f"error {code}")
            self.error = WitnessProgramError(f"the witness program failed: {what}" + (f"; {said}" if said else ""))
        raise self.error

    def reader(self, keep: bool) -> Any:
        """circom's `printErrorMessage` and `writeBufferMessage`: takes the message that the program offers."""

        def read(caller: Any) -> None:
            char = caller.get(_MESSAGE_CHAR)
            if char is None:  # where it is there, `_check_exports` has seen its type
                return
            codes: list[int] = []
            while len(codes) < _MAX_MESSAGE and (code := char(caller)) != 0:
                codes.append(code)
            if keep and len(self.messages) < 64:
                self.messages.append("".join(map(chr, (c & 0x7F for c in codes))).strip())

        return read


class _Run:
    """One instance of the program with its store."""

    def __init__(
        self, engine: wasmtime.Engine, module: wasmtime.Module, copier: wasmtime.Module, limits: WasmLimits
    ) -> None:
        said = self._said = _Said()
        self._store = wasmtime.Store(engine)
        self._store.set_fuel(limits.fuel)
        self._store.set_limits(
            memory_size=limits.memory_bytes, table_elements=limits.table_elements, instances=2, memories=2, tables=4
        )
        linker = wasmtime.Linker(engine)
        i32 = wasmtime.ValType.i32()
        linker.define_func("runtime", "exceptionHandler", wasmtime.FuncType([i32], []), said.exception)
        for name, keep in (("printErrorMessage", True), ("writeBufferMessage", False)):
            linker.define_func("runtime", name, wasmtime.FuncType([], []), said.reader(keep), access_caller=True)
        # log() of a signal; values may be secret, so they go nowhere.
        linker.define_func("runtime", "showSharedRWMemory", wasmtime.FuncType([], []), lambda: None)
        try:
            instance = linker.instantiate(self._store, module)
            self._exports: Any = instance.exports(self._store)
            linker.define_instance(self._store, "circuit", instance)
            self._copier: Any = linker.instantiate(self._store, copier).exports(self._store)
            self._check_abi()
        except (wasmtime.WasmtimeError, wasmtime.Trap, KeyError, TypeError) as e:
            raise WitnessProgramError(f"not a circom 2 witness program: {_first_line(e)}", field="wasm") from e
        _check_exports(module)
        self.n_wires = self._number("getWitnessSize")
        self.n_inputs = self._number("getInputSize")
        if self.n_wires < 1 or self.n_inputs < 0:
            raise WitnessProgramError("the program has no wires", field="wasm")
        self._memory: Any = self._copier["memory"]
        self._call("init", 1)

    def _check_abi(self) -> None:
        version, words = self._exports["getVersion"](self._store), self._exports["getFieldNumLen32"](self._store)
        if version != 2:
            raise WitnessProgramError(f"the program is of circom {version}, not 2", field="wasm")
        self._exports["getRawPrime"](self._store)
        read = self._exports["readSharedRWMemory"]
        prime = sum((read(self._store, i) & 0xFFFFFFFF) << (32 * i) for i in range(min(words, 64)))
        if words != _WORDS or prime != R:
            raise InvalidInputError("the program is for another field: its prime is not BN254's r", field="wasm")

    def input_size(self, name: str) -> int:
        """Values that the input takes; -1 if there is no such input."""
        return self._number("getInputSignalSize", *_name_hash(name))

    def set_input(self, name: str, values: list[int]) -> None:
        """Sets all values of one input; with the last input's last value the program computes the witness."""
        high, low = _name_hash(name)
        self._said.setting = name
        for first in range(0, len(values), _INPUT_BLOCK):
            block = values[first : first + _INPUT_BLOCK]
            self._reserve(len(block))
            self._memory.write(self._store, b"".join(v.to_bytes(_BYTES, "little") for v in block), 0)
            self._guarded(self._copier["set"], high, low, first, len(block))

    def wires(self, first: int, count: int) -> FrVector:
        """Wires first .. first + count; about 20 ns each."""
        self._reserve(count)
        self._guarded(self._copier["get"], first, count)
        raw = self._memory.read(self._store, 0, count * _BYTES)
        return FrVector(np.frombuffer(raw, dtype="<u8").reshape(-1, 4))

    def _reserve(self, values: int) -> None:
        pages = -(-values * _BYTES // (1 << 16)) - self._memory.size(self._store)
        if pages > 0:
            self._memory.grow(self._store, pages)

    def _number(self, name: str, *args: int) -> int:
        return int(self._call(name, *args))

    def _call(self, name: str, *args: int) -> Any:
        return self._guarded(self._exports[name], *args)

    def _guarded(self, function: Any, *args: int) -> Any:
        """Calls into wasm; whatever goes wrong inside becomes an error of ours."""
        try:
            return function(self._store, *args)
        except ProverError:
            raise
        except wasmtime.Trap as e:
            if e.trap_code == wasmtime.TrapCode.OUT_OF_FUEL:
                raise WitnessProgramError("the witness program ran out of fuel", field="wasm") from e
            raise self._said.error or WitnessProgramError(f"the witness program trapped: {_first_line(e)}") from e
        except wasmtime.WasmtimeError as e:
            raise self._said.error or WitnessProgramError(f"the witness program failed: {_first_line(e)}") from e


def _check_exports(module: wasmtime.Module) -> None:
    """`WitnessProgramError` unless every function of the ABI is exported with the type that it has in circom 2."""
    found = {export.name: export.type for export in module.exports}
    expected = _ABI | ({_MESSAGE_CHAR: (0, 1)} if _MESSAGE_CHAR in found else {})
    for name, (words_in, words_out) in expected.items():
        kind = found.get(name)
        words = (["i32"] * words_in, ["i32"] * words_out)
        if not isinstance(kind, wasmtime.FuncType) or words != ([*map(str, kind.params)], [*map(str, kind.results)]):
            raise WitnessProgramError(f"not a circom 2 witness program: it exports no proper {name}", field="wasm")


def _first_line(e: Exception) -> str:
    return str(e).strip().split("\n", 1)[0]


def _name_hash(name: str) -> tuple[int, int]:
    """FNV-1a, 64 bits, of the signal's name: (high, low) as wasm's signed words."""
    h = 0xCBF29CE484222325
    for byte in name.encode("utf-8"):
        h = (h ^ byte) * 0x100000001B3 % 2**64
    high, low = struct.unpack("<ii", struct.pack("<II", h >> 32, h & 0xFFFFFFFF))
    return high, low


def _qualified(inputs: Inputs) -> Iterator[tuple[str, object]]:
    """(signal, value) pairs; the fields of a bus become `bus.field` and `bus[i].field`, as circom names them."""
    stack: list[tuple[str, object]] = [(str(k), v) for k, v in reversed(list(inputs.items()))]
    while stack:
        name, value = stack.pop()
        if isinstance(value, Mapping):
            stack.extend((f"{name}.{k}", v) for k, v in reversed(list(value.items())))
        elif _holds_bus(value):
            assert isinstance(value, Sequence)
            stack.extend((f"{name}[{i}]", value[i]) for i in range(len(value) - 1, -1, -1))
        else:
            yield name, value


def _holds_bus(value: object) -> bool:
    while isinstance(value, Sequence) and not isinstance(value, str) and value:
        value = value[0]
    return isinstance(value, Mapping)
