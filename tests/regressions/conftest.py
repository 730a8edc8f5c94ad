"""Lets the regressions use the hand-driven edge, the samples of the Groth16 tests and the fuzzer's targets."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("services", "groth16", "fuzz"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))
