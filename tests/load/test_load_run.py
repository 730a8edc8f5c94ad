"""The load run in its short version, as its user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parent / "run.py"


@pytest.mark.slow
def test_a_short_load_run_finds_nothing_wrong() -> None:
    command = [sys.executable, str(RUN), "--seconds", "30", "--clients", "24", "--edges", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "nothing is wrong" in done.stdout
