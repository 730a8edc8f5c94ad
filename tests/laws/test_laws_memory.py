"""Large temporary memory is used again, and what nobody uses is given back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from prover_core.native import CpuBackend

LIMIT_MB = 48
"""What the pool may keep; see ifma/scratch.hpp."""

SCRIPT = """
import numpy as np
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector, FrVector, G1Vector, g1_vector
from prover_core.groth16.setup import G1

def anonymous():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("RssAnon"))

backend = CpuBackend(2)
k = FrVector(np.random.default_rng(1).integers(0, 2**60, (1 << 20, 4), dtype=np.uint64))
v = FrMontVector(k.limbs)
bases = G1Vector(np.ascontiguousarray(g1_vector([G1]).limbs.repeat(1 << 17, axis=0)))
expected = backend.g1_msm(bases[:4096], k[:4096])
start = anonymous()
peaks = []
for _ in range(3):
    backend.quotient(v, v)
    backend.g1_msm(bases, k[: 1 << 17])
    peaks.append(anonymous() - start)
assert backend.g1_msm(bases[:4096], k[:4096]) == expected
print(*peaks)
"""


@pytest.mark.skipif("ifma" not in CpuBackend(1).device, reason="only the eight-wide engine pools memory")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_idle_memory_is_bounded_and_does_not_grow() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept = [int(x) for x in done.stdout.split()]
    assert max(kept) <= LIMIT_MB + 16  # Python's own, and the ends of huge pages
    assert kept[-1] - kept[0] <= 8
