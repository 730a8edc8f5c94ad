"""Circuits of 2^20 rows are built in seconds and modest memory. Bounds are loose: machines differ."""

from __future__ import annotations

import subprocess
import sys

from prover_core.circuit import Circuit, compile_circuit
from prover_core.circuit.gadgets.poseidon import poseidon
from prover_core.reference.poseidon import poseidon as hash_plain
from prover_core.witness import TapeProgram

_BUILD = """
import resource, time
from prover_core.circuit import compile_circuit
from prover_core.circuit.gadgets.poseidon import poseidon

def define(c):
    x, y = c.private("x"), c.private("y")
    for _ in range(4370):
        x = poseidon(c, [x, y])
    c.output("digest", x)

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
circuit = compile_circuit(define, name="chain")
spent = time.process_time() - start
print(circuit.r1cs.n_constraints, spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_a_million_rows_of_poseidon() -> None:
    out = subprocess.run([sys.executable, "-c", _BUILD], check=True, capture_output=True, text=True).stdout
    rows, seconds, mebibytes = (float(x) for x in out.split())
    assert rows > 1 << 20
    assert seconds < 15
    assert mebibytes < 1200


def test_a_long_chain_agrees_with_plain_python() -> None:
    def define(c: Circuit) -> None:
        x = c.private("x")
        for _ in range(300):
            x = poseidon(c, [x, 7])
        c.output("digest", x)

    program = TapeProgram(compile_circuit(define, name="chain").tape)
    expected = 5
    for _ in range(300):
        expected = hash_plain([expected, 7])
    *_, head = program.run({"x": 5})
    assert head.values.to_ints()[1] == expected
