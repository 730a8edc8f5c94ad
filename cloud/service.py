"""The cloud as a gRPC server: start, serve until told to stop, drain, stop.

    server = CloudServer(CloudConfig(port=0, plaintext=True, data_dir=...))
    await server.start()          # server.port and server.target are known from here on
    ...
    await server.stop()           # drains: Draining to the edges, running proofs finish within the grace

`serve(config)` does that until SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hybrid_prover.admission.gate import BACKSTOP, Gate
from hybrid_prover.security.limits import listening_options
from hybrid_prover.telemetry.calls import CallMeter
from hybrid_prover.v1 import (
    assembly_pb2,
    assembly_pb2_grpc,
    circuit_pb2,
    circuit_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    records_pb2,
    records_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
    trust_pb2,
    trust_pb2_grpc,
    uplink_pb2,
    uplink_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)

from .aggregator import Aggregator
from .config import CloudConfig
from .rpc.assemblies import AssemblyRpc
from .rpc.circuits import Circuits
from .rpc.control import JobControl
from .rpc.jobs import Jobs
from .rpc.records import Records
from .rpc.service_status import Status
from .rpc.trust import Trust
from .rpc.uplink import Uplink
from .rpc.workers import Workers
from .security import address, make_guard, open_ports

log = structlog.get_logger(__name__)

SERVICES = (
    uplink_pb2.DESCRIPTOR.services_by_name["UplinkService"].full_name,
    circuit_pb2.DESCRIPTOR.services_by_name["CircuitService"].full_name,
    assembly_pb2.DESCRIPTOR.services_by_name["AssemblyService"].full_name,
    job_pb2.DESCRIPTOR.services_by_name["JobQueryService"].full_name,
    job_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    records_pb2.DESCRIPTOR.services_by_name["RecordService"].full_name,
    status_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name,
    trust_pb2.DESCRIPTOR.services_by_name["TrustService"].full_name,
    worker_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name,
)


class CloudServer:
    """One cloud in this process. `start` and `stop` once each, on one event loop."""

    def __init__(self, config: CloudConfig) -> None:
        self.config = config
        self.aggregator = Aggregator(config)
        self.port = 0
        """The port in use, once started."""
        self.client_port = 0
        """The port of clients without a certificate, once started; 0 if there is none."""
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    @property
    def target(self) -> str:
        """Where edges connect."""
        return address(self.config.host, self.port)

    @property
    def client_target(self) -> str:
        """Where clients connect."""
        return address(self.config.host, self.client_port or self.port)

    async def start(self) -> None:
        """Resumes what the store holds, then listens. `InvalidInputError` names a taken port or a bad setting."""
        limit = self.config.max_message_bytes
        metrics = self.aggregator.observer.metrics
        gate = Gate(self.config.max_calls, lambda reason: metrics.admission_refusals.labels(reason).inc())
        server = grpc.aio.server(
            interceptors=[CallMeter(metrics), gate, make_guard(self.config)],
            maximum_concurrent_rpcs=BACKSTOP * self.config.max_calls,
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
                ("grpc.keepalive_permit_without_calls", 1),
                *listening_options(ports=2),
            ],
        )
        uplink_pb2_grpc.add_UplinkServiceServicer_to_server(Uplink(self.aggregator), server)
        circuit_pb2_grpc.add_CircuitServiceServicer_to_server(Circuits(self.aggregator), server)
        assembly_pb2_grpc.add_AssemblyServiceServicer_to_server(AssemblyRpc(self.aggregator), server)
        job_pb2_grpc.add_JobQueryServiceServicer_to_server(Jobs(self.aggregator), server)
        job_pb2_grpc.add_JobServiceServicer_to_server(JobControl(self.aggregator), server)
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(Workers(self.aggregator), server)
        status_pb2_grpc.add_StatusServiceServicer_to_server(Status(self.aggregator), server)
        records_pb2_grpc.add_RecordServiceServicer_to_server(Records(self.aggregator), server)
        trust_pb2_grpc.add_TrustServiceServicer_to_server(Trust(self.aggregator), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        self.port, self.client_port = open_ports(server, self.config)
        await self.aggregator.start()
        await server.start()
        self._server = server
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        log.info("listening", address=self.target, clients=self.client_target, tls=self.config.tls is not None)

    async def stop(self) -> None:
        """Graceful: NOT_SERVING, Draining, running proofs within the grace, then streams end and threads stop."""
        if self._server is None:
            return
        server, self._server = self._server, None
        async with contextlib.AsyncExitStack() as ending:  # each, from the last, whatever becomes of those before it
            ending.push_async_callback(self.aggregator.stop)
            ending.push_async_callback(server.stop, grace=1.0)  # one left running keeps its process from ending
            await self._health.enter_graceful_shutdown()
            await self.aggregator.drain()
        log.info("stopped")

    async def __aenter__(self) -> CloudServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def failed(self) -> None:
        """Returns never; raises what made the store unwritable."""
        assert self.aggregator.failed is not None
        await asyncio.shield(self.aggregator.failed)


async def serve(config: CloudConfig) -> None:
    """Runs a cloud until SIGTERM or SIGINT, then drains it; a second signal ends the grace at once."""
    async with CloudServer(config) as server:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        waiting = {asyncio.create_task(stop.wait()), asyncio.create_task(server.failed())}
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    for task in done:
        task.result()
