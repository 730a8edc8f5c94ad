"""`Backend` on a GPU. Large sums, transforms, quotients and sparse products run there, all else on the CPU.

An error of the device never costs a result: the work is done again on the CPU, logged and counted. A device once lost
is not asked again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from ..backend import Accumulator, ProofBatch
from ..errors import BackendError, InvalidInputError
from ..native import CpuBackend
from ..types import FrMontVector, FrVector, G1Point, G1Vector, G2Point, G2Vector, R, g1_vector, g2_vector
from .accumulator import CudaAccumulator
from .device import Device, DeviceLostError
from .engine import Engine
from .field import multiply
from .groups import G1, G2, g1_point, g2_point
from .matrix import CudaMatrix
from .memory import Lane
from .msm import DeviceSum

if TYPE_CHECKING:
    from ..groth16.keys import ProvingKey
    from .proof import CudaSums

log = logging.getLogger(__name__)

T = TypeVar("T")
SMALLEST = 2048
"""Elements below which the CPU is quicker than a way to the device and back."""


class CudaBackend:
    """`Backend` with one GPU and, for what is small or fails, the CPU.

    Bases and matrices stay on the device from their first use on, while there is room: their arrays must not change
    while they live. Calls from several threads run side by side.
    """

    def __init__(
        self,
        threads: int | None = None,
        *,
        index: int | None = None,
        device: Device | None = None,
        smallest: int = SMALLEST,
        strict: bool = False,
        block_scalars: int | None = None,
    ) -> None:
        """`index` is the GPU's number among those that CUDA shows; None means HYBRID_PROVER_CUDA_DEVICE or 0.

        `threads` bounds the CPU's part. `strict` raises the device's errors where otherwise the CPU would take over;
        that, `smallest`, `device` and `block_scalars` are for tests and measurements. `BackendError` says why there is
        no device.
        """
        if device is None:
            number = _index() if index is None else index
            from .cupy_device import CupyDevice

            device = CupyDevice(number)
        self.cpu = CpuBackend(threads)
        self.threads = self.cpu.threads
        self.smallest = smallest
        self.engine = Engine(device, block_scalars=block_scalars)
        self.fallbacks: Counter[str] = Counter()
        """How often the CPU took over, by what was asked: msm, ntt, quotient, matrix, proof, wrong proof."""
        self._strict = strict
        self._lost = False
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return "cuda"

    @property
    def device(self) -> str:
        lost = "lost, all work goes to " if self._lost else ""
        return f"{self.engine.device.name}, {lost}{self.cpu.device}"

    @property
    def lost(self) -> bool:
        """Whether the device failed for good."""
        return self._lost

    def serves(self, n: int) -> bool:
        """Whether work on n elements goes to the device."""
        return n >= self.smallest and not self._lost

    def failed(self, what: str, error: BackendError) -> None:
        """Counts and logs that the CPU takes over; raises the error instead if the backend is strict."""
        if isinstance(error, DeviceLostError):
            self._lost = True
        if self._strict:
            raise error
        self.count(what)
        log.warning("%s on %s failed, the CPU takes over: %s", what, self.engine.device.name, error)

    def count(self, what: str) -> None:
        """One more fallback."""
        with self._lock:
            self.fallbacks[what] += 1

    def on_device(self, what: str, work: Callable[[Lane], T], instead: Callable[[], T]) -> T:
        """work(lane), or instead() if the device errs. The lane's work is done when this returns."""
        try:
            with self.engine.lanes.one() as lane:
                return work(lane)
        except BackendError as e:
            self.failed(what, e)
        return instead()

    def fr_to_montgomery(self, v: FrVector) -> FrMontVector:
        """On the CPU: quicker than the way to the device."""
        return self.cpu.fr_to_montgomery(v)

    def fr_from_montgomery(self, v: FrMontVector) -> FrVector:
        """On the CPU."""
        return self.cpu.fr_from_montgomery(v)

    def fr_mul(self, a: FrMontVector, b: FrMontVector) -> FrMontVector:
        """On the CPU."""
        return self.cpu.fr_mul(a, b)

    def ntt(self, v: FrMontVector, *, inverse: bool = False) -> FrMontVector:
        """See `Backend.ntt`. Memory on the device: 64 n bytes, and once 32 bytes for each of up to 2^22 roots."""
        n, log_n = len(v), len(v).bit_length() - 1
        if not self.serves(n) or n != 1 << max(log_n, 0) or n > 1 << 28:
            return self.cpu.ntt(v, inverse=inverse)

        def work(lane: Lane) -> FrMontVector:
            x, spare = lane.scratch("ntt 0", 32 * n), lane.scratch("ntt 1", 32 * n)
            lane.stream.upload(x, v.limbs)
            out = np.empty((n, 4), dtype=np.uint64)
            lane.stream.download(self.engine.transforms.ntt(lane, x, spare, log_n, inverse=inverse), out)
            lane.stream.synchronize()
            return FrMontVector(out)

        return self.on_device("ntt", work, lambda: self.cpu.ntt(v, inverse=inverse))

    def quotient(self, a: FrMontVector, b: FrMontVector, c: FrMontVector | None = None) -> FrVector:
        """See `Backend.quotient`. Memory on the device: 128 n bytes beside the roots."""
        n, log_n = len(a), len(a).bit_length() - 1
        equal = len(b) == n and (c is None or len(c) == n)
        if not self.serves(n) or n != 1 << max(log_n, 0) or n > 1 << 27 or not equal:
            return self.cpu.quotient(a, b, c)

        def work(lane: Lane) -> FrVector:
            at = [lane.scratch(f"quotient {i}", 32 * n) for i in range(4)]
            for to, v in zip(at, (a, b, c), strict=False):
                if v is not None:
                    lane.stream.upload(to, v.limbs)
            if c is None:
                multiply(lane, at[0], at[1], n, at[2])
            out = np.empty((n, 4), dtype=np.uint64)
            lane.stream.download(self.engine.transforms.quotient(lane, at[0], at[1], at[2], at[3], log_n), out)
            lane.stream.synchronize()
            return FrVector(out)

        return self.on_device("quotient", work, lambda: self.cpu.quotient(a, b, c))

    def g1_msm(self, bases: G1Vector, scalars: FrVector) -> G1Point:
        """See `Backend.g1_msm`; `InvalidInputError` if there are more scalars than bases."""
        if not self.serves(len(scalars)):
            return self.cpu.g1_msm(bases, scalars)
        accumulator = self._g1_sum(bases)
        accumulator.add_borrowed(0, scalars, kept=scalars)
        return accumulator.finish()

    def g2_msm(self, bases: G2Vector, scalars: FrVector) -> G2Point:
        """As `g1_msm`, in G2."""
        if not self.serves(len(scalars)):
            return self.cpu.g2_msm(bases, scalars)
        accumulator = self._g2_sum(bases)
        accumulator.add_borrowed(0, scalars, kept=scalars)
        return accumulator.finish()

    def g1_accumulator(self, bases: G1Vector) -> Accumulator[G1Point]:
        """Memory on the device: the bases, 2^(c-1) buckets of 128 bytes in each of 254/c windows, and scratch."""
        if not self.serves(len(bases)):
            return self.cpu.g1_accumulator(bases)
        return self._g1_sum(bases)

    def _g1_sum(self, bases: G1Vector) -> CudaAccumulator[G1Point]:
        return CudaAccumulator(
            self.engine, G1, bases, G1Point, self.g1_total, lambda: self.cpu.g1_accumulator(bases), self.failed
        )

    def g2_accumulator(self, bases: G2Vector) -> Accumulator[G2Point]:
        """As `g1_accumulator`, with 256 bytes a bucket."""
        if not self.serves(len(bases)):
            return self.cpu.g2_accumulator(bases)
        return self._g2_sum(bases)

    def _g2_sum(self, bases: G2Vector) -> CudaAccumulator[G2Point]:
        return CudaAccumulator(
            self.engine, G2, bases, G2Point, self.g2_total, lambda: self.cpu.g2_accumulator(bases), self.failed
        )

    def g1_total(self, finished: DeviceSum) -> G1Point:
        """The windows of a finished sum put together on the CPU: 254 doublings."""
        parts = finished.finish()
        return self.cpu.g1_msm(
            g1_vector([g1_point(p) for _, p in parts]), FrVector.from_ints([weight % R for weight, _ in parts])
        )

    def g2_total(self, finished: DeviceSum) -> G2Point:
        """As `g1_total`."""
        parts = finished.finish()
        return self.cpu.g2_msm(
            g2_vector([g2_point(p) for _, p in parts]), FrVector.from_ints([weight % R for weight, _ in parts])
        )

    def proof_sums(self, key: ProvingKey) -> CudaSums | None:
        """The sums of one Groth16 proof whose witness goes to the device once; None where the CPU is to serve."""
        from .proof import CudaSums

        return CudaSums(self, key) if self.serves(key.domain_size) and max(map(len, _indices(key))) < 1 << 32 else None

    def g1_fixed_base(self, base: G1Point, scalars: FrVector) -> G1Vector:
        """On the CPU: only setup asks for it."""
        return self.cpu.g1_fixed_base(base, scalars)

    def g2_fixed_base(self, base: G2Point, scalars: FrVector) -> G2Vector:
        """On the CPU."""
        return self.cpu.g2_fixed_base(base, scalars)

    def matrix(
        self,
        rows: int,
        cols: int,
        row_start: npt.NDArray[np.uint64],
        col: npt.NDArray[np.uint32],
        value_index: npt.NDArray[np.uint32],
        values: FrVector,
    ) -> CudaMatrix:
        """Checked, and kept, on the CPU; uploaded at the first product."""
        checked = self.cpu.matrix(rows, cols, row_start, col, value_index, values)
        return CudaMatrix(self, checked, cols, row_start, col, value_index, values)

    def pairing_product_is_one(self, g1: G1Vector, g2: G2Vector) -> bool:
        """On the CPU."""
        return self.cpu.pairing_product_is_one(g1, g2)

    def proof_batch(
        self,
        g1: G1Vector,
        g2: G2Vector,
        proofs: npt.NDArray[np.uint8],
        publics: npt.NDArray[np.uint8],
        coefficients: npt.NDArray[np.uint64],
    ) -> ProofBatch:
        """On the CPU."""
        return self.cpu.proof_batch(g1, g2, proofs, publics, coefficients)

    def g1_valid(self, points: G1Vector) -> npt.NDArray[np.bool_]:
        """On the CPU."""
        return self.cpu.g1_valid(points)

    def g2_valid(self, points: G2Vector) -> npt.NDArray[np.bool_]:
        """On the CPU."""
        return self.cpu.g2_valid(points)


def _indices(key: ProvingKey) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    return key.a_rows.col, key.b_rows.col


def _index() -> int:
    text = os.environ.get("HYBRID_PROVER_CUDA_DEVICE", "0")
    if not text.isdecimal():
        raise InvalidInputError(f"HYBRID_PROVER_CUDA_DEVICE is {text!r}, not the number of a GPU", field="backend")
    return int(text)
