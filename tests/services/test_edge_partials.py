"""Placement split at the edge: which chunks get partials, that none waits for one, and how the uplink is measured."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from edge_book import CIRCUIT, connect, machine, of_kind, open_job, plan, sent
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import policy
from edge.instructions import Instruction, MakePartial, SendChunk, WarmPartials
from edge.linkmeter import LinkMeter
from edge.machine import EdgeMachine
from edge.model import Code, Failure, JobPlan, Placement, Segment, SegmentPlan, SegmentState
from edge.partials import MAX_FAILURES
from edge.policy import PARTIAL_MARGIN, SECOND, Waiting, chunk_for_partial, send_window
from edge.spool import Spool, segment_row
from edge.views import job_message

KEY = (b"\x01" * 32, 0)
MS = 1_000_000

waiting_chunks = st.lists(
    st.builds(Waiting, size=st.integers(1, 10**6), nanos=st.none() | st.floats(0, 1e9, allow_nan=False)), max_size=20
)


@given(waiting=waiting_chunks, rate=st.floats(1, 1e9), room=st.integers(-(10**7), 10**7))
def test_the_first_chunk_whose_turn_comes_late_enough_is_chosen(waiting: list[Waiting], rate: float, room: int) -> None:
    found = chunk_for_partial(waiting, rate, room)

    def gains(k: int) -> bool:
        nanos = waiting[k].nanos
        turn = (sum(c.size for c in waiting[: k + 1]) - room) / rate * SECOND
        return nanos is not None and turn > 0 and turn >= nanos * PARTIAL_MARGIN * (1 + 1e-9)

    if found is None:
        assert not any(gains(k) for k in range(len(waiting)))
    else:
        assert waiting[found].nanos is not None
        assert not any(gains(k) for k in range(found))
        turn = (sum(c.size for c in waiting[: found + 1]) - room) / rate * SECOND
        assert turn >= (waiting[found].nanos or 0) * PARTIAL_MARGIN * (1 - 1e-9)


@given(waiting=waiting_chunks, rate=st.floats(1, 1e9), room=st.integers(-(10**7), 10**7), factor=st.floats(1, 100))
def test_a_faster_uplink_and_slower_sums_choose_later_chunks_or_none(
    waiting: list[Waiting], rate: float, room: int, factor: float
) -> None:
    before = chunk_for_partial(waiting, rate, room)
    slower = [Waiting(c.size, None if c.nanos is None else c.nanos * factor) for c in waiting]
    for after in (chunk_for_partial(waiting, rate * factor, room), chunk_for_partial(slower, rate, room)):
        assert after is None or (before is not None and before <= after)


@given(
    rate=st.none() | st.floats(1, 1e9),
    trip=st.integers(0, 10 * SECOND),
    largest=st.integers(0, 1 << 20),
    chunk=st.integers(1, 1 << 20),
)
def test_the_window_has_room_for_a_chunk_behind_the_largest_and_for_the_way(
    rate: float | None, trip: int, largest: int, chunk: int
) -> None:
    window = send_window(rate, trip, largest, chunk)
    assert window >= largest + chunk
    assert rate is None or window >= largest + int(2 * rate * trip / SECOND)


@settings(max_examples=40)
@given(
    rate=st.integers(100_000, 100_000_000),
    trip=st.integers(0, SECOND // 2),
    sizes=st.lists(st.integers(1000, 500_000), min_size=12, max_size=40),
)
def test_the_meter_learns_the_rate_of_a_full_uplink(rate: int, trip: int, sizes: list[int]) -> None:
    meter, now, free, acks = LinkMeter(), 0, 0, []
    assert meter.rate is None
    for sequence, size in enumerate(sizes):
        free = max(free, now) + size * SECOND // rate
        meter.sent(KEY, sequence, size, now)
        acks.append((free + trip, sequence))
    assert meter.in_flight == sum(sizes)
    for at, sequence in acks:
        meter.acked(KEY, sequence + 1, at)
    assert meter.in_flight == 0
    seconds = acks[-1][0] / SECOND
    assert meter.rate == pytest.approx(sum(sizes) / seconds, rel=0.05) or meter.rate <= rate * 1.01
    assert meter.rate <= rate * 1.01


def test_what_is_given_up_is_not_in_flight_and_old_acks_change_nothing() -> None:
    meter = LinkMeter()
    for sequence in range(4):
        meter.sent(KEY, sequence, 100, 0)
    meter.acked(KEY, 1, SECOND)
    assert (meter.in_flight, meter.largest, meter.trip) == (300, 100, 0)
    meter.acked(KEY, 1, 2 * SECOND)
    assert meter.rate == pytest.approx(100)
    meter.forget(KEY, 2)
    assert meter.in_flight == 100
    meter.sent(KEY, 2, 100, SECOND)
    meter.forget(KEY)
    assert meter.in_flight == 0
    meter.forget(KEY)
    meter.sent(KEY, 0, 100, SECOND)
    meter.reset()
    assert (meter.in_flight, meter.largest) == (0, 0)
    assert meter.rate is not None


def test_the_way_is_what_an_ack_takes_beyond_the_bytes() -> None:
    meter = LinkMeter()
    meter.sent(KEY, 0, 1000, 0)
    meter.acked(KEY, 1, SECOND + 100 * MS)
    assert meter.trip == 0
    for sequence in range(1, 4):
        meter.sent(KEY, sequence, 1000, 2 * SECOND)
    for sequence in range(1, 4):
        meter.acked(KEY, sequence + 1, (2 + sequence) * SECOND + 100 * MS)
    assert meter.rate == pytest.approx(3000 / 3.1)
    assert meter.trip == pytest.approx(1.1 * SECOND - 1000 / (3000 / 3.1) * SECOND)


# The machine on an uplink of a given speed, with somebody who makes partials beside it.


@dataclass
class World:
    """Simulated time: an uplink that sends in order at a rate, acks that come a round trip later, one maker."""

    rate: int
    trip: int
    nanos: int
    takes: bool = True
    now: int = 0
    free: int = 0
    events: list[tuple[int, int, str, tuple[int, ...]]] = field(default_factory=list)
    last_arrival: int = 0
    arrivals: list[tuple[int, bool]] = field(default_factory=list)

    def run(self, sizes: list[int], every: int, placement: Placement) -> EdgeMachine:
        m = machine(max_unacked=10**12)
        job = JobPlan(b"\x01" * 32, "job", placement, (SegmentPlan(CIRCUIT, 100 * len(sizes)),), (), 100)
        self.carry_out(m, m.submit(job, 0))
        connect(m, credit=10**12)
        self.carry_out(m, m.uplink_up(10**12, 10**12, 0, takes_partials=self.takes))
        m.circuit_ready(CIRCUIT, 0)
        self.write(m)
        self.carry_out(m, open_job(m, job))
        for k, size in enumerate(sizes):
            self.at(k * every, "ready", k, size)
        while self.events:
            self.now, _, kind, numbers = heapq.heappop(self.events)
            match kind:
                case "ready":
                    out = m.chunk_ready(job.job_id, 0, numbers[0], numbers[1], 100, self.now)
                case "ack":
                    out = m.ack(job.job_id, 0, numbers[0] + 1, self.now)
                case "made":
                    out = m.partial_made(job.job_id, 0, numbers[0], self.now, self.nanos)
                case _:
                    out = m.partials_warm(CIRCUIT, self.nanos)
            self.carry_out(m, out)
            self.write(m)
        return m

    def at(self, when: int, kind: str, *numbers: int) -> None:
        heapq.heappush(self.events, (when, len(self.events), kind, numbers))

    def carry_out(self, m: EdgeMachine, out: list[Instruction]) -> None:
        for instruction in out:
            if isinstance(instruction, MakePartial):
                self.at(self.now + self.nanos, "made", instruction.sequence)
            elif isinstance(instruction, WarmPartials):
                self.at(self.now, "warm")

    def write(self, m: EdgeMachine) -> None:
        for message in sent(m, self.now):
            if isinstance(message, SendChunk):
                size = m.jobs[message.job_id].segments[0].chunk_bytes[message.sequence]
                self.free = max(self.free, self.now) + size * SECOND // self.rate
                self.last_arrival = self.free
                self.arrivals.append((message.sequence, message.partial))
                self.at(self.free + self.trip, "ack", message.sequence)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.integers(100_000, 50_000_000),
    trip=st.integers(MS, 100 * MS),
    nanos=st.integers(10 * MS, 500 * MS),
    sizes=st.lists(st.integers(20_000, 500_000), min_size=1, max_size=30),
    every=st.integers(0, 100 * MS),
)
def test_split_sends_every_chunk_in_order_and_no_later_than_cloud(
    rate: int, trip: int, nanos: int, sizes: list[int], every: int
) -> None:
    plain, split = World(rate, trip, nanos), World(rate, trip, nanos)
    plain.run(sizes, every, Placement.CLOUD)
    m = split.run(sizes, every, Placement.SPLIT)
    assert [s for s, _ in split.arrivals] == [s for s, _ in plain.arrivals] == list(range(len(sizes)))
    # The uplink has to be learnt: what that may cost is some round trips, once a connection.
    assert split.last_arrival <= plain.last_arrival + 8 * trip
    s = next(iter(m.jobs.values())).segments[0]
    assert s.partials_sent == {sequence for sequence, partial in split.arrivals if partial}
    assert s.partials_sent <= s.partials_ready


def test_a_slow_uplink_gets_partials_for_nearly_all_chunks_and_a_fast_one_for_none() -> None:
    sizes = [250_000] * 40
    slow = World(rate=1_250_000, trip=20 * MS, nanos=100 * MS)
    m = slow.run(sizes, 5 * MS, Placement.SPLIT)
    assert sum(partial for _, partial in slow.arrivals) >= 36
    assert next(iter(m.jobs.values())).segments[0].partials_late == 0
    fast = World(rate=1_250_000_000, trip=MS, nanos=100 * MS)
    fast.run(sizes, 5 * MS, Placement.SPLIT)
    assert not any(partial for _, partial in fast.arrivals)


def test_sums_slower_than_the_uplink_leave_some_chunks_without() -> None:
    world = World(rate=2_500_000, trip=20 * MS, nanos=250 * MS)
    world.run([250_000] * 60, MS, Placement.SPLIT)
    with_partial = sum(partial for _, partial in world.arrivals)
    # A chunk takes 100 ms on the uplink and 250 ms to sum: about two of five can be had.
    assert 12 <= with_partial <= 28


@pytest.mark.parametrize(("takes", "placement"), [(False, Placement.SPLIT), (True, Placement.CLOUD)])
def test_no_partials_for_a_cloud_that_takes_none_or_a_job_that_is_not_split(takes: bool, placement: Placement) -> None:
    world = World(rate=1_000_000, trip=MS, nanos=MS, takes=takes)
    m = world.run([100_000] * 20, 0, placement)
    assert len(world.arrivals) == 20
    assert not any(partial for _, partial in world.arrivals)
    assert not next(iter(m.jobs.values())).segments[0].partials_ready


def running(takes: bool = True) -> tuple[EdgeMachine, JobPlan]:
    """A split job with one chunk acked after a second, and five more waiting."""
    m, job = machine(), plan(placement=Placement.SPLIT)
    assert of_kind(m.submit(job, 0), WarmPartials) == [WarmPartials(CIRCUIT)]
    connect(m, credit=10**9)
    m.uplink_up(10**9, 10**9, 0, takes_partials=takes)
    m.circuit_ready(CIRCUIT, 0)
    sent(m)
    open_job(m, job)
    m.partials_warm(CIRCUIT, MS)
    m.chunk_ready(job.job_id, 0, 0, 200_000, 10, 0)
    assert sent(m) == [SendChunk(job.job_id, 0, 0)]
    for k in range(1, 6):
        m.chunk_ready(job.job_id, 0, k, 200_000, 10, 0)
    return m, job


def test_a_partial_goes_with_its_chunk_and_is_counted() -> None:
    m, job = running()
    made = of_kind(m.ack(job.job_id, 0, 1, SECOND), MakePartial)
    assert len(made) == 1
    assert isinstance(made[0], MakePartial)
    sequence = made[0].sequence
    assert m.partial_made(job.job_id, 0, sequence, SECOND, MS) != []
    now, messages = SECOND, []
    for acked in range(2, 7):
        messages += sent(m, now)
        now += SECOND // 10
        m.ack(job.job_id, 0, acked, now)
    chunks = [message for message in messages if isinstance(message, SendChunk)]
    assert [c.sequence for c in chunks] == [1, 2, 3, 4, 5]
    assert [c.sequence for c in chunks if c.partial] == [sequence]
    use = job_message(m.jobs[job.job_id]).segments[0].partials
    assert (use.chunks, use.partials, use.late) == (6, 1, 0)
    assert m.jobs[job.job_id].segments[0].timings["partials"].duration == MS


def test_what_went_with_partials_outlives_the_edge(tmp_path: Path) -> None:
    plan = JobPlan(b"\x01" * 32, "job", Placement.SPLIT, (SegmentPlan(CIRCUIT, 300),), (), 100)
    proved = Segment(0, CIRCUIT, 300, SegmentState.VERIFIED, chunk_count=3, partials_sent={2, 1}, partials_late=1)
    spool = Spool(tmp_path)
    spool.add_job(plan, [b"inputs"], 1)
    spool.save_segment(segment_row(plan.job_id, proved))
    spool.commit()
    spool.close()
    spool = Spool(tmp_path)
    ((job, _),) = spool.jobs()
    spool.close()
    assert job.segments[0].partials_sent == {1, 2}
    use = job_message(job).segments[0].partials
    assert (use.chunks, use.partials, use.late) == (3, 2, 1)


def test_a_partial_that_comes_late_is_counted_and_holds_nothing_up() -> None:
    m, job = running()
    (made,) = of_kind(m.ack(job.job_id, 0, 1, SECOND), MakePartial)
    assert isinstance(made, MakePartial)
    now = SECOND
    for acked in range(2, 7):
        assert all(not c.partial for c in sent(m, now) if isinstance(c, SendChunk))
        now += SECOND // 10
        m.ack(job.job_id, 0, acked, now)
    m.partial_made(job.job_id, 0, made.sequence, now, SECOND)
    assert m.jobs[job.job_id].segments[0].partials_late == 1
    assert m.jobs[job.job_id].segments[0].cursor == 6


def test_chunks_sent_again_take_the_partial_they_have_by_then() -> None:
    m, job = running()
    (made,) = of_kind(m.ack(job.job_id, 0, 1, SECOND), MakePartial)
    assert isinstance(made, MakePartial)
    m.partial_made(job.job_id, 0, made.sequence, SECOND, MS)
    m.uplink_down(SECOND)
    m.uplink_up(10**9, 10**9, SECOND, takes_partials=True)
    m.circuit_ready(CIRCUIT, SECOND)
    sent(m)
    open_job(m, job, 1)
    now, with_partial = SECOND, set()
    for acked in range(2, 7):
        with_partial |= {c.sequence for c in sent(m, now) if isinstance(c, SendChunk) and c.partial}
        m.ack(job.job_id, 0, acked, now := now + MS)
    assert with_partial == {made.sequence}


def test_a_refusal_of_partials_ends_them_for_good() -> None:
    m, job = running()
    (made,) = of_kind(m.ack(job.job_id, 0, 1, SECOND), MakePartial)
    assert isinstance(made, MakePartial)
    m.partial_made(job.job_id, 0, made.sequence, SECOND, MS)
    assert m.trusted_with_partials
    m.partials_refused()
    assert not m.trusted_with_partials
    now = SECOND
    for acked in range(2, 7):
        assert all(not c.partial for c in sent(m, now) if isinstance(c, SendChunk))
        assert of_kind(m.ack(job.job_id, 0, acked, now := now + SECOND // 10), MakePartial) == []
    assert m.jobs[job.job_id].segments[0].cursor == 6


def test_failures_cost_no_chunk_and_end_the_partials_of_their_circuit() -> None:
    m, job = running()
    out = m.ack(job.job_id, 0, 1, SECOND)
    for _ in range(MAX_FAILURES):
        assert len(of_kind(out, MakePartial)) == 1
        out = m.partial_failed(CIRCUIT)
    assert of_kind(out, MakePartial) == []
    assert [c.sequence for c in sent(m, SECOND) if isinstance(c, SendChunk)] == [1, 2, 3, 4, 5]


def test_a_key_that_cannot_be_loaded_means_no_partials() -> None:
    m, job = machine(), plan(placement=Placement.SPLIT)
    m.submit(job, 0)
    m.partials_cold(CIRCUIT)
    m.partials_warm(CIRCUIT, MS)
    connect(m, credit=10**9)
    m.uplink_up(10**9, 10**9, 0, takes_partials=True)
    m.circuit_ready(CIRCUIT, 0)
    sent(m)
    open_job(m, job)
    for k in range(6):
        m.chunk_ready(job.job_id, 0, k, 200_000, 10, 0)
    assert of_kind(m.ack(job.job_id, 0, 1, SECOND), MakePartial) == []


def test_a_partial_of_a_job_that_ended_is_dropped_and_the_next_one_is_made() -> None:
    m, job = running()
    (made,) = of_kind(m.ack(job.job_id, 0, 1, SECOND), MakePartial)
    assert isinstance(made, MakePartial)
    m.cancel(job.job_id, SECOND)
    m.partial_made(job.job_id, 0, made.sequence, SECOND, MS)
    assert m.jobs[job.job_id].segments[0].partials_ready == set()
    second = plan(2, placement=Placement.SPLIT)
    assert of_kind(m.submit(second, SECOND), WarmPartials) == []
    sent(m, SECOND)
    open_job(m, second)
    for k in range(6):
        m.chunk_ready(second.job_id, 0, k, 200_000, 10, SECOND)
        sent(m, SECOND)
    assert len(of_kind(m.tick(SECOND + policy.SECOND // 2), MakePartial)) == 0 or m.uplink_rate


def test_refused_chunks_leave_room_in_the_uplink() -> None:
    m, job = running()
    m.ack(job.job_id, 0, 1, SECOND)
    first = [c.sequence for c in sent(m, SECOND) if isinstance(c, SendChunk)]
    m.refused(job.job_id, 0, 1, Failure(Code.DATA_LOSS, "altered"), 0, SECOND)
    assert [c.sequence for c in sent(m, SECOND) if isinstance(c, SendChunk)] == first
