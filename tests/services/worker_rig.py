"""Remote workers for the cloud's tests: processes as their users run them, and hand-driven ones that do wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc

from hybrid_prover.v1 import common_pb2, worker_pb2, worker_pb2_grpc


class Process:
    """One `hybrid-prover worker`, its log lines at hand."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.lines.append(line.decode())
            self._news.set()

    async def until(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(60):
            while sum(text in line for line in self.lines) < times:
                assert self.process.returncode is None, self.lines[-5:]
                self._news.clear()
                await self._news.wait()

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def end(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def worker_process(target: str, cache: Path, *options: str) -> AsyncIterator[Process]:
    """A worker; killed, not stopped, at the end."""
    command = ("-m", "hybrid_prover", "worker", "--cloud", target, "--plaintext", "--cache-dir", str(cache), *options)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    worker = Process(process)
    try:
        await worker.until('"enlisted"')
        yield worker
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await worker.end()
        await worker._reader


class Hand:
    """A worker whose every message is sent by the test."""

    def __init__(self, channel: grpc.aio.Channel, worker_id: bytes | None = None) -> None:
        self.worker_id = worker_id or os.urandom(16)
        self.call = worker_pb2_grpc.WorkerServiceStub(channel).Work()
        self.heard: list[worker_pb2.WorkResponse] = []

    async def send(self, **message: object) -> None:
        await self.call.write(worker_pb2.WorkRequest(**message))

    async def until(self, wanted: Callable[[worker_pb2.WorkResponse], bool]) -> worker_pb2.WorkResponse:
        async with asyncio.timeout(20):
            while True:
                response = await self.call.read()
                assert response is not grpc.aio.EOF, await self.call.details()
                self.heard.append(response)
                if wanted(response):
                    return response

    async def until_kind(self, kind: str) -> object:
        return getattr(await self.until(lambda r: r.WhichOneof("message") == kind), kind)

    async def enlist(self, slots: int = 1, name: str = "hand", **more: object) -> worker_pb2.Enlisted:
        enlist = worker_pb2.Enlist(worker_id=self.worker_id, name=name, slots=slots, protocol_version=1, **more)
        await self.send(enlist=enlist)
        return await self.until_kind("enlisted")

    async def lease(self) -> worker_pb2.LeaseGranted:
        return await self.until_kind("granted")

    async def prove(self, lease: worker_pb2.LeaseRef, leaf: common_pb2.LeafProof) -> None:
        await self.send(proved=worker_pb2.TaskProved(lease=lease, leaf=leaf))
