"""iden3's binary container, shared by `.r1cs`, `.wtns`, `.zkey` and `.ptau`.

magic[4] · version u32 · sections u32 · { id u32 · length u64 · body }*, all little-endian. Bodies are borrowed from a
read-only memory map; nothing is copied. Layout: iden3/binfileutils. numpy is loaded where arrays are asked for, and not
before: see `prover_core.direct`.
"""

from __future__ import annotations

import mmap
import os
import struct

from ..errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final, TypeAlias

    import numpy as np
    import numpy.typing as npt

    from ..types import Limbs

Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview
"""A path, which is memory-mapped, or the bytes themselves, which are borrowed."""
Body: TypeAlias = "bytes | memoryview | npt.NDArray[np.generic]"

MAX_SECTIONS: Final = 4096
"""More sections than any known file has; bounds what a hostile header makes us look at."""

_FILE_HEAD: Final = struct.Struct("<4sII")
_SECTION_HEAD: Final = struct.Struct("<IQ")


def _bytes_of(source: Source) -> memoryview:
    if isinstance(source, bytes | bytearray | memoryview):
        return memoryview(source).toreadonly().cast("B")
    with open(source, "rb") as f:
        if os.fstat(f.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ))


class BinFile:
    """One opened container; the map lives as long as any array taken from it."""

    def __init__(self, source: Source, magic: bytes, *, versions: Sequence[int]) -> None:
        """Reads the table of sections; O(sections).

        `FormatError` (field = `magic`, `version`, `sections` or `section N`) for a wrong magic or version, a truncated
        or overlong file, or too many sections. `OSError` where the file cannot be read.
        """
        self._data = _bytes_of(source)
        self.mapped = not isinstance(source, bytes | bytearray | memoryview)
        """The bytes are pages of a read-only map of our own, not memory of the caller's."""
        self.kind = magic.decode("ascii")
        self._bodies: dict[int, list[tuple[int, int]]] = {}
        if len(self._data) < _FILE_HEAD.size:
            raise FormatError(f"{len(self._data)} bytes are too few for a .{self.kind} file", field="magic")
        found, self.version, count = _FILE_HEAD.unpack_from(self._data)
        if found != magic:
            raise FormatError(f"not a .{self.kind} file: it begins with {found!r}", field="magic")
        if self.version not in versions:
            raise FormatError(f".{self.kind} version {self.version} is not supported", field="version")
        if count > MAX_SECTIONS:
            raise FormatError(f"{count} sections are more than the limit of {MAX_SECTIONS}", field="sections")
        at = _FILE_HEAD.size
        for k in range(count):
            if len(self._data) - at < _SECTION_HEAD.size:
                raise FormatError(f"the file ends within the head of section {k + 1} of {count}", field="sections")
            number, length = _SECTION_HEAD.unpack_from(self._data, at)
            at += _SECTION_HEAD.size
            if length > len(self._data) - at:
                raise FormatError(
                    f"section {number} claims {length} bytes, the file has {len(self._data) - at} left",
                    field=f"section {number}",
                )
            self._bodies.setdefault(number, []).append((at, length))
            at += length
        if at != len(self._data):
            raise FormatError(f"{len(self._data) - at} bytes follow the last section", field="sections")

    def __contains__(self, number: int) -> bool:
        return number in self._bodies

    def ids(self) -> Iterator[int]:
        """Section ids in file order, each once."""
        return iter(self._bodies)

    def section(self, number: int, *, length: int | None = None) -> memoryview:
        """The body of a section that must be there exactly once, and be `length` bytes long if that is given."""
        where = self._bodies.get(number, [])
        if len(where) != 1:
            what = "is missing" if not where else "occurs more than once"
            raise FormatError(f"section {number} of the .{self.kind} file {what}", field=f"section {number}")
        at, size = where[0]
        if length is not None and size != length:
            raise FormatError(
                f"section {number} of the .{self.kind} file has {size} bytes, its header asks for {length}",
                field=f"section {number}",
            )
        return self._data[at : at + size]

    def limbs(self, number: int, tail: tuple[int, ...], count: int) -> Limbs:
        """A section of `count` items of `tail` little-endian u64 limbs, as a view of the map.

        Bodies may begin at any multiple of four, so the array may be unaligned; numpy and every backend take that.
        """
        import numpy as np

        size = 8
        for extent in tail:
            size *= extent
        body = self.section(number, length=count * size)
        return np.frombuffer(body, dtype="<u8").reshape(-1, *tail)


class Reader:
    """Reads the fields of one small section in order; every shortfall is a `FormatError` that names the section."""

    def __init__(self, body: memoryview, section: str) -> None:
        self._body = body
        self._section = section
        self._at = 0

    def bytes(self, n: int) -> bytes:
        """The next n bytes."""
        if n > len(self._body) - self._at:
            raise FormatError(f"{self._section} ends too early", field=self._section)
        self._at += n
        return bytes(self._body[self._at - n : self._at])

    def u32(self) -> int:
        """The next little-endian u32."""
        return int.from_bytes(self.bytes(4), "little")

    def u64(self) -> int:
        """The next little-endian u64."""
        return int.from_bytes(self.bytes(8), "little")

    def modulus(self, expected: int, name: str) -> None:
        """A length u32 and a prime; `FormatError` unless it is `expected` in 32 bytes (we prove over BN254 only)."""
        n8 = self.u32()
        if n8 != 32 or int.from_bytes(self.bytes(n8), "little") != expected:
            raise FormatError(f"{self._section} names another curve: {name} is not BN254's", field=self._section)

    def end(self) -> None:
        """`FormatError` if anything is left."""
        if self._at != len(self._body):
            left = len(self._body) - self._at
            raise FormatError(f"{self._section} has {left} bytes too many", field=self._section)


def write_binfile(
    path: str | os.PathLike[str], magic: bytes, version: int, sections: Sequence[tuple[int, Sequence[Body]]]
) -> None:
    """Writes sections, each a list of parts, to a temporary sibling that then replaces `path`.

    So a reader never sees half a file, and a map of the old one stays valid. O(bytes), nothing is joined in memory.
    """
    from pathlib import Path

    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as f:
            f.write(_FILE_HEAD.pack(magic, version, len(sections)))
            for number, parts in sections:
                views = [_view(part) for part in parts]
                f.write(_SECTION_HEAD.pack(number, sum(len(v) for v in views)))
                for view in views:
                    f.write(view)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _view(part: Body) -> memoryview:
    import numpy as np

    if isinstance(part, np.ndarray):
        return np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
    return memoryview(part).cast("B")
