"""What all suites share."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from prover_core.backend import Backend, select

sys.path.insert(0, str(Path(__file__).resolve().parent / "node"))


@pytest.fixture(scope="session")
def backend() -> Backend:
    """The backend that users get on this machine."""
    return select().backend


def pytest_configure() -> None:
    """Shells start background jobs with SIGINT ignored, and children inherit that: commands under test must hear it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
