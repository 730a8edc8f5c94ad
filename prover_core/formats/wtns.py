"""`.wtns`: one witness as canonical scalars. Sections: 1 header (n8, r, wires), 2 values. Source: iden3/snarkjs."""

from __future__ import annotations

import os
import struct

from ..errors import FormatError
from ..moduli import R
from .binfile import BinFile, Reader, write_binfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..types import FrVector
    from .binfile import Source

MAGIC: Final = b"wtns"
VERSION: Final = 2


def wtns_values(source: Source) -> memoryview:
    """All wires of 32 bytes, wire 0 first; a view of the map. Loads no numpy.

    `FormatError` names the section that is malformed; values are not looked at.
    """
    file = BinFile(source, MAGIC, versions=(1, VERSION))
    head = Reader(file.section(1), "section 1")
    head.modulus(R, "the prime")
    n = head.u32()
    head.end()
    return file.section(2, length=32 * n)


def read_wtns(source: Source) -> FrVector:
    """All wires, wire 0 first; a view of the map. O(n) for the check that each is below r.

    `FormatError` names the section that is malformed, or the wire that is not canonical or not one (wire 0).
    """
    import numpy as np

    from ..types import FrVector

    wires = FrVector(np.frombuffer(wtns_values(source), dtype="<u8").reshape(-1, 4))
    bad = wires.first_non_canonical()
    if bad is not None:
        raise FormatError(f"wire {bad} is not a canonical scalar", field="section 2")
    if len(wires) == 0 or wires.limbs[0].tolist() != [1, 0, 0, 0]:
        raise FormatError("wire 0 of the witness is not one", field="section 2")
    return wires


def write_wtns(path: str | os.PathLike[str], wires: FrVector) -> None:
    """Writes all wires, as snarkjs's `wtns calculate` does."""
    head = struct.pack("<I", 32) + R.to_bytes(32, "little") + struct.pack("<I", len(wires))
    write_binfile(path, MAGIC, VERSION, [(1, [head]), (2, [wires.limbs])])
