"""Lets the format tests use the samples of the Groth16 tests and the node tools."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("groth16", "node"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))
