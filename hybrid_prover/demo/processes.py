"""The demo's daemons as child processes: started, watched until they serve, stopped in order, their logs kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hybrid_prover.credentials import Credentials
from prover_core.errors import ProverError

TAIL_LINES = 25


class DaemonError(ProverError):
    """A daemon of the demo did not start, or ended by itself; `tail` is the end of its log."""

    def __init__(self, message: str, tail: str) -> None:
        super().__init__(message)
        self.tail = tail


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Daemon:
    """One child process serving gRPC at `target`."""

    name: str
    arguments: Sequence[str]
    target: str
    log: Path
    credentials: Credentials | None = None
    """For its health service; plain text without them."""
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Starts it in a session of its own, so that Ctrl-C reaches it only through us; on Linux it ends with us."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hybrid_prover.demo.child", str(os.getpid()), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )

    def check(self) -> None:
        """`DaemonError` with the tail of the log if the process is gone."""
        if self.process is not None and (status := self.process.poll()) is not None:
            raise DaemonError(f"{self.name} ended by itself with status {status}", self.tail())

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if self.log.exists() else []
        return "\n".join([f"--- the last lines of {self.log}", *lines])

    async def wait_serving(self, seconds: float) -> None:
        """Returns once its health service says SERVING; `DaemonError` if it ends or takes longer."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        options = [("grpc.max_reconnect_backoff_ms", 300)]
        if self.credentials is None:
            opened = grpc.aio.insecure_channel(self.target, options=options)
        else:
            opened = grpc.aio.secure_channel(self.target, self.credentials.channel_credentials(), options=options)
        async with opened as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while loop.time() < end:
                self.check()
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2.0)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except grpc.aio.AioRpcError:
                    pass
                await asyncio.sleep(0.1)
        raise DaemonError(f"{self.name} does not serve after {seconds:.0f} s", self.tail())

    def stop(self, seconds: float = 10.0) -> None:
        """Asks it to end and waits; kills what does not end, and whatever it left behind in its group."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


class Fleet:
    """All daemons of the demo; leaving the `with` block stops every one of them, the edges before the cloud."""

    def __init__(self) -> None:
        self.daemons: list[Daemon] = []

    async def add(
        self,
        name: str,
        arguments: Sequence[str],
        target: str,
        log: Path,
        seconds: float = 120.0,
        credentials: Credentials | None = None,
    ) -> Daemon:
        """Starts a daemon and waits until it serves."""
        daemon = Daemon(name, arguments, target, log, credentials)
        self.daemons.append(daemon)
        daemon.start()
        await daemon.wait_serving(seconds)
        return daemon

    def check(self) -> None:
        """`DaemonError` if any daemon ended by itself."""
        for daemon in self.daemons:
            daemon.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for daemon in reversed(self.daemons):
            daemon.stop()
