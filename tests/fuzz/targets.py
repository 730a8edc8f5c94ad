"""What is fuzzed: each target takes bytes from outside as far as our code goes with them. All errors must be typed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from google.protobuf.message import DecodeError
from seeds import CIRCUIT

from cloud import messages as m
from cloud.errors import WireError
from cloud.machine import Machine
from cloud.model import CircuitInfo
from cloud.sessions import Sessions
from cloud.validation import parse_leaf
from hybrid_prover.v1 import common_pb2, uplink_pb2
from prover_core.errors import ProverError
from prover_core.formats import snarkjs_json
from prover_core.formats.chunk import decode_chunk, encode_chunk
from prover_core.formats.ptau import read_ptau
from prover_core.formats.r1cs import read_r1cs, read_wire_labels
from prover_core.formats.stage1 import decode_stage1, encode_stage1
from prover_core.formats.tape import read_tape
from prover_core.formats.wtns import read_wtns
from prover_core.formats.zkey import read_zkey, read_zkey_verification_key
from prover_core.groth16 import Partial, prove, verify
from prover_core.native import CpuBackend
from prover_core.types import FrVector
from prover_core.witness import TapeProgram, WasmProgram
from prover_core.witness.program import flatten_input
from prover_core.witness.rows import RowChecker
from prover_core.witness.wasm import WasmLimits

EXPECTED: Final = (ProverError, WireError)
"""Every other exception is a find, and so are a crash, a hang and an allocation beyond the limit."""
SMALL: Final = 64
"""Keys, systems and tapes up to this many wires are used after they have been read."""

_BACKEND: Final = CpuBackend(threads=1)
_ONE_IN: Final = 8


def _sampled(data: bytes) -> bool:
    """One input in eight, chosen by its content: what a parser accepts is also used, but that costs a millisecond."""
    return sum(data[::7]) % _ONE_IN == 0


def r1cs(data: bytes) -> None:
    system = read_r1cs(data)
    read_wire_labels(data)
    if system.n_wires <= SMALL and _sampled(data):
        rows = RowChecker(system)
        rows.add(0, FrVector.from_ints([1, *[0] * (system.n_wires - 1)]))
        rows.finish()


def wtns(data: bytes) -> None:
    read_wtns(data)


def zkey(data: bytes) -> None:
    read_zkey_verification_key(data)
    key = read_zkey(data)
    if key.n_vars <= SMALL and key.domain_size <= SMALL and _sampled(data):
        prove(key, FrVector.from_ints([1, *range(5, 4 + key.n_vars)]), _BACKEND, bytes(32))


def ptau(data: bytes) -> None:
    file = read_ptau(data)
    if file.prepared:
        for power in range(file.power + 1):
            assert len(file.lagrange_tau_g1(power)) == len(file.lagrange_tau_g2(power)) == 1 << power


def tape(data: bytes) -> None:
    program = TapeProgram(read_tape(data))
    inputs = {spec.name: [3] * spec.size for spec in program.inputs if spec.size <= SMALL}
    if program.n_wires <= SMALL and _sampled(data):
        for part in program.run(inputs):
            assert part.values.first_non_canonical() is None


def proof(data: bytes) -> None:
    snarkjs_json.read_proof(data)


def public(data: bytes) -> None:
    snarkjs_json.read_public(data)


def vkey(data: bytes) -> None:
    vk = snarkjs_json.read_verification_key(data)
    if _sampled(data):
        verify(vk, _NO_PROOF, [0] * vk.n_public, _BACKEND)


def inputs(data: bytes) -> None:
    found = snarkjs_json.read_json(data, "inputs")
    if isinstance(found, dict):
        for name, value in found.items():
            flatten_input(name, value)


def wasm(data: bytes) -> None:
    limits = WasmLimits(fuel=1_000_000, memory_bytes=4 << 20)
    for part in WasmProgram(data, limits=limits).run({"a": 1}):
        assert len(part.values)


def chunk(data: bytes) -> None:
    if len(data) >= 5:
        encoding, count = struct.unpack_from("<BI", data)
        values = decode_chunk(data[5:], count, encoding)
        assert encode_chunk(values) == data[5:], "every vector has one encoding"


def leaf(data: bytes) -> None:
    message = common_pb2.LeafProof(public_signals=[data[at : at + 32] for at in range(256, len(data), 32)])
    message.proof.a, message.proof.b, message.proof.c = data[:64], data[64:192], data[192:256]
    found, publics = parse_leaf(message, 2, "leaf")
    assert found.to_bytes() + b"".join(p.to_bytes(32, "big") for p in publics) == data


def partial(data: bytes) -> None:
    assert Partial.from_bytes(data, _BACKEND).to_bytes() == data, "every partial has one encoding"


def stage1(data: bytes) -> None:
    assert encode_stage1(*decode_stage1(data)) == data, "every stage-1 proof has one encoding"


def uplink(data: bytes) -> None:
    sessions = Sessions(1 << 16, 1 << 12, 1 << 20, 10)
    machine = Machine(sessions, max_chunk_bytes=1 << 12, max_segments=8)
    machine.handle(m.CircuitKnown(CircuitInfo(CIRCUIT, 8, 2)), 0)
    at, now = 0, 0
    while at + 2 <= len(data):
        (size,) = struct.unpack_from("<H", data, at)
        at, now = at + 2 + size, now + 1
        try:
            request = uplink_pb2.UplinkRequest.FromString(data[at - size : at])
        except DecodeError:
            return
        for instruction in machine.handle(m.Received(1, request), now):
            if isinstance(instruction, m.SaveJob):
                machine.handle(m.JobSaved(instruction.job.job_id), now)


_NO_PROOF: Final = snarkjs_json.read_proof(
    b'{"protocol":"groth16","curve":"bn128","pi_a":["1","2","1"],"pi_c":["1","2","1"],'
    b'"pi_b":[["0","0"],["1","0"],["0","0"]]}'
)

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    t.__name__: t
    for t in (r1cs, wtns, zkey, ptau, tape, proof, public, vkey, inputs, wasm, chunk, leaf, partial, stage1, uplink)
}


def consume(name: str, data: bytes) -> None:
    """Runs one target; returns if the input is taken or refused as it should be, raises otherwise."""
    with suppress(*EXPECTED):
        TARGETS[name](data)
