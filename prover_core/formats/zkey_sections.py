"""A `.zkey` opened: header checked, sections sized, nothing copied. Loads no library: see `prover_core.direct`."""

from __future__ import annotations

from ..errors import FormatError
from ..moduli import Q, R
from .binfile import BinFile, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .binfile import Source

MAGIC: Final = b"zkey"
VERSION: Final = 1
INSECURE_SECTION: Final = 0x68700001
"""Ours: present in keys made by a single party. snarkjs and rapidsnark skip sections that they do not know."""
TERM_BYTES: Final = 44

_GROTH16: Final = 1


class ZkeyHeader:
    """Sections 2, 3 and 10: sizes, and the points of the verification key as they lie (affine, Montgomery)."""

    def __init__(self, file: BinFile) -> None:
        """`FormatError` (field = the section) for another protocol or curve or what is malformed. O(publics)."""
        protocol = Reader(file.section(1), "section 1")
        if (found := protocol.u32()) != _GROTH16:
            raise FormatError(f"the key is for protocol {found}, not Groth16", field="section 1")
        protocol.end()
        head = Reader(file.section(2), "section 2")
        head.modulus(Q, "q")
        head.modulus(R, "r")
        self.n_vars, self.n_public, self.domain_size = head.u32(), head.u32(), head.u32()
        n = self.domain_size
        if self.n_public + 1 > self.n_vars:
            raise FormatError("the header counts more public signals than wires", field="section 2")
        if n < 2 or n & (n - 1) or n > 1 << 27:
            raise FormatError(f"{n} is not a domain size", field="section 2")
        self.alpha1, self.beta1, self.beta2 = head.bytes(64), head.bytes(64), head.bytes(128)
        self.gamma2, self.delta1, self.delta2 = head.bytes(128), head.bytes(64), head.bytes(128)
        head.end()
        points = (self.alpha1, self.beta1, self.beta2, self.gamma2, self.delta1, self.delta2)
        _check_coordinates(b"".join(points), "section 2")
        self.ic = file.section(3, length=64 * (self.n_public + 1))
        _check_coordinates(bytes(self.ic), "section 3")
        self.contributions = bytes(file.section(10)) if 10 in file else b""
        contributed = _n_contributions(self.contributions) > 0
        self.insecure = INSECURE_SECTION in file or not contributed
        """Our marker is there, or no one has contributed (δ is then known to all)."""


class ZkeySections(ZkeyHeader):
    """The header and the bulk: what `direct.prove` takes."""

    def __init__(self, source: Source) -> None:
        """Maps a path, or borrows bytes. As for the header; terms and points of the bulk are not looked at."""
        file = BinFile(source, MAGIC, versions=(VERSION,))
        super().__init__(file)
        m, n = self.n_vars, self.domain_size
        self.mapped = file.mapped
        # The sections of n and m points are sized here: what the header claims then costs no more memory than the file.
        self.a, self.b1 = file.section(5, length=64 * m), file.section(6, length=64 * m)
        self.b2 = file.section(7, length=128 * m)
        self.l, self.h = file.section(8, length=64 * (m - self.n_public - 1)), file.section(9, length=64 * n)
        body = file.section(4)
        count = int.from_bytes(body[:4], "little")
        if len(body) != 4 + count * TERM_BYTES:
            raise FormatError(f"section 4 has {len(body)} bytes, its head says {count} terms", field="section 4")
        self.terms = body[4:]


def _check_coordinates(raw: bytes, section: str) -> None:
    if any(int.from_bytes(raw[i : i + 32], "little") >= Q for i in range(0, len(raw), 32)):
        raise FormatError(f"{section} has a coordinate that is not below q", field=section)


def _n_contributions(transcript: bytes) -> int:
    """circuit hash[64], then their number; 0 where there is no transcript."""
    if not transcript:
        return 0
    reader = Reader(memoryview(transcript), "section 10")
    reader.bytes(64)
    return reader.u32()
