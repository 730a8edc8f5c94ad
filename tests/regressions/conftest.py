"""Lets the regressions use the hand-driven edge of the service tests and the samples of the Groth16 tests."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("services", "groth16"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))
