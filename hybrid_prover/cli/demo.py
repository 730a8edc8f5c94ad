"""`demo`: the main job on this machine."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from hybrid_prover.demo.processes import DaemonError
from hybrid_prover.demo.run import DemoConfig, run_demo

from .output import Output


def demo(*, config: Annotated[DemoConfig, Parameter(name="*")] = DemoConfig(), json: bool = False) -> int:  # noqa: B008
    """Prove a block of rollup operations with one cloud and two edges on this machine.

    Starts the daemons on loopback, proves blocks with all four kinds of operation, compares with proving one segment
    after another, verifies everything, and leaves proofs, keys and measurements in --out.

    Parameters
    ----------
    json
        Print the measurements as JSON.
    """
    output = Output(json)
    try:
        return asyncio.run(run_demo(config, output))
    except DaemonError as e:
        output.note(e.tail)
        raise
    except asyncio.CancelledError:  # SIGTERM
        raise KeyboardInterrupt from None
