"""One GPU made ready for work: residents, lanes, transforms, and how its sums are sized. No fallback: errors rise."""

from __future__ import annotations

from .device import Device
from .field import Transforms
from .groups import Group
from .memory import Lane, Lanes, Residents
from .msm import DeviceSum

_GIB = 1 << 30


class Engine:
    """What all work on one device shares. Thread-safe."""

    def __init__(self, device: Device, *, block_scalars: int | None = None) -> None:
        """`block_scalars`: how many scalars an MSM sorts at once; None chooses by the device's memory.

        Memory: residents up to 70 %; a sum's buckets up to 1/32 each; scratch about 150 bytes a scalar of a block.
        """
        self.device = device
        self.residents = Residents(device, device.total_memory * 7 // 10)
        self.lanes = Lanes(device, self.residents)
        self.transforms = Transforms(self.residents)
        self.bucket_memory = device.total_memory // 32
        """Bytes that the buckets of one sum may take."""
        self._block_scalars = block_scalars or (1 << 22 if device.total_memory > 32 * _GIB else 1 << 19)

    def sum(self, group: Group, lane: Lane, n: int) -> DeviceSum:
        """A sum over n bases in a lane."""
        return DeviceSum(group, lane, n, bucket_memory=self.bucket_memory, block_scalars=self._block_scalars)
