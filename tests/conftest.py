"""What all suites share."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import grpc.aio
import pytest

from prover_core.backend import Backend, select

sys.path.insert(0, str(Path(__file__).resolve().parent / "node"))


@pytest.fixture(scope="session", autouse=True)
def grpc_stays() -> None:
    """gRPC's poller ends with the last of its objects, and waits for ever if a started server was among them: one whose
    test failed before it could be stopped. So the poller is held until the process ends.
    """

    async def hold() -> None:
        grpc.aio.init_grpc_aio()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(hold())
    loop.close()


@pytest.fixture(scope="session")
def backend() -> Backend:
    """The backend that users get on this machine."""
    return select().backend


def pytest_configure() -> None:
    """Shells start background jobs with SIGINT ignored, and children inherit that: commands under test must hear it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
