"""`make demo`: a block of rollup operations through one cloud and two edges on this machine, timed and verified."""

from __future__ import annotations

import os

FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"

# Said before gRPC is loaded: a forked child that is about to become a daemon must not wake gRPC's threads, which can
# abort it.
os.environ.setdefault(FORK_SUPPORT, "0")
