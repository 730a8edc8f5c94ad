"""The witness workers' pool: what happens when workers end before they have begun."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from edge_support import edge_config

from edge.workers import WorkerPool, _Process, frames
from prover_core.errors import BackendError


async def test_a_worker_killed_while_it_starts_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the chaos run: the edge ended."""
    greeted, killed = frames.receive, []

    async def kill_the_first(stream: object) -> object:
        if not killed:
            (child,) = (int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()[-1:])
            killed.append(child)
            os.kill(child, signal.SIGKILL)
        return await greeted(stream)  # type: ignore[arg-type]

    monkeypatch.setattr(frames, "receive", kill_the_first)
    pool = WorkerPool(edge_config(tmp_path, workers=1))
    try:
        await pool.start()
        assert pool.pids()
        assert pool.pids() != killed
    finally:
        await pool.close()


async def test_workers_that_cannot_start_are_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []

    async def start(*_: object) -> _Process:
        starts.append(1)
        raise EOFError

    monkeypatch.setattr(_Process, "start", start)
    with pytest.raises(BackendError, match="worker_memory"):
        await WorkerPool(edge_config(tmp_path, workers=2)).start()
    assert len(starts) == 4
