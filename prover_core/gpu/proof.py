"""The five sums of a Groth16 proof on the device: the witness goes up once, chunk by chunk; window sums come back.

One lane copies the witness; each sum has its own and waits for the copies only, so that copies, sums, and other proofs
overlap. The quotient's scalars never leave the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BackendError
from ..groth16.keys import ProvingKey
from ..groth16.quotient import Quotient
from ..groth16.sums import StreamedSums, Sums
from ..types import FrVector, G1Vector, G2Vector
from .accumulator import Held
from .device import DeviceLostError
from .field import multiply
from .groups import G1, G2, Group
from .matrix import CudaMatrix
from .memory import Lane, Lease
from .msm import DeviceSum

if TYPE_CHECKING:
    from .backend import CudaBackend


class CudaSums:
    """See `groth16.sums.ProofSums`. After an error of the device the CPU sums the whole witness in `finish`.

    Memory on the device: 32 bytes a wire, five sums' buckets and scratch, 128 bytes a row; the bases are resident.
    """

    partials = False

    def __init__(self, backend: CudaBackend, key: ProvingKey) -> None:
        """The key's arrays must not change while they live. Uploads them the first time: 5 points a wire."""
        self._backend = backend
        self._key = key
        self._quotient = Quotient.of(key, backend)
        self._failed = False
        self._held = Held(self, backend.engine)
        try:
            self._copies = self._held.lane()
            self._a = self._open(G1, key.a)
            self._b1 = self._open(G1, key.b1)
            self._b2 = self._open(G2, key.b2)
            self._l = self._open(G1, key.l)
            memory = backend.engine.residents.alloc(32 * key.n_vars)
            self._held.callback(memory.free)
            self._witness = memory.address
        except BackendError as e:
            self._fail(e)

    def _open(self, group: Group, bases: G1Vector | G2Vector) -> tuple[Lane, Lease, DeviceSum]:
        lane, engine = self._held.lane(), self._backend.engine
        lease = self._held.lease(engine.residents.acquire(bases.limbs, lane.stream))
        return lane, lease, self._held.sum(engine.sum(group, lane, len(bases)))

    def _fail(self, error: BackendError) -> None:
        self._failed = True
        self._held.close()
        self._backend.failed("proof", error)

    def add(self, offset: int, wires: FrVector) -> None:
        """One copy and four partial MSMs, none of which is waited for."""
        if self._failed or not len(wires):
            return
        private = self._key.n_public + 1
        try:
            at = self._witness + 32 * offset
            self._copies.stream.upload(at, wires.limbs)
            self._copies.stream.synchronize()  # the caller may reuse its buffer; this lane has only copies to wait for
            for lane, lease, opened in (self._a, self._b1, self._b2):
                lane.stream.wait_for(self._copies.stream)
                opened.add(lease.address, offset, at, len(wires))
            first, end = max(offset, private), offset + len(wires)
            if end > first:
                lane, lease, opened = self._l
                lane.stream.wait_for(self._copies.stream)
                opened.add(lease.address, first - private, self._witness + 32 * first, end - first)
        except BackendError as e:
            self._fail(e)

    def settle(self, missing: int) -> bool:
        """The device does not wait to be asked."""
        return False

    def finish(self, witness: FrVector) -> Sums:
        """Two sparse products, six transforms, one MSM of the domain's size, five reductions."""
        if not self._failed:
            try:
                sums = self._finish()
            except BackendError as e:
                self._fail(e)
            else:
                self._held.close()
                return sums
        return self._on_cpu(witness)

    def again(self, witness: FrVector) -> Sums | None:
        """On the CPU, counted as a wrong proof; None if that is where the first came from."""
        if self._failed:
            return None
        self._backend.count("wrong proof")
        return self._on_cpu(witness)

    def _on_cpu(self, witness: FrVector) -> Sums:
        sums = StreamedSums(self._key, self._backend.cpu)
        sums.add(0, witness)
        return sums.finish(witness)

    def _finish(self) -> Sums:
        backend, n = self._backend, self._key.domain_size
        lane, h_lease, h = self._open(G1, self._key.h)
        for _, _, opened in (self._a, self._b1, self._b2, self._l):
            opened.reduce()
        lane.stream.wait_for(self._copies.stream)
        a, b, c, spare = (lane.scratch(f"quotient {i}", 32 * n) for i in range(4))
        for matrix, to in ((self._quotient.a, a), (self._quotient.b, b)):
            if not isinstance(matrix, CudaMatrix) or matrix.on_device is None:
                raise DeviceLostError("the key's matrices were made when the device was lost")
            for lease in matrix.on_device.product(lane, self._witness, 0, n, to):
                self._held.lease(lease)
        multiply(lane, a, b, n, c)
        scalars = backend.engine.transforms.quotient(lane, a, b, c, spare, n.bit_length() - 1)
        h.add(h_lease.address, 0, scalars, n)
        h.reduce()
        return Sums(
            backend.g1_total(self._a[2]),
            backend.g1_total(self._b1[2]),
            backend.g2_total(self._b2[2]),
            backend.g1_total(self._l[2]),
            backend.g1_total(h),
        )
