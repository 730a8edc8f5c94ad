"""`Matrix` on the device, with the CPU's own beside it, which checked the indices and serves if need be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..backend import Matrix
from ..errors import InvalidInputError
from ..types import FrMontVector, FrVector
from .field import DeviceMatrix
from .memory import Lane

if TYPE_CHECKING:
    from .backend import CudaBackend


class CudaMatrix:
    """See `Backend.matrix`."""

    def __init__(
        self,
        backend: CudaBackend,
        checked: Matrix,
        cols: int,
        row_start: npt.NDArray[np.uint64],
        col: npt.NDArray[np.uint32],
        value_index: npt.NDArray[np.uint32],
        values: FrVector,
    ) -> None:
        self._backend = backend
        self._checked = checked
        self._cols = cols
        self.rows = checked.rows
        self.on_device: DeviceMatrix | None = None
        """None for a matrix so small, or so large, that the CPU keeps it."""
        if backend.serves(checked.rows) and len(col) < 1 << 32:
            self.on_device = DeviceMatrix(backend.engine.residents, row_start, col, value_index, values)

    def product(self, witness: FrVector, first_row: int = 0, rows: int | None = None) -> FrMontVector:
        """Montgomery M[first_row : first_row + rows] * w; `InvalidInputError` if w or the rows do not fit."""
        matrix, count = self.on_device, self.rows - first_row if rows is None else rows
        fits = first_row >= 0 and 0 <= count <= self.rows - first_row and len(witness) == self._cols
        if matrix is None or not fits or not self._backend.serves(count):
            return self._checked.product(witness, first_row, rows)
        if (bad := witness.first_non_canonical()) is not None:
            raise InvalidInputError(f"value {bad} is not below r", field="witness")

        def work(lane: Lane) -> FrMontVector:
            at, to = lane.scratch("witness", 32 * len(witness)), lane.scratch("rows", 32 * count)
            lane.stream.upload(at, witness.limbs)
            out = np.empty((count, 4), dtype=np.uint64)
            leases = matrix.product(lane, at, first_row, count, to)
            try:
                lane.stream.download(to, out)
                lane.stream.synchronize()
            finally:
                for lease in leases:
                    lease.release()
            return FrMontVector(out)

        return self._backend.on_device("matrix", work, lambda: self._checked.product(witness, first_row, rows))
