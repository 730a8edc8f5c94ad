"""What strangers may take of a daemon before it knows who they are: connections, and the time to shake hands.

Every connection is a file descriptor, and a daemon without descriptors cannot store what its clients send.
"""

from __future__ import annotations

import contextlib
import resource
from typing import Final

FILES: Final = 65_536
"""Descriptors that a daemon asks for, as far as its hard limit allows."""
CONNECTIONS: Final = 4096
"""Most connections to one port."""
HANDSHAKE_MILLIS: Final = 20_000
"""A connection that has not shaken hands by then is closed."""
IDLE_MILLIS: Final = 15 * 60_000
"""A connection without calls for so long is closed; clients connect again by themselves."""


def raise_file_limit() -> int:
    """Raises this process's soft limit on open files; gives the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # A container may forbid it: then what there is has to do.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return FILES if soft == resource.RLIM_INFINITY else soft


def listening_options(ports: int) -> tuple[tuple[str, int], ...]:
    """gRPC's options of a server with that many ports: at most half of the descriptors are for connections."""
    most = max(1, min(CONNECTIONS, raise_file_limit() // (2 * ports)))
    return (
        ("grpc.max_allowed_incoming_connections", most),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MILLIS),
        ("grpc.max_connection_idle_ms", IDLE_MILLIS),
    )
