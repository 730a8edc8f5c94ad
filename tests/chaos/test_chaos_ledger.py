"""The chaos run's reckoning finds what it is there to find: logs with each fault in them, and logs without."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parents[1] / "services"))

from ledger import Ledger, Line, read_log
from monkey import SHARES, Deed, schedule

KILL = [Deed("kill cloud", "cloud", 4.0, 5.0)]


def line(event: str, at: float = 1.0, **more: object) -> Line:
    return {"event": event, "job_id": "j", "segment": 0, "at": at, **more}


def sent(sequence: int, at: float) -> Line:
    return line("chunk sent", at, sequence=sequence)


def edge(*lines: Line) -> Ledger:
    ledger = Ledger()
    ledger.read_edge("edge-1", lines)
    return ledger


def cloud(*lines: Line) -> Ledger:
    ledger = Ledger()
    ledger.read_cloud(lines)
    return ledger


def test_a_chunk_sent_after_its_ack_is_found_also_over_lives() -> None:
    good = [sent(0, 1), line("chunks acked", 2, next=1), sent(1, 3)]
    assert edge(*good).sent_after_ack == []
    assert edge(*good, line("chaos: life begins", 4), sent(0, 5)).sent_after_ack == [("edge-1", "j", 0, 0)]
    assert edge(*good, line("job accepted", 4), sent(0, 5)).sent_after_ack == []


@pytest.mark.parametrize(("outcome", "where"), [("accepted", "asked_again"), ("duplicate", "came_after_ack")])
def test_an_acked_chunk_that_comes_again_is_found(outcome: str, where: str) -> None:
    lines = [line("chunk_received", sequence=0, outcome="accepted"), line("chunks_acked", next=1)]
    assert getattr(cloud(*lines), where) == []
    assert getattr(cloud(*lines, line("chunk_received", sequence=0, outcome=outcome)), where) == [("j", 0, 0)]


def test_repeats_need_a_cause_each() -> None:
    repeated = edge(sent(0, 3), sent(0, 6)).chunks_sent
    assert (repeated.things, repeated.repeated) == (1, 1)
    assert repeated.without_cause(KILL) == []
    assert len(repeated.without_cause([])) == 1
    assert len(edge(sent(0, 3), sent(0, 7), sent(0, 9)).chunks_sent.without_cause(KILL)) == 1
    assert len(edge(sent(0, 1), sent(0, 2)).chunks_sent.without_cause(KILL)) == 1


def test_a_proof_made_after_it_was_told_and_a_second_end_are_found() -> None:
    proved, told = line("leaf_proved", 3), line("segment_proved", 4)
    assert cloud(proved, line("leaf_proved", 6)).made_after_told == []
    assert cloud(proved, told, line("leaf_proved", 6)).made_after_told == [("j", 0)]
    assert cloud(line("job_ended", state="done"), line("job_ended", state="failed")).ends == {"j": {"done", "failed"}}
    assert len(cloud({**line("x"), "exception": "Traceback"}).trouble) == 1


def test_lines_torn_by_a_kill_are_left_out(tmp_path: Path) -> None:
    whole = b'{"event": "chunk sent", "timestamp": "2026-01-01T00:00:00Z"}\n'
    (tmp_path / "log").write_bytes(whole + whole[:20] + b"\n" + whole + b"\xff\nnot json\n")
    assert [x["event"] for x in read_log(tmp_path / "log")] == ["chunk sent"] * 2


@pytest.mark.parametrize("kills", [1, 12, 100])
def test_a_schedule_has_everything_in_it_and_is_the_seeds(kills: int) -> None:
    deeds = schedule(kills, random.Random(7))
    assert len(deeds) == kills
    assert deeds == schedule(kills, random.Random(7))
    assert set(deeds) == set(SHARES) or kills < len(SHARES)
