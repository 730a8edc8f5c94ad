"""The benchmark's own checks hold and its table is complete, at sizes that mean nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from prover_core.gpu.device import Device


def bench() -> Any:
    path = Path(__file__).resolve().parents[2] / "bench" / "gpu.py"
    spec = importlib.util.spec_from_file_location("bench_gpu", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_gpu"] = module
    spec.loader.exec_module(module)
    return module


def test_every_figure_is_checked_and_named(one_device: Device) -> None:
    module = bench()
    sizes = module.Sizes((7, 8), (6,), (6,), (5,), 1, 2, 3)
    figures = module.measure(one_device, sizes, smallest=16)
    assert [f.what.split(",")[0] for f in figures] == [
        "products", "g1 MSM", "g1 MSM", "g1 MSM", "g1 MSM", "g2 MSM", "g2 MSM", "NTT", "quotient", "Groth16 proof",
    ]  # fmt: skip
    assert all(f.milliseconds > 0 for f in figures)
