"""A daemon that does not outlive the demo: `python -m hybrid_prover.demo.child PARENT COMMAND…`.

The child asks for this itself, after exec: code that ran between fork and exec would run beside gRPC's threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """On Linux, SIGTERM comes when the parent dies, even of SIGKILL; at once if it has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))

    from hybrid_prover.cli.main import run

    sys.exit(run(sys.argv[2:]))
