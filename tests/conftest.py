"""What all suites share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prover_core.backend import Backend, select

sys.path.insert(0, str(Path(__file__).resolve().parent / "node"))


@pytest.fixture(scope="session")
def backend() -> Backend:
    """The backend that users get on this machine."""
    return select().backend
