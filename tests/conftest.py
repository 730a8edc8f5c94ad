"""What all suites share."""

from __future__ import annotations

import pytest

from prover_core.backend import Backend, select


@pytest.fixture(scope="session")
def backend() -> Backend:
    """The backend that users get on this machine."""
    return select().backend
