"""Whole Groth16 proofs on the device, equal to the CPU's byte for byte; and what happens when the device fails."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from groth16_samples import horner, horner_witness
from host_device import HostDevice

from prover_core.errors import InvalidInputError, UnsatisfiedError
from prover_core.gpu import CudaBackend
from prover_core.gpu.device import Device, DeviceLostError, DeviceMemoryError, DeviceResultError
from prover_core.gpu.memory import Residents
from prover_core.groth16 import Proof, ProvingKey, StreamingProver, prove, setup
from prover_core.native import CpuBackend
from prover_core.types import FrMontVector, FrVector, R

CPU = CpuBackend(1)
STEPS = 40
R1CS = horner(STEPS)
ENTROPY = b"entropy " * 8


def witness(seed: int = 1) -> FrVector:
    rng = random.Random(seed)
    return FrVector.from_ints(
        horner_witness(STEPS, rng.randrange(R), [rng.choice([0, 1, 7, R - 1]) for _ in range(STEPS)])
    )


@pytest.fixture(scope="module")
def key() -> ProvingKey:
    return setup(R1CS, backend=CPU, entropy=b"setup of this" * 4)


@pytest.fixture(scope="module")
def expected(key: ProvingKey) -> Proof:
    return prove(key, witness(), CPU, ENTROPY)


def backend_on(device: Device, *, strict: bool = False) -> CudaBackend:
    return CudaBackend(1, device=device, smallest=16, strict=strict, block_scalars=64)


def test_the_proof_is_the_cpus(device: Device, key: ProvingKey, expected: Proof) -> None:
    assert prove(key, witness(), backend_on(device, strict=True), ENTROPY) == expected


def test_a_witness_in_chunks(one_device: Device, key: ProvingKey, expected: Proof) -> None:
    prover, w = StreamingProver(key, backend_on(one_device, strict=True)), witness()
    for begin, end in [(3, 50), (0, 2), (50, len(w)), (2, 3)]:
        prover.add(begin, w[begin:end])
    assert prover.finish(ENTROPY) == expected


def test_the_witness_goes_up_once_and_sums_come_down(key: ProvingKey) -> None:
    host = HostDevice()
    backend = backend_on(host, strict=True)
    prove(key, witness(), backend, ENTROPY)
    assert backend.engine.residents.uploads == 5 + 6 + 6
    before, up, down = backend.engine.residents.uploads, host.uploaded, host.downloaded
    again = witness(2)
    prove(key, again, backend, ENTROPY)
    assert backend.engine.residents.uploads == before
    offsets = 5 * 32
    assert host.uploaded - up == 32 * len(again) + offsets
    windows = (host.downloaded - down) / 128
    assert windows < 6 * 70, "window sums, not vectors"


def test_all_memory_is_given_back(key: ProvingKey) -> None:
    host = HostDevice()
    backend = backend_on(host, strict=True)
    prove(key, witness(), backend, ENTROPY)
    used = host.used
    for seed in range(2, 4):
        prove(key, witness(seed), backend, ENTROPY)
        StreamingProver(key, backend).add(0, witness(seed))  # given up half way
    assert host.used <= used + 64 * 1024


def test_two_proofs_share_a_device(key: ProvingKey, expected: Proof) -> None:
    backend = backend_on(HostDevice(), strict=True)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: prove(key, witness(), backend, ENTROPY), range(4))) == [expected] * 4


def test_a_broken_witness_is_blamed_on_its_row(one_device: Device, key: ProvingKey) -> None:
    backend, bad = backend_on(one_device), witness()
    bad = FrVector(np.array(bad.limbs))
    bad.limbs[60] = [12345, 0, 0, 0]
    with pytest.raises(UnsatisfiedError) as caught:
        prove(key, bad, backend, ENTROPY, r1cs=R1CS)
    assert caught.value.row >= 0
    assert not backend.fallbacks


def count_launches(key: ProvingKey) -> int:
    host = HostDevice()
    prove(key, witness(), backend_on(host, strict=True), ENTROPY)
    return host.launches


def test_a_device_lost_at_any_moment_costs_nothing(key: ProvingKey, expected: Proof) -> None:
    total = count_launches(key)
    for fail_at in [0, 1, total // 3, total // 2, total - 20, total - 1]:
        host = HostDevice()
        backend = backend_on(host)
        host.fail_at = fail_at
        assert prove(key, witness(), backend, ENTROPY) == expected, fail_at
        assert backend.fallbacks["proof"] == 1, fail_at
        assert backend.lost
        assert "lost" in backend.device
        assert prove(key, witness(), backend, ENTROPY) == expected
        assert sum(backend.fallbacks.values()) == 1, "a lost device is not asked again"


def test_strict_names_the_error(key: ProvingKey) -> None:
    host = HostDevice()
    host.fail_at = 3
    with pytest.raises(DeviceLostError):
        prove(key, witness(), backend_on(host, strict=True), ENTROPY)
    with pytest.raises(DeviceMemoryError):
        prove(key, witness(), backend_on(HostDevice(memory=10000), strict=True), ENTROPY)


@pytest.mark.parametrize("memory", [10, 30_000, 200_000, 400_000])
def test_out_of_memory_goes_to_the_cpu(key: ProvingKey, expected: Proof, memory: int) -> None:
    host = HostDevice(memory=memory)
    backend = backend_on(host)
    assert prove(key, witness(), backend, ENTROPY) == expected
    assert backend.fallbacks["proof"] == 1
    assert not backend.lost
    del backend
    host.check_guards()


@pytest.mark.parametrize("kernel", ["msm_accumulate", "fr_quotient", "msm_fold"])
def test_a_wrong_result_is_caught_and_made_again(key: ProvingKey, expected: Proof, kernel: str) -> None:
    host = HostDevice()
    backend = backend_on(host)
    prove(key, witness(3), backend, ENTROPY)
    host.corrupt = kernel
    assert prove(key, witness(), backend, ENTROPY, r1cs=R1CS) == expected
    assert sum(backend.fallbacks.values()) == 1, backend.fallbacks
    assert not backend.lost


def test_a_result_that_is_no_point_is_a_typed_error(key: ProvingKey) -> None:
    host = HostDevice()
    host.corrupt = "msm_fold"
    with pytest.raises(DeviceResultError, match="the device returned"):
        backend_on(host, strict=True).g1_msm(key.h, FrVector.from_ints([5] * len(key.h)))


@pytest.mark.parametrize("fail_at", [0, 1, 8, 27])
def test_accumulators_and_transforms_fall_back_too(key: ProvingKey, fail_at: int) -> None:
    rng = random.Random(1)
    scalars = FrVector.from_ints([rng.randrange(R) for _ in range(len(key.h))])
    bases = key.h
    host = HostDevice()
    backend = backend_on(host)
    host.fail_at = fail_at
    accumulator = backend.g1_accumulator(bases)
    accumulator.add(0, scalars[:20])
    accumulator.add(20, scalars[20:])
    accumulator.add_point(key.alpha1)
    cpu = CPU.g1_accumulator(bases)
    cpu.add(0, scalars)
    cpu.add_point(key.alpha1)
    assert accumulator.finish() == cpu.finish()
    assert backend.fallbacks == {"msm": 1}
    for what in ("ntt", "quotient"):
        host = HostDevice()
        backend = backend_on(host)
        host.fail_at = min(fail_at, 2)
        x = FrMontVector(scalars.limbs)
        if what == "ntt":
            assert np.array_equal(backend.ntt(x).limbs, CPU.ntt(x).limbs)
        else:
            assert np.array_equal(backend.quotient(x, x).limbs, CPU.quotient(x, x).limbs)
        assert backend.fallbacks == {what: 1}


def test_residents_make_room_oldest_first() -> None:
    host = HostDevice(memory=3000)
    residents, stream = Residents(host, 2500), host.stream()
    arrays = [np.full(1000, i, dtype=np.uint8) for i in range(4)]
    first, second = residents.acquire(arrays[0], stream), residents.acquire(arrays[1], stream)
    first.release()
    second.release()
    residents.acquire(arrays[0], stream).release()
    third = residents.acquire(arrays[2], stream)
    assert residents.evictions == 1
    assert residents.uploads == 3
    residents.acquire(arrays[0], stream).release()
    assert residents.uploads == 3, "the second one went, used longest ago"
    with pytest.raises(DeviceMemoryError):
        residents.alloc(2500)
    assert residents.evictions == 2
    third.release()
    residents.alloc(2500).free()
    assert residents.nbytes == 0
    lease = residents.acquire(arrays[3], stream)
    arrays.clear()
    lease.release()
    residents.alloc(3000).free()


def test_small_work_stays_on_the_cpu(key: ProvingKey, expected: Proof) -> None:
    host = HostDevice()
    backend = CudaBackend(1, device=host)
    assert prove(key, witness(), backend, ENTROPY) == expected
    assert host.launches == 0
    assert backend.name == "cuda"


def test_the_gpu_is_chosen_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_PROVER_CUDA_DEVICE", "first")
    with pytest.raises(InvalidInputError, match="first"):
        CudaBackend(1)
