"""What an edge daemon is told when it starts: read once, never changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hybrid_prover.security.hosts import is_loopback
from prover_core.errors import InvalidInputError
from prover_core.formats.chunk import MAX_CHUNK_WIRES

from .logs import LEVELS

MIB = 1 << 20
GIB = 1 << 30


def split_address(address: str, name: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` in two; `InvalidInputError` (field = name) if it is neither."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidInputError(f"{name} is not host:port: {address!r}", field=name)
    return host.removeprefix("[").removesuffix("]"), int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """Settings of an edge daemon. Sizes are bytes and times seconds unless the name says otherwise."""

    listen: str = "127.0.0.1:7410"
    """Address of the API for clients, host:port; port 0 takes a free one. With `plaintext` a loopback address."""

    plaintext: bool = False
    """Speak plain text with clients: on loopback only. Without `tokens` everybody on this machine is then served."""

    tokens: Path | None = None
    """File of the clients' tokens, see `hybrid-prover tokens`; followed. Required unless clients speak plain text."""

    tls: Path | None = None
    """Folder with `ca.crt`, `tls.crt` and `tls.key`, as `hybrid-prover certs` and cert-manager write it; followed.
    The edge shows this certificate to its cloud and, unless `plaintext` is set, to its clients."""

    cloud: str = "127.0.0.1:7600"
    """Address of the cloud aggregator, host:port."""

    cloud_plaintext: bool = False
    """Speak plain text with the cloud: on loopback only."""

    cloud_ca: Path | None = None
    """PEM file of the authorities that may vouch for the cloud, if they are others than those of `tls`."""

    state_dir: Path = field(default_factory=lambda: Path.home() / ".local" / "state" / "hybrid-prover" / "edge")
    """Folder for jobs, chunks, artifacts and results. Made with access for its owner only: it holds witness inputs."""

    name: str = "edge"
    """What people call this edge; at most 128 characters."""

    workers: int = 2
    """Witness worker processes; each works on one segment at a time."""

    worker_threads: int = 0
    """Threads one worker may use to make a proof itself (placement private); 0 shares the cores between the workers."""

    backend: str = "cpu"
    """What workers compute with: `cpu`, `cuda` (each worker opens the device for itself) or `reference`; empty takes
    the fastest there is. Row checks are small work, for which the processor is the right device."""

    worker_memory: int = 8 * GIB
    """Private memory one worker may allocate; mapped keys do not count. Beyond it the segment fails, not the daemon."""

    witness_seconds: float = 600.0
    """Longest time one segment may take in a worker, its proof included where the placement is private."""

    worker_attempts: int = 3
    """How often a segment is tried when its worker dies, before the segment fails."""

    chunk_wires: int = 1 << 14
    """Wires in a chunk: smaller leaves earlier, larger costs less per wire."""

    max_jobs: int = 256
    """Unfinished jobs kept at once; further ones are refused with RESOURCE_EXHAUSTED."""

    max_segments: int = 8192
    """Unfinished segments of all jobs kept at once; further ones are refused with RESOURCE_EXHAUSTED."""

    max_request: int = 64 * MIB
    """Largest request message of the local API."""

    max_artifact: int = 16 * GIB
    """Largest artifact taken."""

    max_unacked: int = 4 * GIB
    """Chunk bytes that may wait on disk for the cloud; beyond it no new witness is begun until some are acked."""

    max_watchers: int = 256
    """WatchJob streams open at once."""

    max_calls: int = 1024
    """Calls of the local API served at once, streams included; further ones are refused with RESOURCE_EXHAUSTED."""

    quotas: Path | None = None
    """TOML table of what each client may have here (jobs, segments, bytes, submissions a minute, weight); followed.
    Without it every client has the defaults, and where there are no tokens nothing but the limits above holds."""

    finished_jobs_kept: int = 1000
    """Finished jobs whose results are kept; the oldest are forgotten beyond it."""

    stop_seconds: float = 10.0
    """How long open calls may go on when the daemon is told to stop."""

    metrics_port: int = -1
    """TCP port of the metrics for Prometheus (plain HTTP); 0 takes any free one, -1 opens none."""

    metrics_host: str = "127.0.0.1"
    """Address of the metrics. They name no job and hold no secret; anybody who reaches the address may read them."""

    log_level: str = "info"
    """Least severe level logged: `debug`, `info`, `warning` or `error`."""

    def __post_init__(self) -> None:
        host, _ = split_address(self.listen, "listen")
        if not is_loopback(host) and (self.plaintext or self.tls is None):
            raise InvalidInputError(
                f"listen = {self.listen!r} is not a loopback address and plain text stays on loopback: give --tls, a "
                "folder made by `hybrid-prover certs`, and --tokens",
                field="listen",
            )
        cloud, _ = split_address(self.cloud, "cloud")
        if self.cloud_plaintext and not is_loopback(cloud):
            raise InvalidInputError(
                f"cloud = {self.cloud!r} is not a loopback address and plain text stays on loopback: give --tls",
                field="cloud_plaintext",
            )
        if not 0 < len(self.name) <= 128:
            raise InvalidInputError("name needs 1 to 128 characters", field="name")
        if self.log_level not in LEVELS:
            raise InvalidInputError(f"log_level is one of {', '.join(LEVELS)}", field="log_level")
        if not -1 <= self.metrics_port < 1 << 16:
            raise InvalidInputError(f"metrics_port {self.metrics_port} is not a TCP port", field="metrics_port")
        if self.worker_threads < 0:
            raise InvalidInputError("worker_threads cannot be negative", field="worker_threads")
        if not 64 <= self.chunk_wires <= MAX_CHUNK_WIRES:
            raise InvalidInputError(f"chunk_wires must be 64 to {MAX_CHUNK_WIRES}", field="chunk_wires")
        for name in (
            "workers", "worker_memory", "witness_seconds", "worker_attempts", "max_jobs", "max_segments", "max_request",
            "max_artifact", "max_unacked", "max_watchers", "max_calls", "finished_jobs_kept",
        ):  # fmt: skip
            if getattr(self, name) <= 0:
                raise InvalidInputError(f"{name} must be positive", field=name)

    def check_transport(self) -> None:
        """`InvalidInputError` unless both sides have certificates or were told to speak plain text.

        Not at construction: the settings without any flag must be there for the command line to explain them.
        """
        if self.tls is None and not self.plaintext:
            raise InvalidInputError(
                "clients are served over TLS: give --tls, a folder made by `hybrid-prover certs issue edge`, and "
                "--tokens; or --plaintext for trials on loopback",
                field="tls",
            )
        if self.tls is None and not self.cloud_plaintext:
            raise InvalidInputError(
                "the cloud wants a certificate: give --tls, a folder made by `hybrid-prover certs issue edge`; or "
                "--cloud-plaintext for trials on loopback",
                field="tls",
            )
        if self.tokens is None and not self.plaintext:
            raise InvalidInputError(
                "clients show tokens: give --tokens, a file made by `hybrid-prover tokens create`", field="tokens"
            )
