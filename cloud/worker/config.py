"""What a worker is told when it starts: read once, never changed while it runs."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from hybrid_prover.security.hosts import is_loopback
from prover_core.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Settings of a remote worker. `InvalidInputError` names the field whose value cannot serve."""

    cloud: str = "127.0.0.1:7600"
    """Address of the cloud aggregator, host:port."""
    tls: Path | None = None
    """Folder with `ca.crt`, `tls.crt` and `tls.key` (`hybrid-prover certs issue worker`): the certificate it shows."""
    cloud_ca: Path | None = None
    """PEM file of the authorities that may vouch for the cloud, if they are others than those of `tls`."""
    plaintext: bool = False
    """Speak plain text with the cloud: on loopback only."""
    name: str = field(default_factory=socket.gethostname)
    """What people call this worker; at most 128 characters."""
    slots: int = 2
    """Segments worked on at the same moment, a thread each."""
    backend: str = ""
    """Backend to prove with (`cpu`, `cuda`, `reference`); empty chooses the best one here."""
    threads: int = 0
    """Cores that one native call may use; 0 means all of this machine."""
    cache_dir: Path = field(default_factory=lambda: Path.home() / ".cache" / "hybrid-prover" / "worker")
    """Folder of proving keys fetched from the cloud, each named by its digest. Workers of one machine may share it."""
    loaded_keys: int = 8
    """Proving keys kept mapped; the least recently used one is let go."""
    drain_seconds: float = 300.0
    """When told to stop: how long segments whose witness is complete may take; the others are handed back at once."""
    log_level: str = "info"
    """Least severe level logged: `debug`, `info`, `warning` or `error`."""

    def __post_init__(self) -> None:
        host, colon, port = self.cloud.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) >= 1 << 16:
            raise InvalidInputError(f"cloud is not host:port: {self.cloud!r}", field="cloud")
        if self.plaintext and self.tls is not None:
            raise InvalidInputError("plaintext and tls exclude each other", field="tls")
        if self.plaintext and not is_loopback(host.strip("[]")):
            raise InvalidInputError(f"plain text stays on loopback; {host!r} is not a loopback address", field="cloud")
        if len(self.name) > 128:
            raise InvalidInputError("name has over 128 characters", field="name")
        if not 1 <= self.slots <= 1024:
            raise InvalidInputError(f"slots is 1 to 1,024, not {self.slots}", field="slots")
        for name in ("threads", "drain_seconds"):
            if getattr(self, name) < 0:
                raise InvalidInputError(f"{name} must not be negative", field=name)
        if self.loaded_keys < 1:
            raise InvalidInputError("loaded_keys must be at least 1", field="loaded_keys")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise InvalidInputError(f"unknown log level {self.log_level!r}", field="log_level")
