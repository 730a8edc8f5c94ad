"""Imported first: what the chaos run has (its circuits) can be imported from then on."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "chaos"))
