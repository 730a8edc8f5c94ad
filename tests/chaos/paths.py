"""Imported first: what the services' tests share (the proxy, the database server) can be imported from then on."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "services"))
