"""The devices that these tests run on: the host shim, or a real GPU where HYBRID_PROVER_TEST_GPU asks for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from prover_core.gpu.device import Device

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "groth16"))

from host_device import ORDERS, HostDevice


@cache
def real_device() -> Device:
    """The GPU; an error, not a skip, where there is none: somebody asked for it."""
    from prover_core.gpu.cupy_device import CupyDevice

    return CupyDevice(int(os.environ.get("HYBRID_PROVER_CUDA_DEVICE", "0")))


ON_GPU = bool(os.environ.get("HYBRID_PROVER_TEST_GPU"))


@pytest.fixture(params=["gpu"] if ON_GPU else list(ORDERS))
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Threads run in each of three orders on the host; what lies beside the device's memory must be untouched."""
    if request.param == "gpu":
        yield real_device()
        return
    host = HostDevice(order=request.param)
    yield host
    host.check_guards()


@pytest.fixture(params=["gpu"] if ON_GPU else ["shuffled"])
def one_device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """For what does not depend on the order, or was tested in all of them already."""
    if request.param == "gpu":
        yield real_device()
        return
    host = HostDevice(order=request.param)
    yield host
    host.check_guards()
