"""A witness worker: one process, one segment at a time, told what to do by frames on its standard input.

It reads artifacts by path, runs the witness program, checks constraint rows as they close, and either appends chunks to
the segment's file, saying so one by one, or (placement private) makes the leaf proof. One of them makes partials of
chunks in such files instead (placement split). It talks to nobody else.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import structlog

from hybrid_prover.v1 import job_pb2
from hybrid_prover.wire import leaf_to_wire
from prover_core.backend import Backend, select
from prover_core.errors import ProverError, StreamOrderError
from prover_core.formats.chunk import decode_chunk
from prover_core.groth16 import StreamingProver, partial_of
from prover_core.types import FrVector
from prover_core.witness import RowChecker, WireSlice

from . import logs
from .chunkfile import ChunkWriter, read_payload, record_from_json, record_json
from .circuitfiles import CircuitCache, CircuitFiles, LoadedCircuit
from .frames import Head, pack, read
from .model import Placement
from .status import failure_of

log = structlog.get_logger("edge.worker")

_PR_SET_PDEATHSIG = 1


class Worker:
    """The state that outlives a segment: the backend and the circuits used last."""

    def __init__(self, backend: Backend, send: Callable[[bytes], None], *, memory: int) -> None:
        self._backend = backend
        self._circuits = CircuitCache(backend, wasm_memory=memory)
        self._send = send

    def handle(self, head: Head, body: bytes) -> None:
        """Does one task, whose last frame is `finished`, `leaf`, `partial`, `described`, `warm` or `failed`."""
        index = head.get("segment")
        where = "" if index is None else f"segments[{index}]"
        try:
            circuit = self._circuits.get(CircuitFiles.from_json(head["circuit"]))
            if head["op"] == "describe":
                self._send(pack({"event": "described", **circuit.describe()}))
            elif head["op"] == "warm":
                circuit.load()
                self._send(pack({"event": "warm"}))
            elif head["op"] == "warm_partials":
                nanos = self._measure_partial(circuit, head["chunk_wires"])
                self._send(pack({"event": "warm", "nanos": nanos}))
            elif head["op"] == "partial":
                self._partial(circuit, head)
            else:
                self._segment(circuit, head, body)
        except Exception as e:
            if not isinstance(e, (ProverError, MemoryError)):
                # Where it broke, without what it says: the text may hold values of the witness.
                log.error("task broke", kind=type(e).__name__, where=traceback.format_tb(e.__traceback__)[-3:])
            metadata = {} if index is None else {"segment": str(index)}
            name = getattr(e, "field", "")
            of_inputs = head.get("stage") == "witness" and name not in ("", "inputs")
            failed = failure_of(e, prefix=f"{where}.inputs" if of_inputs else where, metadata=metadata)
            self._send(pack({"event": "failed", "code": int(failed.code), "message": failed.message}, failed.status))

    def _measure_partial(self, circuit: LoadedCircuit, chunk_wires: int) -> int:
        """Nanoseconds of one partial of a whole chunk of full-size scalars; the key's pages have been read before."""
        count = min(chunk_wires, circuit.key.n_vars)
        stream = hashlib.shake_256(b"scalars to measure a partial with").digest(32 * count)
        limbs = np.frombuffer(stream, dtype="<u8").reshape(-1, 4).copy()
        limbs[:, 3] >>= np.uint64(3)  # below 2^253 < r
        taken = 0
        for _ in range(2):
            clock = time.perf_counter_ns()
            partial_of(circuit.key, circuit.key.n_vars - count, FrVector(limbs), self._backend)
            taken = time.perf_counter_ns() - clock
        return taken

    def _partial(self, circuit: LoadedCircuit, head: Head) -> None:
        record = record_from_json(head)
        started, clock = time.time_ns(), time.perf_counter_ns()
        payload = read_payload(Path(head["chunk_file"]), record)
        values = decode_chunk(payload, record.wire_count, record.encoding)
        partial = partial_of(circuit.key, record.wire_offset, values, self._backend)
        made = {"event": "partial", "started": started, "nanos": time.perf_counter_ns() - clock}
        self._send(pack(made, partial.to_bytes()))

    def _segment(self, circuit: LoadedCircuit, head: Head, body: bytes) -> None:
        spec = job_pb2.SegmentSpec.FromString(body)
        inputs = {signal.name: FrVector.from_bytes(signal.values).to_ints() for signal in spec.inputs}
        program, rows = circuit.program, circuit.rows
        prover = None
        if head["placement"] == Placement.PRIVATE:
            prover = StreamingProver(circuit.key, self._backend, r1cs=circuit.r1cs)
        started, clock = time.time_ns(), time.perf_counter_ns()
        checker = RowChecker(rows) if rows is not None else None
        publics = np.zeros((head["public_signals"], 4), np.uint64)
        covered = 0
        with contextlib.ExitStack() as stack:
            writer = None
            if prover is None:
                writer = ChunkWriter(Path(head["chunk_file"]), bytes.fromhex(head["job"]), head["segment"])
                stack.callback(writer.close)
            head["stage"] = "witness"
            for piece in _pieces(program.run(inputs, slice_wires=head["chunk_wires"]), head["chunk_wires"]):
                head["stage"] = "wires"
                if checker is not None:
                    checker.add(piece.offset, piece.values)
                covered += len(piece.values)
                _take_publics(publics, piece)
                if prover is not None:
                    prover.add(piece.offset, piece.values)
                elif writer is not None:
                    record = writer.append(piece.offset, piece.values)
                    self._send(pack({"event": "chunk", **record_json(record)}))
                head["stage"] = "witness"
            head["stage"] = "end"
            if checker is not None:
                checker.finish()
            if covered != program.n_wires:
                raise StreamOrderError(f"the witness program emitted {covered} of {program.n_wires} wires")
        timings = [["witness", started, time.perf_counter_ns() - clock]]
        if prover is None:
            finished = {"event": "finished", "chunks": writer.count if writer else 0, "timings": timings}
            self._send(pack(finished, _big_endian(publics)))
            return
        self._send(pack({"event": "proving"}))
        started, clock = time.time_ns(), time.perf_counter_ns()
        proof = prover.finish(bytes.fromhex(head["seed"]))
        timings.append(["prove", started, time.perf_counter_ns() - clock])
        leaf = leaf_to_wire(proof, prover.publics)
        device = f"{self._backend.name}: {self._backend.device}"
        self._send(pack({"event": "leaf", "timings": timings, "device": device}, leaf.SerializeToString()))


def _take_publics(publics: npt.NDArray[np.uint64], piece: WireSlice) -> None:
    """Keeps what of the slice are public signals: wires 1 to n."""
    first, last = max(piece.offset, 1), min(piece.offset + len(piece.values), 1 + len(publics))
    if first < last:
        publics[first - 1 : last - 1] = piece.values.limbs[first - piece.offset : last - piece.offset]


def _big_endian(values: npt.NDArray[np.uint64]) -> bytes:
    """32 bytes each, as on the wire."""
    return values.view(np.uint8).reshape(-1, 32)[:, ::-1].tobytes()


def _pieces(slices: Iterator[WireSlice], wires: int) -> Iterator[WireSlice]:
    """The slices, none longer than a chunk; empty ones left out."""
    for piece in slices:
        for first in range(0, len(piece.values), wires):
            yield WireSlice(piece.offset + first, piece.values[first : first + wires])


def _confine(memory: int) -> None:
    """Bounds private memory, leaves no core dumps (they would hold witnesses), and dies with the daemon."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the daemon; whatever a library prints goes to standard error instead."""
    frames_in, frames_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return frames_in, frames_out


def main(arguments: list[str]) -> int:
    """`python -m edge.workerproc MEMORY_BYTES THREADS BACKEND LOG_LEVEL NICE`: serves until standard input ends."""
    memory, threads, backend = int(arguments[0]), int(arguments[1]), arguments[2]
    _confine(memory)
    os.nice(int(arguments[4]))
    logs.configure(arguments[3])
    frames_in, frames_out = _own_streams()

    def send(frame: bytes) -> None:
        frames_out.write(frame)
        frames_out.flush()

    selection = select(backend or None, threads)
    worker = Worker(selection.backend, send, memory=memory)
    send(pack({"event": "ready", "backend": selection.backend.name, "reason": selection.reason}))
    while frame := read(frames_in):
        ids = {"job_id": frame[0].get("job"), "segment": frame[0].get("segment")}
        with structlog.contextvars.bound_contextvars(**{k: v for k, v in ids.items() if v is not None}):
            worker.handle(*frame)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:]))
