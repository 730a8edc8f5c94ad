"""What the fuzzer found once stays mended: every find is taken, or refused with a typed error, quickly."""

from __future__ import annotations

from pathlib import Path

import pytest
from seeds import make_seeds
from targets import TARGETS, consume

FINDS = sorted(p for p in (Path(__file__).resolve().parents[1] / "fuzz" / "finds").glob("*/*") if p.is_file())


@pytest.fixture(scope="module")
def seeds() -> dict[str, list[bytes]]:
    return make_seeds()


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_seeds_are_taken(target: str, seeds: dict[str, list[bytes]]) -> None:
    """A target whose seeds are refused would fuzz nothing but the first check."""
    assert seeds[target]
    for seed in seeds[target]:
        TARGETS[target](seed)


@pytest.mark.parametrize("find", FINDS, ids=lambda p: f"{p.parent.name}-{p.name[:24]}")
def test_a_find_stays_mended(find: Path) -> None:
    consume(find.parent.name, find.read_bytes())
