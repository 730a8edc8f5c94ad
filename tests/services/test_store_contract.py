"""The contract of a store (`cloud.store.Store`), which every store keeps: each test runs on each of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import fields, replace

import pytest
from store_book import Place, fail, make_job, prove

from cloud import store as db
from cloud.assembly import Assembly
from cloud.attempts import Attempt, Outcome
from cloud.errors import make_status
from cloud.model import JOB_CANCELLED, JOB_DONE, JOB_FAILED, PROVED, QUEUED, RUNNING, VERIFIED, Job, job_view
from hybrid_prover.v1 import assembly_pb2, circuit_pb2, common_pb2
from prover_core.assembly import Chain


def facts(job: Job) -> list[object]:
    """Everything of a job that a store keeps."""
    segments = [
        (s.index, s.circuit, s.state, s.acked, s.wires_acked, s.batch_id, s.error, s.leaf, s.timings)
        for s in job.segments
    ]
    return [
        job.job_id,
        job.links,
        job.error,
        job.revision,
        job.accepted_nanos,
        job.ended_nanos,
        segments,
        job_view(job),
    ]


def test_what_is_written_is_there_after_reopening(place: Place) -> None:
    job = make_job(b"j", 3)
    store = place.open()
    store.write(db.job_writes(job))
    assert [j.job_id for j in store.unfinished()] == [job.job_id]
    batch = db.BatchRecord(b"b" * 32, b"v" * 32, ((job.job_id, 1),), 0, "size", 2**63 - 1)
    store.write([db.batch_write(batch)])
    prove(job.segments[1], batch.batch_id)
    fail(job.segments[2])
    job.state, job.error, job.ended_nanos, job.revision = JOB_FAILED, job.segments[2].error, 11, 4
    store.write(db.segment_writes(job, job.segments[1]) + db.segment_writes(job, job.segments[2]))
    store.close()

    store = place.open()
    read = store.load_job(job.job_id)
    assert read is not None
    assert facts(read) == facts(job)
    assert read.durable
    assert store.unfinished() == []
    assert store.load_batch(batch.batch_id) == batch
    assert store.load_job(b"k" * 32) is None
    assert store.load_batch(b"k" * 32) is None
    store.close()


def test_attempts_of_the_present_run_and_the_last_lease_come_back(place: Place) -> None:
    job = make_job(b"j", 2)
    store = place.open()
    segment = job.segments[1]
    store.write(db.job_writes(job))
    for number, outcome in enumerate(Outcome):
        error = make_status(13, "the device erred", reason="BACKEND_FAILED")
        segment.attempts.append(Attempt(outcome, b"w" * 16, f"worker {number}", error, number))
        store.write([db.attempt_write(job, segment)])
    segment.attempts.append(Attempt(Outcome.LOST, b"w" * 16, "lost", None, 9))
    segment.lease_worker, segment.lease_token = b"w" * 16, (7 << 32) + 1
    store.write([db.attempt_write(job, segment), db.lease_write(job, segment)])
    read = store.load_job(job.job_id)
    assert read is not None
    assert read.segments[1].attempts == segment.attempts
    assert (read.segments[1].lease_worker, read.segments[1].lease_token) == (b"w" * 16, (7 << 32) + 1)
    assert read.segments[0].attempts == []
    job.run, job.submission = 1, 2**63 - 1
    store.write([db.state_write(job)])
    read = store.load_job(job.job_id)
    assert read is not None
    assert (read.run, read.submission, read.segments[1].attempts) == (1, 2**63 - 1, [])
    store.close()


def test_a_list_that_fails_leaves_nothing_and_the_store_goes_on(place: Place) -> None:
    store = place.open()
    good, bad = make_job(b"g"), make_job(b"b")
    bad.segments[0].batch_id = b"no such batch"
    with pytest.raises(db.StoreError, match=r"(?i)foreign key") as e:
        store.write(db.job_writes(good) + db.job_writes(bad))
    assert not isinstance(e.value, db.StoreUnavailableError)
    assert store.newest(9) == []
    store.write(db.job_writes(good))
    assert [j.job_id for j in store.newest(9)] == [good.job_id]
    store.close()


def test_a_list_written_again_changes_nothing(place: Place) -> None:
    job = make_job(b"j")
    prove(job.segments[0])
    writes = db.job_writes(job) + db.segment_writes(job, job.segments[0])
    store = place.open()
    store.write(writes)
    store.write(writes[: len(writes) // 2])
    store.write(writes)
    assert [facts(j) for j in store.newest(9)] == [facts(job)]
    store.close()


def test_the_last_row_with_a_key_is_what_stays(place: Place) -> None:
    first = make_job(b"j")
    later = replace(first, name="later", state=JOB_DONE, revision=9)
    store = place.open()
    store.write([db.state_write(first), db.state_write(later)])
    assert facts(store.load_job(first.job_id)) == facts(replace(later, links=[], segments=[]))
    merged = db.Write(db.state_write(first).table, db.state_write(later).rows + db.state_write(first).rows)
    store.write([merged])
    assert store.load_job(first.job_id).name == "j"
    store.write([])
    store.write([db.Write(merged.table, ())])
    assert store.load_job(first.job_id).name == "j"
    store.close()


def test_jobs_come_in_the_order_of_their_acceptance(place: Place) -> None:
    jobs = [make_job(name, 1, accepted) for name, accepted in ((b"a", 30), (b"b", 10), (b"c", 20), (b"d", 20))]
    jobs[1].state = JOB_CANCELLED
    store = place.open()
    for job in jobs:
        store.write(db.job_writes(job))
    assert [j.name for j in store.newest(9)] == ["a", "c", "d", "b"]
    assert [j.name for j in store.newest(2)] == ["a", "c"]
    assert [j.name for j in store.unfinished()] == ["d", "c", "a"]
    store.close()


def test_more_jobs_than_one_question_takes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.store.sql.JOBS_AT_ONCE", 7)
    jobs = [make_job(bytes([65 + i]), 1 + i % 3, i) for i in range(20)]
    store = place.open()
    store.write([write for job in jobs for write in db.job_writes(job)])
    assert [facts(j) for j in store.unfinished()] == [facts(j) for j in jobs]
    store.close()


def test_circuits_come_by_name_whatever_the_language_of_the_database(place: Place) -> None:
    names = ["b", "a", "B", "ä", "a b", "", "漢字", "a"]
    store = place.open()
    for i, name in enumerate(names):
        store.write([db.circuit_write(circuit_pb2.Circuit(digest=bytes([i]) * 32, name=name))])
    store.write([db.circuit_write(circuit_pb2.Circuit(digest=b"\0" * 32, name="c", wires=2**40))])
    found = store.circuits()
    assert [c.name for c in found] == sorted(["c", *names[1:]])
    assert [c.wires for c in found if c.name == "c"] == [2**40]
    store.close()


def test_members_of_a_batch_come_in_order(place: Place) -> None:
    jobs = [make_job(name, 3) for name in (b"b", b"a")]
    members = tuple(sorted((job.job_id, i) for job in jobs for i in (0, 2)))
    batch = db.BatchRecord(b"x" * 32, b"v" * 32, members, 1, "age", 5)
    store = place.open()
    store.write([db.batch_write(batch)])
    for job in jobs:
        for i in (2, 0):
            prove(job.segments[i], batch.batch_id)
        store.write(db.job_writes(job))
    assert store.load_batch(batch.batch_id) == batch
    store.close()


def test_one_cloud_at_a_time_and_every_opening_has_its_number(place: Place) -> None:
    store = place.open()
    first = store.epoch
    with pytest.raises(db.StoreInUseError) as e:
        place.open(0.2)
    assert e.value.field
    store.write(db.job_writes(make_job(b"j")))
    store.close()
    store.close()
    again = place.open()
    assert again.epoch > first
    again.close()


def test_any_history_reads_as_its_last_state(place: Place) -> None:
    """Jobs change at random, as the aggregator writes them; reopened now and then, the store has the last of each."""
    dice = random.Random(5)
    store = place.open()
    jobs: dict[bytes, Job] = {}
    for step in range(150):
        action = dice.choice(("open", "prove", "fail", "state", "reopen")) if jobs else "open"
        if action == "reopen":
            store.close()
            store = place.open()
        elif action == "open":
            job = make_job(step.to_bytes(2, "big").hex().encode(), dice.randint(1, 4), dice.randint(0, 2**62))
            jobs[job.job_id] = job
            store.write(db.job_writes(job))
        else:
            job = jobs[dice.choice(list(jobs))]
            job.revision += 1
            segment = dice.choice(job.segments)
            if action == "state":
                job.state = dice.choice((RUNNING, JOB_DONE, JOB_FAILED))
                store.write([db.state_write(job)])
            elif segment.state == QUEUED:
                if action == "prove":
                    prove(segment)
                    segment.state = dice.choice((PROVED, VERIFIED))
                else:
                    fail(segment)
                store.write(db.segment_writes(job, segment))
            else:
                store.write([db.state_write(job)])
    wanted = sorted(jobs.values(), key=lambda j: -j.accepted_nanos)
    assert [facts(j) for j in store.newest(1000)] == [facts(j) for j in wanted]
    store.close()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from store_book import Place, make_job, prove
from cloud import store as db
store = Place(Path(sys.argv[2]), sys.argv[3]).open()
for i in range(100_000):
    job = make_job(i.to_bytes(4, "big").hex().encode(), 1, i)
    prove(job.segments[0])
    store.write(db.job_writes(job) + db.segment_writes(job, job.segments[0]))
    print(i, flush=True)
"""


def test_what_was_told_survives_kill_9(place: Place) -> None:
    here = os.path.dirname(__file__)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, here, str(place.folder), place.database], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    told += [int(line) for line in writer.stdout.read().splitlines()]
    writer.wait()
    store = place.open()
    kept = store.newest(100_000)
    assert [j.accepted_nanos for j in reversed(kept)] == list(range(len(kept)))
    # The one more is a write that was done and not told.
    assert len(told) <= len(kept) <= len(told) + 1
    assert all(j.segments[0].state == VERIFIED and j.segments[0].leaf is not None for j in kept)
    store.close()


def test_rows_are_taken_when_they_are_made(place: Place) -> None:
    """The aggregator goes on changing a job whose rows wait for the store's thread."""
    job = make_job(b"j")
    writes = db.job_writes(job)
    before = deepcopy(job)
    job.revision, job.segments[0].state = 99, VERIFIED
    job.links.append(common_pb2.Link())
    store = place.open()
    store.write(writes)
    assert facts(store.load_job(job.job_id)) == facts(before)
    store.close()


def test_assemblies_come_with_their_jobs_or_by_themselves(place: Place) -> None:
    store = place.open()
    job = make_job(b"q")
    own = Assembly(b"o" * 32, (job.job_id,), Chain(1, 0), job.job_id, "client", leaves=2, nodes=1, accepted_nanos=5)
    job.assembly = own
    block = Assembly(b"p" * 32, (b"1" * 32, b"2" * 32), None, client="client", left_out=((1, 3),), accepted_nanos=9)
    store.write([*db.job_writes(job), db.assembly_write(block)])
    assert [a.assembly_id for a in store.unfinished_assemblies()] == [block.assembly_id], "that of a job comes with it"
    own.state, own.starts, own.committed, own.revision = assembly_pb2.ASSEMBLY_STATE_DONE, 2, 2, 7
    own.result = assembly_pb2.AssemblyResult(assembly_id=own.assembly_id)
    own.timings = [common_pb2.PhaseTiming(phase="wrap", start_unix_nanos=3, duration_nanos=4)]
    block.state, block.error = assembly_pb2.ASSEMBLY_STATE_FAILED, make_status(13, "no", reason="NO")
    store.write([db.assembly_write(own), db.assembly_write(block)])
    store.close()
    store = place.open()
    found = store.load_job(job.job_id)
    assert found is not None
    for kept, was in ((found.assembly, own), (store.load_assembly(block.assembly_id), block)):
        assert kept is not None
        assert [getattr(kept, f.name) for f in fields(kept)] == [getattr(was, f.name) for f in fields(was)]
    assert store.unfinished_assemblies() == []
    assert store.load_assembly(b"z" * 32) is None
    store.close()
