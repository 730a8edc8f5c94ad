"""A stage-1 proof that the wrap cannot take, one in 2^39, is made again with other entropy, once."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from stage1_samples import BACKEND, sample_key

from prover_core.assembly import Assembly, AssemblyProof, Shape, assemble, verify_stage1
from prover_core.assembly.wrap.keys import WrapKey
from prover_core.errors import UnsatisfiedError

SHAPE = Shape(3, 2, 4)
module = import_module("prover_core.assembly.assemble")


def failing(times: int, seen: list[Assembly]) -> Callable[..., AssemblyProof]:
    """In place of the wrap: refuses so many proofs, then takes one."""

    def wrap(assembly: Assembly, vk: object, key: object, backend: object, *_: object) -> AssemblyProof:
        seen.append(assembly)
        if len(seen) <= times:
            raise UnsatisfiedError("an addition met its exception", row=7, label="offset")
        return AssemblyProof(sample_key(2, 61).leaf([1, 2], 5), (1, 2, 3), {"wrap proof": 0.1})

    return wrap


def assembled() -> AssemblyProof:
    key: Any = SimpleNamespace(shape=SHAPE, chain=None)
    sample = sample_key(2, 61)
    items = [(sample.leaf([i, 9], 3 + i), [i, 9]) for i in range(2)]
    wrap_key: WrapKey = key
    return assemble(sample.vk, items, wrap_key, BACKEND, b"the entropy of this test" * 2)


@pytest.mark.parametrize("times", [0, 1])
def test_it_is_made_again_with_other_entropy(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    seen: list[Assembly] = []
    monkeypatch.setattr(module, "wrap_assembly", failing(times, seen))
    assert set(assembled().seconds) == {"stage 1", "wrap proof"}
    assert len(seen) == times + 1
    assert len({a.proof for a in seen}) == len(seen), "the same proof would fail again"
    for made in seen:
        assert verify_stage1(SHAPE, sample_key(2, 61).vk, made.publics, made.proof) == seen[0].statement


def test_but_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Assembly] = []
    monkeypatch.setattr(module, "wrap_assembly", failing(9, seen))
    with pytest.raises(UnsatisfiedError):
        assembled()
    assert len(seen) == 2
