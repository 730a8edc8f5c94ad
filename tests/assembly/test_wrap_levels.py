"""An assembly of assemblies, and the whole wrap's determinism: minutes, so left to make test-slow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toolchain import CACHE, toolchain
from wrap_support import BACKEND, Leaves, assembled, circuit, inputs_of, leaves

from prover_core.assembly.assemble import assemble, verify_assembly
from prover_core.assembly.levels import Contents, verify_levels
from prover_core.assembly.shape import Shape
from prover_core.assembly.wrap.keys import WrapKeys
from prover_core.errors import VerificationError
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.wtns import write_wtns
from prover_core.groth16 import Proof, VerificationKey
from prover_core.types import FrVector, R

pytestmark = [pytest.mark.slow, pytest.mark.node]


def test_two_levels() -> None:
    """Four leaves become two assemblies, and these one: an assembly has three public signals, and is a leaf itself."""
    keys = WrapKeys(CACHE.parent / "wrap-keys")
    lower_shape, upper_shape = Shape(2, 2, 4), Shape(2, 3, 4)
    lower, upper = (keys.get(shape, BACKEND) for shape in (lower_shape, upper_shape))
    source = leaves(4)
    parts = [assemble(source.vk, source.items[i : i + 2], lower, BACKEND) for i in (0, 2)]
    for i, part in enumerate(parts):
        publics = [row for _, row in source.items[2 * i : 2 * i + 2]]
        verify_assembly(lower.verification_key, source.vk, publics, part.proof, lower_shape, BACKEND)
    items = [(part.proof, list(part.publics)) for part in parts]
    top = assemble(lower.verification_key, items, upper, BACKEND)
    rows = [publics for _, publics in items]
    verify_assembly(upper.verification_key, lower.verification_key, rows, top.proof, upper_shape, BACKEND)
    wrong = [rows[0], [rows[1][0], rows[1][1], (rows[1][2] + 1) % R]]
    with pytest.raises(VerificationError):
        verify_assembly(upper.verification_key, lower.verification_key, wrong, top.proof, upper_shape, BACKEND)
    check_levels(source, upper.verification_key, lower.verification_key, top.proof)


def check_levels(source: Leaves, upper: VerificationKey, lower: VerificationKey, proof: Proof) -> None:
    """From the one proof down to the four leaves: those leaves, and no others."""
    publics = tuple(tuple(row) for _, row in source.items)

    def contents(*rows: tuple[int, ...]) -> Contents:
        halves = tuple(Contents(Shape(2, 2, 4), source.vk, half) for half in (rows[:2], rows[2:]))
        return Contents(Shape(2, 3, 4), lower, halves)

    verify_levels(upper, contents(*publics), proof, BACKEND, keys=[source.vk], inner=[lower])
    assert [row for _, row in contents(*publics).bottom()] == list(publics)
    with pytest.raises(VerificationError, match="not a trusted wrap's"):
        verify_levels(upper, contents(*publics), proof, BACKEND, keys=[source.vk])
    for wrong in (publics[::-1], (*publics[:3], (publics[3][0], 1))):
        with pytest.raises(VerificationError, match="does not verify"):
            verify_levels(upper, contents(*wrong), proof, BACKEND, keys=[source.vk], inner=[lower])


def test_snarkjs_checks_the_witness_against_the_r1cs(tmp_path: Path) -> None:
    """The emitted .r1cs and a witness of the native tape, judged by a program that is not ours."""
    shape = Shape(3, 2, 4)
    built, program = circuit(shape)
    inputs = inputs_of(assembled(shape, 2), leaves(2).vk)
    wires = np.zeros((built.compiled.r1cs.n_wires, 4), dtype=np.uint64)
    for part in program.run(inputs):
        wires[part.offset : part.offset + len(part.values)] = part.values.limbs
    write_r1cs(tmp_path / "wrap.r1cs", built.compiled.r1cs)
    write_wtns(tmp_path / "wrap.wtns", FrVector(wires))
    said = toolchain().snarkjs("wtns", "check", tmp_path / "wrap.r1cs", tmp_path / "wrap.wtns")
    assert "WITNESS IS CORRECT" in said


def test_no_wire_of_the_wrap_is_undetermined() -> None:
    script = Path(__file__).parents[2] / "tools" / "wrap_determinism.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 wires can move" in done.stdout
