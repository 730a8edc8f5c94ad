"""What placement split saves a cloud behind slow uplinks: its processor time a proof, against placement cloud.

    python bench/split.py [--constraints 65000] [--segments 4] [--megabits 10,25,100] [--rounds 3] [--json FILE]

A real cloud and a real edge on this machine, with a proxy between them that lets so many megabits a second through.
Jobs of several segments (chains of Poseidon: every wire a full field element) with the two placements in turn, each
measured from submission to its end: wall-clock time, and the processor time of the cloud's process from the kernel's
account of it. Both share this machine's cores, so wall-clock times of fast uplinks say little about two machines.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from _common import Figure, arguments, figure, report
from prove import HASH_ROWS, files

from hybrid_prover import Placement, ProverClient, Segment
from hybrid_prover.demo.processes import Daemon, Fleet, free_port
from prover_core.circuit import Circuit, compile_circuit
from prover_core.circuit.gadgets.poseidon import poseidon
from prover_core.formats.tape import write_tape
from prover_core.native import CpuBackend
from prover_core.types import Digest

TICK = os.sysconf("SC_CLK_TCK")
RECEIVE_BUFFER = 1 << 16


class SlowProxy:
    """Forwards TCP to a port of this machine at `rate` bytes a second (0: as fast as it goes), back at full speed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.rate = 0
        self._free = 0.0
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [asyncio.create_task(self._forward(reader, back, slow=True))]
        ways.append(asyncio.create_task(self._forward(there, writer, slow=False)))
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, back):
            end.transport.abort()

    async def over(self) -> None:
        """Waits for the connections of daemons that have been stopped."""
        if self._connections:
            await asyncio.wait(self._connections, timeout=5.0)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, slow: bool) -> None:
        while data := await source.read(8192):
            if slow and self.rate:
                now = time.monotonic()
                self._free = max(self._free, now) + len(data) / self.rate
                if self._free > now + 0.002:
                    await asyncio.sleep(self._free - now)
            sink.write(data)
            await sink.drain()


@dataclass
class Runs:
    """Of one placement: seconds of the cloud's processor a proof, and of the clock a job; chunks and partials."""

    processor: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    chunks: int = 0
    partials: int = 0


@dataclass
class Site:
    """One cloud, one edge, and the uplink between them."""

    cloud: Daemon
    proxy: SlowProxy
    client: ProverClient
    circuit: Digest
    segments: int
    inputs: int = 0

    async def run(self, placement: Placement, into: Runs) -> None:
        """One job; `SystemExit` if it is not proved."""
        segments = []
        for _ in range(self.segments):
            self.inputs += 1
            segments.append(Segment(self.circuit, {"x": self.inputs}))
        processor, wall = processor_seconds(self.cloud), time.perf_counter()
        handle = await self.client.submit(segments, placement=placement)
        await handle.result()
        into.wall.append(time.perf_counter() - wall)
        into.processor.append((processor_seconds(self.cloud) - processor) / self.segments)
        for s in (await handle.status()).segments:
            if s.partials is not None:
                into.chunks += s.partials.chunks
                into.partials += s.partials.partials


def processor_seconds(daemon: Daemon) -> float:
    """User and system time of the process so far, its ended children included."""
    assert daemon.process is not None
    numbers = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(n) for n in numbers[11:15]) / TICK


def circuit_files(constraints: int) -> tuple[Path, Path, int]:
    """Key and tape of the chain of `prove.files`, from the cache or made, and its number of constraints."""
    key, _, exact = files(constraints)
    tape = key.with_name("circuit.tape")
    if not tape.exists():

        def define(c: Circuit) -> None:
            x = c.private("x")
            for _ in range(constraints // HASH_ROWS):
                x = poseidon(c, [x, x])
            c.output("y", x)

        write_tape(tape, compile_circuit(define, name=f"chain of {constraints // HASH_ROWS}").tape)
    return key, tape, exact


@asynccontextmanager
async def site(key: Path, tape: Path, segments: int, scratch: Path) -> AsyncIterator[Site]:
    """Both daemons running and the circuit known to both, all at full speed."""
    cloud_port, edge_port = free_port(), free_port()
    proxy = SlowProxy(cloud_port)
    listener = socket.socket()
    # Small, so that what waits for the uplink waits where it would on a real one: at the edge.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    listener.bind(("127.0.0.1", 0))
    uplink = listener.getsockname()[1]
    server = await asyncio.start_server(proxy.serve, sock=listener)
    with Fleet() as fleet:
        arguments = ["cloud", "--plaintext", "--port", str(cloud_port), "--data-dir", str(scratch / "cloud")]
        cloud = await fleet.add("the cloud", arguments, f"127.0.0.1:{cloud_port}", scratch / "cloud.log")
        arguments = ["edge", "--plaintext", "--cloud-plaintext", "--listen", f"127.0.0.1:{edge_port}"]
        arguments += ["--cloud", f"127.0.0.1:{uplink}", "--state-dir", str(scratch / "edge")]
        await fleet.add("the edge", arguments, f"127.0.0.1:{edge_port}", scratch / "edge.log")
        async with ProverClient(f"127.0.0.1:{edge_port}") as client:
            known = await client.register_circuit(name="chain", zkey=key, program=tape)
            made = Site(cloud, proxy, client, known.digest, segments)
            await made.run(Placement.CLOUD, Runs())
            yield made
    await proxy.over()
    server.close()


async def measure(constraints: int, segments: int, megabits: list[float], rounds: int) -> list[Figure]:
    """Three rows for each uplink."""
    key, tape, exact = circuit_files(constraints)
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        async with site(key, tape, segments, Path(scratch)) as at:
            for speed in megabits:
                at.proxy.rate = int(speed * 1e6 / 8)
                split, plain = Runs(), Runs()
                # The first of each is not counted: the edge measures the uplink as it is now, and its own sums.
                for placement in (Placement.SPLIT, Placement.CLOUD):
                    await at.run(placement, Runs())
                for _ in range(rounds):
                    await at.run(Placement.SPLIT, split)
                    await at.run(Placement.CLOUD, plain)
                size = f"{segments} x {exact:,} at {speed:g} Mbit/s"
                figures.append(figure("cloud's processor, a proof", size, split.processor, "cloud", plain.processor))
                figures.append(figure("wall clock, a job", size, split.wall, "cloud", plain.wall))
                share = 100 * split.partials / max(1, split.chunks)
                figures.append(Figure("chunks with partials, %", size, share, share, share, "cloud", 0.0, 0.0))
    return figures


def main() -> None:
    """Measures and reports."""
    logging.disable(logging.WARNING)
    parser = arguments("What placement split saves a cloud.", constraints=65_000, segments=4, megabits="10,25,100")
    options, _ = parser.parse_known_args()
    speeds = [float(speed) for speed in options.megabits.split(",")]
    figures = asyncio.run(measure(options.constraints, options.segments, speeds, options.rounds))
    report("split", CpuBackend().device, figures, options.json)


if __name__ == "__main__":
    main()
