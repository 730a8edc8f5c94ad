"""Everything an operator can set, in one frozen value; the command line, the environment and TOML are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hybrid_prover.security.hosts import is_loopback
from prover_core.errors import InvalidInputError

MIB = 1 << 20

MESSAGE_OVERHEAD_BYTES = 64 << 10
"""Room beside a chunk's payload in one gRPC message."""


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """Settings of a cloud aggregator. `InvalidInputError` names the field whose value cannot serve."""

    host: str = "127.0.0.1"
    """Address to listen on; with `plaintext` a loopback address."""
    port: int = 7600
    """TCP port for edges (and clients with a certificate); 0 takes any free one. Who connects shows a certificate."""
    client_port: int = -1
    """TCP port for clients, who show a token and need no certificate; 0 takes any free one, -1 opens none."""
    tls: Path | None = None
    """Folder with `ca.crt`, `tls.crt` and `tls.key`, as `hybrid-prover certs` and cert-manager write it; followed."""
    tokens: Path | None = None
    """File of the clients' tokens, see `hybrid-prover tokens`; followed. Without it only edges may call."""
    plaintext: bool = False
    """Speak plain text, to everybody on this machine and without tokens: for trials on loopback only."""
    data_dir: Path = Path("hybrid-prover-cloud")
    """Folder of the database, the artifacts and the chunk logs; made if missing. One process may use it at a time."""
    database: str = field(default="", repr=False)
    """Where jobs and proofs are kept: `postgresql://user@host/name`, or empty for SQLite in `data_dir`. One cloud at a
    time may use a database. A password is better kept in a `PGPASSFILE` than here."""
    database_outage_seconds: float = 60.0
    """How long the database may be away before the cloud ends with an error; nothing is promised meanwhile."""
    artifacts: str = ""
    """Where keys, R1CS and witness programs are kept: a URL of fsspec's such as `s3://bucket/prefix` (with the extra
    `s3`), or empty for a folder in `data_dir`. With a URL that folder holds copies."""
    artifact_cache_bytes: int = 64 << 30
    """Size of these copies beyond which the least recently used ones are let go."""
    backend: str = ""
    """Backend to prove with (`cpu`, `cuda`, `reference`); empty chooses the best one here."""
    threads: int = 0
    """Cores that one native call may use; 0 means all of this machine."""
    workers: int = 0
    """Segments worked on at the same moment, a thread each; 0 means one for every four cores, at least 3."""
    remote_workers_only: bool = False
    """Prove nothing in this process: `hybrid-prover worker` processes make all proofs."""
    lease_seconds: float = 15.0
    """How long a remote worker may be silent before its segments go to another."""
    retry_budget: int = 3
    """Attempts at a segment that may fail by no fault of its client; then it is quarantined and its job fails."""
    poison_losses: int = 5
    """Remote workers lost in a row while they worked on a segment, after which it is quarantined too."""
    idle_job_hours: float = 168.0
    """A running job that waits for its edge, and has heard nothing of it for so long, fails; its chunks go. A failed
    job's chunks that are kept for `requeue` go after the same time."""
    max_open_segments: int = 32
    """Segments whose accumulators are held in memory; the others wait in their chunk logs."""
    loaded_keys: int = 8
    """Proving keys kept mapped; the least recently used one is let go."""
    max_chunk_bytes: int = 1 * MIB
    """Largest chunk payload taken. gRPC messages up to 64 KiB above the larger of this and 1 MiB are read."""
    session_credit_bytes: int = 16 * MIB
    """Payload bytes that one session may have in flight, received but not yet durable included."""
    ingest_memory_bytes: int = 256 * MIB
    """Payload bytes in flight over all sessions: bounds the memory of the ingest however slow disk and prover are."""
    backlog_bytes: int = 64 << 30
    """Disk that the witnesses of unfinished segments may need; a job that would exceed it is told to come later."""
    max_segments: int = 4096
    """Segments a job may have."""
    max_jobs: int = 16_384
    """Unfinished jobs of all clients; further ones wait at their edges."""
    max_pending_segments: int = 65_536
    """Unfinished segments of all clients, those of private jobs included; what exceeds it waits at the edges."""
    max_watchers: int = 1024
    """WatchJob streams open at once."""
    max_calls: int = 4096
    """Calls served at once, edges' and workers' streams included; further ones are refused with RESOURCE_EXHAUSTED."""
    quotas: Path | None = None
    """TOML table of what each client may have here (jobs, segments, bytes, weight); followed. Without it every client
    has the defaults, and where there are no tokens nothing but the limits above holds."""
    max_artifact_bytes: int = 16 << 30
    """Largest artifact (`.zkey`, `.r1cs`, witness program) taken."""
    batch_size: int = 64
    """A batch of leaf proofs is verified as soon as it has this many."""
    batch_age_ms: int = 1000
    """A batch is verified at most this many milliseconds after its first proof; sooner when its job is complete."""
    wrap_keys: Path | None = None
    """Folder of the wrap keys that assemblies need, one a shape (docs/assembly.md); `wrap-keys` in `data_dir` if not
    given."""
    make_wrap_keys: bool = False
    """Make a wrap key that is missing, by a development setup: whoever runs the cloud could then forge assemblies."""
    assembly_leaves: int = 64
    """Leaf proofs in one assembly at most; more become a tree. Decides which shapes, hence wrap keys, are used."""
    drain_grace_seconds: float = 20.0
    """On shutdown, how long running proofs may take to finish; what remains resumes at the next start."""
    retry_after_ms: int = 1000
    """What clients are told to wait when they are turned away for now."""
    metrics_port: int = -1
    """TCP port of the metrics for Prometheus (plain HTTP); 0 takes any free one, -1 opens none."""
    metrics_host: str = "127.0.0.1"
    """Address of the metrics. They name no job and hold no secret; anybody who reaches the address may read them."""
    log_level: str = "info"
    """Least severe level logged: `debug`, `info`, `warning` or `error`."""

    def __post_init__(self) -> None:
        self._check_transport()
        if not 0 <= self.port < 1 << 16:
            raise InvalidInputError(f"port {self.port} is not a TCP port", field="port")
        if not -1 <= self.metrics_port < 1 << 16:
            raise InvalidInputError(f"metrics_port {self.metrics_port} is not a TCP port", field="metrics_port")
        if self.database and not self.database.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
            raise InvalidInputError("the database is a postgresql:// URL, or empty for SQLite", field="database")
        for name in (
            "max_open_segments", "loaded_keys", "max_chunk_bytes", "session_credit_bytes",
            "ingest_memory_bytes", "backlog_bytes", "max_segments", "max_artifact_bytes", "batch_size",
            "assembly_leaves", "retry_budget", "poison_losses", "lease_seconds", "artifact_cache_bytes", "max_jobs",
            "max_pending_segments", "max_watchers", "max_calls",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} must be at least 1", field=name)
        for name in (
            "threads", "workers", "batch_age_ms", "drain_grace_seconds", "retry_after_ms", "database_outage_seconds",
        ):  # fmt: skip
            if getattr(self, name) < 0:
                raise InvalidInputError(f"{name} must not be negative", field=name)
        if self.session_credit_bytes < self.max_chunk_bytes:
            raise InvalidInputError("a session's credit must cover at least one chunk", field="session_credit_bytes")
        if self.ingest_memory_bytes < self.session_credit_bytes:
            raise InvalidInputError("ingest_memory_bytes must cover at least one session", field="ingest_memory_bytes")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise InvalidInputError(f"unknown log level {self.log_level!r}", field="log_level")

    def _check_transport(self) -> None:
        if not is_loopback(self.host) and self.tls is None:
            raise InvalidInputError(
                f"{self.host!r} is not a loopback address and plain text stays on loopback: give --tls, a folder made "
                "by `hybrid-prover certs`",
                field="host",
            )
        if not -1 <= self.client_port < 1 << 16:
            raise InvalidInputError(f"client_port {self.client_port} is not a TCP port", field="client_port")
        for name, value in (("tls", self.tls), ("tokens", self.tokens), ("client_port", self.client_port >= 0)):
            if self.plaintext and value:
                raise InvalidInputError(f"plaintext and {name} exclude each other", field=name)
        if self.client_port >= 0 and self.tokens is None:
            raise InvalidInputError("client_port is for clients, whom tokens tell apart: give --tokens", field="tokens")

    @property
    def address(self) -> str:
        """`host:port` as gRPC writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def max_message_bytes(self) -> int:
        """Largest gRPC message read or written."""
        return max(self.max_chunk_bytes, MIB) + MESSAGE_OVERHEAD_BYTES
