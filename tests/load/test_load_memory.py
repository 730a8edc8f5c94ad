"""The load run tells growth from a plateau."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent))

from memory import MIB, MemoryWatch, held


@pytest.mark.parametrize(
    ("curve", "grows"),
    [
        (lambda t: 100 * MIB, False),
        (lambda t: 100 * MIB + min(t, 25) * 8 * MIB, False),
        (lambda t: 100 * MIB + t * MIB, True),
        (lambda t: 100 * MIB + t * MIB // 8, False),
        (lambda t: 100 * MIB + (40 * MIB if t % 10 == 0 else 0), False),
    ],
    ids=["flat", "caches that fill", "a leak", "within what is allowed", "peaks"],
)
def test_growth_is_what_goes_on(curve, grows: bool) -> None:
    watch = MemoryWatch(dict)
    watch.samples["cloud"] = [(float(t), curve(t)) for t in range(101)]
    (verdict,) = watch.verdicts(0.0, 100.0)
    assert verdict.grows is grows
    assert verdict.most == max(curve(t) for t in range(101))


def test_a_process_holds_something_and_one_that_is_gone_nothing() -> None:
    assert held(os.getpid()) > MIB
    assert held(2**22 - 3) == 0
