"""`.r1cs` and `.wtns`: round trips, and malformed files."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from groth16_samples import horner, horner_witness, make_r1cs

from prover_core.errors import FormatError, InvalidInputError
from prover_core.formats.binfile import BinFile, write_binfile
from prover_core.formats.r1cs import read_constraint_count, read_r1cs, read_wire_labels, write_r1cs
from prover_core.formats.table import value_table
from prover_core.formats.wtns import read_wtns, write_wtns
from prover_core.r1cs import R1cs, SparseRows
from prover_core.types import FrVector, Q, R


def dense(r1cs: R1cs) -> list[list[list[tuple[int, int]]]]:
    """The terms of every row, coefficients spelled out."""
    table = r1cs.values.to_ints()

    def rows(m: SparseRows) -> list[list[tuple[int, int]]]:
        terms = [(int(c), table[v]) for c, v in zip(m.col, m.value_index, strict=True)]
        return [terms[int(lo) : int(hi)] for lo, hi in zip(m.row_start, m.row_start[1:], strict=False)]

    return [rows(m) for m in (r1cs.a, r1cs.b, r1cs.c)]


def random_r1cs(rng: random.Random, rows: int = 200, wires: int = 50) -> R1cs:
    coefficients = [1, R - 1, 0, *(rng.randrange(R) for _ in range(20))]

    def lc() -> list[tuple[int, int]]:
        return [(rng.randrange(wires), rng.choice(coefficients)) for _ in range(rng.choice((0, 1, 1, 2, 7)))]

    return make_r1cs(wires, 2, 3, 4, [(lc(), lc(), lc()) for _ in range(rows)])


@pytest.mark.parametrize("seed", range(3))
def test_r1cs_round_trip(seed: int, tmp_path: Path) -> None:
    r1cs = random_r1cs(random.Random(seed))
    write_r1cs(tmp_path / "c.r1cs", r1cs)
    back = read_r1cs(tmp_path / "c.r1cs")
    assert dense(back) == dense(r1cs)
    assert (back.n_wires, back.n_outputs, back.n_public_inputs, back.n_private_inputs) == (50, 2, 3, 4)
    assert len(np.unique(back.values.limbs, axis=0)) == len(back.values)
    assert read_wire_labels(tmp_path / "c.r1cs").tolist() == list(range(50))


def test_r1cs_without_constraints_and_with_labels(tmp_path: Path) -> None:
    labels = np.array([0, 9, 4], dtype=np.uint64)
    write_r1cs(tmp_path / "c.r1cs", make_r1cs(3, 1, 0, 1, []), labels)
    assert read_r1cs(tmp_path / "c.r1cs").n_constraints == 0
    assert read_wire_labels(tmp_path / "c.r1cs").tolist() == [0, 9, 4]


def test_r1cs_header_layout_is_that_of_the_specification(tmp_path: Path) -> None:
    write_r1cs(tmp_path / "c.r1cs", horner(3))
    file = BinFile(tmp_path / "c.r1cs", b"r1cs", versions=(1,))
    expected = struct.pack("<I", 32) + R.to_bytes(32, "little") + struct.pack("<IIIIQI", 10, 1, 1, 3, 10, 5)
    assert bytes(file.section(1)) == expected


def section(path: Path, number: int) -> bytearray:
    return bytearray(BinFile(path, path.suffix[1:].encode(), versions=(1, 2)).section(number))


def test_malformed_r1cs(tmp_path: Path) -> None:
    path = tmp_path / "c.r1cs"
    write_r1cs(path, horner(3))
    head, body = section(path, 1), section(path, 2)

    def refused(h: bytes, b: bytes, *more: tuple[int, list[bytes]]) -> FormatError:
        write_binfile(path, b"r1cs", 1, [(1, [h]), (2, [b]), *more])
        with pytest.raises(FormatError) as e:
            read_r1cs(path)
        return e.value

    def put(raw: bytes, at: int, value: bytes) -> bytes:
        return raw[:at] + value + raw[at + len(value) :]

    word = struct.Struct("<I").pack
    assert refused(put(head, 4, Q.to_bytes(32, "little")), body).field == "section 1"
    assert refused(put(head, 0, word(64)), body).field == "section 1"
    assert refused(head + b"\0", body).field == "section 1"
    assert refused(head[:-1], body).field == "section 1"
    assert refused(put(head, 36, word(3)), body).field == "section 1"
    for count in (4, 6, 0, 2**32 - 1):
        assert refused(put(head, len(head) - 4, word(count)), body).field == "section 2"
    for terms in (100, 2**31, 2**32 - 1):
        assert refused(head, put(body, 0, word(terms))).field == "section 2"
    assert "wire" in str(refused(head, put(body, 4, word(10))))
    assert "canonical" in str(refused(head, put(body, 8, R.to_bytes(32, "little"))))
    for cut in (1, 4, 36, len(body)):
        assert refused(head, body[:-cut]).field == "section 2"
    assert refused(head, body + bytes(4)).field == "section 2"
    assert "custom gates" in str(refused(head, body, (4, [word(1), b"gate"]), (5, [word(0)])))


def test_empty_custom_gate_sections_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "c.r1cs"
    write_r1cs(path, horner(3))
    sections = [(n, [bytes(section(path, n))]) for n in (1, 2, 3)]
    write_binfile(path, b"r1cs", 1, [*sections, (4, [bytes(4)]), (5, [bytes(4)])])
    assert read_r1cs(path).n_constraints == read_constraint_count(path) == 5


def test_mutated_r1cs_never_fails_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "c.r1cs"
    write_r1cs(path, horner(2))
    raw, rng = path.read_bytes(), random.Random(5)
    outcomes = set()
    for _ in range(600):
        bad = bytearray(raw)
        for _ in range(rng.choice((1, 1, 3))):
            bad[rng.randrange(len(bad))] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        try:
            read_r1cs(bytes(bad))
            outcomes.add("read")
        except InvalidInputError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_value_table_with_colliding_mixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prover_core.formats.table._MIX", np.zeros(4, dtype=np.uint64))
    rng = np.random.default_rng(1)
    few = rng.integers(0, 9, (6, 4), dtype=np.uint64)
    many = few[rng.integers(0, 6, 100)]
    values, index = value_table(many)
    assert len(values) == len(np.unique(few, axis=0))
    assert np.array_equal(values.limbs[index], many)


def test_wtns_round_trip(tmp_path: Path) -> None:
    wires = FrVector.from_ints([*horner_witness(3, 5, [R - 1, 0, 7])])
    write_wtns(tmp_path / "w.wtns", wires)
    assert read_wtns(tmp_path / "w.wtns").to_ints() == wires.to_ints()


def test_malformed_wtns(tmp_path: Path) -> None:
    path = tmp_path / "w.wtns"
    write_wtns(path, FrVector.from_ints([1, 2, 3]))
    head, body = bytes(section(path, 1)), bytes(section(path, 2))
    big = R.to_bytes(32, "little")
    for h, b, field in (
        (head[:-4] + struct.pack("<I", 4), body, "section 2"),
        (head[:-4] + struct.pack("<I", 2**32 - 1), body, "section 2"),
        (head[:-4] + struct.pack("<I", 0), b"", "section 2"),
        (head, body[:-1], "section 2"),
        (head, body[:64] + big, "section 2"),
        (head, body[32:] + body[:32], "section 2"),
        (head[:4] + Q.to_bytes(32, "little") + head[36:], body, "section 1"),
    ):
        write_binfile(path, b"wtns", 2, [(1, [h]), (2, [b])])
        with pytest.raises(FormatError) as e:
            read_wtns(path)
        assert e.value.field == field
    write_binfile(path, b"wtns", 3, [(1, [head]), (2, [body])])
    with pytest.raises(FormatError, match="version 3"):
        read_wtns(path)
