"""select(): the order of preference, and that the reason says what was refused."""

from __future__ import annotations

import pytest

from prover_core import backend as contract
from prover_core.backend import Backend, select
from prover_core.errors import BackendError, InvalidInputError
from prover_core.native import CpuBackend
from prover_core.reference import ReferenceBackend


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYBRID_PROVER_BACKEND", raising=False)


def no_device(threads: int | None) -> Backend:
    raise BackendError("no CUDA device")


def no_library(threads: int | None) -> Backend:
    raise ImportError("no library called cpu")


def test_what_fails_is_passed_over_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contract._MAKERS, "cuda", no_device)
    chosen = select(threads=1)
    assert isinstance(chosen.backend, CpuBackend)
    assert chosen.backend.threads == 1
    assert chosen.reason.startswith("cpu (")
    assert "cuda cannot serve: no CUDA device" in chosen.reason
    monkeypatch.setitem(contract._MAKERS, "cpu", no_library)
    chosen = select()
    assert isinstance(chosen.backend, ReferenceBackend)
    assert "no library called cpu" in chosen.reason


def test_the_fastest_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = ReferenceBackend()
    monkeypatch.setitem(contract._MAKERS, "cuda", lambda threads: fast)
    assert select().backend is fast


def test_by_name_nothing_else_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(select("reference").backend, ReferenceBackend)
    assert "asked for" in select("cpu").reason
    monkeypatch.setitem(contract._MAKERS, "cuda", no_device)
    with pytest.raises(BackendError, match="no CUDA device"):
        select("cuda")
    with pytest.raises(InvalidInputError, match="tpu"):
        select("tpu")


def test_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_PROVER_BACKEND", "reference")
    assert isinstance(select().backend, ReferenceBackend)
    assert "HYBRID_PROVER_BACKEND" in select().reason
    assert isinstance(select("cpu").backend, CpuBackend)
