"""snarkjs reads our circuits and judges our witnesses, rows with empty A and B included."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from catalogue import CASES

from prover_core.circuit import compile_circuit
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.wtns import write_wtns
from prover_core.types import FrVector

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "node"))

from toolchain import ToolError, toolchain

pytestmark = pytest.mark.node


@pytest.mark.parametrize("name", ["merkle", "eddsa"])
def test_snarkjs_agrees_on_witnesses(name: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    circuit = compile_circuit(case.define, name=name)
    witness = circuit.evaluate(case.inputs)
    write_r1cs(tmp_path / "c.r1cs", circuit.r1cs)
    write_wtns(tmp_path / "good.wtns", FrVector.from_ints(witness))
    altered = [*witness[:-1], witness[-1] + 1]
    write_wtns(tmp_path / "bad.wtns", FrVector.from_ints(altered))
    tools = toolchain()
    assert "WITNESS IS CORRECT" in tools.snarkjs("wtns", "check", tmp_path / "c.r1cs", tmp_path / "good.wtns")
    try:
        verdict = tools.snarkjs("wtns", "check", tmp_path / "c.r1cs", tmp_path / "bad.wtns")
    except ToolError as e:
        verdict = str(e)
    assert "WITNESS IS CORRECT" not in verdict
    assert "not correct" in verdict.lower()
