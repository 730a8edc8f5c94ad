"""The kernels' sources as NVRTC gets them, and that the record of what they use is of these sources."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from check_kernels import ARCHITECTURES, RECORD, digest, excesses, usage

from prover_core.gpu.sources import MODULES, kernels, source


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_one_text(module: str) -> None:
    text = source(module)
    assert '#include "' not in text
    assert text.count("struct alignas(16) Fp {") == 1, "a header is there once"
    names = kernels(module)
    assert names
    assert len(set(names)) == len(names)
    assert text.count("__global__ void") == len(names), "every kernel's name was found"


@pytest.mark.parametrize("module", MODULES)
def test_the_record_is_of_these_sources(module: str) -> None:
    record = json.loads(RECORD.read_text())
    assert record["sources"][module] == digest(module), 'run make check-kernels ARGS="--write"'
    for architecture in ARCHITECTURES:
        found = record["kernels"][module][f"sm_{architecture}"]
        assert set(found) == set(kernels(module))
        for name, used in found.items():
            assert used["spilled"] == 0, (name, architecture)
            assert used["registers"] < 255, (name, architecture)
            assert used["shared"] <= 48 << 10, (name, architecture)


def test_what_ptxas_says_is_read_and_bounded() -> None:
    said = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_90'
ptxas info    : Function properties for a
    128 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 106 registers, used 1 barriers, 128 bytes cumulative stack size, 16384 bytes smem
ptxas info    : Compiling entry function 'b' for 'sm_90'
ptxas info    : Function properties for b
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers, used 0 barriers
"""
    found = usage(said)
    assert found == {
        "a": {"registers": 106, "spilled": 12, "stack": 128, "shared": 16384},
        "b": {"registers": 20, "spilled": 0, "stack": 0, "shared": 0},
    }
    bounds = {"a": {**found["a"], "registers": 90}, "b": {**found["b"], "registers": 12}}
    assert excesses(found, bounds, "m") == ["m a: registers 106, recorded 90", "m a: spills 12 bytes"]
    assert excesses(found, {}, "m")[:2] == ["m a: no record", "m b: no record"]


def test_nothing_imports_cupy_before_a_device_is_asked_for() -> None:
    import prover_core.gpu.backend as backend

    assert backend.CudaBackend is not None
    path = Path(backend.__file__).parent
    users = [p.name for p in path.glob("*.py") if "import cupy\n" in p.read_text()]
    assert users == ["cupy_device.py"]
    assert "prover_core.gpu.cupy_device" not in sys.modules or "cupy" in sys.modules
