"""The thread pool: concurrent callers, forked children, exceptions and limits all leave right results behind."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from prover_core.errors import InvalidInputError
from prover_core.native import CpuBackend, _native
from prover_core.types import FrMontVector, FrVector, G1Point

GENERATOR = G1Point(1, 2)


def work(seed: int) -> tuple[G1Point, bytes]:
    backend = CpuBackend(4)
    raw = np.random.default_rng(seed).integers(0, 2**64, size=(2048, 4), dtype=np.uint64)
    raw[:, 3] >>= np.uint64(3)
    scalars = FrVector(raw)
    bases = backend.g1_fixed_base(GENERATOR, scalars)
    return backend.g1_msm(bases, scalars), backend.ntt(FrMontVector(raw)).limbs.tobytes()


def test_concurrent_callers_share_the_pool() -> None:
    alone = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(work, [0, 1, 2, 3] * 3)) == alone * 3


def test_an_error_in_one_piece_leaves_the_pool_working() -> None:
    raw = np.zeros((20000, 4), dtype=np.uint64)
    raw[:, 0] = 5
    raw[13579] = np.uint64(2**64 - 1)
    expected = work(1)
    for _ in range(5):
        with pytest.raises(InvalidInputError, match="not below r"):
            CpuBackend(4).g1_fixed_base(GENERATOR, FrVector(raw))
    assert work(1) == expected


def _child(pipe: object) -> None:
    pipe.send(work(2))  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_gets_a_pool_of_its_own() -> None:
    expected = work(2)
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_child, args=(there,))
    child.start()
    try:
        assert here.poll(60), "the child hangs"
        assert here.recv() == expected
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize(("value", "expected"), [("3", "3"), ("", None), ("0", None), ("many", None), ("-2", None)])
def test_the_environment_sets_the_default(value: str, expected: str | None) -> None:
    code = "from prover_core.native import CpuBackend; print(CpuBackend().threads)"
    environment = {**os.environ, "HYBRID_PROVER_THREADS": value}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert result.stdout.strip() == (expected or str(cores))


@pytest.mark.parametrize("isa", ["portable", "scalar"])
def test_every_instruction_set_computes_the_same(isa: str) -> None:
    code = """
import hashlib, numpy as np
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector, FrVector, G1Point, g1_vector
backend = CpuBackend()
raw = np.random.default_rng(1).integers(0, 2**64, size=(4096, 4), dtype=np.uint64)
raw[:, 3] >>= np.uint64(3)
v, m = FrVector(raw), FrMontVector(raw)
bases = backend.g1_fixed_base(G1Point(1, 2), v)
parts = [bases.limbs, g1_vector([backend.g1_msm(bases, v)]).limbs, backend.ntt(m).limbs, backend.quotient(m, m).limbs]
print(hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest())
print(backend.device)
"""
    lines = []
    for environment in (dict(os.environ), {**os.environ, "HYBRID_PROVER_ISA": isa}):
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        lines.append(result.stdout.splitlines())
    assert lines[0][0] == lines[1][0]
    assert "ifma" not in lines[1][1]
    assert isa == "scalar" or "portable" in lines[1][1]


def test_threads_must_be_positive() -> None:
    for threads in (0, -1):
        with pytest.raises(InvalidInputError):
            CpuBackend(threads)


def test_device_says_what_runs() -> None:
    device = CpuBackend(2).device
    assert _native.cpu_isa() in device
    assert device.endswith("2 threads")


def test_wrong_buffers_are_refused() -> None:
    """The compiled module checks for itself: a wrong shape must never become a wrong read."""
    good = np.zeros((4, 4), dtype=np.uint64)
    frozen = good.copy()
    frozen.flags.writeable = False
    for source, out in [
        (np.zeros((4, 5), dtype=np.uint64), good),
        (np.zeros((8, 4), dtype=np.uint64)[::2], good),
        (np.zeros((4, 4), dtype=np.uint32), good),
        (good, np.zeros((3, 4), dtype=np.uint64)),
        (good, frozen),
        (object(), good),
    ]:
        with pytest.raises(ValueError, match=r"result|vector"):
            _native.ntt(source, out, False, 1, False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="points"):
        _native.g1_valid(good, np.zeros(4, dtype=np.bool_), 1)


def test_where_no_thread_can_be_had_the_caller_does_the_work() -> None:
    code = """
import resource
import numpy as np
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector
v = FrMontVector(np.ones((1 << 16, 4), dtype=np.uint64))
out = CpuBackend(1).fr_mul(v, v)
with open("/proc/self/statm") as f:
    used = int(f.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (6 << 20), resource.RLIM_INFINITY))  # less than a thread's stack
assert (CpuBackend(4).fr_mul(v, v).limbs == out.limbs).all()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
