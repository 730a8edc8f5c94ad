"""From the last chunk to the proof: sums grown while chunks arrive, against waiting for the whole witness first.

    python bench/cut_through.py [--constraints 200000] [--megabits 100] [--rounds 3] [--json FILE]

Chunks of 16,384 wires arrive at the pace of an uplink of so many megabits a second (a wire is 32 bytes before packing),
whatever the prover does meanwhile. Cut-through adds each chunk on arrival and settles its sums while it would be idle;
store and forward begins with the last chunk. Both use all cores; wall-clock time from the moment the last chunk is
there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from _common import Figure, arguments, figure, report
from prove import files

from prover_core.formats.wtns import read_wtns
from prover_core.formats.zkey import read_zkey
from prover_core.groth16 import ProvingKey, StreamingProver, prove
from prover_core.native import CpuBackend
from prover_core.types import FrVector

CHUNK = 1 << 14


def cut_through(key: ProvingKey, witness: FrVector, backend: CpuBackend, seconds_per_chunk: float) -> float:
    """Seconds from the last chunk's arrival to the verified proof."""
    prover = StreamingProver(key, backend)
    start = time.perf_counter()
    arrival = start
    for offset in range(0, len(witness), CHUNK):
        arrival += seconds_per_chunk
        while time.perf_counter() < arrival and prover.settle():
            pass
        time.sleep(max(0.0, arrival - time.perf_counter()))
        prover.add(offset, witness[offset : offset + CHUNK])
    prover.finish()
    return time.perf_counter() - arrival


def store_and_forward(key: ProvingKey, witness: FrVector, backend: CpuBackend) -> float:
    """The same, when nothing was done before the last chunk came."""
    start = time.perf_counter()
    prove(key, witness, backend)
    return time.perf_counter() - start


def measure(constraints: int, megabits: float, rounds: int) -> list[Figure]:
    """One row."""
    key_file, witness_file, exact = files(constraints)
    key, witness, backend = read_zkey(key_file), read_wtns(witness_file), CpuBackend()
    pace = CHUNK * 32 * 8 / (megabits * 1e6)
    calls: tuple[Callable[[], float], ...] = (
        lambda: cut_through(key, witness, backend, pace),
        lambda: store_and_forward(key, witness, backend),
    )
    times: list[list[float]] = [[], []]
    for k in range(rounds + 1):
        for call, log in zip(calls, times, strict=True):
            seconds = call()
            if k:
                log.append(seconds)
    return [figure(f"last chunk to proof, {megabits:g} Mbit/s", f"{exact:,}", times[0], "store and forward", times[1])]


def main() -> None:
    """Measures and reports."""
    logging.disable(logging.WARNING)
    parser = arguments("What cut-through gains.", constraints=200_000, megabits=100.0)
    options, _ = parser.parse_known_args()
    figures = measure(options.constraints, options.megabits, options.rounds)
    report("cut_through", CpuBackend().device, figures, options.json)


if __name__ == "__main__":
    main()
