"""The spool of an edge on a full disk: what was decided is written later, in order, and nothing overtakes it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge import spoolthread
from edge.model import Job, JobPlan, JobState, Placement, Segment, SegmentPlan, SegmentState
from edge.spool import Spool, job_row, segment_row
from edge.spoolthread import SpoolThread

CIRCUIT = b"\1" * 32
PLAN = JobPlan(b"j" * 32, "job", Placement.PRIVATE, (SegmentPlan(CIRCUIT, 300),), (), 64)


def full(spool: Spool, *, full: bool) -> None:
    """SQLite says of a database that may not grow what it says of a full disk."""
    pages = spool._connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    spool._connection.exec_driver_sql(f"PRAGMA max_page_count={pages if full else 1 << 30}")


async def test_an_end_that_does_not_fit_is_not_overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof did not fit, the end of its job did, and its inputs were overwritten: the job was lost."""
    monkeypatch.setattr(spoolthread, "RETRY_SECONDS", 0.05)
    thread = SpoolThread(tmp_path)
    thread.spool.add_job(PLAN, [b"inputs"], 1)
    thread.spool.commit()
    full(thread.spool, full=True)
    thread.start()
    leaf = bytes(100_000)
    job = Job(PLAN, [Segment(0, CIRCUIT, 300)], 1, 0, state=JobState.DONE)
    proof = segment_row(PLAN.job_id, Segment(0, CIRCUIT, 300, state=SegmentState.VERIFIED, leaf=leaf))
    thread.post(lambda spool: spool.save_segment(proof))
    thread.post(lambda spool: spool.save_job(job_row(job)))
    thread.post(lambda spool: spool.drop_inputs(PLAN.job_id))
    assert await thread.call(lambda spool: spool.inputs(PLAN.job_id, 0)) == b"inputs"
    assert (await stored(thread)).state is JobState.RUNNING

    # Who waits for a write is told at once that there is no room.
    another = JobPlan(b"k" * 32, "job", Placement.CLOUD, PLAN.segments, (), 64)
    with pytest.raises(sa.exc.OperationalError) as caught:
        await thread.call(lambda spool: spool.add_job(another, [b"a secret" + bytes(100_000)], 2))
    assert "secret" not in str(caught.value)

    await thread.call(lambda spool: full(spool, full=False))
    async with asyncio.timeout(10):
        while (await stored(thread)).state is not JobState.DONE:
            await asyncio.sleep(0.02)
    assert (await stored(thread)).segments[0].leaf == leaf
    assert await thread.call(lambda spool: spool.inputs(PLAN.job_id, 0)) == b""
    await thread.close()


async def test_what_still_waits_when_the_edge_stops_is_as_if_it_had_been_killed(tmp_path: Path) -> None:
    thread = SpoolThread(tmp_path)
    thread.spool.add_job(PLAN, [b"inputs"], 1)
    thread.spool.commit()
    full(thread.spool, full=True)
    thread.start()
    proof = segment_row(PLAN.job_id, Segment(0, CIRCUIT, 300, state=SegmentState.VERIFIED, leaf=bytes(100_000)))
    thread.post(lambda spool: spool.save_segment(proof))
    thread.post(lambda spool: spool.drop_inputs(PLAN.job_id))
    await thread.close()
    spool = Spool(tmp_path)
    assert spool.inputs(PLAN.job_id, 0) == b"inputs"
    spool.close()


async def stored(thread: SpoolThread) -> Job:
    ((job, _),) = await thread.call(lambda spool: spool.jobs())
    return job
