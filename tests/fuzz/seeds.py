"""Well-formed inputs of every parser, as small as they come: what the fuzzer mutates from."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import wasmtime

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "groth16"))

from groth16_samples import horner, horner_witness, write_known_ptau

from hybrid_prover.v1 import common_pb2, uplink_pb2
from prover_core.assembly import Shape
from prover_core.circuit import Circuit, compile_circuit
from prover_core.formats.chunk import chunk_digest, encode_chunk, partial_digest
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.snarkjs_json import proof_json, public_json, verification_key_json
from prover_core.formats.stage1 import stage1_bytes
from prover_core.formats.tape import write_tape
from prover_core.formats.wtns import write_wtns
from prover_core.formats.zkey import write_zkey
from prover_core.groth16 import Partial, Proof, partial_of, prove, setup
from prover_core.native import CpuBackend
from prover_core.types import FrVector, R

STEPS = 2
CIRCUIT = b"k" * 32
"""The circuit that the uplink's target knows."""
INPUTS = [2, 7]

# The functions that circom 2's witness programs export.
PROGRAM = """
(module
  (import "runtime" "printErrorMessage" (func $say)) (import "runtime" "exceptionHandler" (func $fail (param i32)))
  (memory 1) (data (i32.const 0) "{prime}")
  (func (export "getVersion") (result i32) i32.const 2)
  (func (export "getFieldNumLen32") (result i32) i32.const 8)
  (func (export "getRawPrime"))
  (func (export "readSharedRWMemory") (param i32) (result i32) (i32.load (i32.mul (local.get 0) (i32.const 4))))
  (func (export "writeSharedRWMemory") (param i32 i32)
    (i32.store (i32.add (i32.const 64) (i32.mul (local.get 0) (i32.const 4))) (local.get 1)))
  (func (export "getWitness") (param i32) (if (i32.gt_u (local.get 0) (i32.const 2)) (then (call $fail (i32.const 7)))))
  (func (export "setInputSignal") (param i32 i32 i32) (if (local.get 2) (then (call $say) (call $fail (i32.const 4)))))
  (func (export "getWitnessSize") (result i32) i32.const 3)
  (func (export "getInputSize") (result i32) i32.const 1)
  (func (export "getInputSignalSize") (param i32 i32) (result i32) i32.const 1)
  (func (export "getMessageChar") (result i32) i32.const 0)
  (func (export "init") (param i32)))
"""


def _square(c: Circuit) -> None:
    a, x = c.public("a"), c.private("x", 2)
    c.assert_equal(x[0] * x[0] + x[1], a, "sum of squares")
    c.output("y", x[0] * x[1] + a)


def _conversation(wires: int, publics: list[int], proof: Proof, partial: Partial | None = None) -> bytes:
    """Messages of one edge, each after its length (u16): a job of two chunks, then a private one.

    The first is a split job whose chunks carry this partial, or a cloud job.
    """
    values = FrVector.from_ints(list(range(wires)))
    half = wires // 2
    messages = [uplink_pb2.UplinkRequest(hello=uplink_pb2.Hello(session_id=bytes(16), protocol_version=1))]
    for job, placement in ((b"c" * 32, 2 if partial else 1), (b"p" * 32, 3)):
        opened = uplink_pb2.OpenJob(job_id=job, placement=placement, circuits=[CIRCUIT])
        messages.append(uplink_pb2.UplinkRequest(open_job=opened))
    for k, part in enumerate((values[:half], values[half:])):
        chunk = uplink_pb2.Chunk(job_id=b"c" * 32, sequence=k, wire_offset=k * half, wire_count=len(part), encoding=1)
        chunk.payload = encode_chunk(part)
        chunk.digest = chunk_digest(chunk.job_id, 0, k, chunk.wire_offset, chunk.wire_count, 1, chunk.payload)
        if partial is not None:
            chunk.partial.points = partial.to_bytes()
            chunk.partial.digest = partial_digest(chunk.digest, chunk.partial.points)
        messages.append(uplink_pb2.UplinkRequest(chunk=chunk))
    end = uplink_pb2.SegmentEnd(job_id=b"c" * 32, chunk_count=2)
    messages.append(uplink_pb2.UplinkRequest(segment_end=end))
    leaf = common_pb2.LeafProof(public_signals=[p.to_bytes(32, "big") for p in publics])
    raw = proof.to_bytes()
    leaf.proof.a, leaf.proof.b, leaf.proof.c = raw[:64], raw[64:192], raw[192:]
    done = uplink_pb2.SegmentProof(job_id=b"p" * 32, leaf=leaf)
    messages.append(uplink_pb2.UplinkRequest(segment_proof=done))
    messages.append(uplink_pb2.UplinkRequest(abort_job=uplink_pb2.AbortJob(job_id=b"p" * 32)))
    raws = [m.SerializeToString() for m in messages]
    return b"".join(struct.pack("<H", len(raw)) + raw for raw in raws)


def make_seeds() -> dict[str, list[bytes]]:
    """Target name → its seeds; under a second."""
    backend = CpuBackend(threads=1)
    r1cs = horner(STEPS)
    witness = FrVector.from_ints(horner_witness(STEPS, 3, INPUTS))
    key = setup(r1cs, backend=backend, entropy=bytes(32))
    proof = prove(key, witness, backend, bytes(32))
    partial = partial_of(key, 0, witness, backend)
    vk = key.verification_key
    publics = witness.to_ints()[1 : key.n_public + 1]
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_r1cs(folder / "r1cs", r1cs)
        write_wtns(folder / "wtns", witness)
        write_zkey(folder / "zkey", key)
        write_known_ptau(folder / "ptau", 1, backend)
        write_tape(folder / "tape", compile_circuit(_square, name="square").tape)
        files = {kind: [(folder / kind).read_bytes()] for kind in ("r1cs", "wtns", "zkey", "ptau", "tape")}
    prime = "".join(f"\\{byte:02x}" for byte in R.to_bytes(32, "little"))
    mixed = FrVector.from_ints([0, 1, 200, 1 << 12, 1 << 30, 1 << 60, 1 << 100, R - 1])
    return {
        **files,
        "proof": [json.dumps(proof_json(proof)).encode()],
        "public": [json.dumps(public_json(publics)).encode(), b"[]"],
        "vkey": [json.dumps(verification_key_json(vk)).encode()],
        "inputs": [b'{"x": "5", "a": ["1", 2, "0x3"], "b": [["-1"], [0]]}'],
        "wasm": [bytes(wasmtime.wat2wasm(PROGRAM.replace("{prime}", prime)))],
        "chunk": [
            struct.pack("<BI", 1, len(values)) + encode_chunk(values)
            for values in (mixed, witness, FrVector(np.zeros((9, 4), dtype=np.uint64)))
        ],
        "uplink": [_conversation(len(witness), publics, proof, given) for given in (None, partial)],
        "partial": [partial.to_bytes(), bytes(320)],
        "stage1": [struct.pack("<4sHHHH", b"hps1", 1, 1, 0, 2) + bytes(stage1_bytes(Shape(1, 0, 2)) - 12)],
        "leaf": [proof.to_bytes() + b"".join(p.to_bytes(32, "big") for p in publics)],
    }
