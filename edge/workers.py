"""The witness workers as the daemon sees them: long-lived processes, one segment each, replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from prover_core.errors import BackendError, ProverError

from . import frames
from .chunkfile import ChunkRecord, record_json
from .circuitfiles import CircuitFiles
from .config import EdgeConfig
from .model import Code, Failure, Placement
from .status import RpcError, failure

log = structlog.get_logger("edge.workers")

START_SECONDS = 60.0
EXIT_SECONDS = 5.0


class WorkerDied(ProverError):
    """A worker ended in the middle of a task; `failure` says how."""

    def __init__(self, made: Failure) -> None:
        super().__init__(made.message)
        self.failure = made


@dataclass(frozen=True, slots=True)
class WitnessTask:
    """One segment for a worker."""

    job_id: bytes
    segment: int
    placement: Placement
    circuit: CircuitFiles
    chunk_wires: int
    chunk_file: Path
    public_signals: int
    inputs: bytes
    """Serialized `SegmentSpec`."""
    seed: bytes = field(default=b"", repr=False)
    """What blinds the proof, where one is made: placement private."""


class _Process:
    """One worker process, idle or with one task."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self.circuits: set[str] = set()
        """Circuits it has worked on, and has loaded unless they were many."""

    @classmethod
    async def start(cls, config: EdgeConfig, threads: int, nice: int) -> _Process:
        source = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(p for p in (source, os.environ.get("PYTHONPATH", "")) if p)
        environment = os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge.workerproc", str(config.worker_memory), str(threads), config.backend,
            config.log_level, str(nice),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        worker = cls(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                head, _ = await frames.receive(worker._stdout)
        except BaseException:
            await worker.kill()
            raise
        log.debug("worker ready", pid=process.pid, backend=head.get("backend"), reason=head.get("reason"))
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, head: frames.Head, body: bytes) -> None:
        self._stdin.write(frames.pack(head, body))
        await self._stdin.drain()

    async def answer(self) -> tuple[frames.Head, bytes]:
        return await frames.receive(self._stdout)

    async def ended(self) -> int:
        """The exit status of a worker whose pipe has ended; one that lives on regardless is killed."""
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        # Not Process.kill: that polls, and so takes the exit status away from the loop's own watcher.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        return await self._process.wait()


class WorkerPool:
    """As many workers as configured, started ahead; a task waits until one is idle."""

    def __init__(self, config: EdgeConfig, *, nice: int = 0) -> None:
        """`nice`: how far the workers step back behind other processes of this machine, 0 to 19."""
        self._config = config
        self._nice = nice
        self._threads = config.worker_threads or max(1, (os.cpu_count() or 1) // config.workers)
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._slots = asyncio.Semaphore(config.workers)
        self._closed = False

    async def start(self) -> None:
        """Starts every worker; `BackendError` if one does not start."""
        starts = (self._start_one() for _ in range(self._config.workers))
        started = await asyncio.gather(*starts, return_exceptions=True)
        self._idle = [worker for worker in started if isinstance(worker, _Process)]
        if len(self._idle) < len(started):
            raise BackendError("a witness worker does not start: its output says why; worker_memory may be too small")

    async def _start_one(self) -> _Process:
        """A worker that ends while it starts may have been killed: one that cannot start ends the second time too."""
        try:
            return await _Process.start(self._config, self._threads, self._nice)
        except EOFError:
            return await _Process.start(self._config, self._threads, self._nice)

    def pids(self) -> list[int]:
        """Process ids of the workers, busy ones first."""
        return [p.pid for p in (*self._busy, *self._idle) if p.alive]

    def busy(self) -> list[tuple[int, bool]]:
        """(process id, whether it has a task) of every worker that lives."""
        return [(p.pid, p in self._busy) for p in (*self._busy, *self._idle) if p.alive]

    async def witness(self, task: WitnessTask, on_event: Callable[[frames.Head], None]) -> tuple[frames.Head, bytes]:
        """Runs one segment; `on_event` gets `chunk` and `proving` events as they come, the last frame is returned.

        `RpcError` if the segment cannot be witnessed, `WorkerDied` if its worker ended. Cancelling kills the worker.
        """
        head = {
            "op": "witness",
            "job": task.job_id.hex(),
            "segment": task.segment,
            "placement": int(task.placement),
            "chunk_wires": task.chunk_wires,
            "chunk_file": str(task.chunk_file),
            "public_signals": task.public_signals,
            "circuit": task.circuit.to_json(),
            "seed": task.seed.hex(),
        }
        return await self._run(head, task.inputs, on_event)

    async def describe(self, circuit: CircuitFiles) -> dict[str, Any]:
        """What the artifacts of a circuit say of it; `RpcError` names the part that is wrong."""
        head, _ = await self._run({"op": "describe", "circuit": circuit.to_json()}, b"", lambda _: None)
        return head

    async def warm(self, circuit: CircuitFiles) -> None:
        """Has every worker load a circuit ahead of its first segment; failures show when it is used."""
        head = {"op": "warm", "circuit": circuit.to_json()}
        tasks = (self._run(head, b"", lambda _: None) for _ in range(self._config.workers))
        await asyncio.gather(*tasks, return_exceptions=True)

    async def warm_partials(self, circuit: CircuitFiles, chunk_wires: int) -> int:
        """Loads the proving key in the worker that makes partials; nanoseconds that one of a whole chunk took."""
        head = {"op": "warm_partials", "circuit": circuit.to_json(), "chunk_wires": chunk_wires}
        answer, _ = await self._run(head, b"", lambda _: None)
        return int(answer["nanos"])

    async def partial(self, circuit: CircuitFiles, chunk_file: Path, record: ChunkRecord) -> tuple[bytes, int, int]:
        """The partial of a chunk in the spool, when it was begun (since the epoch) and how long it took, nanoseconds.

        `RpcError` if it cannot be made, `WorkerDied` if the worker ended.
        """
        head = {"op": "partial", "circuit": circuit.to_json(), "chunk_file": str(chunk_file), **record_json(record)}
        answer, points = await self._run(head, b"", lambda _: None)
        return points, int(answer["started"]), int(answer["nanos"])

    async def _run(
        self, head: frames.Head, body: bytes, on_event: Callable[[frames.Head], None]
    ) -> tuple[frames.Head, bytes]:
        async with self._slots:
            worker = await self._take(head["circuit"]["digest"], cold=head["op"] == "warm")
            self._busy.add(worker)
            try:
                async with asyncio.timeout(self._config.witness_seconds):
                    answer = await self._converse(worker, head, body, on_event)
                self._idle.append(worker)
            except TimeoutError:
                await worker.kill()
                text = f"not finished within {self._config.witness_seconds:g} s (witness_seconds)"
                where = f"segments[{head['segment']}]" if "segment" in head else ""
                raise RpcError(failure(Code.DEADLINE_EXCEEDED, text, reason="WITNESS_TIMEOUT", field=where)) from None
            except (EOFError, OSError) as e:
                status = await worker.ended()
                how = f"signal {-status}" if status < 0 else f"status {status}"
                text = f"a witness worker ended with {how}"
                raise WorkerDied(failure(Code.INTERNAL, text, reason="WORKER_DIED")) from e
            except BaseException:
                await asyncio.shield(worker.kill())
                raise
            finally:
                self._busy.discard(worker)
        if answer[0]["event"] == "failed":
            raise RpcError(Failure(Code(answer[0]["code"]), answer[0]["message"], answer[1]))
        return answer

    async def _converse(
        self, worker: _Process, head: frames.Head, body: bytes, on_event: Callable[[frames.Head], None]
    ) -> tuple[frames.Head, bytes]:
        await worker.ask(head, body)
        while True:
            answer, rest = await worker.answer()
            if answer["event"] in ("chunk", "proving"):
                on_event(answer)
            else:
                return answer, rest

    async def _take(self, circuit: str, *, cold: bool) -> _Process:
        """An idle worker, one that has (cold: has not) the circuit loaded if there is one; else a new one."""
        self._idle = [worker for worker in self._idle if worker.alive]
        if self._idle:
            worker = next((w for w in reversed(self._idle) if (circuit in w.circuits) != cold), self._idle[-1])
            self._idle.remove(worker)
            worker.circuits.add(circuit)
            return worker
        try:
            return await _Process.start(self._config, self._threads, self._nice)
        except (OSError, EOFError, TimeoutError) as e:
            text = "a witness worker does not start"
            raise WorkerDied(failure(Code.UNAVAILABLE, text, reason="WORKER_START")) from e

    async def close(self) -> None:
        """Ends every worker at once."""
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(worker.kill() for worker in workers))
