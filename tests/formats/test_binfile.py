"""The container: what is read is what was written, and no bytes at all make it fail otherwise than by FormatError."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover_core.errors import FormatError
from prover_core.formats.binfile import MAX_SECTIONS, BinFile, Reader, write_binfile

SECTIONS = [(1, [b"head", b"er"]), (7, [np.arange(4, dtype="<u8")]), (2, [b""]), (0x68700001, [b"x"])]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    out = tmp_path / "some.test"
    write_binfile(out, b"test", 3, SECTIONS)
    return out


def test_round_trip_from_map_and_from_bytes(path: Path) -> None:
    for source in (path, str(path), path.read_bytes(), memoryview(path.read_bytes())):
        file = BinFile(source, b"test", versions=(2, 3))
        assert file.version == 3
        assert list(file.ids()) == [1, 7, 2, 0x68700001]
        assert bytes(file.section(1)) == b"header"
        assert file.limbs(7, (4,), 1).tolist() == [[0, 1, 2, 3]]
        assert bytes(file.section(2, length=0)) == b""
        assert 7 in file
        assert 3 not in file


def test_the_map_outlives_the_file_object_and_a_replaced_file(path: Path) -> None:
    limbs = BinFile(path, b"test", versions=(3,)).limbs(7, (4,), 1)
    assert not limbs.flags.owndata
    assert not limbs.flags.writeable
    write_binfile(path, b"test", 3, [(7, [bytes(32)])])
    assert limbs.tolist() == [[0, 1, 2, 3]]
    assert BinFile(path, b"test", versions=(3,)).limbs(7, (4,), 1).tolist() == [[0, 0, 0, 0]]


def test_a_failed_write_leaves_the_old_file_and_no_debris(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_binfile(path, b"test", 3, [(1, ["not bytes"])])  # type: ignore[list-item]
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["some.test"]


def test_every_truncation_and_extension_is_refused(path: Path) -> None:
    raw = path.read_bytes()
    for n in range(len(raw)):
        with pytest.raises(FormatError):
            BinFile(raw[:n], b"test", versions=(3,))
    with pytest.raises(FormatError, match="follow the last section"):
        BinFile(raw + b"\0", b"test", versions=(3,))


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(FormatError, match="too few"):
        BinFile(tmp_path / "empty", b"test", versions=(3,))


def test_heads_that_lie() -> None:
    head = struct.Struct("<4sII")
    for raw, field in (
        (head.pack(b"zkey", 3, 0), "magic"),
        (head.pack(b"test", 4, 0), "version"),
        (head.pack(b"test", 3, MAX_SECTIONS + 1), "sections"),
        (head.pack(b"test", 3, 0xFFFFFFFF), "sections"),
        (head.pack(b"test", 3, 1) + struct.pack("<IQ", 5, 2**64 - 1), "section 5"),
        (head.pack(b"test", 3, 1) + struct.pack("<IQ", 5, 1), "section 5"),
    ):
        with pytest.raises(FormatError) as e:
            BinFile(raw, b"test", versions=(3,))
        assert e.value.field == field


def test_missing_doubled_and_missized_sections(tmp_path: Path) -> None:
    write_binfile(tmp_path / "f", b"test", 1, [(1, [b"a"]), (2, [b"b"]), (1, [b"c"])])
    file = BinFile(tmp_path / "f", b"test", versions=(1,))
    for section, match in ((1, "more than once"), (3, "missing")):
        with pytest.raises(FormatError, match=match):
            file.section(section)
    with pytest.raises(FormatError, match="asks for 32"):
        file.limbs(2, (4,), 1)


@given(st.binary(max_size=120))
def test_any_bytes_give_a_table_or_a_format_error(tail: bytes) -> None:
    try:
        file = BinFile(b"test\x01\0\0\0\x02\0\0\0" + tail, b"test", versions=(1,))
    except FormatError:
        return
    assert sum(1 for _ in file.ids()) in (1, 2)


def test_reader_names_its_section() -> None:
    reader = Reader(memoryview(b"\x01\0\0\0\x02"), "section 9")
    assert reader.u32() == 1
    with pytest.raises(FormatError, match="too many"):
        reader.end()
    with pytest.raises(FormatError, match="section 9 ends too early"):
        reader.u64()
