"""`edge`, `cloud` and `worker`: the daemons, their settings taken from flags, environment and file as they are."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from cloud.config import CloudConfig
from cloud.worker.config import WorkerConfig
from edge.config import EdgeConfig


def edge(*, config: Annotated[EdgeConfig, Parameter(name="*")] = EdgeConfig()) -> int:  # noqa: B008
    """Run an edge daemon until it is told to stop (SIGTERM or Ctrl-C): it finishes what runs, then ends."""
    from edge.daemon import main

    main(config)
    return 0


def cloud(*, config: Annotated[CloudConfig, Parameter(name="*")] = CloudConfig()) -> int:  # noqa: B008
    """Run a cloud aggregator until it is told to stop (SIGTERM or Ctrl-C): it finishes what runs, then ends."""
    from cloud.logs import configure_logging
    from cloud.service import serve

    configure_logging(config.log_level)
    asyncio.run(serve(config))
    return 0


def worker(*, config: Annotated[WorkerConfig, Parameter(name="*")] = WorkerConfig()) -> int:  # noqa: B008
    """Run a prover for a cloud until it is told to stop (SIGTERM or Ctrl-C): it finishes or hands back its segments."""
    from cloud.logs import configure_logging
    from cloud.worker.service import serve

    configure_logging(config.log_level)
    asyncio.run(serve(config))
    return 0
