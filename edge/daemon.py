"""The edge daemon as a whole: put together, started, and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hybrid_prover.admission.gate import BACKSTOP, Gate
from hybrid_prover.security.limits import listening_options
from hybrid_prover.telemetry.calls import CallMeter
from hybrid_prover.telemetry.otlp import open_traces
from hybrid_prover.v1 import (
    circuit_pb2,
    circuit_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    records_pb2,
    records_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
)
from prover_core.artifacts import ArtifactStore
from prover_core.errors import InvalidInputError

from . import logs
from .config import EdgeConfig, split_address
from .core import EdgeCore
from .records import Recorder
from .rpc_circuits import CircuitService
from .rpc_jobs import JobQueryService, JobService
from .rpc_records import RecordService
from .rpc_status import StatusService
from .security import bind, make_guard
from .spoolthread import SpoolThread
from .uplink import Uplink
from .workers import WorkerPool

log = structlog.get_logger("edge")

_SERVICES = (
    job_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    job_pb2.DESCRIPTOR.services_by_name["JobQueryService"].full_name,
    circuit_pb2.DESCRIPTOR.services_by_name["CircuitService"].full_name,
    records_pb2.DESCRIPTOR.services_by_name["RecordService"].full_name,
    status_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name,
)


class EdgeDaemon:
    """A running edge. `async with EdgeDaemon(config) as edge:` serves at `edge.target` until the block is left."""

    def __init__(self, config: EdgeConfig) -> None:
        self.config = config
        self.port = 0
        """The bound port, once started."""

    @property
    def target(self) -> str:
        """Where clients find the local API."""
        host, _ = split_address(self.config.listen, "listen")
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    async def start(self) -> None:
        """Takes up unfinished jobs, starts the workers and the uplink, then serves.

        `InvalidInputError` (field `listen` or `state_dir`) if the address is taken or the folder in use, `FormatError`
        if the state is of a newer version or a key is damaged, `BackendError` if no worker starts. Leaves nothing
        behind when it fails.
        """
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._cleanup = stack.pop_all()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        config = self.config
        stack.enter_context(locked(config.state_dir))
        recorder = Recorder(config.state_dir, config.name)
        self.core = EdgeCore(
            config,
            SpoolThread(config.state_dir),
            WorkerPool(config),
            ArtifactStore(config.state_dir / "artifacts", max_bytes=config.max_artifact),
            recorder,
        )
        stack.push_async_callback(self.core.close)
        self.core.artifacts.sweep()
        self._server = grpc.aio.server(
            interceptors=[
                CallMeter(self.core.observer.metrics),
                Gate(config.max_calls, self.core.admission.count),
                make_guard(config),
            ],
            maximum_concurrent_rpcs=BACKSTOP * config.max_calls,
            options=[
                ("grpc.max_receive_message_length", config.max_request),
                ("grpc.max_send_message_length", config.max_request),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                *listening_options(ports=1),
            ],
        )
        self._add_services()
        self.port = bind(self._server, config)
        stack.push_async_callback(self._server.stop, config.stop_seconds)
        self.core.observer.metrics.start(config.metrics_host, config.metrics_port)
        self.core.observer.spans = open_traces("hybrid-prover-edge", config.name)
        await self.core.pool.start()
        self.core.restore()
        self.core.spool.start()
        await self._server.start()
        uplink = asyncio.create_task(Uplink(config, self.core).run())
        stack.push_async_callback(_cancelled, uplink)
        stack.push_async_callback(self._refuse_new_work)
        for service in ("", *_SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        log.info("edge serves", target=self.target, cloud=config.cloud, workers=config.workers)

    def _add_services(self) -> None:
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        job_pb2_grpc.add_JobServiceServicer_to_server(JobService(self.core), self._server)
        job_pb2_grpc.add_JobQueryServiceServicer_to_server(JobQueryService(self.core), self._server)
        circuit_pb2_grpc.add_CircuitServiceServicer_to_server(CircuitService(self.core), self._server)
        records_pb2_grpc.add_RecordServiceServicer_to_server(RecordService(self.core), self._server)
        status_pb2_grpc.add_StatusServiceServicer_to_server(StatusService(self.core), self._server)
        reflection.enable_server_reflection((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    async def _refuse_new_work(self) -> None:
        await self._health.enter_graceful_shutdown()
        self.core.stopping = True
        self.core.wake_watchers()

    async def stop(self) -> None:
        """Refuses new work, lets open calls end, stops uplink and workers; unfinished jobs go on at the next start."""
        await self._cleanup.aclose()
        log.info("edge stopped")

    async def __aenter__(self) -> EdgeDaemon:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder for this process; `InvalidInputError` (field `state_dir`) if another edge holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise InvalidInputError(f"another edge uses the folder {folder}", field="state_dir") from e
        yield


async def serve(config: EdgeConfig) -> None:
    """Runs an edge until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with EdgeDaemon(config):
        await stop.wait()
        log.info("edge stops")


def main(config: EdgeConfig) -> None:
    """`serve` with logs on standard error; what the command line calls."""
    logs.configure(config.log_level)
    asyncio.run(serve(config))
